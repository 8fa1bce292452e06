package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

const (
	ours       = "111122223333"
	theirs     = "444455556666"
	region     = "us-east-1"
	upstreamID = "upstream-key"
	upstreamSK = "upstream-secret"
	trust      = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`
)

// world is a gateway over real rooms, in front of an upstream that records what arrives.
type world struct {
	directory *directory.Directory
	keyring   *keyring.Keyring
	store     *store.Store
	audit     *audit.Log
	config    Config
	gateway   *httptest.Server
	upstream  *upstream
	roles     int
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	ctx := tb.Context()
	st, err := store.Open(ctx, store.Config{Dir: tb.TempDir() + "/state", MasterKey: store.NewMasterKey()})
	if err != nil {
		tb.Fatal(err)
	}
	dir := directory.New(st, nil)
	ring := keyring.New(st, nil, nil)
	reg := registry.New(st, dir, registry.Config{Region: region})
	if err := st.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	log, err := audit.Open(tb.TempDir()+"/audit", audit.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan error, 1)
	go func() { stopped <- log.Run(running) }()
	w := &world{directory: dir, keyring: ring, store: st, audit: log, upstream: newUpstream(tb)}
	address, err := url.Parse(w.upstream.server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	w.config = Config{
		Account: ours, Region: region, Audit: log, Principals: limit.NewRates(1e6, 1e6, 64),
		Access:   &access.Access{Store: st, Directory: dir, Registry: reg, Ring: ring.Ring(), Keys: sigv4.NewCache(64)},
		Upstream: Upstream{URL: address, AccessKeyID: upstreamID, SecretAccessKey: upstreamSK, Region: region},
	}
	w.gateway = httptest.NewServer(nil)
	w.serve(tb)
	for _, account := range []string{ours, theirs} {
		if _, _, err := dir.CreateAccount(ctx, directory.NewAccount{ID: account, Name: account}); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		w.gateway.Close()
		stop()
		for _, err := range []error{<-stopped, log.Close(), st.Close()} {
			if err != nil {
				tb.Error(err)
			}
		}
	})
	return w
}

// serve puts a gateway of the present configuration in the place of the one before.
func (w *world) serve(tb testing.TB) {
	tb.Helper()
	g, err := New(w.config)
	if err != nil {
		tb.Fatal(err)
	}
	w.gateway.Config.Handler = g
}

// session makes a role with a policy of these statements in an account, and a session of it.
func (w *world) session(tb testing.TB, account string, statements ...string) session.Credentials {
	tb.Helper()
	w.roles++
	name := fmt.Sprintf("role-%d", w.roles)
	role, err := w.directory.CreateRole(tb.Context(), directory.NewRole{Account: account, Path: "/", Name: name, Trust: trust})
	if err != nil {
		tb.Fatal(err)
	}
	text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	if err := w.directory.PutPolicy(tb.Context(), directory.Roles.Named(account, name), "s3", text); err != nil {
		tb.Fatal(err)
	}
	return w.mint(tb, role, "pod", 0)
}

// mint makes a session of a role. A flip that is not 0 makes it one of a server that knows another key.
func (w *world) mint(tb testing.TB, role *directory.Role, name string, flip byte) session.Credentials {
	tb.Helper()
	sealing, mac, err := w.keyring.Sealing(tb.Context(), role.Account)
	if err != nil {
		tb.Fatal(err)
	}
	mac.Secret[0] ^= flip
	now := time.Now()
	credentials, err := session.Mint(&session.Session{
		Account: role.Account, RoleID: role.ID, RoleName: role.Name, Name: name, Issued: now, Expires: now.Add(time.Hour),
		Revision: w.store.Revision(), Epoch: w.store.Epoch(),
	}, sealing, mac)
	if err != nil {
		tb.Fatal(err)
	}
	return credentials
}

// allow is a statement of a policy.
func allow(action, resource string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, action, resource)
}

var everything = allow("s3:*", "*")

// request is what a client sends, before it is signed.
type request struct {
	method, path, body string
	header             map[string]string
	hash               string // "" is that of the body
}

// send signs a request as credentials' holder and returns the answer with its body.
func (w *world) send(tb testing.TB, credentials session.Credentials, in request) (*http.Response, string) {
	tb.Helper()
	req := w.sign(tb, credentials, in)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		tb.Fatalf("%s %s: %v", in.method, in.path, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%s %s: reading the answer: %v", in.method, in.path, err)
	}
	if err := resp.Body.Close(); err != nil {
		tb.Fatal(err)
	}
	return resp, string(text)
}

func (w *world) sign(tb testing.TB, credentials session.Credentials, in request) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), in.method, w.gateway.URL+in.path, strings.NewReader(in.body))
	if err != nil {
		tb.Fatal(err)
	}
	for name, value := range in.header {
		req.Header.Set(name, value)
	}
	if in.hash == "" {
		in.hash = hashOf(in.body)
	}
	sigv4.Sign(req, credentials.AccessKeyID, credentials.SecretAccessKey, credentials.SessionToken, region, "s3", in.hash, time.Now())
	return req
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// errorOf reads an error's XML.
func errorOf(tb testing.TB, text string) errorBody {
	tb.Helper()
	var body errorBody
	if err := xml.Unmarshal([]byte(text), &body); err != nil {
		tb.Fatalf("%q is not S3's error XML: %v", text, err)
	}
	return body
}

// content returns the body without the chunks that the gateway may have put it in, and whether it is whole.
func (a arrival) content() (text string, whole bool) {
	if a.header.Get("X-Amz-Content-Sha256") != sigv4.StreamingUnsignedTrailer {
		return a.body, a.err == nil
	}
	for rest := a.body; ; {
		line, after, _ := strings.Cut(rest, "\r\n")
		size, err := strconv.ParseInt(line, 16, 64)
		if err != nil || int64(len(after)) < size {
			return text + after, false
		}
		if size == 0 {
			return text, a.err == nil && strings.HasPrefix(after, "x-amz-checksum-")
		}
		text, rest = text+after[:size], strings.TrimPrefix(after[size:], "\r\n")
	}
}

// arrival is one request as the upstream got it.
type arrival struct {
	method, uri string
	header      http.Header
	body        string
	err         error // of reading the body
}

// upstream is a real HTTP server that checks the gateway's signature, records, and answers what it is told to.
type upstream struct {
	server *httptest.Server
	mu     sync.Mutex
	seen   []arrival
	answer http.HandlerFunc // nil: 200 without a body
}

func newUpstream(tb testing.TB) *upstream {
	u := &upstream{}
	u.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sig, err := sigv4.Parse(r)
		if err == nil {
			err = sig.Verify(r, sigv4.Derive(upstreamSK, sig.Date, sig.Region, sig.Service), sig.PayloadHash)
		}
		if err != nil || sig.KeyID != upstreamID {
			tb.Errorf("%s %s reached the upstream with a signature that is not the gateway's: %v", r.Method, r.RequestURI, err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(r.Body)
		u.mu.Lock()
		u.seen = append(u.seen, arrival{method: r.Method, uri: r.RequestURI, header: r.Header.Clone(), body: body.String(), err: err})
		answer := u.answer
		u.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	tb.Cleanup(u.server.Close)
	return u
}

// respond sets what the upstream answers from now on.
func (u *upstream) respond(answer http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

// take returns what arrived since the last call.
func (u *upstream) take() []arrival {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}
