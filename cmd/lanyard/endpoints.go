package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openlanyard/lanyard/fault"
)

// endpoints are what the pods of a cluster are given.
type endpoints struct {
	s3, sts    string
	caFile     string
	insecureS3 bool
}

func (e *endpoints) flags(f *pflag.FlagSet) {
	f.StringVar(&e.s3, "s3-endpoint", "", "https URL, of an IP address, that pods are given for S3: the gateway's")
	f.BoolVar(&e.insecureS3, "insecure-s3", false, "accept http for --s3-endpoint: of a gateway under --insecure-http, where a service mesh encrypts")
	f.StringVar(&e.sts, "sts-endpoint", "", "https URL, of an IP address, that pods are given for STS; empty: the server's if that is one")
	f.StringVar(&e.caFile, "endpoint-ca", "", "PEM file of the CA that pods are given for these endpoints; empty: the server's")
}

// complete takes the server's URL for STS where none was given and pods can use it, and refuses what pods cannot use.
func (e *endpoints) complete(server string) error {
	if u, err := url.Parse(server); e.sts == "" && err == nil && u.Scheme == "https" {
		if ip := net.ParseIP(u.Hostname()); ip != nil && !ip.IsLoopback() {
			e.sts = server
		}
	}
	for flag, endpoint := range map[string]string{"--s3-endpoint": e.s3, "--sts-endpoint": e.sts} {
		u, err := url.Parse(endpoint)
		plain := e.insecureS3 && flag == "--s3-endpoint" && err == nil && u.Scheme == "http"
		if endpoint != "" && (err != nil || u.Scheme != "https" && !plain || net.ParseIP(u.Hostname()) == nil) {
			return fault.New(fault.Invalid, "%s %q: an https URL of an IP address is accepted (SDKs would put the bucket in front of a name)", flag, endpoint)
		}
	}
	return nil
}

// tell has the server give them to pods of a cluster, with the server's CA where no other was given. What is empty stays as it is.
func (e *endpoints) tell(ctx context.Context, c *client, cluster, serverCA string, say func(string, ...any) error) error {
	ca, err := readCA("--endpoint-ca", e.caFile)
	if err != nil {
		return err
	}
	change := map[string]any{}
	for member, value := range map[string]string{"s3Endpoint": e.s3, "stsEndpoint": e.sts, "caBundle": firstOf(ca, serverCA)} {
		if value != "" {
			change[member] = value
		}
	}
	if len(change) == 0 {
		return nil
	}
	if e.insecureS3 && e.s3 != "" {
		change["insecureHttp"] = true
	}
	if err := c.call(ctx, "lanyard", http.MethodPatch, "/lanyard/v1/clusters/"+url.PathEscape(cluster), change, nil); err != nil {
		return fmt.Errorf("setting the endpoints of cluster %s: %w", cluster, err)
	}
	return say("pods are given S3 at %s and STS at %s", firstOf(e.s3, "no address (--s3-endpoint)"), firstOf(e.sts, "no address (--sts-endpoint)"))
}

func newClusterEndpoints() *cobra.Command {
	var e endpoints
	cmd := &cobra.Command{
		Use:   "endpoints NAME",
		Short: "Say which S3 and STS the pods of a cluster are given from now on, as `lanyard join` does",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			if err := e.complete(c.endpoint); err != nil {
				return err
			}
			ca, err := readCA("AWS_CA_BUNDLE", os.Getenv("AWS_CA_BUNDLE"))
			if err != nil {
				return err
			}
			return e.tell(cmd.Context(), c, args[0], ca, func(format string, args ...any) error { return printf(cmd, format+"\n", args...) })
		},
	}
	e.flags(cmd.Flags())
	dirFlag(cmd)
	return cmd
}
