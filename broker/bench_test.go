package broker

import (
	"testing"

	"github.com/openlanyard/lanyard/podtoken"
)

// BenchmarkForPod is the room's part of a credential request, for a token that was never seen and for one that was, both
// RS256 as most clusters sign.
func BenchmarkForPod(b *testing.B) {
	w := fresh(b)
	s := rsaSigner(b, "k1")
	c := w.join(b, one, "prod", s, true)
	w.associate(b, c, "default", "app", w.role(b, one, "app", ""))
	agent, token := w.agent(b, c, "node"), w.podToken(b, s, "node")
	for _, bench := range []struct {
		name   string
		memory int // how many tokens are remembered
	}{{"never seen", 0}, {"seen", 1}} {
		b.Run(bench.name, func(b *testing.B) {
			w.Verifier = podtoken.NewVerifier(bench.memory)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.ForPod(b.Context(), agent, "prod", token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
