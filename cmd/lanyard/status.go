package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/dev"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the server answers, who one is there, and how its clusters and gateways are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			return c.status(cmd)
		},
	}
	dirFlag(cmd)
	return cmd
}

// status goes from the outside in, and ends at the first thing that is broken.
func (c *client) status(cmd *cobra.Command) error {
	ctx := cmd.Context()
	for _, probe := range []string{"/healthz", "/readyz"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint+probe, nil)
		if err != nil {
			return err
		}
		response, err := c.http.Do(request)
		if err != nil {
			return fmt.Errorf("server %s does not answer: %w", c.endpoint, err)
		}
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		_ = response.Body.Close() // read; nothing to lose
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("server %s: %s says %s", c.endpoint, probe, strings.TrimSpace(string(text)))
		}
	}
	if err := printf(cmd, "server      %s is ready\n", c.endpoint); err != nil {
		return err
	}
	form := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	if err := c.call(ctx, "sts", http.MethodPost, "/", form, nil); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if err := printf(cmd, "credentials %s are accepted\n", c.keyID); err != nil {
		return err
	}
	clusters, err := c.clusters(ctx)
	if err != nil {
		return fmt.Errorf("clusters: %w", err)
	}
	unwell := 0
	for _, name := range clusters {
		well, err := c.clusterStatus(cmd, name)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", name, err)
		}
		if !well {
			unwell++
		}
	}
	if err := c.gateways(cmd); err != nil || unwell == 0 {
		return err
	}
	return fmt.Errorf("%d of %d clusters are not well", unwell, len(clusters))
}

// clusters returns the names of one's clusters.
func (c *client) clusters(ctx context.Context) (all []string, err error) {
	for query := ""; ; {
		var page struct {
			Clusters  []string
			NextToken string
		}
		if err := c.call(ctx, "eks", http.MethodGet, "/clusters"+query, nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Clusters...); page.NextToken == "" {
			return all, nil
		}
		query = "?" + url.Values{"nextToken": {page.NextToken}}.Encode()
	}
}

// gateways shows the gateways of one's account, to who may know.
func (c *client) gateways(cmd *cobra.Command) error {
	var list struct {
		Gateways []struct {
			Name   string
			SeenAt float64
		}
	}
	err := c.call(cmd.Context(), "lanyard", http.MethodGet, "/lanyard/v1/gateways", nil, &list)
	var refused *dev.Answer
	if errors.As(err, &refused) && refused.Status == http.StatusForbidden {
		return nil
	}
	if err != nil {
		return fmt.Errorf("gateways: %w", err)
	}
	for _, g := range list.Gateways {
		if err := printf(cmd, "gateway     %s was heard from at %s\n", g.Name, time.UnixMilli(int64(g.SeenAt*1000)).UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	return nil
}
