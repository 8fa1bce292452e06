package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func refused(uid, reason string) RefusedPod {
	return RefusedPod{Namespace: "ns", Name: "pod-" + uid, UID: uid, Reason: reason}
}

// heardOf returns what a follower is told of refused pods, in words.
func heardOf(t *testing.T, f *Follower) (list []string) {
	t.Helper()
	c, err := f.Next()
	must(t, err)
	for _, p := range c.Refused {
		list = append(list, p.Namespace+"/"+p.Name+" "+p.UID+" "+p.Reason)
	}
	return list
}

// isWoken reports whether the follower is woken already.
func isWoken(f *Follower) bool {
	select {
	case <-f.Woken:
		return true
	default:
		return false
	}
}

// All who follow a cluster are told of its refused pods, each reason of a pod once a minute, and nobody else is.
func TestRefusedPodsAreTold(t *testing.T) {
	w := fresh(t)
	prod, other := w.join(t, one, "prod"), w.join(t, one, "other")
	if w.TellRefusal(prod.ID, refused("early", "no")) {
		t.Error("a refusal is kept where nobody follows")
	}
	first, second, foreign := w.Follow(prod), w.Follow(prod), w.Follow(other)
	for _, f := range []*Follower{first, second, foreign} {
		defer f.Close()
		if got := heardOf(t, f); got != nil {
			t.Errorf("at first: %q, want nothing of before", got)
		}
	}
	tell := func(p RefusedPod, want bool) {
		t.Helper()
		if got := w.TellRefusal(prod.ID, p); got != want {
			t.Errorf("telling of %s for %q: got %v", p.UID, p.Reason, got)
		}
	}
	tell(refused("a", "no association"), true)
	tell(refused("a", "no association"), false)
	tell(refused("a", "the role denies"), true) // another reason
	tell(refused("b", "no association"), true)  // another pod
	want := []string{"ns/pod-a a no association", "ns/pod-a a the role denies", "ns/pod-b b no association"}
	for _, f := range []*Follower{first, second} {
		if _, open := <-f.Woken; !open {
			t.Fatal("a follower is cut off")
		}
		if diff := cmp.Diff(want, heardOf(t, f)); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if again := heardOf(t, f); again != nil {
			t.Errorf("told again: %q", again)
		}
	}
	if isWoken(foreign) || heardOf(t, foreign) != nil {
		t.Error("another cluster's follower is told")
	}

	w.clock.pass(refusalRepeat - time.Millisecond)
	tell(refused("a", "no association"), false)
	w.clock.pass(time.Millisecond)
	tell(refused("a", "no association"), true)

	// The cluster's followers gone, nothing is kept; a new one begins anew.
	first.Close()
	second.Close()
	if len(w.followers.refusals) != 0 {
		t.Errorf("refusals of %d clusters are kept after their followers", len(w.followers.refusals))
	}
	third := w.Follow(prod)
	defer third.Close()
	tell(refused("a", "no association"), true)
}

// Followers are woken once a second; what comes meanwhile is kept for the next line.
func TestRefusalsWakeOnceASecond(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	f := w.Follow(prod)
	defer f.Close()
	heardOf(t, f)
	for i, step := range []struct {
		pass  time.Duration
		wakes bool
	}{{0, true}, {0, false}, {refusalPause - time.Millisecond, false}, {time.Millisecond, true}, {time.Millisecond, false}} {
		w.clock.pass(step.pass)
		w.TellRefusal(prod.ID, refused(fmt.Sprint("uid-", i), "no"))
		if got := isWoken(f); got != step.wakes {
			t.Errorf("refusal %d wakes: got %v, want %v", i, got, step.wakes)
		}
	}
	if got := heardOf(t, f); len(got) != 5 {
		t.Errorf("told: %q, want all five", got)
	}
}

// However many are refused, a follower that does not read costs no more than its last 64, and the memory of repetitions is
// bounded too.
func TestRefusalsAreBounded(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	f := w.Follow(prod)
	defer f.Close()
	const many = 10 * maxRefusalsKept
	for i := range many {
		if !w.TellRefusal(prod.ID, refused(fmt.Sprint(i), "no")) {
			t.Fatalf("refusal %d is not told", i)
		}
	}
	s := w.followers.refusals[prod.ID]
	if len(s.told) > maxRefusalsKept || len(s.before) > maxRefusalsKept || cap(f.refused) > 2*maxRefused {
		t.Errorf("kept: %d and %d repetitions, room for %d refusals", len(s.told), len(s.before), cap(f.refused))
	}
	if w.TellRefusal(prod.ID, refused(fmt.Sprint(many-maxRefusalsKept), "no")) {
		t.Error("one of the last thousand is told again")
	}
	got := heardOf(t, f)
	if len(got) != maxRefused || !strings.Contains(got[0], fmt.Sprint(many-maxRefused)) || !strings.Contains(got[maxRefused-1], fmt.Sprint(many-1)) {
		t.Errorf("told: %d, from %q, want the newest %d", len(got), got[:1], maxRefused)
	}

	for what, p := range map[string]RefusedPod{
		"no uid":           refused("", "no"),
		"a long uid":       refused(strings.Repeat("u", 65), "no"),
		"a long namespace": {Namespace: strings.Repeat("n", 64), Name: "p", UID: "u", Reason: "no"},
		"a long name":      {Namespace: "n", Name: strings.Repeat("p", 254), UID: "u", Reason: "no"},
	} {
		if w.TellRefusal(prod.ID, p) {
			t.Errorf("%s is told", what)
		}
	}
	w.TellRefusal(prod.ID, refused("long", "ä"+strings.Repeat("é", 3000)))
	c, err := f.Next()
	must(t, err)
	if len(c.Refused) != 1 || len(c.Refused[0].Reason) > maxReason || len(c.Refused[0].Reason) < maxReason-1 || !utf8.ValidString(c.Refused[0].Reason) {
		t.Errorf("a long reason: got %q", c.Refused)
	}
}
