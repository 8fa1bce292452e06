package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/connector/install"
	"github.com/openlanyard/lanyard/fault"
)

type leaveVerb struct {
	name       string
	deregister bool

	kube *kube
	say  func(format string, args ...any) error
}

func newLeave() *cobra.Command {
	var v leaveVerb
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take the connector and its webhook out of the cluster of a kubeconfig context; pods go on",
		Long: "Take the connector and its webhook out of the cluster of a kubeconfig context. Pods, and the agent that serves them, go on; new pods get no " +
			"credentials. With --deregister the cluster, its associations and its sessions end at the server as well.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			v.say = func(format string, args ...any) error { return printf(cmd, format+"\n", args...) }
			if v.deregister && v.name == "" {
				return fault.New(fault.Invalid, "--deregister needs --name")
			}
			if v.kube, err = openKube(cmd); err != nil {
				return err
			}
			var c *client
			if v.deregister {
				if c, err = newClient(cmd); err != nil {
					return err
				}
			}
			if err := v.run(cmd.Context()); err != nil || !v.deregister {
				return err
			}
			return v.end(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.name, "name", "", "name of the cluster at Lanyard; if given, it has to be the one that is installed")
	f.BoolVar(&v.deregister, "deregister", false, "end the cluster, its associations and its sessions at the server too")
	kubeFlags(cmd)
	dirFlag(cmd)
	return cmd
}

// run removes the right to make the webhook's configuration first, so that no connector makes it again; then the
// configuration, so that no pod waits for a webhook that is gone; then the rest, in the reverse order of `join`.
func (v *leaveVerb) run(ctx context.Context) error {
	if err := v.check(ctx); err != nil {
		return err
	}
	paths := []string{
		"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/" + install.Name,
		"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + install.Webhook,
	}
	own, err := install.Paths()
	if err != nil {
		return err
	}
	slices.Reverse(own)
	for _, path := range own {
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	paths = append(paths, install.Made()...)
	gone := 0
	for _, path := range paths {
		removed, err := v.kube.remove(ctx, path)
		if err != nil {
			return fmt.Errorf("removing %s: %w", path, err)
		}
		if removed {
			gone++
		}
	}
	return v.say("removed %d objects of the connector; namespace %s stays, and so do all pods", gone, install.Namespace)
}

// check refuses to take the connector of another cluster away.
func (v *leaveVerb) check(ctx context.Context) error {
	var settings struct{ Data struct{ Cluster string } }
	err := v.kube.get(ctx, "/api/v1/namespaces/"+install.Namespace+"/configmaps/"+install.Name, &settings)
	if isKube(err, http.StatusNotFound) {
		return nil // removed in part: go on
	}
	if err != nil {
		return err
	}
	if is := settings.Data.Cluster; v.name != "" && v.name != is {
		return fault.New(fault.Invalid, "this Kubernetes cluster is joined as %q, not as %q", is, v.name)
	}
	return nil
}

func (v *leaveVerb) end(ctx context.Context, c *client) error {
	err := c.call(ctx, "eks", http.MethodDelete, "/cluster-registrations/"+url.PathEscape(v.name), nil, nil)
	if isNotFound(err) {
		return v.say("cluster %s is not registered", v.name)
	}
	if err != nil {
		return fmt.Errorf("deregistering cluster %s: %w", v.name, err)
	}
	return v.say("cluster %s is deregistered: its associations and sessions are over", v.name)
}
