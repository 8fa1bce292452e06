package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/connector/install"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// defaultRepository is where the images of a release are.
const defaultRepository = "ghcr.io/openlanyard"

// uidTag of a cluster is the uid of its kube-system namespace: by it a second `join` knows its own cluster.
const uidTag = "lanyard.dev/kube-system-uid"

type joinVerb struct {
	name, server, serverCA    string
	endpoints                 endpoints
	values                    install.Values
	dryRun, reactivate, force bool
	timeout                   time.Duration
	agentRights               []string

	client *client
	kube   *kube
	say    func(format string, args ...any) error
}

func newJoin() *cobra.Command {
	var v joinVerb
	cmd := &cobra.Command{
		Use:   "join --name NAME",
		Short: "Join the Kubernetes cluster of a kubeconfig context: register, activate, install the connector, wait for it",
		Long: "Join the Kubernetes cluster of a kubeconfig context. It registers the cluster, activates it with the issuer and keys that the API server " +
			"tells, applies the connector's manifests by server-side apply, and waits until the connector has reported. Run again it changes nothing that is so already.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			v.say = func(format string, args ...any) error { return printf(cmd, format+"\n", args...) }
			if v.client, err = newClient(cmd); err != nil {
				return err
			}
			if err := v.complete(); err != nil {
				return err
			}
			if v.kube, err = openKube(cmd); err != nil {
				return err
			}
			if v.dryRun {
				return v.print(cmd)
			}
			return v.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.name, "name", "", "name of the cluster at Lanyard (required)")
	f.StringVar(&v.server, "server", "", "https URL by which the cluster reaches the server; empty: the one that this command calls")
	f.StringVar(&v.serverCA, "server-ca", "", "PEM file of the CA of the server's certificate; empty: AWS_CA_BUNDLE; none: a public one")
	v.endpoints.flags(f)
	f.StringVar(&v.values.Repository, "image-repository", defaultRepository, "where this cluster has the images of connector and agent from; it is fixed here")
	f.StringVar(&v.values.Tag, "image-tag", "", "tag of the connector's image; empty: this program's version")
	f.StringVar(&v.values.PullPolicy, "image-pull-policy", "IfNotPresent", "of the connector's image: IfNotPresent, Always or Never")
	f.StringVar(&v.values.FailurePolicy, "failure-policy", "Ignore", "what becomes of new pods while no connector answers: Ignore (without credentials) or Fail (refused)")
	f.StringSliceVar(&v.agentRights, "agent-rights", nil, "what add-on values may make the agents use: verify-pods (create TokenReviews), startup-taint (get and patch nodes)")
	f.BoolVar(&v.dryRun, "dry-run", false, "print the manifests as YAML and change nothing")
	f.BoolVar(&v.reactivate, "reactivate", false, "take a new activation pair, for a cluster of this name that was not joined from here too")
	f.BoolVar(&v.force, "force-conflicts", false, "take fields of the manifests over from who else has set them")
	f.DurationVar(&v.timeout, "timeout", 5*time.Minute, "how long to wait for the connector, once all is applied")
	require(cmd, "name")
	kubeFlags(cmd)
	dirFlag(cmd)
	return cmd
}

// complete fills in what was left out, and refuses what cannot work in a cluster before anything is changed.
func (v *joinVerb) complete() error {
	v.values.Cluster, v.values.Region = v.name, v.client.region
	if !arn.IsClusterName(v.name) {
		return fault.New(fault.Invalid, "--name %q: 1 to 100 characters that match ^[0-9A-Za-z][A-Za-z0-9\\-_]* are accepted", v.name)
	}
	v.values.Server = strings.TrimSuffix(firstOf(v.server, v.client.endpoint), "/")
	u, err := url.Parse(v.values.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fault.New(fault.Invalid, "--server %q: the https URL by which the cluster reaches the server is accepted", v.values.Server)
	}
	if isLoopback(u) {
		return fault.New(fault.Invalid, "--server %q is this machine's loopback address: give the one by which the cluster reaches the server", v.values.Server)
	}
	if v.values.CA, err = readCA("--server-ca", firstOf(v.serverCA, os.Getenv("AWS_CA_BUNDLE"))); err != nil {
		return err
	}
	if err := v.endpoints.complete(v.values.Server); err != nil {
		return err
	}
	if v.values.Tag == "" {
		if v.values.Tag = strings.TrimPrefix(moduleVersion(), "v"); v.values.Tag == "" { // a release's images are named without it
			return fault.New(fault.Invalid, "this program is no release and has no version: --image-tag says which connector to install")
		}
	}
	for _, name := range v.agentRights {
		v.values.AgentRights = append(v.values.AgentRights, addon.Right(name))
	}
	tried := v.values
	tried.Role = arn.Role("000000000000", "/", "not-known-yet").String()
	_, err = install.Manifests(tried)
	return err
}

// readCA reads certificates in PEM form; no file is none.
func readCA(flag, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return "", fault.New(fault.Invalid, "%s %s holds no certificate in PEM form", flag, file)
	}
	return string(text), nil
}

// print is --dry-run. A cluster that is not registered yet has no id, without which its role has no name.
func (v *joinVerb) print(cmd *cobra.Command) error {
	found, err := v.client.cluster(cmd.Context(), v.name)
	if isNotFound(err) {
		account, err := v.client.account(cmd.Context())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "cluster %s is not registered yet: CLUSTER-ID stands for the id that it will have\n", v.name); err != nil {
			return err
		}
		found = &cluster{ID: "CLUSTER-ID", ARN: arn.Cluster(v.client.region, account, v.name).String()}
	} else if err != nil {
		return err
	}
	if v.values.Role, err = found.connectorRole(); err != nil {
		return err
	}
	manifests, err := install.Manifests(v.values)
	if err != nil {
		return err
	}
	return printf(cmd, "%s", manifests)
}

func (v *joinVerb) run(ctx context.Context) error {
	if err := v.kube.checkVersion(ctx); err != nil {
		return err
	}
	uid, err := v.kube.uid(ctx)
	if err != nil {
		return err
	}
	joined, pair, err := v.register(ctx, uid)
	if err != nil {
		return err
	}
	if v.values.Role, err = joined.connectorRole(); err != nil {
		return err
	}
	manifests, err := install.Manifests(v.values)
	if err != nil {
		return err
	}
	if pair != nil {
		if err := v.activate(ctx, *pair); err != nil {
			return err
		}
	}
	if err := v.endpoints.tell(ctx, v.client, v.name, v.values.CA, v.say); err != nil {
		return err
	}
	if err := v.install(ctx, manifests); err != nil {
		return err
	}
	return v.wait(ctx)
}

// register returns the cluster, and an activation pair unless it is ACTIVE. The request token is the cluster's own
// identity: a `join` that was cut short gets the same pair again.
func (v *joinVerb) register(ctx context.Context, uid string) (*cluster, *activation, error) {
	account, err := v.client.account(ctx)
	if err != nil {
		return nil, nil, err
	}
	var made struct{ Cluster cluster }
	err = v.client.call(ctx, "eks", http.MethodPost, "/cluster-registrations", map[string]any{
		"name":               v.name,
		"connectorConfig":    map[string]string{"provider": "OTHER", "roleArn": arn.Role(account, "/", "lanyard-join").String()},
		"clientRequestToken": "join-" + uid,
		"tags":               map[string]string{uidTag: uid},
	}, &made)
	found := &made.Cluster
	var refused *dev.Answer
	if errors.As(err, &refused) && (refused.Status == http.StatusConflict || refused.Status == http.StatusBadRequest) {
		// Somebody else's registration, or our own with tags that were changed since.
		if known, missing := v.client.cluster(ctx, v.name); missing == nil {
			found, err = known, nil
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("registering cluster %s: %w", v.name, err)
	}
	own, active := made.Cluster.ID != "" || found.Tags[uidTag] == uid, found.Status == string(registry.Active)
	switch {
	case v.reactivate: // of a cluster of our own that waits, too: its pair may have expired
		pair, err := v.client.reactivate(ctx, v.name)
		if err != nil {
			return nil, nil, err
		}
		return found, pair, v.say("cluster %s has a new activation pair", v.name)
	case own && active:
		return found, nil, v.say("cluster %s is registered and ACTIVE", v.name)
	case made.Cluster.ConnectorConfig.ActivationCode != "":
		return found, &made.Cluster.ConnectorConfig.activation, v.say("cluster %s is registered", v.name)
	}
	return nil, nil, fault.New(fault.Exists, "cluster %s is registered and %s, and was not joined from this Kubernetes cluster: "+
		"take another name, or --reactivate to make it this one (its associations stay)", v.name, found.Status)
}

func (v *joinVerb) activate(ctx context.Context, pair activation) error {
	issuer, keys, err := v.kube.signers(ctx)
	if err != nil {
		return err
	}
	body := map[string]any{"issuers": []string{issuer}, "jwks": keys}
	if at := v.kube.base; at.Scheme == "https" && len(at.String()) <= 255 {
		body["endpoint"], body["certificateAuthority"] = strings.TrimSuffix(at.String(), "/"), v.kube.ca
	}
	err = v.client.as(pair.ActivationID, pair.ActivationCode)(ctx, "lanyard", http.MethodPost, "/lanyard/v1/activations", body, nil)
	if err != nil {
		return fmt.Errorf("activating cluster %s: %w", v.name, err)
	}
	return v.say("cluster %s is activated with the keys of issuer %s", v.name, issuer)
}

func (v *joinVerb) install(ctx context.Context, manifests string) error {
	objects, err := install.Objects(manifests)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := v.kube.apply(ctx, o, v.force); err != nil {
			return err
		}
	}
	if err := v.withdraw(ctx, objects); err != nil {
		return err
	}
	return v.say("the connector's %d objects are applied", len(objects))
}

// withdraw removes what a `join` of before has applied and this one does not: a right that is not given any more.
func (v *joinVerb) withdraw(ctx context.Context, applied []install.Object) error {
	all, err := install.Paths()
	if err != nil {
		return err
	}
	for _, o := range applied {
		path, err := o.Path()
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(p string) bool { return p == path })
	}
	slices.Reverse(all) // a binding before its role
	for _, path := range all {
		if _, err := v.kube.remove(ctx, path); err != nil {
			return fmt.Errorf("removing %s: %w", path, err)
		}
	}
	return nil
}
