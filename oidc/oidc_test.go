package oidc

import (
	"context"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// issuer is a real one, over TLS on loopback, whose answers a test may replace.
type issuer struct {
	*httptest.Server
	answers map[string]http.HandlerFunc // by path
	asked   []string
}

const keySet = `{"keys":[]}`

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{answers: map[string]http.HandlerFunc{}}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked = append(i.asked, r.Method+" "+r.URL.Path)
		if answer := i.answers[r.URL.Path]; answer != nil {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	i.Server.Config.ErrorLog = nil
	t.Cleanup(i.Close)
	i.document("", i.URL, i.URL+"/keys")
	i.answers["/keys"] = says(keySet)
	return i
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) }
}

// document puts a discovery document below a path.
func (i *issuer) document(path, name, keys string) {
	i.answers[path+wellKnown] = says(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"more":[1]}`, name, keys))
}

func (i *issuer) client(allowed ...string) *Client {
	c := &Client{Roots: x509.NewCertPool(), Timeout: 20 * time.Second}
	c.Roots.AddCert(i.Certificate())
	for _, text := range allowed {
		c.Allowed = append(c.Allowed, netip.MustParsePrefix(text))
	}
	return c
}

func (i *issuer) thumbprint() string {
	sum := sha1.Sum(i.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

func TestKeys(t *testing.T) {
	i := newIssuer(t)
	i.document("/a", i.URL+"/a", i.URL+"/keys")
	i.document("/b", i.URL+"/b/", i.URL+"/keys")
	for _, name := range []string{i.URL, i.URL + "/a", i.URL + "/b/"} {
		if got, err := i.client("127.0.0.0/8").Keys(t.Context(), name, nil); err != nil || string(got) != keySet {
			t.Errorf("Keys(%s) = %q, %v", name, got, err)
		}
	}
}

func TestKeysRefuses(t *testing.T) {
	for name, change := range map[string]func(i *issuer){
		"a document of another issuer":         func(i *issuer) { i.document("", i.URL+"/other", i.URL+"/keys") },
		"a document of the issuer and a slash": func(i *issuer) { i.document("", i.URL+"/", i.URL+"/keys") },
		"a document that is no JSON":           func(i *issuer) { i.answers[wellKnown] = says("<html>") },
		"a document without keys":              func(i *issuer) { i.document("", i.URL, "") },
		"keys over http":                       func(i *issuer) { i.document("", i.URL, "http"+strings.TrimPrefix(i.URL, "https")+"/keys") },
		"keys in a file":                       func(i *issuer) { i.document("", i.URL, "file:///etc/passwd") },
		"keys with a user":                     func(i *issuer) { i.document("", i.URL, "https://a@"+strings.TrimPrefix(i.URL, "https://")+"/keys") },
		"keys with a fragment":                 func(i *issuer) { i.document("", i.URL, i.URL+"/keys#a") },
		"keys at the cloud's metadata":         func(i *issuer) { i.document("", i.URL, "https://169.254.169.254/keys") },
		"keys in a private network":            func(i *issuer) { i.document("", i.URL, "https://10.0.0.1/keys") },
		"keys at another name of loopback":     func(i *issuer) { i.document("", i.URL, "https://[::ffff:169.254.169.254]/keys") },
		"a document that is large":             func(i *issuer) { i.answers[wellKnown] = says(`{"x":"` + strings.Repeat("x", maxDocument) + `"}`) },
		"keys that are large":                  func(i *issuer) { i.answers["/keys"] = says(strings.Repeat("x", maxKeys+1)) },
		"keys that have no end": func(i *issuer) {
			i.answers["/keys"] = func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					if _, err := fmt.Fprint(w, strings.Repeat("x", 4096)); err != nil {
						return
					}
				}
			}
		},
		"headers that are large": func(i *issuer) {
			i.answers["/keys"] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Large", strings.Repeat("x", 2*maxHeader))
			}
		},
		"an answer that is none": func(i *issuer) {
			i.answers["/keys"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
		},
		"a way to another place": func(i *issuer) {
			i.answers["/keys"] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/more", http.StatusFound) }
			i.answers["/more"] = says(keySet)
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			change(i)
			got, err := i.client("127.0.0.0/8").Keys(t.Context(), i.URL, nil)
			if err == nil {
				t.Errorf("got %q", got)
			}
			for _, asked := range i.asked {
				if strings.HasSuffix(asked, "/more") {
					t.Error("it was sent on, and went")
				}
			}
		})
	}
}

// An address decides, not a name: what a name resolves to is known only when it is connected to.
func TestOnlyPublicAddressesAreReached(t *testing.T) {
	i := newIssuer(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(i.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{i.URL, "https://localhost:" + port, "https://[::ffff:127.0.0.1]:" + port, "https://0.0.0.0:" + port} {
		for _, c := range []*Client{i.client(), i.client("10.0.0.0/8", "::1/128")} {
			_, err := c.Keys(t.Context(), name, nil)
			if name == "https://localhost:"+port && c.Allowed != nil && err != nil && strings.Contains(err.Error(), "refused") {
				continue // ::1 is allowed, and nobody is there
			}
			if err == nil || !strings.Contains(err.Error(), "is not public") {
				t.Errorf("Keys(%s) with %v: got %v, want a refusal of the address", name, c.Allowed, err)
			}
		}
	}
	if len(i.asked) > 0 {
		t.Errorf("the issuer was asked %q", i.asked)
	}
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2600::1": true, "1.1.1.1": true, "172.32.0.1": true, "100.128.0.1": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.0.1": false, "169.254.169.254": false, "169.254.170.23": false, "fd00:ec2::254": false, "fe80::1": false,
		"100.64.0.1": false, "192.0.0.1": false, "198.18.0.1": false, "203.0.113.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "::10.0.0.1": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("IsPublic(%s) = %v, want %v", text, got, want)
		}
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	i := newIssuer(t)
	stranger := &Client{Roots: x509.NewCertPool(), Allowed: i.client("127.0.0.0/8").Allowed}
	for name, test := range map[string]struct {
		thumbprints []string
		host        string
		good        bool
	}{
		"an unknown root":              {nil, "127.0.0.1", false},
		"the thumbprint of another":    {[]string{strings.Repeat("0", 40)}, "127.0.0.1", false},
		"its thumbprint":               {[]string{strings.Repeat("0", 40), i.thumbprint()}, "127.0.0.1", true},
		"its thumbprint, another name": {[]string{i.thumbprint()}, "127.0.0.2", false},
	} {
		where := strings.Replace(i.URL, "127.0.0.1", test.host, 1)
		i.document("", where, where+"/keys")
		if got, err := stranger.Keys(t.Context(), where, test.thumbprints); (err == nil) != test.good {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// An issuer that does not go on is given up, and so is one whose asker is.
func TestKeysEnds(t *testing.T) {
	i := newIssuer(t)
	arrived := make(chan struct{}, 2)
	i.answers["/keys"] = func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}
	c := i.client("127.0.0.0/8")
	c.Timeout = 500 * time.Millisecond
	if _, err := c.Keys(t.Context(), i.URL, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of its time", err)
	}
	select {
	case <-arrived:
	default: // a slow machine may not come so far in that time
	}
	c.Timeout = 0
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := c.Keys(ctx, i.URL, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was given up", err)
	}
}
