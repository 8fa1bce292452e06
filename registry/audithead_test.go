package registry

import (
	"fmt"
	"testing"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// Who may report for gateways by any name fills nobody's state with heads, and those that are known go on.
func TestAuditHeadsAreBounded(t *testing.T) {
	w := fresh(t)
	for n := 0; n < maxWriters; {
		must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
			for range 100 {
				if err := w.auditHeads.Put(tx, string(GatewayWriter(one, fmt.Sprintf("gw-%d", n))), AuditHead{Seq: 1}); err != nil {
					return err
				}
				n++
			}
			return nil
		}))
	}
	if err := w.PutAuditHead(t.Context(), GatewayWriter(one, "new"), AuditHead{Seq: 1}); !fault.Is(err, fault.Limit) {
		t.Errorf("one more: got %v, want Limit", err)
	}
	must(t, w.PutAuditHead(t.Context(), GatewayWriter(one, "gw-7"), AuditHead{Seq: 2}))
	must(t, w.PutAuditHead(t.Context(), GatewayWriter(two, "new"), AuditHead{Seq: 1}))
	must(t, w.PutAuditHead(t.Context(), Server, AuditHead{Seq: 1}))
}
