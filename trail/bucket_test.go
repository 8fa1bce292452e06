package trail_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/trail"
)

// s3 is a store that holds who asks to its signature and lists two objects a page.
type s3 struct {
	mu       sync.Mutex
	objects  map[string][]byte
	archived string // what a key has of objects that are not given out
}

func (s *s3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	sum := sha256.Sum256(body)
	sig, err := sigv4.Parse(r)
	if err == nil {
		err = sig.Verify(r, sigv4.Derive("secret", sig.Date, sig.Region, sig.Service), hex.EncodeToString(sum[:]))
	}
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>%v</Message></Error>", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, named := strings.CutPrefix(r.URL.Path, "/audit/")
	switch {
	case r.Method == http.MethodPut:
		s.objects[key] = body
	case named && s.objects[key] == nil:
		w.WriteHeader(http.StatusNotFound)
	case named && s.archived != "" && strings.Contains(key, s.archived):
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, "<Error><Code>InvalidObjectState</Code><Message>it is in GLACIER</Message></Error>")
	case named:
		_, _ = w.Write(s.objects[key])
	default:
		s.list(w, r.URL.Query())
	}
}

func (s *s3) list(w http.ResponseWriter, q url.Values) {
	var all []string
	for key := range s.objects {
		if rest, below := strings.CutPrefix(key, q.Get("prefix")); below {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				rest = rest[:i+1]
			}
			all = append(all, q.Get("prefix")+rest)
		}
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name <= q.Get("continuation-token") })
	more := len(all) > 2
	all = all[:min(2, len(all))]
	_, _ = fmt.Fprint(w, "<ListBucketResult>")
	for _, name := range all {
		if strings.HasSuffix(name, "/") {
			_, _ = fmt.Fprintf(w, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", name)
		} else {
			_, _ = fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>%d</Size></Contents>", name, len(s.objects[name]))
		}
	}
	if more {
		_, _ = fmt.Fprint(w, "<IsTruncated>true</IsTruncated><NextContinuationToken>")
		_ = xml.EscapeText(w, []byte(all[1]))
		_, _ = fmt.Fprint(w, "</NextContinuationToken>")
	}
	_, _ = fmt.Fprint(w, "</ListBucketResult>")
}

func bucket(t *testing.T) *trail.Bucket {
	t.Helper()
	return bucketOf(t, &s3{objects: map[string][]byte{}})
}

func bucketOf(t *testing.T, store *s3) *trail.Bucket {
	t.Helper()
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &trail.Bucket{Endpoint: at, Bucket: "audit", Prefix: "my logs/", Region: region, KeyID: "AKIAEXAMPLE", SecretKey: "secret", Client: server.Client()}
}

// TestSinks holds that a folder and a bucket are the same to who delivers and looks.
func TestSinks(t *testing.T) {
	for name, sink := range map[string]trail.Sink{"folder": trail.Folder(t.TempDir()), "bucket": bucket(t)} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if files, prefixes, err := sink.List(ctx, "a/"); err != nil || len(files)+len(prefixes) > 0 {
				t.Errorf("List of nothing = %v, %v, %v", files, prefixes, err)
			}
			if _, err := sink.Get(ctx, "a/1"); err == nil {
				t.Error("Get of nothing: want an error")
			}
			for _, name := range []string{"a/1", "a/2", "a/3", "a/b/1", "a/c/1", "x"} {
				if err := sink.Put(ctx, name, []byte(name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := sink.Put(ctx, "a/2", []byte("new")); err != nil {
				t.Fatal(err)
			}
			files, prefixes, err := sink.List(ctx, "a/")
			if diff := cmp.Diff([]trail.File{{"a/1", 3}, {"a/2", 3}, {"a/3", 3}}, files); diff != "" || err != nil || !slices.Equal(prefixes, []string{"a/b/", "a/c/"}) {
				t.Errorf("List = %v, %v, %v", files, prefixes, err)
			}
			if text, err := sink.Get(ctx, "a/2"); err != nil || !bytes.Equal(text, []byte("new")) {
				t.Errorf("Get = %q, %v", text, err)
			}
		})
	}
}

func TestABucketsRefusalIsTold(t *testing.T) {
	b := bucket(t)
	b.SecretKey = "another"
	err := b.Put(t.Context(), "x", nil)
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
		t.Errorf("Put with a wrong secret: %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "another") {
		t.Errorf("the error has the secret: %v", err)
	}
}

func TestDeliveryToABucketIsFoundByAnIndex(t *testing.T) {
	dir, to := t.TempDir()+"/audit", bucket(t)
	log, _ := openLog(t, dir)
	commit(t, log, readObject(ours, "cart-1", "x"))
	commit(t, log, called(theirs, "CreateRole"))
	deliver(t, delivery(log, dir, to))
	x := openIndex(t, trail.IndexConfig{Sink: to})
	if err := x.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{Data: true}); got != "CreateRole x" && got != "x CreateRole" {
		t.Errorf("got %q, want both", got)
	}
}

// TestAListHasAnEnd: whoever may write a bucket may write objects without number, and all of a list is held.
func TestAListHasAnEnd(t *testing.T) {
	var page strings.Builder
	page.WriteString("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>")
	for i := range 1000 {
		fmt.Fprintf(&page, "<Contents><Key>a/%d</Key><Size>1</Size></Contents>", i)
	}
	page.WriteString("</ListBucketResult>")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page.String()) }))
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	b := &trail.Bucket{Endpoint: at, Bucket: "audit", Region: region, KeyID: "AKIAEXAMPLE", SecretKey: "secret", Client: server.Client()}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, _, err := b.List(ctx, "a/"); err == nil || ctx.Err() != nil {
		t.Errorf("List: %v, want it to be too long", err)
	}
}

// TestAnArchivedObjectIsLeftOut: whoever may write the bucket may write objects that it does not give out, and its owner may archive
// old ones. What the server may not read is another matter: it is told, and read once that is mended.
func TestAnArchivedObjectIsLeftOut(t *testing.T) {
	store := &s3{objects: map[string][]byte{}, archived: "archived"}
	to, day := bucketOf(t, store), "AWSLogs/"+ours+"/CloudTrail/"+region+time.Now().UTC().Format("/2006/01/02/")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	events(record(ours, "Whole", time.Now()))(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"archived", "other"} {
		if err := to.Put(t.Context(), day+name+".json.gz", packed.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	x := openIndex(t, trail.IndexConfig{Sink: to})
	if err := x.Scan(t.Context()); err != nil {
		t.Errorf("Scan: %v", err)
	}
	if got := names(t, x, trail.Query{}); got != "Whole" {
		t.Errorf("got %q", got)
	}
	if _, err := to.Get(t.Context(), day+"archived.json.gz"); !fault.Is(err, fault.Invalid) {
		t.Errorf("Get of an archived object: %v, want it to be said that it is none", err)
	}
	to.SecretKey = "another"
	if _, err := to.Get(t.Context(), day+"other.json.gz"); err == nil || fault.Is(err, fault.Invalid) {
		t.Errorf("Get with a wrong secret: %v", err)
	}
}
