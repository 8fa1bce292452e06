package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/sigv4"
)

// The proofs run a gateway as people do, a process beside its server's, and drive it with AWS's SDK over TLS. Their sizes come
// from the environment: `make proof` takes those that the gateway is made for, `make test` smaller ones.
const (
	proofMiB     = "LANYARD_PROOF_MIB"     // of the large object
	proofClients = "LANYARD_PROOF_CLIENTS" // at the same time
)

func sizeOf(t *testing.T, variable string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: a positive number is accepted", variable, text)
	}
	return n
}

// content is what an object of the sink holds: bytes that follow from where they stand, so that nobody has to keep them to
// know whether they are right.
type content struct{ at, size int64 }

// pattern has a length that no part or buffer is a multiple of: a piece in the wrong place does not look right.
var pattern = func() []byte {
	b := make([]byte, 1<<20+7)
	chacha := rand.NewChaCha8([32]byte{})
	_, _ = chacha.Read(b) // never fails
	return b
}()

// next returns some of what follows.
func (c *content) next() []byte {
	piece := pattern[c.at%int64(len(pattern)):]
	return piece[:min(int64(len(piece)), c.size-c.at)]
}

func (c *content) Read(p []byte) (int, error) {
	if c.at >= c.size {
		return 0, io.EOF
	}
	n := copy(p, c.next())
	c.at += int64(n)
	return n, nil
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.at = map[int]int64{io.SeekStart: 0, io.SeekCurrent: c.at, io.SeekEnd: c.size}[whence] + offset
	return c.at, nil
}

// Write compares, so that a copy into the content says whether it is the content.
func (c *content) Write(p []byte) (n int, err error) {
	for n < len(p) {
		want := c.next()
		if len(want) == 0 {
			return n, errors.New("more than there should be")
		}
		want = want[:min(len(want), len(p)-n)]
		if !bytes.Equal(want, p[n:n+len(want)]) {
			return n, fmt.Errorf("other bytes than there should be, after %d", c.at)
		}
		n, c.at = n+len(want), c.at+int64(len(want))
	}
	return n, nil
}

// whole reads all of r and says whether it is all of the content.
func (c *content) whole(r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err == nil && c.at != c.size {
		err = fmt.Errorf("it ends after %d bytes", c.at)
	}
	return err
}

// sink is an object store that keeps nothing: every object has the content of its size, and what is put has to be that. It
// takes what is signed with its own key and nothing else.
type sink struct {
	size, part int64
	got        atomic.Int64 // bytes of objects that were put, and were right
	together   int64        // answers of /store/together wait until so many are asked for
	asked      atomic.Int64
	all        chan struct{}
}

func startSink(t *testing.T, k *sink) *httptest.Server {
	t.Helper()
	k.all = make(chan struct{})
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	return server
}

func (k *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sig, err := sigv4.Parse(r)
	if err == nil {
		err = sig.Verify(r, sigv4.Derive(upstreamSecret, sig.Date, sig.Region, sig.Service), sig.PayloadHash)
	}
	if err != nil || sig.KeyID != upstreamID {
		http.Error(w, "<Error><Code>SignatureDoesNotMatch</Code></Error>", http.StatusForbidden)
		return
	}
	switch query := r.URL.Query(); {
	case r.Method == http.MethodPut:
		number, _ := strconv.ParseInt(query.Get("partNumber"), 10, 64) // none: the object in one piece
		if err := k.put(r, sig.PayloadHash, number); err != nil {
			http.Error(w, "<Error><Code>BadDigest</Code><Message>"+err.Error()+"</Message></Error>", http.StatusBadRequest)
			return
		}
		w.Header().Set("Etag", fmt.Sprintf(`"%d"`, number))
	case r.Method == http.MethodPost && query.Has("uploads"):
		_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
	case r.Method == http.MethodPost:
		_, _ = io.WriteString(w, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
	default:
		if k.together > 0 && r.URL.Path == "/store/together" {
			if k.asked.Add(1) == k.together {
				close(k.all)
			}
			select {
			case <-k.all:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, &content{size: k.size})
	}
}

// put takes an object or one of its parts, to the end of its frame.
func (k *sink) put(r *http.Request, hash string, number int64) error {
	want := &content{size: k.size}
	if number > 0 {
		want.at = (number - 1) * k.part
		want.size = min(want.at+k.part, k.size)
	}
	began := want.at
	body := bufio.NewReaderSize(r.Body, 256<<10)
	inside := io.Reader(body)
	if hash == sigv4.StreamingUnsignedTrailer {
		inside = httputil.NewChunkedReader(body) // the form is that of HTTP's own chunks
	}
	if err := want.whole(inside); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, body); err != nil { // the trailer
		return err
	}
	k.got.Add(want.size - began)
	return nil
}

var memoryLine = regexp.MustCompile(`(?m)^(VmRSS|VmHWM):\s+(\d+) kB$`)

// memory returns what a process has in memory and the most that it had since forgetPeak, in MiB.
func (s *site) memory(p *process) (now, peak int64) {
	s.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	s.must(err)
	for _, found := range memoryLine.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseInt(found[2], 10, 64)
		s.must(err)
		if found[1] == "VmRSS" {
			now = n >> 10
		} else {
			peak = n >> 10
		}
	}
	if now == 0 || peak == 0 {
		s.Fatalf("the kernel does not say what the process has in memory: %s", text)
	}
	return now, peak
}

func (s *site) forgetPeak(p *process) {
	s.Helper()
	s.must(os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0o200))
}

// sdk is AWS's own client, as a pod's.
func (s *site) sdk(who string, with *http.Client) *s3.Client {
	c := s.callers[who]
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.gate.endpoint), UsePathStyle: true, Region: dev.Region, HTTPClient: with,
		Retryer:     aws.NopRetryer{}, // what is refused is not to be hidden
		Credentials: credentials.NewStaticCredentialsProvider(c.keyID, c.secret, c.token),
	})
}

// proofSite is a site whose pod may read and write, with its gateway in front of an upstream.
func proofSite(t *testing.T, upstream *httptest.Server) (*site, *process) {
	t.Helper()
	s := newSite(t)
	s.bucket = upstream
	s.must(s.makeRole("carrier", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::store/*"}}`))
	_, err := s.makeAssociation("dev", "shop/web", "carrier")
	s.must(err)
	g := s.startGateway("--key-file", s.file("server/administrator.env"))
	s.wait(s.ready, "the gateway is not ready")
	s.pod("pod", "shop/web")
	return s, g
}

// TestProofLargeObjects carries an object up in one piece, up in parts and down, each in a memory that has nothing to do with
// its size.
func TestProofLargeObjects(t *testing.T) {
	const part, inMemory = 64 << 20, 128 // bytes; MiB that the gateway may have at the most, whatever the size
	k := &sink{size: sizeOf(t, proofMiB, 256) << 20, part: part}
	s, g := proofSite(t, startSink(t, k))
	wire := &http.Client{Transport: s.wire.Transport.(*http.Transport).Clone()}
	client := s.sdk("pod", wire)
	bucket, key := aws.String("store"), aws.String("large")
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"up in one piece", func() error {
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: &content{size: k.size}})
			return err
		}},
		{"up in parts", func() error { return uploadInParts(t.Context(), client, bucket, key, k) }},
		{"down", func() error {
			got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
			if err != nil {
				return err
			}
			return errors.Join((&content{size: k.size}).whole(got.Body), got.Body.Close())
		}},
	} {
		k.got.Store(0)
		before, _ := s.memory(g)
		s.forgetPeak(g)
		began := time.Now()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		took := time.Since(began)
		_, peak := s.memory(g)
		t.Logf("%s: %d MiB in %v (%.0f MiB/s); the gateway had %d MiB in memory before, %d MiB at the most",
			step.name, k.size>>20, took.Round(time.Millisecond), float64(k.size>>20)/took.Seconds(), before, peak)
		if up := strings.HasPrefix(step.name, "up"); up && k.got.Load() != k.size {
			t.Errorf("%s: the store got %d bytes, want %d", step.name, k.got.Load(), k.size)
		}
		if peak > inMemory {
			t.Errorf("%s: the gateway had %d MiB in memory, want at most %d", step.name, peak, inMemory)
		}
	}
}

// uploadInParts sends four parts at a time.
func uploadInParts(ctx context.Context, client *s3.Client, bucket, key *string, k *sink) error {
	upload, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		return err
	}
	parts := make([]types.CompletedPart, (k.size+k.part-1)/k.part)
	failed := make([]error, len(parts))
	var next atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := next.Add(1); int(i) <= len(parts); i = next.Add(1) {
				from := (i - 1) * k.part
				all := io.NewSectionReader(contentAt{}, from, min(k.part, k.size-from))
				done, err := client.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: upload.UploadId, PartNumber: aws.Int32(int32(i)), Body: all})
				if failed[i-1] = err; err == nil {
					parts[i-1] = types.CompletedPart{ETag: done.ETag, PartNumber: aws.Int32(int32(i))}
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	_, err = client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: key, UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// contentAt is content without an end.
type contentAt struct{}

func (contentAt) ReadAt(p []byte, at int64) (int, error) {
	return io.ReadFull(&content{at: at, size: 1 << 62}, p)
}

// TestProofManyClients has clients with a connection each ask at the same time: the store answers none before all of them have
// asked. All get what they asked for.
func TestProofManyClients(t *testing.T) {
	const object, inMemory = 256 << 10, 384 // bytes; MiB that the gateway may have at the most
	n := sizeOf(t, proofClients, 250)
	k := &sink{size: object, together: n}
	s, g := proofSite(t, startSink(t, k))
	before, _ := s.memory(g)
	s.forgetPeak(g)
	began := time.Now()
	failed := make([]error, n)
	var all sync.WaitGroup
	for i := range failed {
		all.Go(func() {
			own := s.wire.Transport.(*http.Transport).Clone()
			own.DisableKeepAlives = false
			defer own.CloseIdleConnections()
			client := s.sdk("pod", &http.Client{Transport: own})
			got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("store"), Key: aws.String("together")})
			if err == nil {
				err = errors.Join((&content{size: object}).whole(got.Body), got.Body.Close())
			}
			if err == nil {
				_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("store"), Key: aws.String(fmt.Sprint("own/", i)), Body: &content{size: object}})
			}
			failed[i] = err
		})
	}
	all.Wait()
	took := time.Since(began)
	_, peak := s.memory(g)
	t.Logf("%d clients at once, %d KiB down and up each, in %v; the gateway had %d MiB in memory before, %d MiB at the most",
		n, object>>10, took.Round(time.Millisecond), before, peak)
	if err := errors.Join(failed...); err != nil {
		t.Errorf("not all were answered: %.2000v", err)
	}
	if k.asked.Load() != n || k.got.Load() != n*object {
		t.Errorf("the store was asked %d times and got %d bytes, want %d and %d", k.asked.Load(), k.got.Load(), n, n*object)
	}
	if peak > inMemory {
		t.Errorf("the gateway had %d MiB in memory, want at most %d", peak, inMemory)
	}
}
