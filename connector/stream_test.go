package connector

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a server without a network, which a clock of a test's own can wait for. Streams are whatever serve returns.
type wire struct {
	serve func(*http.Request) io.ReadCloser
}

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	answer := &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r}
	if r.URL.Path == "/" {
		end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		answer.Body = io.NopCloser(strings.NewReader(`<R><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>` +
			`<SessionToken>T</SessionToken><Expiration>` + end + `</Expiration></Credentials></AssumeRoleWithWebIdentityResult></R>`))
		return answer, nil
	}
	answer.Body = w.serve(r)
	return answer, nil
}

// A connection that is open on this side alone says nothing any more: after 15 s the stream counts as broken and is opened
// anew, and a heartbeat in time keeps it.
func TestASilentStreamIsGivenUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		opened := make(chan *io.PipeWriter, 1)
		c, err := NewClient(Upstream{
			Endpoint: "https://lanyard.example", Region: testRegion, Cluster: "dev", Instance: "connector-0", TokenFile: file,
			RoleARN: "arn:aws:iam::" + testAccount + ":role/lanyard-connector-0123456789abcdef0123456789abcdef",
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = wire{func(r *http.Request) io.ReadCloser {
			out, in := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = in.CloseWithError(r.Context().Err()) })
			opened <- in
			return out
		}}
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		s := newStream(c, "1.2.3", discardLog(), m, func(*Line) error { return nil })
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan bool)
		breaks := 0
		go func() { s.Run(ctx, func() { breaks++ }); close(ended) }()
		beat := func(in io.Writer) {
			t.Helper()
			if _, err := io.WriteString(in, `{"epoch":"e","revision":1}`+"\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}

		first := <-opened
		for range 20 { // five minutes of heartbeats, each just in time
			beat(first)
			time.Sleep(silence - time.Millisecond)
		}
		if s.Broken() != nil || breaks != 0 {
			t.Errorf("with a heartbeat every 15 s the stream is broken %d times: %v", breaks, s.Broken())
		}
		beat(first)
		time.Sleep(silence)
		synctest.Wait()
		if err := s.Broken(); err == nil || breaks != 1 {
			t.Errorf("after 15 s of silence the stream is broken %d times: %v", breaks, err)
		}
		second := <-opened
		beat(second)
		if s.Broken() != nil {
			t.Errorf("opened anew the stream is broken: %v", s.Broken())
		}
		_ = second.Close()
		synctest.Wait()
		closed := time.Now()
		s.Reopen()
		if <-opened; !time.Now().Equal(closed) {
			t.Errorf("it is opened %v after somebody asked for that, want at once", time.Since(closed))
		}
		stop()
		<-ended
	})
}
