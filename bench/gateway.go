package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/gateway"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

const (
	gatewayRounds, gatewayRequests = 7, 4000
	remembered                     = 20000 // derived keys, and opened sessions
	objectSize                     = "1600"
	emptyHash                      = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
	upstreamKey, upstreamSecret    = "upstream-key", "upstream-secret"
	objectPolicy                   = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"},
		{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::pay"},
		{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::pay/in/*"},
		{"Effect":"Allow","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::pay/tmp/*"},
		{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::pay/*"}]}`
)

// gateway measures reading a small object through the gateway beside a proxy that asks nobody; both are in front of the
// same upstream.
func (b *bench) gateway(ctx context.Context) (err error) {
	progress("the gateway: %d rounds of %d requests", gatewayRounds, gatewayRequests)
	upstream, err := b.start(ctx, "echo", objectSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upstream.stop()) }()
	asking, err := b.start(ctx, "gateway", upstream.Address, filepath.Join(b.dir, "gateway"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, asking.stop()) }()
	trusting, err := b.start(ctx, "thin", upstream.Address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trusting.stop()) }()
	few := make([][]byte, 500)
	for i := range few {
		if few[i], err = asking.signed(ctx, http.MethodGet, fmt.Sprintf("/pay/reports/2026/11/%d.json", i), emptyHash, nil); err != nil {
			return err
		}
	}
	requests := repeat(few, gatewayRequests)
	ours := &side{pid: asking.cmd.Process.Pid, address: asking.Address, requests: requests}
	floor := &side{pid: trusting.cmd.Process.Pid, address: trusting.Address, requests: requests}
	if err := b.turns(ctx, gatewayRounds, ours, floor); err != nil {
		return err
	}
	added := make([]float64, gatewayRounds)
	for i := range added {
		added[i] = ours.costs[i] - floor.costs[i]
	}
	how := times(gatewayRounds, gatewayRequests)
	b.rows = append(b.rows,
		atMostTimes(1.3, row{
			what: "gateway: an object of 1.6 KB, whole hop, CPU", ours: ours.cost(), floor: floor.cost(), than: "a proxy that asks nobody", unit: "µs", how: how,
		}),
		atMost(15, row{what: "gateway: signature, session, policy, audit and log of it", ours: median(added), unit: "µs", how: how, than: "the difference, round by round"}))
	return b.largeObjects(ctx)
}

// signed is a request to a gateway as it goes over a connection, signed by the caller that it made.
func (p *process) signed(ctx context.Context, method, path, hash string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.Address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	k := p.Credentials
	sigv4.Sign(r, k.AccessKeyID, k.SecretAccessKey, k.SessionToken, region, "s3", hash, time.Now())
	return wire(r)
}

// gatewayWorld is a gateway over real rooms, with one role and a session of it.
type gatewayWorld struct {
	handler http.Handler
	ready   started
	stop    context.CancelFunc
	stopped chan error
	audit   *audit.Log
	store   *store.Store
}

func newGatewayWorld(ctx context.Context, upstream, dir string) (*gatewayWorld, error) {
	st, err := store.Open(ctx, store.Config{Dir: filepath.Join(dir, "state"), MasterKey: store.NewMasterKey()})
	if err != nil {
		return nil, err
	}
	people := directory.New(st, nil)
	ring := keyring.New(st, nil, nil)
	clusters := registry.New(st, people, registry.Config{Region: region})
	if err := st.Start(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	log, err := audit.Open(filepath.Join(dir, "audit"), audit.Config{})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	w := &gatewayWorld{stop: stop, stopped: make(chan error, 1), audit: log, store: st}
	go func() { w.stopped <- log.Run(ctx) }()
	g, err := gateway.New(gateway.Config{
		Account: account, Region: region, Audit: log, Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)),
		Principals: limit.NewRates(1e6, 1e6, 65536), // asked each time, and never in the way
		Access: &access.Access{
			Store: st, Directory: people, Registry: clusters, Ring: ring.Ring(),
			Keys: sigv4.NewCache(remembered), Sessions: access.NewSessions(remembered), // as cmd/lanyard has them
		},
		Upstream: gateway.Upstream{
			URL: &url.URL{Scheme: "http", Host: upstream}, AccessKeyID: upstreamKey, SecretAccessKey: upstreamSecret, Region: region,
		},
	})
	if err == nil {
		w.handler, err = g, w.caller(ctx, people, ring)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// caller makes the role, and a session of it as a pod has one.
func (w *gatewayWorld) caller(ctx context.Context, people *directory.Directory, ring *keyring.Keyring) error {
	if _, _, err := people.CreateAccount(ctx, directory.NewAccount{ID: account, Name: "bench"}); err != nil {
		return err
	}
	role, err := people.CreateRole(ctx, directory.NewRole{Account: account, Path: "/", Name: "pay-api", Trust: podTrust})
	if err != nil {
		return err
	}
	if err := people.PutPolicy(ctx, directory.Roles.Named(account, role.Name), "objects", objectPolicy); err != nil {
		return err
	}
	sealing, mac, err := ring.Sealing(ctx, account)
	if err != nil {
		return err
	}
	now := time.Now()
	s := &session.Session{
		Account: account, RoleID: role.ID, RoleName: role.Name, Name: "eks-bench-api-5d9c7b-1b671a64-40d5-491e-99b0-da01ff1f3341",
		Issued: now, Expires: now.Add(time.Hour), Revision: w.store.Revision(), Epoch: w.store.Epoch(),
	}
	for _, e := range podTags() {
		if key, ok := strings.CutPrefix(e.Key, "aws:PrincipalTag/"); ok {
			s.Tags = append(s.Tags, session.Tag{Key: key, Value: e.Values[0], Transitive: true})
		}
	}
	k, err := session.Mint(s, sealing, mac)
	w.ready.Credentials.AccessKeyID, w.ready.Credentials.SecretAccessKey, w.ready.Credentials.SessionToken = k.AccessKeyID, k.SecretAccessKey, k.SessionToken
	return err
}

func (w *gatewayWorld) close() error {
	w.stop()
	return errors.Join(<-w.stopped, w.audit.Close(), w.store.Close())
}

// thin makes each request anew, signs it for the upstream and passes the answer on, as the gateway does once it has no
// questions left.
type thin struct {
	upstream  *url.URL
	transport *http.Transport
	signing   *sigv4.Cache
	buffers   sync.Pool
}

func newThin(upstream string) (http.Handler, error) {
	address, err := url.Parse("http://" + upstream)
	return &thin{
		upstream: address, transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		signing: sigv4.NewCache(2),
		buffers: sync.Pool{New: func() any { return new([64 << 10]byte) }},
	}, err
}

func (t *thin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, t.upstream.String(), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out.URL.Path, out.ContentLength = r.URL.Path, r.ContentLength
	hash := emptyHash
	if r.ContentLength > 0 {
		hash = r.Header.Get("X-Amz-Content-Sha256")
	}
	out.Header.Set("User-Agent", "thin")
	out.Header.Set("Accept-Encoding", "identity")
	t.signing.Sign(out, upstreamKey, upstreamSecret, "", region, "s3", hash, time.Now())
	answer, err := t.transport.RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	for _, name := range []string{"Content-Type", "Content-Length", "Etag", "Last-Modified"} {
		if values := answer.Header[name]; values != nil {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(answer.StatusCode)
	buffer, _ := t.buffers.Get().(*[64 << 10]byte)
	defer t.buffers.Put(buffer)
	if _, err := io.CopyBuffer(w, answer.Body, buffer[:]); err != nil {
		panic(http.ErrAbortHandler)
	}
}
