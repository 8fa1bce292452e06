package api_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/registry"
)

const watchAccount = "111122223333"

// watching is an open stream of invalidations.
type watching struct {
	t     *testing.T
	lines *bufio.Reader
	close func() error
}

type watchLine struct {
	Epoch         string
	Revision      int64
	Recheck       bool
	Invalidations []struct{ Kind, Value string }
}

func (w *world) startWatching(t *testing.T, server *httptest.Server, as signer) *watching {
	t.Helper()
	r := w.build(t, server.URL, request{as: as, service: "lanyard", method: http.MethodPost, path: "/lanyard/v1/clusters/dev/invalidations", body: "{}"})
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("status %d, %v", resp.StatusCode, resp.Header)
	}
	s := &watching{t: t, lines: bufio.NewReader(resp.Body), close: resp.Body.Close}
	if first := s.next(); !first.Recheck || first.Epoch != w.store.Epoch() || first.Revision == 0 {
		t.Errorf("the first line is %+v, want a position and a recheck", first)
	}
	return s
}

func (s *watching) next() (line watchLine) {
	s.t.Helper()
	text, err := s.lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &line)
	}
	if err != nil {
		s.t.Fatalf("a line of the stream %q: %v", text, err)
	}
	return line
}

// wantNext waits for the next line that is no heartbeat.
func (s *watching) wantNext(want ...string) {
	s.t.Helper()
	line := s.next()
	for len(line.Invalidations) == 0 && !line.Recheck {
		line = s.next()
	}
	var got []string
	for _, i := range line.Invalidations {
		got = append(got, i.Kind+" "+i.Value)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		s.t.Errorf("the next line (-got +want):\n%s", diff)
	}
}

func (s *watching) wantEnd() {
	s.t.Helper()
	rest, err := io.ReadAll(s.lines)
	if err != nil {
		s.t.Errorf("the stream breaks: %v", err)
	}
	for line := range strings.Lines(string(rest)) {
		if !strings.Contains(line, `"invalidations":[]`) {
			s.t.Errorf("before its end the stream says %s", line)
		}
	}
}

func (w *world) revoke(t *testing.T, kind registry.TargetKind, value string) {
	t.Helper()
	if _, err := w.registry.Revoke(t.Context(), watchAccount, "admin", registry.Target{Kind: kind, Value: value}); err != nil {
		t.Fatal(err)
	}
}

func TestInvalidationsAreStreamed(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, watchAccount)
	cluster, err := w.registry.Cluster(watchAccount, "dev")
	if err != nil {
		t.Fatal(err)
	}
	config := w.config()
	config.Gate = limit.NewGate(2, 1) // a stream takes no place of it
	server := w.serve(t, config)
	streams := []*watching{
		w.startWatching(t, server, w.agent(t, watchAccount)), w.startWatching(t, server, admin), w.startWatching(t, server, admin),
	}
	wantAll := func(want string) {
		t.Helper()
		for _, s := range streams {
			s.wantNext(want)
		}
	}
	made := w.associate(t, watchAccount)
	wantAll("serviceaccount default/app")
	w.revoke(t, registry.ByPod, cluster.ID+"/default/app-1")
	wantAll("pod default/app-1")
	if _, err := w.registry.DeleteAssociation(t.Context(), watchAccount, "dev", made.ID); err != nil {
		t.Fatal(err)
	}
	wantAll("serviceaccount default/app")

	// The node's own agent is told why it is cut off; the others go on.
	w.revoke(t, registry.ByNode, cluster.ID+"/node-1")
	wantAll("node node-1")
	streams[0].wantEnd()
	streams = streams[1:]
	w.revoke(t, registry.ByPod, cluster.ID+"/default/app-2")
	wantAll("pod default/app-2")
}

// A caller that loses its right is told nothing of what comes, but of the end of its own.
func TestAStreamEndsWithTheRightToIt(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, *world, *registry.Cluster)
		last []string
	}{
		{"the policy deleted", func(t *testing.T, w *world, _ *registry.Cluster) {
			if err := w.directory.DeletePolicy(t.Context(), directory.Roles.Named(watchAccount, "nobody"), "watch"); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"the role revoked", func(t *testing.T, w *world, _ *registry.Cluster) {
			role, err := w.directory.Role(watchAccount, "nobody")
			if err != nil {
				t.Fatal(err)
			}
			w.revoke(t, registry.ByRole, role.ID)
		}, nil},
		{"the cluster deregistered", func(t *testing.T, w *world, _ *registry.Cluster) {
			if err := w.directory.DeletePolicy(t.Context(), directory.Roles.Named(watchAccount, "nobody"), "watch"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.registry.DeregisterCluster(t.Context(), watchAccount, "dev"); err != nil {
				t.Fatal(err)
			}
		}, []string{"cluster "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.account(t, watchAccount)
			cluster, err := w.registry.Cluster(watchAccount, "dev")
			if err != nil {
				t.Fatal(err)
			}
			if err := w.directory.PutPolicy(t.Context(), directory.Roles.Named(watchAccount, "nobody"), "watch",
				`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lanyard:WatchInvalidations","Resource":"*"}}`); err != nil {
				t.Fatal(err)
			}
			s := w.startWatching(t, w.serve(t, w.config()), w.role(t, watchAccount, "nobody"))
			w.revoke(t, registry.ByPod, cluster.ID+"/default/app-1")
			s.wantNext("pod default/app-1")
			c.end(t, w, cluster)
			w.revoke(t, registry.ByPod, cluster.ID+"/default/app-2")
			if c.last != nil {
				s.wantNext(c.last...)
			}
			s.wantEnd()
		})
	}
}

func TestStreamsEndWithTheServer(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, watchAccount)
	frame := api.New(w.config(), "eks", w.doors()...)
	server := httptest.NewServer(frame)
	defer server.Close() // it would wait for the streams
	first := w.startWatching(t, server, admin)
	frame.EndStreams()
	first.wantEnd()
	w.startWatching(t, server, admin).wantEnd() // one that comes while the server stops has its first line
}
