package gateway

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/sigv4"
)

// sink takes a whole body and remembers the largest heap that it saw on the way.
type sink struct {
	n    int64
	heap uint64
}

func (s *sink) RoundTrip(r *http.Request) (*http.Response, error) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	buffer := make([]byte, 64<<10)
	for reads := 0; ; reads++ {
		n, err := r.Body.Read(buffer)
		s.n += int64(n)
		if reads%64 == 0 || err != nil {
			metrics.Read(sample)
			s.heap = max(s.heap, sample[0].Value.Uint64())
		}
		if err == io.EOF { //nolint:errorlint // a Reader gives it as it is
			return &http.Response{StatusCode: http.StatusOK, Request: r, Body: http.NoBody, Header: http.Header{}}, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// An upload of 128 MiB in chunks, with a checksum, takes no more memory than a small one.
func TestUploadsInConstantMemory(t *testing.T) {
	const size, piece = 128 << 20, 1 << 20
	w := newWorld(t)
	to := &sink{}
	w.config.Upstream.Transport = to
	g, err := New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	as := w.session(t, ours, everything)
	content := strings.Repeat("x", piece)
	sum := checksums["Crc64nvme"]()
	parts := make([]io.Reader, 0, 3*size/piece+1)
	for range size / piece {
		_, _ = io.WriteString(sum, content)
		parts = append(parts, strings.NewReader("100000\r\n"), strings.NewReader(content), strings.NewReader("\r\n"))
	}
	const trailer = "x-amz-checksum-crc64nvme"
	parts = append(parts, strings.NewReader("0\r\n"+trailer+":"+base64.StdEncoding.EncodeToString(sum.Sum(nil))+"\r\n\r\n"))
	req := w.sign(t, as, request{method: "PUT", path: "/pay/a", hash: sigv4.StreamingUnsignedTrailer, header: map[string]string{
		"X-Amz-Decoded-Content-Length": "134217728", "X-Amz-Trailer": trailer,
	}})
	req.Host, req.RemoteAddr = req.URL.Host, "127.0.0.1:1"
	sigv4.Sign(req, as.AccessKeyID, as.SecretAccessKey, as.SessionToken, region, "s3", sigv4.StreamingUnsignedTrailer, time.Now())
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(parts...)), -1
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	recorder := httptest.NewRecorder()
	g.ServeHTTP(recorder, req)
	if recorder.Code != http.StatusOK || to.n <= size {
		t.Fatalf("%d %s: %d bytes arrived", recorder.Code, recorder.Body, to.n)
	}
	if grown := int64(to.heap) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// spring answers with a body of a size, of which nothing is kept, and remembers the largest heap that it saw on the way.
type spring struct {
	left, size int64
	heap       uint64
}

func (s *spring) RoundTrip(r *http.Request) (*http.Response, error) {
	s.left = s.size
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, ContentLength: s.size, Body: io.NopCloser(s), Header: http.Header{"Etag": {`"e"`}},
	}, nil
}

func (s *spring) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.left%(4<<20) == 0 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		s.heap = max(s.heap, sample[0].Value.Uint64())
	}
	n := min(int64(len(p)), s.left)
	s.left -= n
	return int(n), nil
}

// A download of 128 MiB takes no more memory than a small one.
func TestDownloadsInConstantMemory(t *testing.T) {
	const size = 128 << 20
	w := newWorld(t)
	from := &spring{size: size}
	w.config.Upstream.Transport = from
	w.serve(t)
	as := w.session(t, ours, everything)
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	resp, err := (&http.Transport{}).RoundTrip(w.sign(t, as, request{method: "GET", path: "/pay/a"}))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = resp.Body.Close() // read
	if from.heap == 0 {
		t.Fatal("nobody looked at the heap")
	}
	if grown := int64(from.heap) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}
