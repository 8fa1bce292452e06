package sigv4_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// TestPublishedChunks runs the two examples of AWS's description of chunked uploads, with its signatures
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html).
func TestPublishedChunks(t *testing.T) {
	content := strings.Repeat("a", 66560)
	for _, tt := range []struct {
		name, payload, signedHeaders, seed string
		chunks                             [3]string
		trailer                            []string
		end                                string
	}{
		{
			name: "signed", payload: sigv4.StreamingSigned,
			signedHeaders: "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
			seed:          "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
			chunks: [3]string{
				"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
				"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
				"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
			},
			end: "\r\n",
		},
		{
			name: "signed, with a trailer", payload: sigv4.StreamingSignedTrailer, trailer: []string{"x-amz-checksum-crc32c"},
			signedHeaders: "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
			seed:          "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
			chunks: [3]string{
				"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
				"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
				"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
			},
			end: "x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t, http.MethodPut, "http://s3.amazonaws.com/examplebucket/chunkObject.txt")
			for name, value := range map[string]string{
				"X-Amz-Date": "20130524T000000Z", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY", "X-Amz-Content-Sha256": tt.payload,
				"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "66560",
				"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=" +
					tt.signedHeaders + ", Signature=" + tt.seed,
			} {
				r.Header.Set(name, value)
			}
			if tt.trailer != nil {
				r.Header.Set("X-Amz-Trailer", tt.trailer[0])
			}
			r.ContentLength = 66824
			s, err := sigv4.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			key := sigv4.Derive("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", s.Date, s.Region, s.Service)
			if err := s.Verify(r, key, s.PayloadHash); err != nil {
				t.Fatal(err)
			}
			body := "10000;chunk-signature=" + tt.chunks[0] + "\r\n" + content[:65536] + "\r\n400;chunk-signature=" + tt.chunks[1] + "\r\n" +
				content[65536:] + "\r\n0;chunk-signature=" + tt.chunks[2] + "\r\n" + tt.end
			c, err := s.Chunks(strings.NewReader(body), 66560, tt.trailer)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); err != nil || string(got) != content {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if tt.trailer != nil && c.Trailer(tt.trailer[0]) != "sOO8/Q==" {
				t.Errorf("trailer %q", c.Trailer(tt.trailer[0]))
			}
		})
	}
}

const crc = "x-amz-checksum-crc32"

// upload is a request whose signature is verified, and the means to sign its chunks.
type upload struct {
	signature *sigv4.Signature
	key       sigv4.Key
	seed      string
}

func newUpload(tb testing.TB, payload string) upload {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPut, "http://127.0.0.1/b/k", http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	sigv4.Sign(r, keyID, secret, token, "us-east-1", "s3", payload, noon)
	s, err := sigv4.Parse(r)
	if err != nil {
		tb.Fatal(err)
	}
	key := sigv4.Derive(secret, s.Date, s.Region, s.Service)
	if err := s.Verify(r, key, payload); err != nil {
		tb.Fatal(err)
	}
	_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	return upload{s, key, seed}
}

// encode writes chunks as a client does: these, the empty one, and the trailer with its signature where there is one.
func (u upload) encode(trailer string, chunks ...string) string {
	scope := noon.Format("20060102T150405Z") + "\n" + noon.Format("20060102") + "/us-east-1/s3/aws4_request\n"
	previous := u.seed
	sign := func(kind, rest string) string {
		h := hmac.New(sha256.New, u.key[:])
		_, _ = io.WriteString(h, "AWS4-HMAC-SHA256-"+kind+"\n"+scope+previous+"\n"+rest)
		previous = hex.EncodeToString(h.Sum(nil))
		return previous
	}
	var b strings.Builder
	for _, chunk := range append(slices.Clone(chunks), "") {
		b.WriteString(strconv.FormatInt(int64(len(chunk)), 16))
		if u.signature.PayloadHash != sigv4.StreamingUnsignedTrailer {
			b.WriteString(";chunk-signature=" + sign("PAYLOAD", emptyHash+"\n"+sha(chunk)))
		}
		b.WriteString("\r\n" + chunk)
		if chunk != "" {
			b.WriteString("\r\n")
		}
	}
	if trailer != "" {
		b.WriteString(trailer + "\r\n")
	}
	if u.signature.PayloadHash == sigv4.StreamingSignedTrailer {
		signed := ""
		if trailer != "" {
			signed = trailer + "\n"
		}
		b.WriteString("x-amz-trailer-signature:" + sign("TRAILER", sha(signed)) + "\r\n")
	}
	return b.String() + "\r\n"
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// read decodes a body and returns the content that was let through.
func (u upload) read(tb testing.TB, body io.Reader, length int, trailers ...string) (string, error) {
	tb.Helper()
	c, err := u.signature.Chunks(body, int64(length), trailers)
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(c)
	if n, again := c.Read(make([]byte, 1)); n != 0 || (err == nil) != errors.Is(again, io.EOF) {
		tb.Errorf("after %v, Read gives %d, %v", err, n, again)
	}
	return string(got), err
}

var (
	first, second = strings.Repeat("0123456789abcdef", 1000), strings.Repeat("z", 9000)
	content       = first + second
)

func TestChunks(t *testing.T) {
	for _, payload := range []string{sigv4.StreamingSigned, sigv4.StreamingSignedTrailer, sigv4.StreamingUnsignedTrailer} {
		u := newUpload(t, payload)
		trailer, trailers := crc+":NhCmhg==", []string{crc}
		if payload == sigv4.StreamingSigned {
			trailer, trailers = "", nil
		}
		for name, chunks := range map[string][]string{
			"one": {content}, "two": {first, second}, "small last one": {first, "z"}, "none": {}, "one of one byte": {"z"},
		} {
			want := strings.Join(chunks, "")
			body := u.encode(trailer, chunks...)
			for form, source := range map[string]io.Reader{
				"at once": strings.NewReader(body), "byte by byte": iotest.OneByteReader(strings.NewReader(body)),
				"with its end": iotest.DataErrReader(strings.NewReader(body)),
			} {
				if got, err := u.read(t, source, len(want), trailers...); err != nil || got != want {
					t.Errorf("%s, %s, %s: %d of %d bytes, %v", payload, name, form, len(got), len(want), err)
				}
			}
		}
		upper := strings.Replace(u.encode(trailer, strings.Repeat("k", 0xabcd)), "abcd", "ABCD", 1)
		if _, err := u.read(t, strings.NewReader(upper), 0xabcd, trailers...); err != nil {
			t.Errorf("%s, a size in capitals: %v", payload, err)
		}
	}
}

func TestChunksOfAnUnverifiedRequest(t *testing.T) {
	r := request(t, http.MethodPut, "http://127.0.0.1/b/k")
	sigv4.Sign(r, keyID, secret, token, "us-east-1", "s3", sigv4.StreamingSigned, noon)
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Chunks(strings.NewReader(""), 0, nil); err == nil {
		t.Error("chunks of a request that nobody verified")
	}
	if err := s.Verify(r, sigv4.Derive("other", s.Date, s.Region, s.Service), s.PayloadHash); !fault.Is(err, fault.BadSignature) {
		t.Fatal(err)
	}
	if _, err := s.Chunks(strings.NewReader(""), 0, nil); err == nil {
		t.Error("chunks of a request whose signature is bad")
	}
}

// TestAnyByteOfTheBody changes each byte of a signed body in turn: no change gives the content without an error.
func TestAnyByteOfTheBody(t *testing.T) {
	short := strings.Repeat("x", 40)
	for _, payload := range []string{sigv4.StreamingSigned, sigv4.StreamingSignedTrailer} {
		u := newUpload(t, payload)
		trailer, trailers := crc+":NhCmhg==", []string{crc}
		if payload == sigv4.StreamingSigned {
			trailer, trailers = "", nil
		}
		body := []byte(u.encode(trailer, short))
		for i := range body {
			for _, flip := range []byte{1, 0x20, 0x80} {
				body[i] ^= flip
				got, err := u.read(t, bytes.NewReader(body), len(short), trailers...)
				// The case of a size's digits and of a header's name has no meaning.
				if err == nil && !(flip == 0x20 && got == short && bytes.EqualFold(body, []byte(u.encode(trailer, short)))) {
					t.Errorf("%s: byte %d of %q went unnoticed", payload, i, body)
				}
				body[i] ^= flip
			}
		}
		for n := range body {
			if _, err := u.read(t, bytes.NewReader(body[:n]), len(short), trailers...); err == nil {
				t.Errorf("%s: cut to %d of %d bytes, unnoticed", payload, n, len(body))
			}
		}
	}
}

// replaced returns a text with one part of it changed, which has to be there.
func replaced(t *testing.T, text, from, to string) string {
	t.Helper()
	if !strings.Contains(text, from) {
		t.Fatalf("%q is not in the body", from)
	}
	return strings.Replace(text, from, to, 1)
}

func TestHostileChunks(t *testing.T) {
	signed := newUpload(t, sigv4.StreamingSigned)
	trailing := newUpload(t, sigv4.StreamingSignedTrailer)
	unsigned := newUpload(t, sigv4.StreamingUnsignedTrailer)
	good := signed.encode("", first, second)
	head := len("3e80;chunk-signature=") + 64 + 2
	chunk1, chunk2, last := good[:head+len(first)+2], good[head+len(first)+2:len(good)-(1+17+64+4)], good[len(good)-(1+17+64+4):]
	withTrailer := trailing.encode(crc+":NhCmhg==", first)
	loose := unsigned.encode(crc+":NhCmhg==", first)
	other := upload{signed.signature, signed.key, trailing.seed}.encode("", first, second)
	all := len(content)
	bad := func(err error) bool { return fault.Is(err, fault.BadSignature) }
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	chunk, early, trailer := is(sigv4.ErrChunk), is(io.ErrUnexpectedEOF), is(sigv4.ErrTrailer)
	for _, tt := range []struct {
		name     string
		upload   upload
		body     string
		length   int
		trailers []string
		refused  func(error) bool
	}{
		{"reordered", signed, chunk2 + chunk1 + last, all, nil, bad},
		{"duplicated", signed, chunk1 + chunk1 + chunk2 + last, 2*len(first) + len(second), nil, bad},
		{"left out", signed, chunk2 + last, len(second), nil, bad},
		{"the last data chunk left out", signed, chunk1 + last, len(first), nil, bad},
		{"the last chunk left out", signed, chunk1 + chunk2, all, nil, early},
		{"the last chunk twice", signed, good + last, all, nil, chunk},
		{"nothing at all", signed, "", all, nil, early},
		{"chunks of another upload", signed, other, all, nil, bad},
		{"more than declared", signed, good, all - 1, nil, chunk},
		{"less than declared", signed, good, all + 1, nil, early},
		{"bytes behind the end", signed, good + "x", all, nil, chunk},
		{"a request behind the end", signed, good + "PUT /b/k HTTP/1.1\r\n\r\n", all, nil, chunk},
		{"leading zeros", signed, "0" + good, all, nil, chunk},
		{"leading zeros of the last", signed, chunk1 + chunk2 + "0" + last, all, nil, chunk},
		{"a sign", signed, "+" + good, all, nil, chunk},
		{"0x", signed, "0x" + good, all, nil, chunk},
		{"a space", signed, " " + good, all, nil, chunk},
		{"huge", signed, "ffffffffffff" + good[4:], all, nil, chunk},
		{"huge, beyond 64 bits", signed, strings.Repeat("f", 17) + good[4:], all, nil, chunk},
		{"negative as 64 bits", signed, "ffffffffffffffff" + good[4:], all, nil, chunk},
		{"no size", signed, good[4:], all, nil, chunk},
		{"larger than its data", signed, "3e81" + good[4:], all, nil, chunk},
		{"smaller than its data", signed, "3e7f" + good[4:], all, nil, chunk},
		{"no signature", signed, "3e80\r\n" + first + "\r\n", all, nil, chunk},
		{"an empty signature", signed, "3e80;chunk-signature=\r\n" + first + "\r\n", all, nil, chunk},
		{"another extension", signed, replaced(t, good, "chunk-signature", "chunk-sig"), all, nil, chunk},
		{"one extension more", signed, replaced(t, good, ";chunk", ";a=b;chunk"), all, nil, chunk},
		{"an extension behind", signed, good[:head-2] + ";a=b" + good[head-2:], all, nil, chunk},
		{"a line without an end", signed, strings.Repeat("0", 1<<20), all, nil, chunk},
		{"a bare line feed", signed, replaced(t, good, "\r\n", "\n"), all, nil, chunk},
		{"a line feed more", signed, replaced(t, good, "\r\n", "\n\r\n"), all, nil, chunk},
		{"no line end behind the data", signed, good[:head+len(first)] + good[head+len(first)+2:], all, nil, chunk},
		{"a trailer that has no place", signed, good[:len(good)-2] + crc + ":NhCmhg==\r\n\r\n", all, nil, trailer},
		{"names of a trailer that has no place", signed, good, all, []string{crc}, trailer},
		{"signed small chunks", signed, signed.encode("", first[:8191], first[8191:]), len(first), nil, is(sigv4.ErrChunkSize)},
		{"unsigned small chunks", unsigned, unsigned.encode("", "a", "b"), 2, nil, is(sigv4.ErrChunkSize)},

		{"no trailer", trailing, trailing.encode("", first), len(first), []string{crc}, trailer},
		{"a trailer that is not declared", trailing, withTrailer, len(first), nil, trailer},
		{"another trailer than declared", trailing, withTrailer, len(first), []string{"x-amz-checksum-sha1"}, trailer},
		{"a trailer twice", trailing, replaced(t, withTrailer, crc, crc+":NhCmhg==\r\n"+crc), len(first), []string{crc}, trailer},
		{"another value", trailing, replaced(t, withTrailer, "NhCmhg==", "NhCmhw=="), len(first), []string{crc}, bad},
		{"no trailer signature", trailing, withTrailer[:strings.Index(withTrailer, "x-amz-trailer-signature")] + "\r\n", len(first), []string{crc}, trailer},
		{"the trailer's signature first", trailing, swapped(withTrailer), len(first), []string{crc}, bad},
		{"a trailer behind its signature", trailing, strings.TrimSuffix(withTrailer, "\r\n") + "x-amz-acl:public-read\r\n\r\n", len(first), []string{crc}, trailer},
		{"a trailer that changes the meaning", trailing, replaced(t, withTrailer, crc, "x-amz-acl:public-read\r\n"+crc), len(first), []string{crc}, trailer},
		{"too many trailers", trailing, withTrailer, len(first), []string{"a", "b", "c", "d", "e"}, trailer},
		{"chunks of the other kind", trailing, good, all, nil, bad},

		{"signed where none is", unsigned, good, all, nil, chunk},
		{"unsigned, another extension", unsigned, "3e80;a=b" + loose[4:], len(first), []string{crc}, chunk},
		{"unsigned, an empty extension", unsigned, "3e80;" + loose[4:], len(first), []string{crc}, chunk},
		{"unsigned, no trailer", unsigned, unsigned.encode("", first), len(first), []string{crc}, trailer},
		{"unsigned, a trailer twice", unsigned, replaced(t, loose, crc, crc+":NhCmhg==\r\n"+crc), len(first), []string{crc}, trailer},
		{"unsigned, a signature nobody asked for", unsigned, strings.TrimSuffix(loose, "\r\n") + "x-amz-trailer-signature:" + emptyHash + "\r\n\r\n", len(first), []string{crc}, trailer},
		{"unsigned, no end", unsigned, strings.TrimSuffix(loose, "\r\n"), len(first), []string{crc}, early},
		{"unsigned, a long trailer", unsigned, replaced(t, loose, "NhCmhg==", strings.Repeat("N", 2000)), len(first), []string{crc}, chunk},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.upload.read(t, strings.NewReader(tt.body), tt.length, tt.trailers...)
			if err == nil || !tt.refused(err) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// swapped puts the signature of a trailer before it.
func swapped(body string) string {
	i, j := strings.Index(body, crc), strings.Index(body, "x-amz-trailer-signature")
	end := len(body) - 2
	return body[:i] + body[j:end] + body[i:j] + body[end:]
}

// TestChunkEndIsKept holds that the end of a chunk waits for its signature.
func TestChunkEndIsKept(t *testing.T) {
	u := newUpload(t, sigv4.StreamingSigned)
	for _, size := range []int{1, 3, 10, 100} {
		c, err := u.signature.Chunks(strings.NewReader(replaced(t, u.encode("", "0123456789"), "789", "788")), 10, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, buffer := 0, make([]byte, size)
		for err == nil {
			var m int
			m, err = c.Read(buffer)
			n += m
		}
		if !fault.Is(err, fault.BadSignature) || n >= 10 {
			t.Errorf("reads of %d: %d bytes let through, %v", size, n, err)
		}
	}
}

// BenchmarkChunks compares the reader with what nobody can do without: hashing the same bytes on the way.
func BenchmarkChunks(b *testing.B) {
	object := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	var chunks []string
	for i := 0; i < len(object); i += 64 << 10 {
		chunks = append(chunks, object[i:i+64<<10])
	}
	buffer := make([]byte, 32<<10)
	for _, payload := range []string{sigv4.StreamingSigned, sigv4.StreamingSignedTrailer, sigv4.StreamingUnsignedTrailer} {
		u := newUpload(b, payload)
		var trailers []string
		trailer := ""
		if payload != sigv4.StreamingSigned {
			trailer, trailers = crc+":NhCmhg==", []string{crc}
		}
		body := u.encode(trailer, chunks...)
		b.Run(strings.ToLower(payload), func(b *testing.B) {
			b.SetBytes(int64(len(object)))
			b.ReportAllocs()
			for b.Loop() {
				c, err := u.signature.Chunks(strings.NewReader(body), int64(len(object)), trailers)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, buffer); err != nil || n != int64(len(object)) {
					b.Fatal(n, err)
				}
			}
		})
	}
	b.Run("floor: sha256", func(b *testing.B) {
		b.SetBytes(int64(len(object)))
		for b.Loop() {
			h := sha256.New()
			if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{strings.NewReader(object)}, buffer); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor: copy", func(b *testing.B) {
		b.SetBytes(int64(len(object)))
		for b.Loop() {
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{strings.NewReader(object)}, buffer); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// FuzzChunks holds that the reader lets through what a client encoded and nothing else, and stops at any input.
func FuzzChunks(f *testing.F) {
	u := newUpload(f, sigv4.StreamingSigned)
	trailing := newUpload(f, sigv4.StreamingSignedTrailer)
	unsigned := newUpload(f, sigv4.StreamingUnsignedTrailer)
	f.Add([]byte(u.encode("", "hello")), int64(5), uint8(0))
	f.Add([]byte(trailing.encode(crc+":NhCmhg==", "hello")), int64(5), uint8(1))
	f.Add([]byte(unsigned.encode(crc+":NhCmhg==", "hello")), int64(5), uint8(2))
	f.Add([]byte("5\r\nhello\r\n0\r\n"+crc+":NhCmhg==\n\r\n\r\n"), int64(5), uint8(2))
	f.Add([]byte("ffffffffffff\r\n"), int64(-1), uint8(2))
	f.Fuzz(func(t *testing.T, body []byte, length int64, kind uint8) {
		by, trailers := u, []string(nil)
		if kind%3 != 0 {
			by, trailers = trailing, []string{crc}
		}
		if kind%3 == 2 {
			by = unsigned
		}
		c, err := by.signature.Chunks(bytes.NewReader(body), length, trailers)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if len(got) > len(body) || int64(len(got)) > max(length, 0) {
			t.Errorf("%d bytes of a body of %d and a length of %d", len(got), len(body), length)
		}
		if err != nil {
			known := errors.Is(err, sigv4.ErrChunk) || errors.Is(err, sigv4.ErrChunkSize) || errors.Is(err, sigv4.ErrTrailer) ||
				errors.Is(err, io.ErrUnexpectedEOF) || fault.Is(err, fault.BadSignature)
			if !known {
				t.Errorf("%v of no kind", err)
			}
			return
		}
		if int64(len(got)) != length {
			t.Errorf("%d bytes where %d were declared", len(got), length)
		}
		if kind%3 == 0 && string(got) != "hello" && length > 0 {
			t.Errorf("%q has a signature that nobody made", got)
		}
	})
}
