package connector

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var (
	webhookNames = []string{"lanyard-connector.lanyard-system.svc"}
	day0         = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
)

func mustRotate(t *testing.T, g generations, now time.Time) (generations, bool) {
	t.Helper()
	g, changed, err := g.rotate(now, webhookNames)
	if err != nil {
		t.Fatal(err)
	}
	return g, changed
}

// trusted says whether who holds that bundle accepts what is served at a time.
func trusted(t *testing.T, bundle []byte, g generations, now time.Time) bool {
	t.Helper()
	pair, err := g.serving(now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: webhookNames[0], Roots: roots, CurrentTime: now})
	return err == nil
}

// TestRotation lives through a year, in steps of ten minutes around each change. An API server sees a bundle as late as ten minutes after
// it was made, a replica the Secret likewise: each replica is trusted by each API server at every moment.
func TestRotation(t *testing.T) {
	g, _ := mustRotate(t, generations{}, day0)
	late, first := g, g.Generations[0].Authority
	changes := 0
	for now := day0; now.Before(day0.AddDate(1, 0, 0)); now = now.Add(step(g, now)) {
		var changed bool
		before := g
		if g, changed = mustRotate(t, before, now); changed {
			changes++
		}
		if len(g.Generations) > 2 {
			t.Fatalf("%v: %d generations, want two at most", now, len(g.Generations))
		}
		for _, bundle := range [][]byte{g.bundle(), before.bundle(), late.bundle()} {
			for _, serves := range []generations{g, before, late} {
				if !trusted(t, bundle, serves, now) {
					t.Fatalf("%v: a replica is not trusted", now)
				}
			}
		}
		late = before
	}
	if changes != 12 { // six generations more, each made once and each dropping its predecessor once
		t.Errorf("%d changes in a year, want 12", changes)
	}
	if bytes.Contains(g.bundle(), []byte(first)) {
		t.Error("the first authority is trusted after a year")
	}
}

func step(g generations, now time.Time) time.Duration {
	if now.Sub(g.Generations[len(g.Generations)-1].Made) < 3*overlap {
		return 10 * time.Minute
	}
	return 12 * time.Hour
}

// TestWhatIsOver holds which generations are not kept, each beside the one that is.
func TestWhatIsOver(t *testing.T) {
	good, _ := mustRotate(t, generations{}, day0)
	other, _ := mustRotate(t, generations{}, day0)
	edit := func(f func(*generation)) generations {
		one := good.Generations[0]
		f(&one)
		return generations{Version: 1, Generations: []generation{one}}
	}
	tests := []struct {
		name string
		g    generations
		now  time.Time
		kept bool
	}{
		{"young", good, day0.Add(time.Hour), true},
		{"near its end", edit(func(one *generation) { one.Made = day0.Add(generationLife - renewAfter) }), day0.Add(generationLife - time.Hour), true},
		{"expired", good, day0.Add(generationLife + time.Second), false},
		{"of the future", edit(func(one *generation) { one.Made = day0.Add(time.Hour) }), day0, false},
		{"no key", edit(func(one *generation) { one.Key = "" }), day0, false},
		{"another's key", edit(func(one *generation) { one.Key = other.Generations[0].Key }), day0, false},
		{"another's authority", edit(func(one *generation) { one.Authority = other.Generations[0].Authority }), day0, false},
		{"no authority", edit(func(one *generation) { one.Authority = "x" }), day0, false},
	}
	for _, tt := range tests {
		g, changed := mustRotate(t, tt.g, tt.now)
		if changed == tt.kept || len(g.Generations) != 1 || (g.Generations[0] == tt.g.Generations[0]) != tt.kept {
			t.Errorf("%s: changed %t, want kept %t", tt.name, changed, tt.kept)
		}
		if !trusted(t, g.bundle(), g, tt.now) {
			t.Errorf("%s: what is served is not trusted", tt.name)
		}
	}
	if g, changed, err := good.rotate(day0, []string{"another.name.svc"}); err != nil || !changed || g.Generations[0] == good.Generations[0] {
		t.Errorf("for another name: changed %t, %v: want another", changed, err)
	}
}

// TestGenerationsAsText holds the Secret's value: what was written is read, and what a newer connector wrote is not
// overwritten.
func TestGenerationsAsText(t *testing.T) {
	g, _ := mustRotate(t, generations{}, day0)
	text, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeGenerations(text)
	if err != nil || got.Generations[0] != g.Generations[0] {
		t.Errorf("read %v, %v: want what was written", got, err)
	}
	if strings.Count(string(text), "PRIVATE KEY") != 2 {
		t.Error("the Secret holds more keys than the one that serves")
	}
	for name, text := range map[string]string{"newer": `{"version":2}`, "no JSON": `x`, "no version": `{"version":0}`} {
		if _, err := decodeGenerations([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got, err := decodeGenerations(nil); err != nil || len(got.Generations) != 0 {
		t.Errorf("an empty Secret: %v, %v", got, err)
	}
	if _, err := (generations{}).serving(day0); err == nil {
		t.Error("a certificate is served without any")
	}
}

// TestHold holds that a new bundle is told of, and the same one is not.
func TestHold(t *testing.T) {
	c := &Certificates{Namespace: "lanyard-system", Service: "lanyard-connector", Now: func() time.Time { return day0 }}
	if _, err := c.Certificate(&tls.ClientHelloInfo{}); err == nil {
		t.Error("a certificate before any is held")
	}
	bundle, changed := c.Bundle()
	if len(bundle) != 0 {
		t.Errorf("bundle %q before any is held", bundle)
	}
	g, _ := mustRotate(t, generations{}, day0)
	c.hold(&g)
	select {
	case <-changed:
	default:
		t.Error("the first bundle was not told of")
	}
	bundle, changed = c.Bundle()
	if !bytes.Equal(bundle, g.bundle()) {
		t.Errorf("bundle %q, want %q", bundle, g.bundle())
	}
	same := g
	c.hold(&same)
	select {
	case <-changed:
		t.Error("the same bundle was told of")
	default:
	}
}
