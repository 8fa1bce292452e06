package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/store"
)

// A gateway that may not do something has no new session made for it; one whose session is not accepted has.
func TestAPlainDenialKeepsTheGatewaysSession(t *testing.T) {
	made, refusal := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			made++
			fmt.Fprintf(w, `<R><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA%d</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></R>`,
				made, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
			return
		}
		w.Header().Set("X-Amzn-ErrorType", refusal)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	token := t.TempDir() + "/token"
	if err := os.WriteFile(token, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := newControl(controlConfig{endpoint: server.URL, region: "us-east-1", role: "gateway", tokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		refusal string
		made    int
	}{
		{"AccessDeniedException", 1},
		{"AccessDeniedException", 1},
		{"ExpiredTokenException", 1},
		{"UnrecognizedClientException", 2},
		{"AccessDeniedException", 3},
	} {
		refusal = step.refusal
		if err := c.call(t.Context(), http.MethodPost, "/lanyard/v1/gateways", nil, nil); err == nil {
			t.Fatal("a refusal is no error")
		}
		if made != step.made {
			t.Errorf("after %s: %d sessions made, want %d", step.refusal, made, step.made)
		}
	}
}

// Whoever can answer in the place of a server or a bucket, for a moment, is not to have tokens and the audit sent on elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent elsewhere", r.Method, r.URL) }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect) // followed, it would take the body along
	}))
	defer server.Close()
	token, key := t.TempDir()+"/token", t.TempDir()+"/key"
	for file, text := range map[string]string{token: "a.b.c", key: "AWS_ACCESS_KEY_ID=AKIAEXAMPLE\nAWS_SECRET_ACCESS_KEY=secret\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := controlConfig{endpoint: server.URL, region: "us-east-1", role: "gateway", tokenFile: token}
	stranger, err := newControl(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.assume(t.Context()); err == nil {
		t.Error("a redirect of STS is an identity")
	}
	cfg.keyFile = key
	known, err := newControl(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := known.feed(feedRequest{})(t.Context(), store.Position{}); err == nil {
		t.Error("a redirect of the feed is a feed")
	}
	to, err := (&trailFlags{to: "s3://audit/logs", region: "us-east-1", endpoint: server.URL, keyFile: key}).sink()
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Put(t.Context(), "x", []byte("a record")); err == nil {
		t.Error("what a bucket redirects is delivered")
	}
}
