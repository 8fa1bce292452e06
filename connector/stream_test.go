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

// newTestStream makes a stream whose server is what serve returns.
func newTestStream(t *testing.T, serve func(*http.Request) io.ReadCloser, apply func(*Line) error) *Stream {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(Upstream{
		Endpoint: "https://lanyard.example", Region: testRegion, Cluster: "dev", Instance: "connector-0", TokenFile: file,
		RoleARN: "arn:aws:iam::" + testAccount + ":role/lanyard-connector-0123456789abcdef0123456789abcdef",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.http.Transport = wire{serve}
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	return newStream(c, "1.2.3", discardLog(), m, apply)
}

// What the stream tells while an answer of the barrier is under way is not undone by it.
func TestTheBarrierKeepsWhatTheStreamHasTold(t *testing.T) {
	one, two := Identity{"ns", "one"}, Identity{"ns", "two"}
	tests := []struct {
		name      string
		told      []Line // by the stream, after the question
		answer    string
		one, two  bool // whether they are known then
		at        Position
		uncertain bool
	}{
		{
			name: "the stream goes further, with a removal", told: []Line{{Epoch: "e", Revision: 7, Removed: []Identity{one}}},
			answer: `{"epoch":"e","revision":6,"associations":[{"id":"a-1","namespace":"ns","serviceAccount":"one"}]}`,
			at:     Position{"e", 7},
		},
		{
			name: "the stream goes as far, with a removal", told: []Line{{Epoch: "e", Revision: 6, Removed: []Identity{one}}},
			answer: `{"epoch":"e","revision":6,"associations":[{"id":"a-1","namespace":"ns","serviceAccount":"one"}]}`,
			at:     Position{"e", 6},
		},
		{
			name: "the answer goes further than a removal", told: []Line{{Epoch: "e", Revision: 6, Removed: []Identity{one}}},
			answer: `{"epoch":"e","revision":7,"associations":[{"id":"a-2","namespace":"ns","serviceAccount":"two"}]}`,
			two:    true, at: Position{"e", 6},
		},
		{
			name:   "the stream says nothing",
			answer: `{"epoch":"e","revision":6,"associations":[{"id":"a-2","namespace":"ns","serviceAccount":"two"}]}`,
			one:    true, two: true, at: Position{"e", 5},
		},
		{
			name: "the stream begins anew in another epoch", told: []Line{{Epoch: "f", Revision: 1, Reset: true}},
			answer:    `{"epoch":"e","revision":6,"associations":[{"id":"a-2","namespace":"ns","serviceAccount":"two"}]}`,
			uncertain: true,
		},
		{
			name:      "the answer is of another epoch",
			answer:    `{"epoch":"f","revision":6,"reset":true,"associations":[{"id":"a-2","namespace":"ns","serviceAccount":"two"}]}`,
			one:       true,
			uncertain: true,
		},
		{
			name: "the stream begins anew further back", told: []Line{{Epoch: "e", Revision: 4, Reset: true}},
			answer:    `{"epoch":"e","revision":6,"associations":[{"id":"a-2","namespace":"ns","serviceAccount":"two"}]}`,
			uncertain: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := NewAssociations(nil, nil)
			var s *Stream
			s = newTestStream(t, func(*http.Request) io.ReadCloser {
				for i := range tt.told {
					if err := s.take(&tt.told[i]); err != nil {
						t.Error(err)
					}
				}
				return io.NopCloser(strings.NewReader(tt.answer))
			}, a.Apply)
			if err := s.take(&Line{Epoch: "e", Revision: 5, Reset: true, Associations: []Association{{"a-1", one}}}); err != nil {
				t.Fatal(err)
			}
			at, err := s.Barrier(t.Context())
			if at != tt.at || (err != nil) != tt.uncertain {
				t.Errorf("Barrier = %v, %v; want %v, and an error: %t", at, err, tt.at, tt.uncertain)
			}
			_, knows1 := a.ID(one)
			_, knows2 := a.ID(two)
			if knows1 != tt.one || knows2 != tt.two {
				t.Errorf("the first association is known: %t, the second: %t; want %t and %t", knows1, knows2, tt.one, tt.two)
			}
		})
	}
}

// A connection that is open on this side alone says nothing any more: after 15 s the stream counts as broken and is opened
// anew, and a heartbeat in time keeps it.
func TestASilentStreamIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := make(chan *io.PipeWriter, 1)
		s := newTestStream(t, func(r *http.Request) io.ReadCloser {
			out, in := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = in.CloseWithError(r.Context().Err()) })
			opened <- in
			return out
		}, func(*Line) error { return nil })
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
