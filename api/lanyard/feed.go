package lanyard

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/http"
	"regexp"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/store"
)

// gatewayName is what a gateway may be called: a part of an ARN that policies can name.
var gatewayName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

type feedRequest struct {
	Account string `json:"account"`
	Gateway string `json:"gateway"`
	Region  string `json:"region"`
	// What the gateway has already, when it was cut off from a feed before.
	Epoch    string `json:"epoch"`
	Revision int64  `json:"revision"`
}

// watchFeed answers with what a gateway of the account may know, from now on. The right to it is asked for again each
// second: with it goes the stream.
func (d *door) watchFeed(_ context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[feedRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"account": in.Account, "gateway": in.Gateway, "region": in.Region}
	if !arn.IsAccount(in.Account) {
		return nil, fault.New(fault.Invalid, "account %.100q: the 12 digits of the gateway's account are accepted", in.Account)
	}
	resource, err := gatewayARN(c, in.Account, in.Gateway)
	if err != nil {
		return nil, err
	}
	if err := c.Authorize("lanyard:WatchFeed", resource); err != nil {
		return nil, err
	}
	if in.Region != c.Region() {
		return nil, fault.New(fault.Invalid, "region %.100q: this server's region is %s", in.Region, c.Region())
	}
	if !private(c.Request) {
		return nil, fault.New(fault.Unsupported, "The feed holds opening keys: it is told over TLS, and without it on a loopback address alone.")
	}
	return api.Streaming(func(ctx context.Context, out *api.Lines) error {
		return d.store.Feed(ctx, in.Account, store.Position{Epoch: in.Epoch, Revision: in.Revision}, out, func() error { return c.Again("lanyard:WatchFeed", resource) })
	}), nil
}

func gatewayARN(c *api.Call, account, name string) (string, error) {
	if !gatewayName.MatchString(name) {
		return "", fault.New(fault.Invalid, "gateway %.100q: 1 to 63 letters, digits, dots, dashes and underscores are accepted", name)
	}
	return arn.ARN{Service: "lanyard", Region: c.Region(), Account: account, Resource: "gateway/" + name}.String(), nil
}

// private reports whether nobody on the way can read what a request is answered.
func private(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

type reportRequest struct {
	Instance  string `json:"instance"`
	Leaving   bool   `json:"leaving"` // it is the last report of this instance
	Epoch     string `json:"epoch"`
	Revision  int64  `json:"revision"`
	AuditSeq  int64  `json:"auditSeq"`
	AuditHash string `json:"auditHash"`

	AuditDigest string `json:"auditDigest"` // of its log, to be signed
}

type reportResponse struct {
	AuditSeq       int64  `json:"auditSeq"`
	AuditHash      string `json:"auditHash"`
	AuditSignature string `json:"auditSignature,omitempty"`
}

var instanceName = regexp.MustCompile(`^[A-Za-z0-9]{8,64}$`)

// reportGateway takes what a running gateway tells each few seconds: which revision its copy has, so that no key seals before
// it can open, and where its audit log's chain stands. It answers the head that was kept before. Of two instances of one name the later is refused while the former lives: each would take
// the head of the other's log for its own. The right is that of the feed: one without the other would leave a gateway that keys are not held for.
func (d *door) reportGateway(ctx context.Context, c *api.Call) (any, error) {
	name, account := c.Labels["name"], c.Caller.Account
	in, err := api.Decode[reportRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "instance": in.Instance, "revision": in.Revision, "auditSeq": in.AuditSeq}
	resource, err := gatewayARN(c, account, name)
	if err != nil {
		return nil, err
	}
	if err := c.Authorize("lanyard:WatchFeed", resource); err != nil {
		return nil, err
	}
	if !instanceName.MatchString(in.Instance) || in.Revision < 0 {
		return nil, fault.New(fault.Invalid, "instance and revision: 8 to 64 letters and digits, and a number from 0 on, are accepted")
	}
	head, err := in.head()
	if err != nil {
		return nil, err
	}
	writer := registry.GatewayWriter(account, name)
	kept, err := d.registry.AuditHead(writer)
	if err != nil {
		return nil, err
	}
	if err := d.keyring.Confirm(ctx, keyring.Gateway{Account: account, Name: name, Instance: in.Instance, Revision: in.Revision}, in.Epoch); err != nil {
		return nil, err
	}
	if head != kept && head != (registry.AuditHead{}) {
		err = d.registry.PutAuditHead(ctx, writer, head)
	}
	if in.Leaving && err == nil {
		err = d.keyring.Leave(ctx, keyring.Gateway{Account: account, Name: name, Instance: in.Instance})
	}
	out := reportResponse{AuditSeq: kept.Seq, AuditHash: hex.EncodeToString(kept.Hash[:])}
	if in.AuditDigest != "" && err == nil {
		out.AuditSignature, err = d.signDigest(writer, in.AuditDigest)
	}
	return out, err
}

// signDigest signs a gateway's digest: the key does not leave the server, and a gateway is given signatures of its own log alone.
func (d *door) signDigest(writer registry.AuditWriter, digest string) (string, error) {
	of, err := audit.DigestWriter([]byte(digest))
	if err != nil {
		return "", fault.New(fault.Invalid, "auditDigest: %w", err)
	}
	if of != string(writer) {
		return "", fault.New(fault.Invalid, "auditDigest is of %.200q: one of %q is accepted", of, writer)
	}
	signature, err := d.registry.SignDigest([]byte(digest))
	return base64.StdEncoding.EncodeToString(signature), err
}

// head reads the audit head; none is the zero value.
func (in reportRequest) head() (head registry.AuditHead, err error) {
	if in.AuditSeq == 0 && in.AuditHash == "" {
		return head, nil
	}
	raw, err := hex.DecodeString(in.AuditHash)
	if err != nil || len(raw) != len(head.Hash) || in.AuditSeq < 0 {
		return head, fault.New(fault.Invalid, "auditSeq and auditHash: a number from 0 on and 64 hex digits are accepted")
	}
	head.Seq = in.AuditSeq
	copy(head.Hash[:], raw)
	return head, nil
}

type listGatewaysResponse struct {
	Gateways []gatewayResponse `json:"gateways"`
}

type gatewayResponse struct {
	Name     string    `json:"name"`
	SeenAt   api.Epoch `json:"seenAt"`
	Revision int64     `json:"revision"`
}

// listGateways answers the account's gateways that live.
func (d *door) listGateways(_ context.Context, c *api.Call) (any, error) {
	resource := arn.ARN{Service: "lanyard", Region: c.Region(), Account: c.Caller.Account, Resource: "gateway/*"}
	if err := c.Authorize("lanyard:ListGateways", resource.String()); err != nil {
		return nil, err
	}
	live, err := d.keyring.Gateways(c.Caller.Account)
	if err != nil {
		return nil, err
	}
	out := listGatewaysResponse{Gateways: []gatewayResponse{}}
	for _, g := range live {
		out.Gateways = append(out.Gateways, gatewayResponse{g.Name, api.Epoch(g.Seen), g.Revision})
	}
	return out, nil
}
