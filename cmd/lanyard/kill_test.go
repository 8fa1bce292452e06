package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/dev"
)

// TestKilledWhileWriting kills the process with SIGKILL in the middle of writing, again and again. Whatever was answered
// with success is there afterwards, and a session from before the first kill is good after the last.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	const rounds, writers = 20, 4
	w := newWorld(t.TempDir() + "/dev")
	p := restart(t, &w)
	if err := w.makeRole("reader", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}}`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.makeAssociation(dev.First, "shop/web", "reader"); err != nil {
		t.Fatal(err)
	}
	if err := w.become("pod", "shop/web", nil); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]string{} // association by service account
	for round := range rounds {
		var mu sync.Mutex
		var writing sync.WaitGroup
		first := make(chan struct{}, writers)
		for writer := range writers {
			writing.Go(func() {
				for n := 0; ; n++ {
					account := fmt.Sprintf("sa-%d-%d-%d", round, writer, n)
					id, err := w.makeAssociation(dev.First, "shop/"+account, "reader")
					if err != nil {
						return // killed
					}
					mu.Lock()
					acknowledged[account] = id
					mu.Unlock()
					if n == 0 {
						first <- struct{}{}
					}
				}
			})
		}
		for range writers {
			<-first
		}
		<-time.After(rand.N(30 * time.Millisecond)) // somewhere in a write, not always at the same place
		p.kill()
		writing.Wait()
		p = restart(t, &w)
		for account, id := range acknowledged {
			if !strings.HasPrefix(account, fmt.Sprintf("sa-%d-", round)) {
				continue // found in its own round, and once more at the end
			}
			w.wantAssociation(t, account, id)
		}
		if _, err := w.send("pod", rest("s3", "GET", "/", "")); err != nil {
			t.Fatalf("round %d: a session from before: %v", round, err)
		}
	}
	for account, id := range acknowledged {
		w.wantAssociation(t, account, id)
	}
	t.Logf("%d associations were acknowledged", len(acknowledged))
	if err := p.stop(); err != nil {
		t.Errorf("stopping at last: %v\n%s", err, p.err.String())
	}
}

// restart starts the process, which finds new ports, for the world's folder.
func restart(t *testing.T, w *world) *process {
	t.Helper()
	p, err := startDev(w.dir, os.Environ(), "--empty")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	at, err := w.dir.Addresses()
	if err == nil {
		err = w.open(at.Endpoint)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) wantAssociation(t *testing.T, serviceAccount, id string) {
	t.Helper()
	body, err := w.send("administrator", rest("eks", "GET", associations+"/"+id, ""))
	if err != nil || !strings.Contains(body, `"serviceAccount":"`+serviceAccount+`"`) {
		t.Errorf("association %s of %s: got %q and error %v, want what was acknowledged", id, serviceAccount, body, err)
	}
}
