package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

func TestCacheAnswersWhatOpenDoes(t *testing.T) {
	cache, credentials := NewCache(8, itself), mint(t, podSession())
	first, err := cache.Open(ring(), credentials.AccessKeyID, credentials.SessionToken, issued)
	if err != nil {
		t.Fatal(err)
	}
	again, err := cache.Open(Ring{}, credentials.AccessKeyID, credentials.SessionToken, issued)
	if err != nil || again != first {
		t.Errorf("the second Open = %p, %v; want the remembered %p", again, err, first)
	}
	other := mint(t, podSession())
	for name, refused := range map[string][2]string{
		"the key id of another session":                    {other.AccessKeyID, credentials.SessionToken},
		"the token of another session":                     {credentials.AccessKeyID, other.SessionToken},
		"a key id that ends with the beginning of a token": {credentials.AccessKeyID + credentials.SessionToken[:1], credentials.SessionToken[1:]},
	} {
		if s, err := cache.Open(ring(), refused[0], refused[1], issued); !fault.Is(err, fault.UnknownKey) {
			t.Errorf("%s: Open = %v, %v; want UnknownKey", name, s, err)
		}
	}
}

func TestCacheForgetsAKeyThatWasTakenAway(t *testing.T) {
	cache, credentials := NewCache(8, itself), mint(t, podSession())
	open := func(r Ring, at time.Duration) error {
		_, err := cache.Open(r, credentials.AccessKeyID, credentials.SessionToken, issued.Add(at))
		return err
	}
	if err := open(ring(), 0); err != nil {
		t.Fatal(err)
	}
	none := Ring{Account: func(string, KeyID) (Key, bool, error) { return Key{}, false, nil }}
	for at := time.Duration(0); at <= 3*generation; at += 10 * time.Second {
		_ = open(none, at) // in use all the time
	}
	if err := open(none, 3*generation); !fault.Is(err, fault.UnknownKey) {
		t.Errorf("Open with a key that is gone = %v, want UnknownKey", err)
	}
	if err := open(ring(), 4*generation); err != nil {
		t.Fatal(err)
	}
	if err := open(none, 30*generation); !fault.Is(err, fault.UnknownKey) {
		t.Errorf("Open after a long rest = %v, want UnknownKey", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	cache := NewCache(4, itself)
	for i := range 100 {
		s := podSession()
		s.Name = fmt.Sprintf("session-%d", i)
		c := mint(t, s)
		if _, err := cache.Open(ring(), c.AccessKeyID, c.SessionToken, issued); err != nil {
			t.Fatal(err)
		}
		if n := len(cache.young) + len(cache.old); n > 4 {
			t.Fatalf("%d sessions are held, want at most 4", n)
		}
	}
}

func BenchmarkCacheOpen(b *testing.B) {
	cache, credentials := NewCache(8, itself), mint(b, podSession())
	for b.Loop() {
		if _, err := cache.Open(ring(), credentials.AccessKeyID, credentials.SessionToken, issued); err != nil {
			b.Fatal(err)
		}
	}
}

// itself is what a cache makes of a session that remembers nothing more of it.
func itself(s *Session) *Session { return s }
