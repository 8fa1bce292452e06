package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestConsoleLink holds that nothing of the credentials is in the part of the link that is sent to servers.
func TestConsoleLink(t *testing.T) {
	in := temporaryCredentials{"ASIAEXAMPLE", "secret+/=", "token/with+signs==", "2026-11-26T05:00:00Z", "eu-west-1"}
	text, err := in.link("https://lanyard.example:8443")
	if err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if link.RawQuery != "" || link.User != nil || link.Path != "/console/" || link.Host != "lanyard.example:8443" {
		t.Errorf("link %q: want https://lanyard.example:8443/console/ and a fragment alone", text)
	}
	packed, marked := strings.CutPrefix(link.EscapedFragment(), "credentials=")
	raw, err := base64.RawURLEncoding.DecodeString(packed)
	if !marked || err != nil {
		t.Fatalf("fragment %q: %v", link.EscapedFragment(), err)
	}
	var out temporaryCredentials
	if err := json.Unmarshal(raw, &out); err != nil || out != in {
		t.Errorf("link holds %+v, %v, want %+v", out, err, in)
	}
}

func TestConsoleIsAskedForFirst(t *testing.T) {
	for status, want := range map[int]string{http.StatusOK: "", http.StatusNotFound: "has no console", http.StatusForbidden: "has no console"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead || r.URL.Path != "/console/" || r.Header.Get("Authorization") != "" {
				t.Errorf("asked with %s %s, signed: %v", r.Method, r.URL, r.Header.Get("Authorization") != "")
			}
			w.WriteHeader(status)
		}))
		c := &client{endpoint: server.URL, http: server.Client()}
		err := c.hasConsole(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("status %d: error %v, want one with %q", status, err, want)
		}
		server.Close()
	}
}

// TestNoLinkToAPlainAddress: the page behind it could be anybody's who is on the way, and reads the credentials.
func TestNoLinkToAPlainAddress(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://lanyard.example:8780": false, "http://10.0.0.1:8780": false, "ftp://127.0.0.1": false, "lanyard.example": false,
		"http://127.0.0.1:8780": true, "http://[::1]:8780": true, "http://localhost:8780": true, "https://lanyard.example": true,
	} {
		if err := mayLink(endpoint); (err == nil) != want {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
