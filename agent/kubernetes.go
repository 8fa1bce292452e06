package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// PodAudience is what a pod's token must be for.
const PodAudience = "pods.eks.amazonaws.com"

// StartupTaint is what keeps pods off a node until its agent serves, where an operator has nodes registered with it.
const StartupTaint = "lanyard.dev/agent-not-ready"

// Kubernetes is the API server of the node's cluster, which the agent asks as its own service account.
type Kubernetes struct {
	URL       string         // base URL: https only, as requests carry pods' tokens
	TokenFile string         // the agent's service-account token for the API server, read again for each use
	CAs       *x509.CertPool // who may vouch for the API server; nil: the system's

	VerifyPods bool   // every question to EKS Auth is preceded by one whether the API server still accepts the token
	Untaint    string // the node to free of StartupTaint once the agent serves; empty: none
}

// kubernetes speaks the two operations that an agent may need: client-go would triple the program.
type kubernetes struct {
	Kubernetes
	client *transport
}

func newKubernetes(k *Kubernetes) (*kubernetes, error) {
	if k == nil {
		return nil, nil
	}
	u, err := url.Parse(k.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || k.TokenFile == "" {
		return nil, fault.New(fault.Invalid, "the API server %q: https://HOST[:PORT] and a token file are needed", k.URL)
	}
	return &kubernetes{Kubernetes: *k, client: newClient(k.CAs)}, nil
}

// review asks whether the API server accepts a pod's token: it refuses one whose pod is gone, at once
// (https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/). A token that it does not accept
// is a BadToken; that it cannot be asked is Unavailable, and no reason to let the token through.
func (k *kubernetes) review(ctx context.Context, token string) error {
	var answer struct {
		Status struct {
			Authenticated bool
			Audiences     []string
			Error         string
		}
	}
	question := map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
		"spec": map[string]any{"token": token, "audiences": []string{PodAudience}},
	}
	if err := k.call(ctx, http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", "application/json", question, &answer); err != nil {
		return fault.Hide(fault.Unavailable, err, "the API server cannot be asked about the token: try again")
	}
	if s := answer.Status; !s.Authenticated || !slices.Contains(s.Audiences, PodAudience) {
		return fault.Hide(fault.BadToken, fmt.Errorf("TokenReview: %q", oneLine(s.Error)),
			"the API server does not accept the token: its pod is gone, or the token is not for %s", PodAudience)
	}
	return nil
}

// untaint takes the startup taint from the node, with whatever effects it stands there, and no other taint: each patch
// tests what it removes, since others change the list as well.
func (k *kubernetes) untaint(ctx context.Context) error {
	path := "/api/v1/nodes/" + url.PathEscape(k.Untaint)
	var node struct {
		Spec struct{ Taints []struct{ Key string } }
	}
	if err := k.call(ctx, http.MethodGet, path, "", nil, &node); err != nil {
		return err
	}
	for i, taint := range slices.Backward(node.Spec.Taints) { // from the end: an index stays right after a removal behind it
		if taint.Key != StartupTaint {
			continue
		}
		at := "/spec/taints/" + strconv.Itoa(i)
		patch := []map[string]string{
			{"op": "test", "path": at + "/key", "value": StartupTaint},
			{"op": "remove", "path": at},
		}
		if err := k.call(ctx, http.MethodPatch, path, "application/json-patch+json", patch, nil); err != nil {
			return err
		}
	}
	return nil
}

// call sends a question and reads the answer into out, if out is wanted.
func (k *kubernetes) call(ctx context.Context, method, path, kind string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(k.URL, "/")+path, body)
	if err != nil {
		return err
	}
	own, err := os.ReadFile(k.TokenFile)
	if err != nil {
		return fmt.Errorf("reading the agent's token for the API server: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(own)))
	r.Header.Set("Accept", "application/json")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	response, err := k.client.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxNode))
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: the API server answers with status %d: %s", method, path, response.StatusCode, oneLine(string(answer)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// maxNode bounds an answer: a node's status lists the images that it has.
const maxNode = 4 << 20 // bytes

// serveNode frees the node once the agent can answer its pods, and tries again until it has: a node that stays tainted is lost
// to its cluster.
func (a *Agent) serveNode(ctx context.Context) {
	wait := time.NewTicker(time.Second)
	defer wait.Stop()
	for told := ""; ; {
		if a.Ready() == nil {
			limited, cancel := context.WithTimeout(ctx, 10*time.Second)
			err := a.kubernetes.untaint(limited)
			cancel()
			if err == nil {
				a.log.LogAttrs(ctx, slog.LevelInfo, "this node is ready for pods", slog.String("node", a.kubernetes.Untaint))
				return
			}
			if err.Error() != told { // once, not each second
				told = err.Error()
				a.log.LogAttrs(ctx, slog.LevelWarn, "the startup taint cannot be removed", slog.String("error", told))
			}
		}
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}
	}
}
