package audit_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
)

// childRole makes this test binary play a process that is killed or whose disk is full.
const childRole = "LANYARD_AUDIT_TEST_CHILD"

func TestMain(m *testing.M) {
	role, dir := os.Getenv(childRole), os.Getenv(childRole+"_DIR")
	var err error
	switch role {
	case "":
		os.Exit(m.Run())
	case "endless":
		err = recordEndlessly(dir)
	case "full":
		err = recordOnFullDisk(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childRole+"="+role, childRole+"_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func record(log *audit.Log, name string, submit func(*audit.Place, context.Context) error) error {
	place, err := log.Reserve()
	if err != nil {
		return err
	}
	defer place.Release()
	place.Record(named(name))
	return submit(place, context.Background())
}

// recordEndlessly says on standard output what was acknowledged.
func recordEndlessly(dir string) error {
	log, err := audit.Open(dir, audit.Config{FileSize: 8000, Logger: quiet, Sign: sign, Writer: writer})
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- log.Run(context.Background()) }()
	var mu sync.Mutex
	for worker := range 8 {
		submit := (*audit.Place).Commit
		if worker%2 == 0 {
			submit = (*audit.Place).Write
		}
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				if err := record(log, name, submit); err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Println(name)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

func TestKilledProcessLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	acknowledged := map[string]bool{}
	for round := range 10 {
		cmd := child(t, "endless", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == 40+7*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		var killed *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &killed) || killed.Exited() {
			t.Fatalf("round %d: the child ended by itself: %v", round, err)
		}
	}
	log := start(t, dir, audit.Config{Sign: sign, Writer: writer})
	waitSealed(t, dir)
	log.stop()
	if _, err := audit.Verify(dir, log.Head()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	got, err := audit.Check(dir, audit.Trust{Head: log.Head(), Writer: writer, Key: key.Public().(ed25519.PublicKey)})
	if err != nil || got.First != 1 || got.Proven != log.Head().Seq || got.Signed == 0 {
		t.Errorf("Check = %+v, %v; want all records from 1 on, some of them signed", got, err)
	}
	for _, e := range read(t, dir) {
		delete(acknowledged, e.EventName)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged records are lost", len(acknowledged))
	}
}

// recordOnFullDisk lets the disk fill up in the middle of a line, and then have room again.
func recordOnFullDisk(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	log, err := audit.Open(dir, audit.Config{Logger: quiet})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()

	if err := record(log, "before", (*audit.Place).Commit); err != nil {
		return err
	}
	head := log.Head()
	info, err := os.Stat(filepath.Join(dir, "audit-0000000000000000001.jsonl"))
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	open := limit.Cur
	limit.Cur = uint64(info.Size()) + 100
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for _, submit := range []func(*audit.Place, context.Context) error{(*audit.Place).Commit, (*audit.Place).Write} {
		if err := record(log, "while full", submit); !fault.Is(err, fault.Unavailable) {
			return fmt.Errorf("recording on a full disk: %w, want Unavailable", err)
		}
	}
	if log.Head() != head {
		return fmt.Errorf("the head moved on a full disk: %v", log.Head())
	}
	limit.Cur = open
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	// The writer looks each second whether there is room.
	deadline := time.Now().Add(10 * time.Second)
	for err = record(log, "after", (*audit.Place).Commit); fault.Is(err, fault.Unavailable) && time.Now().Before(deadline); {
		<-time.After(20 * time.Millisecond)
		err = record(log, "after", (*audit.Place).Commit)
	}
	if err != nil {
		return fmt.Errorf("recording when the disk has room again: %w", err)
	}
	cancel()
	return errors.Join(<-ended, log.Close())
}

func TestFullDiskAcknowledgesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := child(t, "full", dir).Run(); err != nil {
		t.Fatal(err)
	}
	if head, err := audit.Verify(dir); err != nil || head.Seq != 3 {
		t.Errorf("Verify = %v, %v; want three records", head, err)
	}
	if got := names(read(t, dir)); strings.Join(got, " ") != "before Resume after" {
		t.Errorf("events %v, want those before and after the full disk, and that it was full", got)
	}
}
