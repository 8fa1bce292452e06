package registry

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// How long the tokens of a cluster's pods may live: Kubernetes makes none of less than ten minutes, and what is known of a
// deleted pod is kept for as long as its token and its last session may live.
const (
	DefaultMaxToken = 24 * time.Hour
	minMaxToken     = 10 * time.Minute
)

// maxBundle bounds what each pod gets in an annotation.
const maxBundle = 32 << 10

// ClusterChange is what UpdateCluster takes. What is nil stays as it is.
type ClusterChange struct {
	NodeBinding *bool
	S3Endpoint  *string        // "" takes it away, as in those below
	STSEndpoint *string        // the address is an IP literal: SDKs put the bucket in front of a host's name
	CABundle    *string        // PEM
	MaxToken    *time.Duration // 10 minutes to 24 hours

	// InsecureHTTP says that S3Endpoint may be http on any address: of a gateway that was told --insecure-http, where a service
	// mesh encrypts. Who reads such a request without it has the pod's session. The server itself never speaks it.
	InsecureHTTP bool
}

// UpdateCluster changes what operators set about a cluster.
func (r *Registry) UpdateCluster(ctx context.Context, account, name string, change ClusterChange) (*Cluster, error) {
	if err := change.check(); err != nil {
		return nil, err
	}
	return r.updateCluster(ctx, func(tx *store.Tx) (*Cluster, error) {
		c, err := r.readCluster(tx, account, name)
		if err != nil {
			return nil, err
		}
		set(&c.NodeBinding, change.NodeBinding)
		set(&c.S3Endpoint, change.S3Endpoint)
		set(&c.STSEndpoint, change.STSEndpoint)
		set(&c.CABundle, change.CABundle)
		set(&c.MaxToken, change.MaxToken)
		return c, nil
	})
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

func (change ClusterChange) check() error {
	if change.S3Endpoint != nil {
		if err := checkEndpoint("s3Endpoint", *change.S3Endpoint, change.InsecureHTTP); err != nil {
			return err
		}
	}
	if change.STSEndpoint != nil {
		if err := checkEndpoint("stsEndpoint", *change.STSEndpoint, false); err != nil {
			return err
		}
	}
	if b := change.CABundle; b != nil {
		if len(*b) > maxBundle {
			return fault.New(fault.Invalid, "caBundle: at most %d bytes are accepted, got %d", maxBundle, len(*b))
		}
		if err := CheckCertificates("caBundle", *b); err != nil {
			return err
		}
	}
	if t := change.MaxToken; t != nil && (*t < minMaxToken || *t > DefaultMaxToken) {
		return fault.New(fault.Invalid, "maxTokenSeconds: %d to %d are accepted, got %d",
			int(minMaxToken.Seconds()), int(DefaultMaxToken.Seconds()), int64(*t/time.Second))
	}
	return nil
}

// checkEndpoint accepts what a pod may be told to send its requests to. Without TLS only a loopback address is, unless plain
// is accepted.
func checkEndpoint(member, text string, plain bool) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err == nil && len(text) <= 255 && u.User == nil && u.RawQuery == "" && u.Fragment == "" && (u.Path == "" || u.Path == "/") {
		ip, notIP := netip.ParseAddr(u.Hostname())
		if notIP == nil && ip.Zone() == "" && (u.Scheme == "https" || u.Scheme == "http" && (plain || ip.IsLoopback())) {
			return nil
		}
	}
	return fault.New(fault.Invalid, "%s %.100q: an https URL of an IP address is accepted, without a path (http for a loopback address alone)", member, text)
}

// CheckCertificates refuses a text that is not certificates in PEM and nothing else. None at all is fine.
func CheckCertificates(member, text string) error {
	for rest := bytes.TrimSpace([]byte(text)); len(rest) > 0; {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || !bytes.HasPrefix(rest, []byte("-----BEGIN")) {
			return fault.New(fault.Invalid, "%s: certificates in PEM are accepted", member)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fault.New(fault.Invalid, "%s: certificates in PEM are accepted: %w", member, err)
		}
		rest = bytes.TrimSpace(after)
	}
	return nil
}

// maxWrong is how many wrong signatures end an activation pair. Who knows its id can end it; a new one is made in one call.
const maxWrong = 5

// ReactivateCluster makes a new activation pair in place of the one before, if there is one. Associations, keys and
// sessions stay; the cluster's issuers and keys are replaced when the pair is used.
func (r *Registry) ReactivateCluster(ctx context.Context, account, name string) (*Cluster, error) {
	return r.updateCluster(ctx, func(tx *store.Tx) (*Cluster, error) {
		c, err := r.readCluster(tx, account, name)
		if err == nil {
			c.Activation = newActivation(r.now())
		}
		return c, err
	})
}

// WrongActivation counts a signature that was made with an activation id and not with its secret.
func (r *Registry) WrongActivation(ctx context.Context, id string) error {
	_, err := r.updateCluster(ctx, func(tx *store.Tx) (*Cluster, error) {
		found, err := r.clusterByActivation.Read(tx, id)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fault.New(fault.NotFound, "no cluster waits with the activation id %q", id)
		}
		c, a := *found[0], *found[0].Activation
		if a.Wrong++; a.Wrong < maxWrong {
			c.Activation = &a
		} else {
			c.Activation = nil
		}
		return &c, nil
	})
	return err
}
