package dev

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/gateway"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

// start serves dir for the length of the test. The library changes the working directory: it is put back at the end.
func start(t *testing.T, dir string) *ObjectStore {
	t.Helper()
	t.Chdir(t.TempDir())
	s, err := StartS3(t.Context(), dir)
	if err != nil {
		t.Fatalf("StartS3(%q): %v", dir, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// ask signs a request with the server's own key, sends it and returns status and body.
func ask(t *testing.T, s *ObjectStore, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.Upstream.URL.String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	sigv4.Sign(req, s.Upstream.AccessKeyID, s.Upstream.SecretAccessKey, "", s.Upstream.Region, "s3", hex.EncodeToString(sum[:]), time.Now())
	return roundTrip(t, s, req)
}

func roundTrip(t *testing.T, s *ObjectStore, req *http.Request) (int, string) {
	t.Helper()
	resp, err := s.Upstream.Transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", req.Method, req.URL, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestObjectStoreKeepsObjectsOverRestarts(t *testing.T) {
	for _, kind := range []string{"", "xattr", "sidecar"} {
		t.Run("metadata "+kind, func(t *testing.T) {
			dir := t.TempDir()
			if kind != "" {
				if err := os.WriteFile(filepath.Join(dir, "metadata"), []byte(kind+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			first := start(t, dir)
			if status, text := ask(t, first, http.MethodPut, "/pay-bucket", ""); status != http.StatusOK {
				t.Fatalf("CreateBucket: status %d: %s", status, text)
			}
			if status, text := ask(t, first, http.MethodPut, "/pay-bucket/Dir/a%20b", "hello"); status != http.StatusOK {
				t.Fatalf("PutObject: status %d: %s", status, text)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			second := start(t, dir)
			if status, text := ask(t, second, http.MethodGet, "/pay-bucket/Dir/a%20b", ""); status != http.StatusOK || text != "hello" {
				t.Errorf("GetObject after a restart: status %d, %q, want 200 and hello", status, text)
			}
			if status, text := ask(t, second, http.MethodGet, "/", ""); status != http.StatusOK || !strings.Contains(text, "<Name>pay-bucket</Name>") {
				t.Errorf("ListBuckets after a restart: status %d, %q", status, text)
			}
			if first.Upstream.SecretAccessKey == second.Upstream.SecretAccessKey {
				t.Error("two starts share a secret")
			}
		})
	}
}

// A process that is killed while it makes a bucket leaves a folder without metadata.
func TestObjectStoreForgetsHalfMadeBuckets(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{"half-made", "holds-something/file"} {
		if err := os.MkdirAll(filepath.Join(dir, "objects", folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, dir)
	for range 2 { // the second time it is a bucket
		if status, body := ask(t, s, http.MethodPut, "/half-made", ""); status != http.StatusOK && !strings.Contains(body, "BucketAlreadyOwnedByYou") {
			t.Errorf("making the bucket: got %d %s, want it made", status, body)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "objects", "holds-something", "file")); err != nil {
		t.Errorf("a folder that is not empty: got %v, want it left alone", err)
	}
}

func TestObjectStoreAnswersNobodyElse(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	info, err := os.Stat(filepath.Join(dir, "s3.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != os.ModeSocket|0o600 {
		t.Errorf("the socket's mode is %v, want %v", got, os.ModeSocket|0o600)
	}
	unsigned, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://objects.invalid/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := roundTrip(t, s, unsigned); status != http.StatusForbidden {
		t.Errorf("an unsigned request: status %d, want 403", status)
	}
	sigv4.Sign(unsigned, storeKeyID, "guessed", "", storeRegion, "s3", sigv4.UnsignedPayload, time.Now())
	if status, _ := roundTrip(t, s, unsigned); status != http.StatusForbidden {
		t.Errorf("a request signed with another secret: status %d, want 403", status)
	}
	if status, text := ask(t, s, http.MethodGet, "/", ""); status != http.StatusOK {
		t.Errorf("a request with the right secret: status %d: %s", status, text)
	}
}

func TestObjectStoreWorksUnderALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a", 100), strings.Repeat("b", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	if status, text := ask(t, s, http.MethodGet, "/", ""); status != http.StatusOK {
		t.Errorf("status %d: %s", status, text)
	}
}

func TestObjectStoreRefusesToStart(t *testing.T) {
	unknown := t.TempDir()
	if err := os.WriteFile(filepath.Join(unknown, "metadata"), []byte("tape\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	running := t.TempDir()
	start(t, running)
	for _, c := range []struct{ name, dir, want string }{
		{"on a relative folder", "objects", "is relative"},
		{"on metadata of an unknown kind", unknown, `"tape"`},
		{"twice in one process", running, "already running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := StartS3(t.Context(), c.dir)
			if err == nil {
				t.Fatalf("started; Close: %v", s.Close())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want it to say %q", err, c.want)
			}
		})
	}
}

func TestObjectStorePrintsNothing(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	t.Cleanup(func() { os.Stdout = stdout })
	s := start(t, t.TempDir())
	ask(t, s, http.MethodPut, "/pay-bucket", "")
	os.Stdout = stdout
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	if _, err := printed.ReadFrom(read); err != nil {
		t.Fatal(err)
	}
	if printed.Len() != 0 {
		t.Errorf("printed %q, want nothing", printed.String())
	}
}

func TestObjectStoreDoesNotStartForNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartS3(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// site is a gateway over real rooms in front of the embedded server, and its account's administrator.
type site struct {
	store   *ObjectStore
	handler http.Handler
	url     string
	key     *directory.AccessKey
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := start(t, t.TempDir())
	const account = "111122223333"
	st, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(t.TempDir(), "state"), MasterKey: store.NewMasterKey()})
	if err != nil {
		t.Fatal(err)
	}
	dir := directory.New(st, nil)
	ring := keyring.New(st, nil, nil)
	reg := registry.New(st, dir, registry.Config{Region: "us-east-1"})
	if err := st.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, key, err := dir.CreateAccount(t.Context(), directory.NewAccount{ID: account, Name: "practice"})
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit"), audit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- log.Run(running) }()
	g, err := gateway.New(gateway.Config{
		Account: account, Region: "us-east-1", Audit: log, Upstream: s.Upstream, Principals: limit.NewRates(1e6, 1e6, 64),
		Access: &access.Access{Store: st, Directory: dir, Registry: reg, Ring: ring.Ring()},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := errors.Join(<-stopped, log.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return &site{store: s, handler: g, url: server.URL, key: key}
}

// client is the SDK of the administrator.
func (s *site) client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.url), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.key.ID, string(s.key.Secret), ""),
	})
}

// AWS's own SDK does through the gateway what S3's users do all day.
func TestGatewayOverTheObjectStore(t *testing.T) {
	ctx, c := t.Context(), newSite(t).client()
	bucket, key := aws.String("pay-bucket"), aws.String("Reports/2026/a b+é.txt")
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MiB: the SDK expects 100 Continue
	if _, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: bytes.NewReader(large), ContentType: aws.String("text/plain"), Metadata: map[string]string{"team": "pay"},
	}); err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToInt64(head.ContentLength) != int64(len(large)) || aws.ToString(head.ContentType) != "text/plain" || head.Metadata["team"] != "pay" {
		t.Errorf("HeadObject: %d bytes, %q, %v", aws.ToInt64(head.ContentLength), aws.ToString(head.ContentType), head.Metadata)
	}
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(got.Body)
	if err = errors.Join(err, got.Body.Close()); err != nil || !bytes.Equal(text, large) {
		t.Errorf("GetObject: %d bytes, %v", len(text), err)
	}
	part, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=16-19")})
	if err != nil {
		t.Fatal(err)
	}
	text, err = io.ReadAll(part.Body)
	if err = errors.Join(err, part.Body.Close()); err != nil || string(text) != "0123" {
		t.Errorf("GetObject of a range: %q, %v", text, err)
	}
	listed, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("Reports/"), MaxKeys: aws.Int32(10)})
	if err != nil || len(listed.Contents) != 1 || aws.ToString(listed.Contents[0].Key) != *key {
		t.Errorf("ListObjectsV2: %+v, %v", listed, err)
	}
	folders, err := c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: bucket, Delimiter: aws.String("/")})
	if err != nil || len(folders.CommonPrefixes) != 1 || aws.ToString(folders.CommonPrefixes[0].Prefix) != "Reports/" {
		t.Errorf("ListObjects: %+v, %v", folders, err)
	}
	buckets, err := c.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil || len(buckets.Buckets) != 1 || aws.ToString(buckets.Buckets[0].Name) != *bucket {
		t.Errorf("ListBuckets: %+v, %v", buckets, err)
	}
	_, err = c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
	if code := codeOf(err); code != "BucketNotEmpty" {
		t.Errorf("DeleteBucket of a full one: %v, want BucketNotEmpty", err)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("missing")})
	if code := codeOf(err); code != "NoSuchKey" {
		t.Errorf("GetObject of a missing one: %v, want NoSuchKey", err)
	}
	_, err = c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String("{}")})
	if code := codeOf(err); code != "NotImplemented" {
		t.Errorf("PutBucketPolicy: %v, want NotImplemented", err)
	}
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key}); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
}

func codeOf(err error) string {
	var known interface{ ErrorCode() string } // any error that the service answered
	if errors.As(err, &known) {
		return known.ErrorCode()
	}
	return ""
}

// A body that is not the signed one is never there, and what was there before stays.
func TestUnverifiedBodyIsNotCommitted(t *testing.T) {
	s := newSite(t)
	put := func(path, body, declared string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(declared))
		sigv4.Sign(req, s.key.ID, string(s.key.Secret), "", "us-east-1", "s3", hex.EncodeToString(sum[:]), time.Now())
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for _, path := range []string{"/pay-bucket", "/pay-bucket/kept"} {
		if status, text := put(path, "", ""); status != http.StatusOK {
			t.Fatalf("%s: status %d: %s", path, status, text)
		}
	}
	if status, text := put("/pay-bucket/kept", "old", "old"); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	for _, size := range []int{1, 100, 1 << 20} {
		forged := strings.Repeat("f", size)
		for _, key := range []string{"new", "kept"} {
			if status, text := put("/pay-bucket/"+key, forged, "what was signed"); status != http.StatusBadRequest || !strings.Contains(text, "XAmzContentSHA256Mismatch") {
				t.Errorf("%d bytes to %s: status %d: %s", size, key, status, text)
			}
		}
		if status, _ := ask(t, s.store, http.MethodHead, "/pay-bucket/new", ""); status != http.StatusNotFound {
			t.Errorf("%d bytes: the object is there: status %d", size, status)
		}
		if _, text := ask(t, s.store, http.MethodGet, "/pay-bucket/kept", ""); text != "old" {
			t.Errorf("%d bytes: the object that was there is now %d bytes", size, len(text))
		}
	}
}

// The gateway takes a slash at the end of a key for part of the key, and asks policy about that name. The file system
// below must not take it for the object without the slash.
func TestSlashAtTheEndIsAnotherObject(t *testing.T) {
	s := start(t, t.TempDir())
	for _, path := range []string{"/pay-bucket", "/pay-bucket/secret"} {
		if status, text := ask(t, s, http.MethodPut, path, strings.TrimPrefix(path, "/pay-bucket")); status != http.StatusOK {
			t.Fatalf("%s: status %d: %s", path, status, text)
		}
	}
	if status, text := ask(t, s, http.MethodGet, "/pay-bucket/secret/", ""); status == http.StatusOK {
		t.Errorf("GetObject of secret/ answers %q", text)
	}
	ask(t, s, http.MethodPut, "/pay-bucket/secret/", "")
	ask(t, s, http.MethodDelete, "/pay-bucket/secret/", "")
	if status, text := ask(t, s, http.MethodGet, "/pay-bucket/secret", ""); status != http.StatusOK || text != "/secret" {
		t.Errorf("after writing and deleting secret/: status %d, %q, want 200 and the first text", status, text)
	}
}
