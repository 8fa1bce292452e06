package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/registry"
)

// The wire's shapes, as far as the CLI reads them.

type activation struct {
	ActivationID, ActivationCode string
	ActivationExpiry             float64 // seconds since 1970
}

type cluster struct {
	ID, ARN, Status string
	Tags            map[string]string
	ConnectorConfig struct {
		activation
		RoleARN string
	}
}

// connectorRole is the ARN of the role that RegisterCluster made for the cluster's connector.
func (c *cluster) connectorRole() (string, error) {
	name, err := arn.Parse(c.ARN)
	if err != nil {
		return "", fmt.Errorf("the cluster's ARN: %w", err)
	}
	return arn.Role(name.Account, "/", (&registry.Cluster{ID: c.ID}).ConnectorRole()).String(), nil
}

func (c *client) cluster(ctx context.Context, name string) (*cluster, error) {
	var found struct{ Cluster cluster }
	err := c.call(ctx, "eks", http.MethodGet, "/clusters/"+url.PathEscape(name), nil, &found)
	return &found.Cluster, err
}

// account is the one that the client's credentials belong to.
func (c *client) account(ctx context.Context) (string, error) {
	form := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	var who struct {
		Result struct{ Account string } `xml:"GetCallerIdentityResult"`
	}
	if err := c.query(ctx, "sts", form, &who); err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	return who.Result.Account, nil
}

func (c *client) reactivate(ctx context.Context, name string) (*activation, error) {
	var pair activation
	err := c.call(ctx, "lanyard", http.MethodPost, "/lanyard/v1/clusters/"+url.PathEscape(name)+"/activation", nil, &pair)
	if err != nil {
		return nil, fmt.Errorf("reactivating cluster %s: %w", name, err)
	}
	return &pair, nil
}

// moment shows a moment that is told as seconds since 1970.
func moment(seconds float64) string { return at(seconds).Format(time.RFC3339) }

func at(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)).UTC() }

func isNotFound(err error) bool {
	var refused *dev.Answer
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}

func isDenied(err error) bool {
	var refused *dev.Answer
	return errors.As(err, &refused) && refused.Status == http.StatusForbidden
}
