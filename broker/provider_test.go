package broker

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/oidc"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

const irsaAudience = "sts.amazonaws.com"

func (w *world) provide(t testing.TB, account, url string, audiences ...string) *directory.OIDCProvider {
	t.Helper()
	p, err := w.Directory.CreateOIDCProvider(t.Context(), directory.NewOIDCProvider{Account: account, URL: url, ClientIDs: audiences})
	must(t, err)
	return p
}

// federated makes a role that trusts the provider's tokens under the condition, a JSON object.
func (w *world) federated(t testing.TB, account, name, tokenIssuer, condition string, more ...string) string {
	t.Helper()
	actions, err := json.Marshal(append([]string{"sts:AssumeRoleWithWebIdentity"}, more...))
	must(t, err)
	return w.role(t, account, name, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::`+account+
		`:oidc-provider/`+tokenIssuer+`"},"Action":`+string(actions)+`,"Condition":`+condition+`}}`)
}

func (w *world) become(t testing.TB, role, token string) (*Grant, error) {
	t.Helper()
	return w.ForWebIdentity(t.Context(), WebIdentity{Role: role, SessionName: "app", Token: token})
}

func TestIRSA(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, one, "prod")
	w.provide(t, one, tokenIssuer, irsaAudience)
	bare := strings.TrimPrefix(tokenIssuer, "https://")
	role := w.federated(t, one, "app", bare, `{"StringEquals":{"`+bare+`:sub":"system:serviceaccount:default:app","`+bare+`:aud":"sts.amazonaws.com"}}`)
	g, err := w.become(t, role, w.token(t, c.signer, "default", "app", irsaAudience, "node"))
	wants(t, "IRSA", g, err, accepted)
	want := &session.Origin{
		Cluster: c.ID, Namespace: "default", ServiceAccount: "app", PodName: "app-7c9f4d8b5-x2x", PodUID: "pod-uid", NodeName: "node", NodeUID: "node-uid",
	}
	if diff := cmp.Diff(want, g.Session.Origin); diff != "" {
		t.Errorf("origin (-want +got):\n%s", diff)
	}
	if g.Federated() != "arn:aws:iam::111122223333:oidc-provider/"+bare || g.Session.Tags != nil || g.Session.Chain != 0 {
		t.Errorf("got %s, %+v", g.Federated(), g.Session)
	}
	must(t, w.Registry.Honours(g.Session))
	_, err = w.Registry.DeregisterCluster(t.Context(), one, "prod")
	must(t, err)
	if err := w.Registry.Honours(g.Session); !fault.Is(err, fault.ExpiredCredentials) {
		t.Errorf("after the cluster has gone: got %v, want the end of the session", err)
	}
}

func TestIRSARefuses(t *testing.T) {
	w := fresh(t)
	c, abroad := w.practice(t, one, "prod"), w.practice(t, two, "prod")
	bare := strings.TrimPrefix(tokenIssuer, "https://")
	sub := `{"StringLike":{"` + bare + `:sub":"system:serviceaccount:default:*"}}`
	role, foreign := w.federated(t, one, "app", bare, sub), w.federated(t, two, "app", bare, sub)
	other := w.federated(t, one, "other", bare, `{"StringEquals":{"`+bare+`:aud":"my-app"}}`)
	across := w.role(t, one, "across", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::`+two+`:oidc-provider/`+bare+`"},"Action":"sts:AssumeRoleWithWebIdentity"}}`)
	slash := w.federated(t, one, "slash", bare+"/", `{"StringLike":{"`+bare+`/:sub":"*"}}`)
	w.provide(t, one, tokenIssuer, irsaAudience)
	w.provide(t, one, tokenIssuer+"/", irsaAudience)
	w.provide(t, two, tokenIssuer, irsaAudience)
	token := func(edits ...claims) string {
		return w.token(t, c.signer, "default", "app", irsaAudience, "node", edits...)
	}
	parts := strings.Split(token(), ".")
	head := base64.RawURLEncoding.EncodeToString
	for _, test := range []struct {
		name, role, token string
		want              fault.Kind
	}{
		{"the service account", role, token(), accepted},
		{"another namespace", role, w.token(t, c.signer, "kube-system", "app", irsaAudience, "node"), fault.Denied},
		{"a role for another audience", other, token(), fault.Denied},
		{"no node", role, w.token(t, c.signer, "default", "app", irsaAudience, ""), accepted},
		{"no pod", role, token(claims{"kubernetes.io": map[string]any{"namespace": "default", "serviceaccount": map[string]any{"name": "app", "uid": "u"}}}), accepted},
		{"the audience of pods", role, w.podToken(t, c.signer, "node"), fault.BadToken},
		{"the audience of connectors", role, w.token(t, c.signer, "default", "app", registry.ConnectorAudience, "node"), fault.BadToken},
		{"two audiences", role, token(claims{"aud": []string{irsaAudience, "x"}}), fault.BadToken},
		{"two audiences, the one of pods", role, token(claims{"aud": []string{irsaAudience, registry.PodAudience}}), fault.BadToken},
		{"no audience", role, token(claims{"aud": nil}), fault.BadToken},
		{"another audience", role, token(claims{"aud": "my-app"}), fault.BadToken},
		{"the issuer with a slash", role, token(claims{"iss": tokenIssuer + "/"}), fault.Denied},
		{"the issuer in capitals", role, token(claims{"iss": strings.ToUpper(tokenIssuer)}), fault.Denied},
		{"the issuer with a port", role, token(claims{"iss": tokenIssuer + ":443"}), fault.Denied},
		{"the issuer with a user", role, token(claims{"iss": strings.Replace(tokenIssuer, "://", "://a@", 1)}), fault.Denied},
		{"the issuer with a fragment", role, token(claims{"iss": tokenIssuer + "#"}), fault.Denied},
		{"the issuer over http", role, token(claims{"iss": "http://" + bare}), fault.Denied},
		{"the issuer of another provider, which the role does not trust", slash, token(), fault.Denied},
		{"an issuer that the cluster does not have", slash, token(claims{"iss": tokenIssuer + "/"}), fault.IssuerUnreachable},
		{"no signature", role, head([]byte(`{"alg":"none","kid":"k1"}`)) + "." + parts[1] + ".", fault.BadToken},
		{"HMAC", role, head([]byte(`{"alg":"HS256","kid":"k1"}`)) + "." + parts[1] + "." + parts[2], fault.BadToken},
		{"another key's kid", role, head([]byte(`{"alg":"ES256","kid":"k2"}`)) + "." + parts[1] + "." + parts[2], fault.BadToken},
		{"the key of another account's cluster", role, w.token(t, abroad.signer, "default", "app", irsaAudience, "node"), fault.BadToken},
		{"in the other account", foreign, w.token(t, abroad.signer, "default", "app", irsaAudience, "node"), accepted},
		{"this account's token in the other", foreign, token(), fault.BadToken},
		{"a role that trusts another account's provider", across, w.token(t, abroad.signer, "default", "app", irsaAudience, "node"), fault.Denied},
		{"over", role, token(claims{"iat": 1, "nbf": 1, "exp": w.clock.now().Unix()}), fault.ExpiredToken},
		{"too long a life", role, token(claims{"exp": w.clock.now().Add(registry.DefaultMaxToken + time.Hour).Unix()}), fault.BadToken},
		{"a role that trusts the cluster alone", "arn:aws:iam::" + one + ":role/" + c.AgentRole(), token(), fault.Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, err := w.become(t, test.role, test.token)
			wants(t, "ForWebIdentity", g, err, test.want)
		})
	}
	// At EKS Auth the token is none.
	g, err := w.ForPod(t.Context(), w.agent(t, c, "node"), "prod", token())
	wants(t, "ForPod", g, err, fault.BadToken)

	_, err = w.Registry.DeletePods(t.Context(), one, "prod", "", []registry.DeletedPod{{Namespace: "default", Name: "app-7c9f4d8b5-x2x", UID: "pod-uid"}})
	must(t, err)
	g, err = w.become(t, role, token())
	wants(t, "after the pod is deleted", g, err, fault.RejectedClaim)
}

// Of two clusters with one issuer, one may have been made to get at what the other's service accounts have.
func TestAProviderHasOneClustersKeys(t *testing.T) {
	w := fresh(t)
	prod := w.practice(t, one, "prod")
	bare := strings.TrimPrefix(tokenIssuer, "https://")
	role := w.federated(t, one, "app", bare, `{"StringLike":{"`+bare+`:sub":"*"}}`)
	w.provide(t, one, tokenIssuer, irsaAudience)
	token := w.token(t, prod.signer, "default", "app", irsaAudience, "node")
	is := func(when string, token string, want fault.Kind) {
		t.Helper()
		g, err := w.become(t, role, token)
		wants(t, when, g, err, want)
	}
	tag := func(value string) {
		t.Helper()
		must(t, w.Directory.TagOIDCProvider(t.Context(), one, bare, []directory.Tag{{Key: directory.ClusterTag, Value: value}}))
	}
	is("alone", token, accepted)
	test := w.practice(t, one, "test")
	stranger := w.token(t, test.signer, "default", "app", irsaAudience, "node")
	is("one of two", token, fault.BadToken)
	is("the other of two", stranger, fault.BadToken)
	tag("prod")
	is("the one that is named", token, accepted)
	is("the one that is not", stranger, fault.BadToken)
	tag("none")
	is("a name that none has", token, fault.BadToken)
	tag("test")
	is("after another is named", token, fault.BadToken)
	is("which is", stranger, accepted)
	tag(directory.NoCluster)
	is("none, by name", stranger, fault.IssuerUnreachable)
	tag("test")
	_, err := w.Registry.DeregisterCluster(t.Context(), one, "test")
	must(t, err)
	is("after it has gone", stranger, fault.BadToken)
	must(t, w.Directory.UntagOIDCProvider(t.Context(), one, bare, []string{directory.ClusterTag}))
	is("which leaves one", token, accepted)
	must(t, w.Directory.RemoveClientID(t.Context(), one, bare, irsaAudience))
	is("after the audience was taken away", token, fault.BadToken)
	must(t, w.Directory.AddClientID(t.Context(), one, bare, irsaAudience))
	is("and given back", token, accepted)
	must(t, w.Directory.DeleteOIDCProvider(t.Context(), one, bare))
	is("after the provider is deleted", token, fault.BadToken)
}

// outside is an issuer that is no cluster: a real one, over TLS, which the world reaches by its name.
type outside struct {
	*httptest.Server
	signer signer

	mu    sync.Mutex
	keys  []podtoken.Key
	asked int           // for keys
	hold  chan struct{} // nil: nothing is held back
	fails bool
}

const outsideURL = "https://example.com/idp"

func (w *world) outside(t *testing.T) *outside {
	t.Helper()
	o := &outside{signer: rsaSigner(t, "idp-1")}
	o.keys = []podtoken.Key{o.signer.Key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /idp/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, outsideURL, outsideURL+"/keys")
	})
	mux.HandleFunc("GET /idp/keys", func(rw http.ResponseWriter, _ *http.Request) {
		o.mu.Lock()
		o.asked++
		text, err := podtoken.MarshalKeys(o.keys)
		hold, fails := o.hold, o.fails
		o.mu.Unlock()
		if hold != nil {
			<-hold
		}
		if err != nil || fails {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = rw.Write(text)
	})
	o.Server = httptest.NewTLSServer(mux)
	t.Cleanup(o.Close)
	roots := x509.NewCertPool()
	roots.AddCert(o.Certificate())
	w.OIDC = &oidc.Client{Roots: roots, Timeout: 20 * time.Second, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, o.Listener.Addr().String())
	}}
	return o
}

func (o *outside) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

func (o *outside) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

// token is what the issuer gives a workload.
func (w *world) outsideToken(t testing.TB, s signer, edits ...claims) string {
	t.Helper()
	edits = append([]claims{{"iss": outsideURL, "sub": "repo:octo/app:main", "aud": "ci", "kubernetes.io": nil}}, edits...)
	return w.token(t, s, "x", "x", "x", "", edits...)
}

func TestAnIssuerThatIsNoCluster(t *testing.T) {
	w := fresh(t)
	o := w.outside(t)
	w.provide(t, one, outsideURL, "ci")
	const bare = "example.com/idp"
	condition := `{"StringLike":{"` + bare + `:sub":"repo:octo/*"},"StringEquals":{"` + bare + `:aud":"ci"}}`
	plain := w.federated(t, one, "plain", bare, condition)
	tagged := w.federated(t, one, "tagged", bare, `{"StringEquals":{"`+bare+`:aud":"ci","aws:RequestTag/team":"a"},"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost"]}}`, "sts:TagSession", "sts:SetSourceIdentity")
	methods := w.federated(t, one, "methods", bare, `{"ForAnyValue:StringEquals":{"`+bare+`:amr":"mfa"},"StringEquals":{"`+bare+`:azp":"ci"},"ForAllValues:StringEquals":{"`+bare+`:oaud":["x","y"]}}`)
	tags := func(team string, more ...string) claims {
		principal := map[string]any{"team": []string{team}}
		for _, key := range more {
			principal[key] = []string{"1"}
		}
		return claims{"https://aws.amazon.com/tags": map[string]any{"principal_tags": principal, "transitive_tag_keys": []string{"team"}}}
	}
	source := claims{"https://aws.amazon.com/source_identity": "anna"}
	for _, test := range []struct {
		name, role, token string
		want              fault.Kind
	}{
		{"its token", plain, w.outsideToken(t, o.signer), accepted},
		{"another subject", plain, w.outsideToken(t, o.signer, claims{"sub": "repo:evil/app"}), fault.Denied},
		{"another audience", plain, w.outsideToken(t, o.signer, claims{"aud": "cd"}), fault.BadToken},
		{"the audience of pods beside it", plain, w.outsideToken(t, o.signer, claims{"aud": []string{"ci", registry.PodAudience}, "azp": "ci"}), fault.BadToken},
		{"over", plain, w.outsideToken(t, o.signer, claims{"iat": 1, "nbf": 1, "exp": w.clock.now().Unix()}), fault.ExpiredToken},
		{"tags, which the role does not take", plain, w.outsideToken(t, o.signer, tags("a")), fault.Denied},
		{"a source identity, which the role does not take", plain, w.outsideToken(t, o.signer, source), fault.Denied},
		{"tags", tagged, w.outsideToken(t, o.signer, tags("a", "cost")), accepted},
		{"tags of another value", tagged, w.outsideToken(t, o.signer, tags("b")), fault.Denied},
		{"a tag too many", tagged, w.outsideToken(t, o.signer, tags("a", "more")), fault.Denied},
		{"a tag of AWS", tagged, w.outsideToken(t, o.signer, tags("a", "aws:cost")), fault.BadToken},
		{"two tags that differ by case", tagged, w.outsideToken(t, o.signer, tags("a", "cost", "Cost")), fault.Invalid},
		{"tags and a source identity", tagged, w.outsideToken(t, o.signer, tags("a"), source), accepted},
		{"a source identity that is none", tagged, w.outsideToken(t, o.signer, tags("a"), claims{"https://aws.amazon.com/source_identity": "a b"}), fault.BadToken},
		{"methods and an authorized party", methods, w.outsideToken(t, o.signer, claims{"aud": []string{"x", "y"}, "azp": "ci", "amr": []string{"pwd", "mfa"}}), accepted},
		{"other methods", methods, w.outsideToken(t, o.signer, claims{"aud": []string{"x", "y"}, "azp": "ci", "amr": []string{"pwd"}}), fault.Denied},
		{"no methods", methods, w.outsideToken(t, o.signer, claims{"aud": []string{"x"}, "azp": "ci"}), fault.Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, err := w.become(t, test.role, test.token)
			wants(t, "ForWebIdentity", g, err, test.want)
			if err == nil && (g.Session.Origin != nil || g.Cluster != nil) {
				t.Errorf("it is of a cluster: %+v, %+v", g.Session.Origin, g.Cluster)
			}
			if err == nil && strings.HasPrefix(test.name, "tags") && (!g.Session.Tags[len(g.Session.Tags)-1].Transitive || g.Session.Tags[len(g.Session.Tags)-1].Key != "team") {
				t.Errorf("tags: got %+v", g.Session.Tags)
			}
			if err == nil && strings.Contains(test.name, "source") && g.Session.SourceIdentity != "anna" {
				t.Errorf("source identity: got %q", g.Session.SourceIdentity)
			}
		})
	}
	if n := o.count(); n != 1 {
		t.Errorf("the issuer was asked %d times, want once", n)
	}
	// A cluster that says that it is the issuer has the keys from then on, unless the provider says otherwise.
	c, err := w.Registry.RegisterCluster(t.Context(), registry.NewCluster{Account: one, Name: "evil", Provider: "OTHER"})
	must(t, err)
	_, err = w.Registry.ActivateCluster(t.Context(), c.Activation.ID, registry.Joining{Issuers: []string{outsideURL}, Keys: []podtoken.Key{newSigner(t, "evil").Key}, Practice: true})
	must(t, err)
	g, err := w.become(t, plain, w.outsideToken(t, o.signer))
	wants(t, "while a cluster has the issuer", g, err, fault.BadToken)
	must(t, w.Directory.TagOIDCProvider(t.Context(), one, bare, []directory.Tag{{Key: directory.ClusterTag, Value: directory.NoCluster}}))
	g, err = w.become(t, plain, w.outsideToken(t, o.signer))
	wants(t, "while no cluster may have it", g, err, accepted)
	must(t, w.Directory.DeleteOIDCProvider(t.Context(), one, bare))
	g, err = w.become(t, plain, w.outsideToken(t, o.signer))
	wants(t, "after the provider is deleted", g, err, fault.BadToken)
}

// What strangers show has the issuer asked once in a while, and honest callers get their answer all the same.
func TestAnIssuerIsSpared(t *testing.T) {
	w := fresh(t)
	o := w.outside(t)
	w.provide(t, one, outsideURL, "ci")
	const bare = "example.com/idp"
	role := w.federated(t, one, "plain", bare, `{"StringEquals":{"`+bare+`:aud":"ci"}}`)
	is := func(when, token string, want fault.Kind, asked int) {
		t.Helper()
		g, err := w.become(t, role, token)
		wants(t, when, g, err, want)
		if n := o.count(); n != asked {
			t.Errorf("%s: the issuer was asked %d times, want %d", when, n, asked)
		}
	}
	next := newSigner(t, "idp-2")
	is("a token that no key would make good", w.outsideToken(t, next, claims{"aud": "cd"}), fault.BadToken, 0)
	is("no token", "x.y.z", fault.BadToken, 0)
	is("an unknown key", w.outsideToken(t, next), fault.BadToken, 1)
	is("a known one", w.outsideToken(t, o.signer), accepted, 1)
	w.clock.pass(time.Second)
	is("an unknown key, a moment later", w.outsideToken(t, next), fault.IssuerUnreachable, 1)
	is("a known one, a moment later", w.outsideToken(t, o.signer), accepted, 1)
	o.set(func() { o.keys = append(o.keys, next.Key) })
	w.clock.pass(providerPause)
	is("a key that came", w.outsideToken(t, next), accepted, 2)
	o.set(func() { o.keys = o.keys[1:] })
	is("a key that left", w.outsideToken(t, o.signer), accepted, 2)
	w.clock.pass(keysFresh)
	is("a key that left long ago", w.outsideToken(t, o.signer), fault.BadToken, 3)
	o.set(func() { o.fails = true })
	w.clock.pass(keysFresh)
	is("while the issuer fails", w.outsideToken(t, next), accepted, 4)
	is("while it is spared", w.outsideToken(t, next), accepted, 4)
	w.clock.pass(keysStale)
	is("after it has failed for long", w.outsideToken(t, next), fault.IssuerUnreachable, 5)
	is("which is remembered", w.outsideToken(t, next), fault.IssuerUnreachable, 5)
	o.set(func() { o.fails = false })
	w.clock.pass(providerPause)
	is("when it is back", w.outsideToken(t, next), accepted, 6)
}

func TestManyWaitForOneAnswer(t *testing.T) {
	w := fresh(t)
	o := w.outside(t)
	o.hold = make(chan struct{})
	p := w.provide(t, one, outsideURL, "ci")
	const bare = "example.com/idp"
	role := w.federated(t, one, "plain", bare, `{"StringEquals":{"`+bare+`:aud":"ci"}}`)
	token := w.outsideToken(t, o.signer)
	results := make(chan error, 2*maxAsking)
	ask := func() {
		_, err := w.become(t, role, token)
		results <- err
	}
	for range maxAsking {
		go ask()
	}
	for { // until they wait, all of them
		w.providers.mu.Lock()
		n := w.providers.waiting
		w.providers.mu.Unlock()
		if n == maxAsking {
			break
		}
		runtime.Gosched()
	}
	if _, err := w.become(t, role, token); !fault.Is(err, fault.IssuerUnreachable) {
		t.Errorf("one more: got %v, want IssuerUnreachable at once", err)
	}
	close(o.hold)
	for range maxAsking {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := o.count(); n != 1 {
		t.Errorf("the issuer was asked %d times, want once", n)
	}
	if w.providers.waiting != 0 {
		t.Errorf("%d calls count as waiting", w.providers.waiting)
	}
	for i := range maxProviders + 10 {
		q := *p
		q.Issuer = fmt.Sprintf("i%d.example.com", i)
		w.providers.entry(&q, w.clock.now().Add(time.Duration(i)))
	}
	if n := len(w.providers.known); n > maxProviders {
		t.Errorf("%d providers are remembered, want at most %d", n, maxProviders)
	}
}
