package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	kubeconnect "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openlanyard/lanyard/connector/install"
	"github.com/openlanyard/lanyard/fault"
)

// fieldManager is how this program signs what it applies. Whoever else has changed a field of these objects is told, not
// overruled.
const fieldManager = "lanyard-join"

// kube is an API server as a kubeconfig's context reaches it: only what reads kubeconfigs and makes connections of them is
// of Kubernetes' libraries, whose typed clients would double this program.
type kube struct {
	base    *url.URL
	http    *http.Client
	ca      string // PEM of who signed its certificate, if the kubeconfig says so
	context string
}

// kubeFlags adds what names a cluster.
func kubeFlags(cmd *cobra.Command) {
	cmd.Flags().String("kubeconfig", "", "kubeconfig file; empty: KUBECONFIG, else ~/.kube/config")
	cmd.Flags().String("context", "", "context of the kubeconfig; empty: its current one")
}

func openKube(cmd *cobra.Command) (*kube, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = cmd.Flag("kubeconfig").Value.String()
	name := cmd.Flag("context").Value.String()
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: name})
	raw, err := loaded.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config, err := loaded.ClientConfig()
	if err != nil {
		return nil, fault.New(fault.Invalid, "kubeconfig: %w", err)
	}
	return newKube(config, firstOf(name, raw.CurrentContext))
}

// inCluster is the API server as a pod's service account reaches it.
func inCluster() (*kube, error) {
	config, err := kubeconnect.InClusterConfig()
	if err != nil {
		return nil, fault.New(fault.Invalid, "a Kubernetes Secret is written from inside the cluster, as the pod's service account: %w", err)
	}
	return newKube(config, "")
}

func newKube(config *kubeconnect.Config, name string) (*kube, error) {
	config.Timeout = 30 * time.Second
	config.UserAgent = version()
	base, _, err := kubeconnect.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	client, err := kubeconnect.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	ca := config.CAData
	if len(ca) == 0 && config.CAFile != "" {
		if ca, err = os.ReadFile(config.CAFile); err != nil {
			return nil, err
		}
	}
	return &kube{base: base, http: client, ca: string(ca), context: name}, nil
}

// kubeError is a refusal of the API server, in its words.
type kubeError struct {
	status  int // of HTTP
	Message string
}

func (e *kubeError) Error() string { return "the API server says: " + e.Message }

func isKube(err error, status int) bool {
	var refused *kubeError
	return errors.As(err, &refused) && refused.status == status
}

func (k *kube) get(ctx context.Context, path string, out any) error {
	return k.do(ctx, http.MethodGet, path, "", nil, out)
}

// apply is server-side apply. Without force, another manager's field is a conflict.
func (k *kube) apply(ctx context.Context, o install.Object, force bool) error {
	path, err := o.Path()
	if err != nil {
		return err
	}
	err = k.applyAt(ctx, path, o, fieldManager, force)
	if isKube(err, http.StatusConflict) {
		return fmt.Errorf("applying %s %s: %w (--force-conflicts takes the fields over)", o.Kind(), o.Name(), err)
	}
	if err != nil {
		return fmt.Errorf("applying %s %s: %w", o.Kind(), o.Name(), err)
	}
	return nil
}

func (k *kube) applyAt(ctx context.Context, path string, o any, manager string, force bool) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	query := url.Values{"fieldManager": {manager}, "force": {strconv.FormatBool(force)}}
	return k.do(ctx, http.MethodPatch, path+"?"+query.Encode(), "application/apply-patch+yaml", body, nil)
}

// remove deletes an object, and says whether there was one.
func (k *kube) remove(ctx context.Context, path string) (bool, error) {
	err := k.do(ctx, http.MethodDelete, path, "application/json", []byte(`{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}`), nil)
	if isKube(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (k *kube) do(ctx context.Context, method, path, kind string, body []byte, out any) error {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(k.base.String(), "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json") // the keys have a type of their own
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := k.http.Do(request)
	if err != nil {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	_ = response.Body.Close() // read; nothing to lose
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		refused := &kubeError{status: response.StatusCode}
		if json.Unmarshal(text, refused) != nil || refused.Message == "" {
			refused.Message = fmt.Sprintf("%s: %.300s", response.Status, text)
		}
		return refused
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// minor is the oldest minor version of Kubernetes 1 that is served.
const minor = 30

// checkVersion refuses an API server that is too old.
func (k *kube) checkVersion(ctx context.Context) error {
	var v struct{ Major, Minor, GitVersion string }
	if err := k.get(ctx, "/version", &v); err != nil {
		return err
	}
	digits := strings.TrimRightFunc(v.Minor, func(r rune) bool { return r < '0' || r > '9' }) // "30+" at some
	if n, err := strconv.Atoi(digits); err != nil || v.Major != "1" || n < minor {
		return fault.New(fault.Invalid, "the cluster is Kubernetes %s: 1.%d or newer is accepted", v.GitVersion, minor)
	}
	return nil
}

// uid identifies the cluster for as long as it lives: its kube-system namespace is never deleted.
func (k *kube) uid(ctx context.Context) (string, error) {
	var namespace struct{ Metadata struct{ UID string } }
	err := k.get(ctx, "/api/v1/namespaces/kube-system", &namespace)
	return namespace.Metadata.UID, err
}

// signers are the issuer and the keys of the cluster's service-account tokens.
func (k *kube) signers(ctx context.Context) (issuer string, keys json.RawMessage, err error) {
	var discovery struct{ Issuer string }
	if err := k.get(ctx, "/.well-known/openid-configuration", &discovery); err != nil {
		return "", nil, fmt.Errorf("reading the cluster's token issuer: %w", err)
	}
	if discovery.Issuer == "" {
		return "", nil, errors.New("the API server names no token issuer in /.well-known/openid-configuration")
	}
	if err := k.get(ctx, "/openid/v1/jwks", &keys); err != nil {
		return "", nil, fmt.Errorf("reading the cluster's token keys: %w", err)
	}
	return discovery.Issuer, keys, nil
}
