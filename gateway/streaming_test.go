package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// inChunks signs a request whose body comes in chunks, and encodes the body as a client does.
func (w *world) inChunks(tb testing.TB, as session.Credentials, payload, trailer, declared string, header map[string]string, chunks ...string) (*http.Request, string) {
	tb.Helper()
	in := request{method: "PUT", path: "/pay/a", hash: payload, header: map[string]string{
		"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": declared,
	}}
	if trailer != "" {
		in.header["X-Amz-Trailer"], _, _ = strings.Cut(trailer, ":")
	}
	for name, value := range header {
		in.header[name] = value
	}
	req := w.sign(tb, as, in)
	_, previous, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	at := req.Header.Get("X-Amz-Date")
	key := sigv4.Derive(as.SecretAccessKey, at[:8], region, "s3")
	sign := func(kind, rest string) string {
		h := hmac.New(sha256.New, key[:])
		_, _ = io.WriteString(h, "AWS4-HMAC-SHA256-"+kind+"\n"+at+"\n"+at[:8]+"/"+region+"/s3/aws4_request\n"+previous+"\n"+rest)
		previous = hex.EncodeToString(h.Sum(nil))
		return previous
	}
	var b strings.Builder
	for _, chunk := range append(chunks[:len(chunks):len(chunks)], "") {
		b.WriteString(strconv.FormatInt(int64(len(chunk)), 16))
		if payload != sigv4.StreamingUnsignedTrailer {
			b.WriteString(";chunk-signature=" + sign("PAYLOAD", emptyHash+"\n"+hashOf(chunk)))
		}
		if b.WriteString("\r\n" + chunk); chunk != "" {
			b.WriteString("\r\n")
		}
	}
	if trailer != "" {
		b.WriteString(trailer + "\r\n")
	}
	if payload == sigv4.StreamingSignedTrailer {
		b.WriteString("x-amz-trailer-signature:" + sign("TRAILER", hashOf(trailer+"\n")) + "\r\n")
	}
	return req, b.String() + "\r\n"
}

// put sends a body under a signed head.
func put(tb testing.TB, req *http.Request, body string) (int, string) {
	tb.Helper()
	if req.Body, req.ContentLength = http.NoBody, int64(len(body)); body != "" {
		req.Body = io.NopCloser(strings.NewReader(body))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func base64Of(checksum, content string) string {
	sum := checksums[checksum]()
	_, _ = io.WriteString(sum, content)
	return base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

// Every kind of chunk and checksum arrives at the upstream as the content that it was, with its checksum.
func TestChunkedUploads(t *testing.T) {
	w := newWorld(t)
	as := w.session(t, ours, everything)
	large := strings.Repeat("0123456789abcdef", 150<<10) // over two chunks of the gateway's
	for _, content := range []string{"", "h", "hello", large} {
		var chunks []string
		for rest := content; rest != ""; {
			n := min(len(rest), 64<<10)
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		for _, payload := range []string{sigv4.StreamingSigned, sigv4.StreamingSignedTrailer, sigv4.StreamingUnsignedTrailer} {
			for name := range checksums {
				trailer := "x-amz-checksum-" + strings.ToLower(name) + ":" + base64Of(name, content)
				if payload == sigv4.StreamingSigned {
					trailer = ""
				}
				req, body := w.inChunks(t, as, payload, trailer, strconv.Itoa(len(content)), map[string]string{"Content-Encoding": "gzip, aws-chunked"}, chunks...)
				status, text := put(t, req, body)
				seen := w.upstream.take()
				if status != http.StatusOK || len(seen) != 1 || seen[0].err != nil {
					t.Fatalf("%s, %s, %d bytes: %d %s, %d arrived", payload, name, len(content), status, text, len(seen))
				}
				at := seen[0]
				if got := at.header.Get("Content-Encoding"); got != "gzip" {
					t.Errorf("content encoding %q", got)
				}
				if trailer == "" { // as S3 does
					trailer = "x-amz-checksum-crc64nvme:" + base64Of("Crc64nvme", content)
				}
				want, hash := framedBy(content, trailer), sigv4.StreamingUnsignedTrailer
				if at.header.Get("X-Amz-Decoded-Content-Length") != strconv.Itoa(len(content)) || !strings.HasPrefix(trailer, at.header.Get("X-Amz-Trailer")+":") {
					t.Errorf("%s: %v", payload, at.header)
				}
				if at.body != want || at.header.Get("X-Amz-Content-Sha256") != hash || at.header.Get("Content-Length") != strconv.Itoa(len(want)) {
					t.Errorf("%s, %s, %d bytes: %d arrived as %s", payload, name, len(content), len(at.body), at.header.Get("X-Amz-Content-Sha256"))
				}
			}
		}
	}
}

// minio-go says with a body of what kind its checksum is, and sends none where the chunks are signed. The store gets the
// checksum that is added then, and is not told of another kind.
func TestTheKindOfAChecksumIsNotOneThatWasSent(t *testing.T) {
	w := newWorld(t)
	as := w.session(t, ours, everything)
	for name, want := range map[string]int{
		"X-Amz-Checksum-Algorithm": http.StatusOK, "X-Amz-Checksum-Type": http.StatusOK, "X-Amz-Checksum-Mode": http.StatusNotImplemented,
	} {
		req, body := w.inChunks(t, as, sigv4.StreamingSigned, "", "5", header(name, "CRC32C"), "hello")
		if status, text := put(t, req, body); status != want {
			t.Errorf("%s: %d, want %d: %s", name, status, want, text)
		}
		for _, seen := range w.upstream.take() {
			if seen.header.Get(name) != "" || seen.header.Get("X-Amz-Trailer") != "x-amz-checksum-crc64nvme" {
				t.Errorf("%s: the upstream has %v", name, seen.header)
			}
		}
	}
}

// What a store says of a checksum that the gateway added to a part is not the client's: minio-go would state it for the part
// when it completes the upload, which S3 refuses where the upload was not begun with that kind.
func TestAddedChecksumOfAPartIsNotTold(t *testing.T) {
	w := newWorld(t)
	as := w.session(t, ours, everything)
	sum := base64Of("Crc64nvme", "hello")
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Amz-Checksum-Crc64nvme", sum) })
	for _, c := range []struct {
		name, path, hash, sent string
		told                   bool
	}{
		{"an added one of a part", "/pay/a?partNumber=1&uploadId=u", sigv4.UnsignedPayload, "", false},
		{"the client's of a part", "/pay/a?partNumber=1&uploadId=u", sigv4.UnsignedPayload, sum, true},
		{"the store's own of a part", "/pay/a?partNumber=1&uploadId=u", hashOf("hello"), "", true},
		{"an added one of an object, as S3 tells it", "/pay/a", sigv4.UnsignedPayload, "", true},
	} {
		in := request{method: "PUT", path: c.path, body: "hello", hash: c.hash}
		if c.sent != "" {
			in.header = header("X-Amz-Checksum-Crc64nvme", c.sent)
		}
		resp, text := w.send(t, as, in)
		if got := resp.Header.Get("X-Amz-Checksum-Crc64nvme"); resp.StatusCode != http.StatusOK || (got != "") != c.told {
			t.Errorf("%s: %d, told %q, want it told: %v %s", c.name, resp.StatusCode, got, c.told, text)
		}
	}
}

// framedBy writes what the upstream has to get, in chunks of a mebibyte.
func framedBy(content, trailer string) string {
	var b strings.Builder
	for rest := content; rest != ""; {
		n := min(len(rest), 1<<20)
		b.WriteString(strconv.FormatInt(int64(n), 16) + "\r\n" + rest[:n] + "\r\n")
		rest = rest[n:]
	}
	return b.String() + "0\r\n" + trailer + "\r\n\r\n"
}

// What is wrong anywhere in a body keeps the upstream from having it, and is told in S3's words.
func TestBadBodies(t *testing.T) {
	w := newWorld(t)
	as := w.session(t, ours, everything)
	large := strings.Repeat("0123456789abcdef", 64<<10)
	n := strconv.Itoa(len(large))
	crc := "x-amz-checksum-crc32:" + base64Of("Crc32", large)
	change := func(from, to string) func(string) string {
		return func(body string) string {
			if !strings.Contains(body, from) {
				t.Fatalf("%q is not in the body", from)
			}
			i := strings.LastIndex(body, from)
			return body[:i] + to + body[i+len(from):]
		}
	}
	cut := func(n int) func(string) string { return func(body string) string { return body[:len(body)-n] } }
	const signed, trailing, unsigned = sigv4.StreamingSigned, sigv4.StreamingSignedTrailer, sigv4.StreamingUnsignedTrailer
	for _, c := range []struct {
		name, payload, trailer, declared string
		header                           map[string]string
		alter                            func(body string) string
		status                           int
		code                             string
	}{
		{"the last byte of content", signed, "", n, nil, change("f\r\n0;", "e\r\n0;"), 403, "SignatureDoesNotMatch"},
		{"the first byte of content", signed, "", n, nil, func(b string) string { return strings.Replace(b, "\r\n0", "\r\n1", 1) }, 403, "SignatureDoesNotMatch"},
		{"the last chunk's signature", signed, "", n, nil, change("0;chunk-signature=", "0;chunk-signature="+strings.Repeat("0", 64)+"\r\n\r\n"), 403, "SignatureDoesNotMatch"},
		{"the last chunk is not there", signed, "", n, nil, cut(1 + 17 + 64 + 4), 400, "IncompleteBody"},
		{"the last line end is not there", signed, "", n, nil, cut(2), 400, "IncompleteBody"},
		{"half of it", signed, "", n, nil, cut(len(large) / 2), 400, "IncompleteBody"},
		{"a byte more", signed, "", n, nil, func(b string) string { return b + "x" }, 400, "IncompleteBody"},
		{"another request behind it", signed, "", n, nil, func(b string) string { return b + "DELETE /pay/b HTTP/1.1\r\n\r\n" }, 400, "IncompleteBody"},
		{"less declared", signed, "", strconv.Itoa(len(large) - 1), nil, nil, 400, "IncompleteBody"},
		{"more declared", signed, "", strconv.Itoa(len(large) + 1), nil, nil, 400, "IncompleteBody"},
		{"none declared", signed, "", "", nil, nil, 411, "MissingContentLength"},
		{"a length with a sign", signed, "", "+" + n, nil, nil, 411, "MissingContentLength"},
		{"a negative length", signed, "", "-1", nil, nil, 411, "MissingContentLength"},
		{"a length over S3's bound", signed, "", "5368709121", nil, nil, 400, "EntityTooLarge"},
		{"small chunks", unsigned, crc, n, nil, func(string) string { return "1\r\n0\r\n1\r\n1\r\n" }, 403, "InvalidChunkSizeError"},
		{"trailer's value", trailing, crc, n, nil, change(crc, "x-amz-checksum-crc32:AAAAAA=="), 403, "SignatureDoesNotMatch"},
		{"trailer's signature", trailing, crc, n, nil, change("x-amz-trailer-signature:", "x-amz-trailer-signature:"+strings.Repeat("0", 64)+"\r\n\r\n"), 403, "SignatureDoesNotMatch"},
		{"no trailer's signature", trailing, crc, n, nil, change("x-amz-trailer-signature:", "\r\n"), 400, "MalformedTrailerError"},
		{"signed and wrong checksum", trailing, "x-amz-checksum-crc32:AAAAAA==", n, nil, nil, 400, "BadDigest"},
		{"wrong checksum", unsigned, "x-amz-checksum-sha256:" + base64Of("Sha256", ""), n, nil, nil, 400, "BadDigest"},
		{"checksum of another length", unsigned, "x-amz-checksum-crc32:AAAA", n, nil, nil, 400, "InvalidRequest"},
		{"checksum that is not base64", unsigned, "x-amz-checksum-crc32:!", n, nil, nil, 400, "InvalidRequest"},
		{"no trailer", unsigned, crc, n, nil, change(crc+"\r\n", ""), 400, "MalformedTrailerError"},
		{"another trailer", unsigned, crc, n, nil, change("x-amz-checksum-crc32", "x-amz-meta-owner"), 400, "MalformedTrailerError"},
		{"a trailer that is no checksum", unsigned, "x-amz-acl:public-read", n, nil, nil, 400, "InvalidRequest"},
		{"a trailer of no checksum's name", unsigned, "x-amz-checksum-mode:x", n, nil, nil, 400, "InvalidRequest"},
		{"two trailers", unsigned, crc, n, header("X-Amz-Trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1"), nil, 400, "InvalidRequest"},
		{"a checksum in a header too", unsigned, crc, n, header("X-Amz-Checksum-Sha1", base64Of("Sha1", large)), nil, 400, "InvalidRequest"},
		{"content's MD5", unsigned, crc, n, header("Content-Md5", md5Of([]byte("x"))), nil, 400, "BadDigest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, body := w.inChunks(t, as, c.payload, c.trailer, c.declared, c.header, large)
			if c.alter != nil {
				body = c.alter(body)
			}
			status, text := put(t, req, body)
			if got := errorOf(t, text); status != c.status || got.Code != c.code {
				t.Errorf("got %d %s %q, want %d %s", status, got.Code, got.Message, c.status, c.code)
			}
			for _, seen := range w.upstream.take() {
				if seen.err == nil {
					t.Errorf("the upstream has a whole body of %d bytes", len(seen.body))
				}
			}
		})
	}
}

// Checksums in headers hold for a body as it is.
func TestChecksumsInHeaders(t *testing.T) {
	w := newWorld(t)
	as := w.session(t, ours, everything)
	for name := range checksums {
		header := "X-Amz-Checksum-" + name
		for _, c := range []struct {
			value  string
			status int
			code   string
		}{
			{base64Of(name, "hello"), 200, ""}, {base64Of(name, "hullo"), 400, "BadDigest"}, {"AA==", 400, "InvalidRequest"}, {"?", 400, "InvalidRequest"},
		} {
			resp, text := w.send(t, as, request{method: "PUT", path: "/pay/a", body: "hello", hash: sigv4.UnsignedPayload, header: map[string]string{header: c.value}})
			if resp.StatusCode != c.status || c.code != "" && errorOf(t, text).Code != c.code {
				t.Errorf("%s %s: %d %s", header, c.value, resp.StatusCode, text)
			}
			for _, seen := range w.upstream.take() {
				if seen.err == nil && (c.status != 200 || seen.header.Get(header) != c.value) {
					t.Errorf("%s %s: the upstream has %q, with %q", header, c.value, seen.body, seen.header.Get(header))
				}
			}
		}
	}
	for value, code := range map[string]string{md5Of([]byte("hello")): "", md5Of([]byte("x")): "BadDigest", "AA==": "InvalidDigest"} {
		resp, text := w.send(t, as, request{method: "PUT", path: "/pay/a", body: "hello", header: map[string]string{"Content-Md5": value}})
		if code == "" && resp.StatusCode != 200 || code != "" && errorOf(t, text).Code != code {
			t.Errorf("Content-MD5 %s: %d %s", value, resp.StatusCode, text)
		}
	}
	resp, text := w.send(t, as, request{method: "PUT", path: "/pay/a", body: "hello", header: map[string]string{"X-Amz-Checksum-Xxhash64": "AA=="}})
	if resp.StatusCode != 501 {
		t.Errorf("an unknown checksum: %d %s", resp.StatusCode, text)
	}
}

// An upstream that claims success before it has the body is not believed.
func TestHastyUpstream(t *testing.T) {
	w := newWorld(t)
	w.config.Upstream.Transport = instant("") // reads no body
	w.serve(t)
	resp, text := w.send(t, w.session(t, ours, everything), request{method: "PUT", path: "/pay/a", body: "hello"})
	if resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("got %d %s, want 500", resp.StatusCode, text)
	}
}

// A client that lets wait is given up, and what it has begun is not there.
func TestSlowBody(t *testing.T) {
	w := newWorld(t)
	w.config.Idle = 50 * time.Millisecond
	w.serve(t)
	req := w.sign(t, w.session(t, ours, everything), request{method: "PUT", path: "/pay/a", body: "hello"})
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var head strings.Builder
	head.WriteString("PUT /pay/a HTTP/1.1\r\nHost: " + req.URL.Host + "\r\nContent-Length: 5\r\n")
	if err := req.Header.Write(&head); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, head.String()+"\r\nhe"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "<Code>RequestTimeout</Code>") {
		t.Errorf("%q, %v", answer, err)
	}
	for _, seen := range w.upstream.take() {
		if seen.err == nil {
			t.Errorf("the upstream has %q", seen.body)
		}
	}
}

// One principal cannot have the upstream to itself.
func TestInFlight(t *testing.T) {
	w := newWorld(t)
	w.config.InFlight = 1
	w.serve(t)
	eager, other := w.session(t, ours, everything), w.session(t, ours, everything)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.upstream.respond(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pay/slow" {
			close(arrived)
			<-release
		}
	})
	slow, first := w.sign(t, eager, request{method: "GET", path: "/pay/slow"}), make(chan int, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(slow)
		if err != nil {
			first <- 0
			return
		}
		_ = resp.Body.Close()
		first <- resp.StatusCode
	}()
	<-arrived
	if resp, text := w.send(t, eager, request{method: "GET", path: "/pay/a"}); resp.StatusCode != 503 || errorOf(t, text).Code != "SlowDown" {
		t.Errorf("the second: %d %s", resp.StatusCode, text)
	}
	if resp, text := w.send(t, other, request{method: "GET", path: "/pay/a"}); resp.StatusCode != 200 {
		t.Errorf("another principal: %d %s", resp.StatusCode, text)
	}
	close(release)
	if got := <-first; got != 200 {
		t.Errorf("the first: %d", got)
	}
}
