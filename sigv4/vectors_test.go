package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

// vector is a folder of the SigV4 test suite.
type vector struct {
	Credentials struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
		Token  string `json:"token"`
	} `json:"credentials"`
	Region  string `json:"region"`
	Service string `json:"service"`
	// Normalize false is S3's path rule.
	Normalize bool `json:"normalize"`
	// OmitToken says that the token was added after signing.
	OmitToken bool `json:"omit_session_token"`
	// SignBody says that the query form signs the body's hash, and not that of nothing.
	SignBody bool `json:"sign_body"`
}

// TestThirdPartyVectors runs somebody else's requests in both forms. The folder is not part of this repository.
func TestThirdPartyVectors(t *testing.T) {
	folder, set := os.LookupEnv("LANYARD_SIGV4_VECTORS")
	if !set {
		t.Log("LANYARD_SIGV4_VECTORS names no folder of vectors: only our own cases ran")
		return
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatalf("LANYARD_SIGV4_VECTORS: %v", err)
	}
	ran := 0
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		ran++
		t.Run(entry.Name(), func(t *testing.T) { runVector(t, filepath.Join(folder, entry.Name())) })
	}
	if ran == 0 {
		t.Fatalf("LANYARD_SIGV4_VECTORS: %s has no vectors", folder)
	}
}

func runVector(t *testing.T, folder string) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var v vector
	if err := json.Unmarshal([]byte(read("context.json")), &v); err != nil {
		t.Fatal(err)
	}
	r, body := rawRequest(t, read("header-signed-request.txt"))
	if v.OmitToken {
		// We demand a signed token, so this one request is refused as it stands; without its token it verifies.
		if _, err := Parse(r); !fault.Is(err, fault.IncompleteAuth) || !strings.Contains(err.Error(), "X-Amz-Security-Token") {
			t.Errorf("Parse with an unsigned token: %v; want IncompleteAuth that names the header", err)
		}
		r.Header.Del("X-Amz-Security-Token")
	}
	rule := encodeTwice
	if !v.Normalize {
		rule = encodeOnce
	}
	s, err := Parse(r)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	digest := sha256.Sum256([]byte(body))
	payloadHash := hex.EncodeToString(digest[:])
	canonical, err := appendCanonical(nil, r, wirePath(r.URL), rule, s.SignedHeaders, payloadHash)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(canonical), read("header-canonical-request.txt")); diff != "" {
		t.Errorf("canonical request (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(string(appendStringToSign(nil, canonical, s.Time, s.scope)), read("header-string-to-sign.txt")); diff != "" {
		t.Errorf("string to sign (-got +want):\n%s", diff)
	}
	key := Derive(v.Credentials.Secret, s.Date, v.Region, v.Service)
	sum := compute(canonical, key, s.Time, s.scope)
	if got, want := hex.EncodeToString(sum[:]), strings.TrimSpace(read("header-signature.txt")); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	if err := s.verify(r, key, payloadHash, rule); err != nil {
		t.Errorf("verify: %v", err)
	}
	wrong := Derive(v.Credentials.Secret+"x", s.Date, v.Region, v.Service)
	if err := s.verify(r, wrong, payloadHash, rule); !fault.Is(err, fault.BadSignature) {
		t.Errorf("verify with another secret: %v, want BadSignature", err)
	}
	runQueryVector(t, v, rule, read)
}

// runQueryVector runs the same request as a presigned URL. Its service is none that Parse lets in.
func runQueryVector(t *testing.T, v vector, rule pathRule, read func(name string) string) {
	r, body := rawRequest(t, read("query-signed-request.txt"))
	if _, err := Parse(r); !fault.Is(err, fault.Unsupported) {
		t.Errorf("Parse of the query form: %v, want Unsupported", err)
	}
	if v.OmitToken { // we demand a signed token
		query := r.URL.Query()
		query.Del(securityToken)
		r.URL.RawQuery = query.Encode()
	}
	s, err := parse(r)
	if err != nil {
		t.Fatalf("parse of the query form: %v", err)
	}
	payloadHash := emptyHash
	if v.SignBody {
		digest := sha256.Sum256([]byte(body))
		payloadHash = hex.EncodeToString(digest[:])
	}
	canonical, err := appendCanonical(nil, r, wirePath(r.URL), rule, s.SignedHeaders, payloadHash)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(canonical), read("query-canonical-request.txt")); diff != "" {
		t.Errorf("canonical request of the query form (-got +want):\n%s", diff)
	}
	key := Derive(v.Credentials.Secret, s.Date, v.Region, v.Service)
	if got, want := hex.EncodeToString(s.mac[:]), strings.TrimSpace(read("query-signature.txt")); got != want {
		t.Errorf("signature of the query form %s, want %s", got, want)
	}
	if err := s.verify(r, key, payloadHash, rule); err != nil {
		t.Errorf("verify of the query form: %v", err)
	}
	r.URL.RawQuery += "&a"
	if err := s.verify(r, key, payloadHash, rule); !fault.Is(err, fault.BadSignature) {
		t.Errorf("verify of the query form with another query: %v, want BadSignature", err)
	}
}

// rawRequest reads a request as the suite writes it: bare line feeds, folded headers, and paths with raw spaces and UTF-8
// that net/http would not read.
func rawRequest(t *testing.T, text string) (*http.Request, string) {
	t.Helper()
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	target, ok := strings.CutSuffix(rest, " HTTP/1.1")
	if !ok {
		t.Fatalf("request line %q", lines[0])
	}
	path, query, _ := strings.Cut(target, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: &url.URL{Path: decoded, RawPath: path, RawQuery: query}, Header: http.Header{}}
	last := ""
	for _, line := range lines[1:] {
		if values := r.Header[last]; strings.HasPrefix(line, " ") && len(values) > 0 {
			values[len(values)-1] += " " + strings.TrimSpace(line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("header line %q", line)
		}
		last = http.CanonicalHeaderKey(name)
		r.Header.Add(name, strings.TrimSpace(value))
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	if length := r.Header.Get("Content-Length"); length != "" {
		if r.ContentLength, err = strconv.ParseInt(length, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return r, body
}
