package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/client-go/rest"

	"github.com/openlanyard/lanyard/fault"
)

const (
	keyPoll    = 15 * time.Second // how often the API server is asked for its keys
	keyFloor   = time.Second      // between two readings, however often the server asks
	keyConfirm = 3 * time.Minute  // after this an unchanged list is told again: the server then knows that it is the newest

	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/openid/v1/jwks"
)

// keyList is what verifies a cluster's tokens, as PutClusterKeys takes it.
type keyList struct {
	Issuers []string        `json:"issuers"`
	JWKS    json.RawMessage `json:"jwks"`
}

func (k *keyList) equal(other *keyList) bool {
	return other != nil && slices.Equal(k.Issuers, other.Issuers) && bytes.Equal(k.JWKS, other.JWKS)
}

// keys tells the server which issuers and keys the cluster's API server has.
type keys struct {
	client  *Client
	api     rest.Interface
	issuers []string // beyond the one that the API server names first
	leads   func() bool
	log     *slog.Logger
	metrics *metrics
	recheck chan struct{} // the server asks
	lead    chan struct{} // this replica has begun to lead
	spare   *spare        // nil: none
}

// ask makes the keys be told again, soon. It never waits.
func (k *keys) ask() {
	select {
	case k.recheck <- struct{}{}:
	default:
	}
}

// wake makes a replica that has begun to lead tell them.
func (k *keys) wake() {
	select {
	case k.lead <- struct{}{}:
	default:
	}
}

// leave keeps the spare token fresh. Without it the connector works, until a key is replaced while no connector runs.
func (k *keys) leave(ctx context.Context) {
	if k.spare == nil || !k.leads() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	if err := k.spare.keep(ctx); err != nil {
		k.log.LogAttrs(ctx, slog.LevelWarn, "there is no fresh spare token", slog.String("reason", err.Error()))
	}
}

// read asks the API server. It answers these two to every service account of its own.
func (k *keys) read(ctx context.Context) (*keyList, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	text, err := k.api.Get().AbsPath(discoveryPath).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's %s: %w", discoveryPath, err)
	}
	var discovery struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(text, &discovery); err != nil || discovery.Issuer == "" {
		return nil, fault.New(fault.Unavailable, "the API server's %s names no issuer", discoveryPath)
	}
	jwks, err := k.api.Get().AbsPath(keysPath).SetHeader("Accept", "application/jwk-set+json, application/json").DoRaw(ctx) // nothing else is answered
	if err != nil {
		return nil, fmt.Errorf("reading the API server's %s: %w", keysPath, err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil || len(set.Keys) == 0 {
		return nil, fault.New(fault.Unavailable, "the API server's %s lists no key", keysPath)
	}
	list := &keyList{Issuers: []string{discovery.Issuer}, JWKS: bytes.TrimSpace(jwks)}
	for _, issuer := range k.issuers {
		if !slices.Contains(list.Issuers, issuer) {
			list.Issuers = append(list.Issuers, issuer)
		}
	}
	return list, nil
}

// run tells the keys at the start, when they have changed, when the server asks, and every few minutes. A replica that
// does not lead answers questions only: between two leaders nobody's token is refused for it.
func (k *keys) run(ctx context.Context) {
	var told *keyList // by this replica
	var at time.Time
	again := retry{log: k.log, what: "the server is not told this cluster's keys"}
	for asked := false; ctx.Err() == nil; {
		list, err := k.read(ctx)
		if err == nil && (asked || k.leads() && (!list.equal(told) || time.Since(at) > keyConfirm)) {
			if err = k.push(ctx, list); err == nil {
				told, at, asked = list, time.Now(), false
				k.leave(ctx)
			}
		}
		wait := keyPoll - keyPoll/8 + rand.N(keyPoll/4)
		if err == nil {
			again.ok()
		} else {
			wait = again.failed(ctx, err)
		}
		select {
		case <-time.After(max(wait, keyFloor)):
		case <-k.lead:
		case <-k.recheck:
			asked = true
			select {
			case <-time.After(keyFloor / 4): // a flood of questions is one
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}
}

func (k *keys) push(ctx context.Context, list *keyList) error {
	if err := k.client.call(ctx, http.MethodPut, k.client.path("keys"), list, nil); err != nil {
		k.metrics.keyPushes.WithLabelValues("failed").Inc()
		return fmt.Errorf("telling the server the cluster's keys: %w", err)
	}
	k.metrics.keyPushes.WithLabelValues("ok").Inc()
	k.metrics.keysTold.SetToCurrentTime()
	return nil
}

// Activation is what a cluster joins with: the pair that RegisterCluster answered, good for one call.
type Activation struct {
	Dir      string // of a mounted Secret with the files id and code
	Endpoint string // of the API server as people reach it, for `aws eks update-kubeconfig`; may be empty
	CA       string // PEM of its authority
}

// pair reads the files. Without them there is nothing to activate with.
func (a *Activation) pair() (aws.Credentials, bool, error) {
	if a.Dir == "" {
		return aws.Credentials{}, false, nil
	}
	var parts [2]string
	for i, name := range []string{"id", "code"} {
		text, err := os.ReadFile(filepath.Join(a.Dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return aws.Credentials{}, false, nil // the Secret is optional, and may be gone after its use
		}
		if err != nil {
			return aws.Credentials{}, false, fmt.Errorf("reading the activation pair: %w", err)
		}
		parts[i] = strings.TrimSpace(string(text))
	}
	return aws.Credentials{AccessKeyID: parts[0], SecretAccessKey: parts[1]}, parts[0] != "" && parts[1] != "", nil
}

// activate joins the cluster when the server does not know the connector yet, and returns when it does. A pair that is used
// up is of no use to anybody, so it is left where it is.
func (k *keys) activate(ctx context.Context, a Activation) error {
	again := retry{log: k.log, what: "the server does not know this connector yet"}
	for used := ""; ; {
		_, err := k.client.identity.session(ctx)
		if err == nil {
			return nil
		}
		pair, ok, missing := a.pair()
		if missing != nil {
			err = missing
		}
		// A pair that was refused is not tried again, so that nobody takes us for one who guesses. What else was refused with it, and a
		// wrong clock, may be mended.
		if ok && isAnswer(err) && pair.AccessKeyID != used {
			if err = k.join(ctx, a, pair); err == nil {
				k.log.LogAttrs(ctx, slog.LevelInfo, "the cluster has joined", slog.String("cluster", k.client.Cluster))
				continue
			}
			if refusal := new(Refusal); errors.As(err, &refusal) && refusal.Status == http.StatusForbidden && !refusal.skewed {
				used = pair.AccessKeyID
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		select {
		case <-time.After(again.failed(ctx, err)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (k *keys) join(ctx context.Context, a Activation, pair aws.Credentials) error {
	list, err := k.read(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	response, err := k.client.send(ctx, pair, http.MethodPost, "/lanyard/v1/activations", struct {
		*keyList
		Endpoint             string `json:"endpoint,omitempty"`
		CertificateAuthority string `json:"certificateAuthority,omitempty"`
	}{list, a.Endpoint, a.CA})
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	k.client.identity.forgive()
	return read(response, nil)
}
