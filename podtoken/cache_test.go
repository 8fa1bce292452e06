package podtoken

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

func TestARememberedTokenIsTheSameToken(t *testing.T) {
	v, token := NewVerifier(1), genuine(t, "es256", goodClaims)
	first, err := v.Verify(keySet(), audience, token, now)
	if err != nil {
		t.Fatal(err)
	}
	withoutKeys := KeySet{Cluster: "c-1", Generation: 1} // proves that no key is asked any more
	second, err := v.Verify(withoutKeys, audience, token, now)
	if err != nil || second != first {
		t.Errorf("the second Verify = %p, %v, want the first one's %p", second, err, first)
	}
}

func TestARememberedTokenCountsOnlyWhereAndWhenItWasVerified(t *testing.T) {
	claims := edit(t, `"nbf":1795000000`, `"nbf":1795000050`)
	token := genuine(t, "es256", claims)
	for _, test := range []struct {
		name     string
		set      KeySet
		audience string
		now      time.Time
		want     fault.Kind
	}{
		{"another cluster", KeySet{Cluster: "c-2", Generation: 1}, audience, now, fault.BadToken},
		{"a newer key list", KeySet{Cluster: "c-1", Generation: 2}, audience, now, fault.BadToken},
		{"another audience", keySet(), "sts.amazonaws.com", now, fault.BadToken},
		{"no audience", keySet(), "", now, fault.BadToken},
		{"at its end", keySet(), audience, time.Unix(1795083000, 0), fault.ExpiredToken},
		{"more than 60 s before its start", keySet(), audience, time.Unix(1795000050-61, 0), fault.BadToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := NewVerifier(8)
			if _, err := v.Verify(keySet(), audience, token, now); err != nil {
				t.Fatal(err)
			}
			if got, err := v.Verify(test.set, test.audience, token, test.now); !fault.Is(err, test.want) {
				t.Errorf("Verify = %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestAnEmptyAudienceIsNobodys(t *testing.T) {
	token := genuine(t, "es256", edit(t, `["pods.eks.amazonaws.com"]`, `""`))
	if got, err := NewVerifier(0).Verify(keySet(), "", token, now); !fault.Is(err, fault.BadToken) {
		t.Errorf("Verify = %v, %v, want BadToken", got, err)
	}
}

func TestTheCacheForgetsWhatWasLongestUnused(t *testing.T) {
	c := newCache(2)
	key := func(id string) cacheKey { return cacheKey{cluster: id} }
	c.put(key("a"), &Token{ID: "a"})
	c.put(key("b"), &Token{ID: "b"})
	c.get(key("a"))
	c.put(key("c"), &Token{ID: "c"})
	for id, kept := range map[string]bool{"a": true, "b": false, "c": true} {
		if got := c.get(key(id)); (got != nil) != kept {
			t.Errorf("%s is remembered: %v, want %v", id, got != nil, kept)
		}
	}
	if len(c.entries) != 2 || c.used.Len() != 2 {
		t.Errorf("%d entries, %d in use order, want 2", len(c.entries), c.used.Len())
	}
	none := newCache(0)
	none.put(key("a"), &Token{})
	if none.get(key("a")) != nil {
		t.Error("a cache of size 0 remembers")
	}
}

func TestRefusedTokensAreNotRemembered(t *testing.T) {
	v, token := NewVerifier(1), genuine(t, "es256", goodClaims)
	if _, err := v.Verify(keySet(), audience, token, now); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := v.Verify(keySet(), audience, genuine(t, "es256", "{}"), now); !fault.Is(err, fault.BadToken) {
			t.Fatalf("Verify = %v, want BadToken", err)
		}
	}
	if _, err := v.Verify(KeySet{Cluster: "c-1", Generation: 1}, audience, token, now); err != nil {
		t.Errorf("bad tokens pushed the good one out: %v", err)
	}
}

func TestVerifyByManyAtOnce(t *testing.T) {
	v, set := NewVerifier(3), keySet()
	var tokens []string
	for i := range 6 {
		tokens = append(tokens, genuine(t, "es256", edit(t, `"5f2d0c4e"`, `"id-`+strconv.Itoa(i)+`"`)))
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				n := (i + j) % len(tokens)
				got, err := v.Verify(set, audience, tokens[n], now)
				if err != nil || got.ID != "id-"+strconv.Itoa(n) {
					t.Errorf("Verify of token %d = %v, %v", n, got, err)
				}
			}
		})
	}
	wg.Wait()
}
