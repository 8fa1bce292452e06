package access

import (
	"fmt"
	"testing"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// BenchmarkRequest is the room's part of every request: the signature, the session, and a decision by five statements.
func BenchmarkRequest(b *testing.B) {
	w := fresh(b)
	w.Keys = sigv4.NewCache(1024)
	statements := []string{allowGet, denySecrets}
	for i := range 3 {
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-west-2:111122223333:q%d"}`, i))
	}
	must(b, w.Directory.PutPolicy(b.Context(), directory.Roles.Named(one, "app"), "p", document(statements...)))
	s := w.podSession(b)
	s.Tags = []session.Tag{{Key: "kubernetes-namespace", Value: "ns", Transitive: true}, {Key: "eks-cluster-name", Value: "prod", Transitive: true}}
	for _, bench := range []struct {
		name   string
		signer signer
	}{{"pod session", w.mint(b, s)}, {"user", byKey(w.admin)}} {
		r, sig := signed(b, bench.signer, w.clock.now())
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := w.Authenticate(r, sig, emptyHash)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Authorize(p, "s3:GetObject", "arn:aws:s3:::b/ns/x", nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
