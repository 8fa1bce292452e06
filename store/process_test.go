package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/openlanyard/lanyard/fault"
)

// childVariable makes the test binary be another program: a writer to a folder, or an etcd server.
const childVariable = "LANYARD_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childVariable) {
	case "writer":
		err = runWriter(os.Args[1], os.Args[2])
	case "etcd":
		err = runEtcd(os.Args[1])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// child is another process of the test binary; lines are what it prints.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startChild(t testing.TB, role string, args ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"="+role)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd, bufio.NewScanner(out)}
	t.Cleanup(c.kill)
	return c
}

// kill ends the process as a power cut would, and waits for it.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // may be dead already
	_ = c.cmd.Wait()         // reports the kill
}

// line returns the child's next line as words, the first of which must be want.
func (c *child) line(t testing.TB, want string) []string {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("the child ended before it said %q: %v", want, c.lines.Err())
	}
	words := strings.Fields(c.lines.Text())
	if words[0] != want {
		t.Fatalf("the child says %q, want %q", c.lines.Text(), want)
	}
	return words[1:]
}

// runWriter says how many records the folder has and what its counter says, then adds records for ever, and says
// each number once it is acknowledged.
func runWriter(dir, keyFile string) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	key, err := ParseMasterKey(text)
	if err != nil {
		return err
	}
	ctx := context.Background()
	s, err := Open(ctx, Config{Dir: dir, MasterKey: key})
	if err != nil {
		return err
	}
	book := declare(s)
	if err := s.Start(ctx); err != nil {
		return err
	}
	last := 0
	if n, ok, err := book.notes.Get("counter"); err != nil {
		return err
	} else if ok {
		last = n.N
	}
	fmt.Println("has", book.notes.Count("n/"), last)
	for {
		last++
		err := s.Update(ctx, func(tx *Tx) error {
			return errors.Join(
				book.notes.Put(tx, fmt.Sprintf("n/%d", last), &note{N: last}),
				book.notes.Put(tx, "counter", &note{N: last}),
			)
		})
		if err != nil {
			return err
		}
		fmt.Println("wrote", last)
	}
}

func number(t testing.TB, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Fifty times a writer is killed in the middle of its writes; what it has said to be written is there the next time,
// and no transaction is there by half.
func TestNoAcknowledgedWriteIsLost(t *testing.T) {
	dir := folder(t)
	keyFile := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(keyFile, NewMasterKey().Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for round := range 50 {
		writer := startChild(t, "writer", dir, keyFile)
		said := writer.line(t, "has")
		count, counter := number(t, said[0]), number(t, said[1])
		// One more may have been written whose acknowledgement nobody has read; more were in the pipe.
		if count != counter || counter < acknowledged {
			t.Fatalf("round %d: got %d records and counter %d, want both at least %d", round, count, counter, acknowledged)
		}
		for range 1 + round%9 {
			acknowledged = number(t, writer.line(t, "wrote")[0])
		}
		if round == 0 {
			_, err := Open(t.Context(), Config{Dir: dir, MasterKey: NewMasterKey()})
			pid := fmt.Sprintf("pid %d", writer.cmd.Process.Pid)
			if !fault.Is(err, fault.BadState) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), pid) {
				t.Errorf("second process: got %v, want BadState with %s and %s", err, dir, pid)
			}
		}
		_ = writer.cmd.Process.Kill()
		for writer.lines.Scan() { // what it had said before it died, which nobody can read once it is waited for
			acknowledged = number(t, strings.Fields(writer.lines.Text())[1])
		}
		writer.kill()
	}
}

// runEtcd serves etcd on a loopback port and says its address. It ends when it is killed.
func runEtcd(dir string) error {
	config := embed.NewConfig()
	config.Dir = dir
	config.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenPeerUrls = nil
	config.TickMs, config.ElectionMs = 10, 100
	config.LogLevel = "fatal"
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	<-server.Server.ReadyNotify()
	fmt.Println("address", server.Clients[0].Addr())
	return <-server.Err()
}

// TestFirstStartIsRepeated stops the first start of a folder while etcd begins in it. The next one is not held up by what
// it left.
func TestFirstStartIsRepeated(t *testing.T) {
	for _, step := range []string{"etcd", "etcd/member/snap/db", "etcd/member/wal"} {
		t.Run(step, func(t *testing.T) {
			dir := folder(t)
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				for ctx.Err() == nil {
					if _, err := os.Stat(filepath.Join(dir, step)); err == nil {
						stop()
					}
				}
			}()
			first, err := Open(ctx, Config{Dir: dir, MasterKey: NewMasterKey()})
			if err == nil {
				err = first.Close()
			} else if errors.Is(err, context.Canceled) {
				err = nil
			}
			if err != nil {
				t.Fatal(err)
			}
			stop()
			limited, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			again, err := Open(limited, Config{Dir: dir, MasterKey: NewMasterKey()})
			if err != nil {
				t.Fatalf("opening again: %v", err)
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
