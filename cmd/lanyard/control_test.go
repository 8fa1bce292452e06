package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
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
