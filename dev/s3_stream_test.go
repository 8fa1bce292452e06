package dev

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openlanyard/lanyard/sigv4"
)

// AWS's SDK sends a stream over TLS in chunks with a trailing checksum; the store keeps the content and the checksum.
func TestStreamKeepsItsChecksum(t *testing.T) {
	s := newSite(t)
	server := httptest.NewTLSServer(s.handler)
	defer server.Close()
	c := s3.New(s.client().Options(), func(o *s3.Options) {
		o.BaseEndpoint, o.HTTPClient = aws.String(server.URL), server.Client()
	})
	bucket, key := aws.String("pay-bucket"), aws.String("stream")
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 150<<10) // over two of the gateway's chunks
	for _, algorithm := range types.ChecksumAlgorithm("").Values()[:5] {
		put, err := c.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: bucket, Key: key, Body: bytes.NewReader(content), ChecksumAlgorithm: algorithm, ContentEncoding: aws.String("identity"),
		})
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		got, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		if err = errors.Join(err, got.Body.Close()); err != nil || !bytes.Equal(text, content) {
			t.Errorf("%s: %d bytes, %v", algorithm, len(text), err)
		}
		if encoding := aws.ToString(got.ContentEncoding); encoding != "identity" {
			t.Errorf("%s: content encoding %q", algorithm, encoding)
		}
		if algorithm == types.ChecksumAlgorithmCrc32 && (aws.ToString(put.ChecksumCRC32) == "" || aws.ToString(got.ChecksumCRC32) != aws.ToString(put.ChecksumCRC32)) {
			t.Errorf("CRC32 %q became %q", aws.ToString(put.ChecksumCRC32), aws.ToString(got.ChecksumCRC32))
		}
	}
}

// A body in chunks that is wrong at its very end is never there, and what was there before stays.
func TestUnverifiedChunksAreNotCommitted(t *testing.T) {
	s := newSite(t)
	if status, text := ask(t, s.store, http.MethodPut, "/pay-bucket", ""); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	if status, text := ask(t, s.store, http.MethodPut, "/pay-bucket/kept", "old"); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	large := strings.Repeat("f", 1<<20)
	size := strconv.FormatInt(int64(len(large)), 16)
	const trailer = "x-amz-checksum-crc32"
	for _, c := range []struct{ name, payload, body, code string }{
		{"a wrong checksum", sigv4.StreamingUnsignedTrailer, size + "\r\n" + large + "\r\n0\r\n" + trailer + ":AAAAAA==\r\n\r\n", "BadDigest"},
		{"no trailer", sigv4.StreamingUnsignedTrailer, size + "\r\n" + large + "\r\n0\r\n\r\n", "MalformedTrailerError"},
		{"no end", sigv4.StreamingUnsignedTrailer, size + "\r\n" + large + "\r\n", "IncompleteBody"},
		{"a forged signature", sigv4.StreamingSigned, size + ";chunk-signature=" + strings.Repeat("0", 64) + "\r\n" + large + "\r\n", "SignatureDoesNotMatch"},
	} {
		for _, key := range []string{"new", "kept"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+"/pay-bucket/"+key, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(len(large)))
			if c.payload == sigv4.StreamingUnsignedTrailer {
				req.Header.Set("X-Amz-Trailer", trailer)
			}
			sigv4.Sign(req, s.key.ID, string(s.key.Secret), "", "us-east-1", "s3", c.payload, time.Now())
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err = errors.Join(err, resp.Body.Close()); err != nil || !strings.Contains(string(text), "<Code>"+c.code+"</Code>") {
				t.Errorf("%s to %s: %d %s, %v", c.name, key, resp.StatusCode, text, err)
			}
		}
		if status, _ := ask(t, s.store, http.MethodHead, "/pay-bucket/new", ""); status != http.StatusNotFound {
			t.Errorf("%s: the object is there: status %d", c.name, status)
		}
		if _, text := ask(t, s.store, http.MethodGet, "/pay-bucket/kept", ""); text != "old" {
			t.Errorf("%s: the object that was there is now %d bytes", c.name, len(text))
		}
	}
}

// An upload that states nothing about its content and ends early is never there, and what was there before stays.
func TestACutOffUploadIsNotCommitted(t *testing.T) {
	s := newSite(t)
	ended := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		s.handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	for _, path := range []string{"/pay-bucket", "/pay-bucket/kept"} {
		if status, text := ask(t, s.store, http.MethodPut, path, strings.Repeat("old", strings.Count(path, "/")-1)); status != http.StatusOK {
			t.Fatalf("status %d: %s", status, text)
		}
	}
	for _, key := range []string{"new", "kept"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/pay-bucket/"+key, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		sigv4.Sign(req, s.key.ID, string(s.key.Secret), "", "us-east-1", "s3", sigv4.UnsignedPayload, time.Now())
		req.ContentLength = 1 << 20
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("n", 1<<19)), broken{}))
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			t.Errorf("%s: answered %s", key, resp.Status)
			_ = resp.Body.Close()
		}
		<-ended // and with it the upstream's request
	}
	if status, _ := ask(t, s.store, http.MethodHead, "/pay-bucket/new", ""); status != http.StatusNotFound {
		t.Errorf("the object is there: status %d", status)
	}
	if _, text := ask(t, s.store, http.MethodGet, "/pay-bucket/kept", ""); text != "old" {
		t.Errorf("the object that was there is now %d bytes", len(text))
	}
}

// broken is the rest of a body whose sender goes away.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the client goes away") }
