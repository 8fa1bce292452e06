package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// newProbe makes what a kubelet runs inside the agent's container. Of two agents that share the probe port either may
// answer there; a socket among the container's own files is answered by its own agent alone.
func newProbe() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:       "probe healthz|readyz",
		Short:     "Ask the agent that serves --socket how it is; the exit status tells",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"healthz", "readyz"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return probe(cmd.Context(), socket, args[0])
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "the agent's --probe-socket (required)")
	_ = cmd.MarkFlagRequired("socket") // it is there, a line above
	return cmd
}

func probe(ctx context.Context, socket, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/"+name, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	reason, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %s", name, strings.TrimSpace(string(reason)))
}
