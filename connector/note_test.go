package connector

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// events counts what is made of Events, by their text.
type events struct {
	mu   sync.Mutex
	made []string
}

func (e *events) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made = append(e.made, string(body))
	return &http.Response{
		StatusCode: http.StatusCreated, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(body))),
	}, nil
}

func (e *events) count() int { return len(e.all()) }

func (e *events) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.made)
}

// inBubble runs notes on a clock of its own.
func inBubble(t *testing.T, pace *rate.Limiter, test func(*notes, *events)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		made := &events{}
		client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://kube.example", Transport: made, QPS: -1})
		if err != nil {
			t.Fatal(err)
		}
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		uid := func(_, name string) (types.UID, bool) {
			if name == "never" {
				return "", false
			}
			return types.UID("uid-" + name), true
		}
		n := newNotes(client.EventsV1(), "connector-0", uid, pace, discardLog(), m)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() { n.run(ctx); close(ended) }()
		test(n, made)
		stop()
		<-ended
	})
}

func about(name string) note {
	return note{Pod: Pod{Namespace: "default", Name: name}, reason: "PodIdentityUnknown", message: "A sentence about " + name + "."}
}

// One reason about one pod is told once in five minutes, and another pod's at once.
func TestANoteIsNotRepeated(t *testing.T) {
	inBubble(t, notesPace(), func(n *notes, made *events) {
		for range 100 {
			n.put(about("app"))
			time.Sleep(2 * time.Second)
		}
		if got := made.count(); got != 1 {
			t.Errorf("a hundred notes in 200 s made %d Events, want 1", got)
		}
		n.put(about("other"))
		time.Sleep(time.Second)
		if got := made.count(); got != 2 {
			t.Errorf("another pod's note made %d Events in all, want 2", got)
		}
		time.Sleep(noteRepeat)
		n.put(about("app"))
		time.Sleep(time.Second)
		if got := made.count(); got != 3 {
			t.Errorf("after five minutes there are %d Events, want 3", got)
		}
	})
}

// Fifty at once, then five a second: pods that come and fail by the thousand do not fill etcd, and admissions do not wait.
func TestNotesHaveAPace(t *testing.T) {
	inBubble(t, notesPace(), func(n *notes, made *events) {
		start := time.Now()
		for i := range 1000 {
			n.put(about(fmt.Sprintf("pod-%d", i)))
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("handing in notes took %s", waited)
		}
		time.Sleep(time.Second)
		if got := made.count(); got < 50 || got > 56 {
			t.Errorf("after a second there are %d Events, want 50 to 56", got)
		}
		time.Sleep(10 * time.Second)
		if got := made.count(); got < 95 || got > 106 {
			t.Errorf("after 11 s there are %d Events, want 50 and five a second", got)
		}
		time.Sleep(time.Hour)
		if got := made.count(); got > notesWaiting+60 || got < notesWaiting {
			t.Errorf("of a thousand at once %d became Events, want those that fit in the queue of %d", got, notesWaiting)
		}
	})
}

// A Deployment whose pods are made again and again has its one Event, and takes none from the others.
func TestALoopingOwnerLeavesOthersTheirEvents(t *testing.T) {
	inBubble(t, notesPace(), func(n *notes, made *events) {
		w, err := NewWebhook(WebhookConfig{Event: (&Connector{notes: n}).note})
		if err != nil {
			t.Fatal(err)
		}
		doubt := func(owner string) {
			v, err := readReview(question("web", `"o-1"`, `"`+owner+`"`))
			if err != nil {
				t.Fatal(err)
			}
			w.doubt(&v, errBroken)
		}
		for range 1000 {
			doubt("o-looping")
		}
		doubt("o-other")
		time.Sleep(time.Second)
		got := strings.Join(made.all(), "\n")
		if made.count() != 2 || strings.Count(got, "o-looping") != 1 || strings.Count(got, "o-other") != 1 {
			t.Errorf("a thousand pods of one owner and one of another made %d Events, want one each:\n%s", made.count(), got)
		}
	})
}

// A pod that never comes gets its Event as well, later and without a uid.
func TestAPodThatNeverComesIsToldOf(t *testing.T) {
	inBubble(t, notesPace(), func(n *notes, made *events) {
		n.put(about("never"))
		n.put(about("app"))
		time.Sleep(notePatience - time.Second)
		if got := made.all(); len(got) != 1 || !strings.Contains(got[0], "uid-app") {
			t.Errorf("before the patience ends there are %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := made.all(); len(got) != 2 || strings.Contains(got[1], "uid-never") || !strings.Contains(got[1], "A sentence about never.") {
			t.Errorf("after it there are %q", got)
		}
	})
}
