package api_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestAGatewaysDigestIsSigned holds that a gateway is given signatures of its own log alone, and that without the right to the
// feed nobody is.
func TestAGatewaysDigestIsSigned(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	if err := w.registry.EnsureAuditKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := w.registry.AuditKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.registry.EnsureAuditKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := w.registry.AuditKey(); err != nil || !key.Equal(again) {
		t.Errorf("the key changed: %v", err)
	}
	server := w.serve(t, w.config())
	digest := func(writer string) string {
		return fmt.Sprintf(`{
  "digestVersion": 1,
  "writer": %q,
  "segment": "audit-0000000000000000001.jsonl",
  "size": 20,
  "sha256": "00",
  "firstRecord": 1,
  "lastRecord": 2,
  "lastRecordSha256": "00",
  "oldestRecord": 1,
  "digestTime": "2026-11-26T09:00:00Z"
}
`, writer)
	}
	own := digest("gateway/" + ours + "/gw-1")
	for _, tt := range []struct {
		name, digest, code string
		as                 signer
	}{
		{"its own", own, "", admin},
		{"none", "", "", admin},
		{"another gateway's", digest("gateway/" + ours + "/gw-2"), "InvalidParameterException", admin},
		{"another account's", digest("gateway/444455556666/gw-1"), "InvalidParameterException", admin},
		{"the server's", digest("server"), "InvalidParameterException", admin},
		{"no digest", `{"digestVersion":2}`, "InvalidParameterException", admin},
		// Other tools that check a digest take members by their exact names, or the first of two.
		{"the server's, and in other letters its own", strings.Replace(own, `"writer"`, `"writer": "server", "WRITER"`, 1), "InvalidParameterException", admin},
		{"the server's, and again its own", strings.Replace(own, `"writer"`, `"writer": "server", "writer"`, 1), "InvalidParameterException", admin},
		{"its own, and more behind it", own + own, "InvalidParameterException", admin},
		{"its own in other letters", strings.Replace(own, `"writer"`, `"Writer"`, 1), "InvalidParameterException", admin},
		{"its own, of nobody who may follow", own, "AccessDeniedException", w.role(t, ours, "nobody")},
	} {
		body, err := json.Marshal(map[string]any{"instance": "aaaaaaaaaa", "epoch": w.store.Epoch(), "revision": w.store.Revision(), "auditDigest": tt.digest})
		if err != nil {
			t.Fatal(err)
		}
		got := w.send(t, server, request{as: tt.as, service: "lanyard", method: "PUT", path: "/lanyard/v1/gateways/gw-1", body: string(body)})
		if got.code() != tt.code {
			t.Errorf("%s: got %d %s, want %q", tt.name, got.status, got.body, tt.code)
		}
		var out struct{ AuditSignature string }
		if err := json.Unmarshal([]byte(got.body), &out); err != nil {
			t.Fatalf("%s: %s: %v", tt.name, got.body, err)
		}
		signature, err := base64.StdEncoding.DecodeString(out.AuditSignature)
		if signed := err == nil && ed25519.Verify(key, []byte(tt.digest), signature); signed != (tt.digest != "" && tt.code == "") {
			t.Errorf("%s: signed is %v: %s", tt.name, signed, got.body)
		}
	}
	got := w.send(t, server, request{as: admin, service: "lanyard", method: "GET", path: "/lanyard/v1/audit/heads"})
	if !strings.Contains(got.body, "BEGIN PUBLIC KEY") || strings.Contains(got.body, "PRIVATE") {
		t.Errorf("the heads have no key: %s", got.body)
	}
}
