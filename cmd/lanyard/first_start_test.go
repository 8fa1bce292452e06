package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openlanyard/lanyard/dev"
)

// TestFirstStartIsCutShort ends the first start at each of its steps, by kill -9 and by ctrl-C. The next start finishes
// what is missing, does the walk-through and tells it.
func TestFirstStartIsCutShort(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		"master.key", "state/etcd", "state/etcd/member/wal", "administrator.json", "addresses.json", "clusters/dev.json",
		"s3/objects/infra-lower-c65432gh", "s3/objects/eks-charts-manifest-67565rr", "clusters/dev.agent.token",
	} {
		t.Run(strings.ReplaceAll(step, "/", "."), func(t *testing.T) {
			for _, signal := range []os.Signal{syscall.SIGKILL, os.Interrupt} {
				dir := dev.Dir(filepath.Join(t.TempDir(), "dev"))
				p, err := launchDev(dir, os.Environ(), func(*process) bool {
					_, err := os.Stat(filepath.Join(string(dir), step))
					return err == nil
				})
				if err != nil {
					t.Fatalf("waiting for %s: %v", step, err)
				}
				early := !dir.Started()
				if err := p.cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				<-p.ended
				// The walk-through's own request may be logged as one whose client went away.
				if signal == os.Interrupt && (p.status != nil || strings.Contains(p.err.String(), "lanyard: ")) {
					t.Errorf("ctrl-C: got %v and %q, want a clean end", p.status, p.err.String())
				}
				early = early && !dir.Started()
				again, err := startDev(dir, os.Environ())
				if err != nil {
					t.Fatalf("starting again after %v: %v", signal, err)
				}
				if told := strings.Contains(again.out.String(), "infra-lower-c65432gh\n"); told != early {
					t.Errorf("starting again after %v: the walk-through was told: %v, was missing: %v\n%s", signal, told, early, again.out.String())
				}
				if err := again.stop(); err != nil {
					t.Errorf("stopping after %v: %v", signal, err)
				}
			}
		})
	}
}
