package audit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/audit"
)

const writer = "server"

// key stands for one that is kept outside of the folder.
var key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

func sign(_ context.Context, digest []byte) ([]byte, error) {
	if of, err := audit.DigestWriter(digest); err != nil || of != writer {
		return nil, fmt.Errorf("asked to sign a digest of %q (%w)", of, err)
	}
	return ed25519.Sign(key, digest), nil
}

func trust(head audit.Head) audit.Trust {
	return audit.Trust{Head: head, Writer: writer, Key: key.Public().(ed25519.PublicKey)}
}

// eventually waits for what a log does beside its writer.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// waitSealed waits until every segment but the last has its digest and is packed.
func waitSealed(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "sealing", func() bool {
		plain, _ := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
		packed, _ := filepath.Glob(filepath.Join(dir, "audit-*.gz"))
		digests, _ := filepath.Glob(filepath.Join(dir, "digest-*.json"))
		return len(plain) == 1 && len(packed) == len(digests)
	})
}

// sealed makes a log of twelve records in segments of two, of which all but the last are sealed.
func sealed(t *testing.T, dir string) audit.Head {
	t.Helper()
	log := start(t, dir, audit.Config{FileSize: 900, Sign: sign, Writer: writer})
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"} {
		commit(t, log.Log, named(name))
	}
	waitSealed(t, dir)
	log.stop()
	if n := len(chainFiles(t, dir)); n < 4 {
		t.Fatalf("%d segments, want at least 4", n)
	}
	return log.Head()
}

// repack rewrites the lines of a packed segment.
func repack(t *testing.T, name string, change func(lines [][]byte) [][]byte) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	from, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(from)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	to := gzip.NewWriter(&out)
	_, err = to.Write(bytes.Join(change(bytes.SplitAfter(text, []byte("\n"))), nil))
	if err := errors.Join(err, to.Close(), os.WriteFile(name, out.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func flip(l [][]byte) [][]byte {
	l[0] = bytes.Replace(l[0], []byte("eks."), []byte("sts."), 1)
	return l
}

func TestSealedSegmentsAreReadAsBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	head := sealed(t, dir)
	got, err := audit.Check(dir, trust(head))
	if err != nil || got.First != 1 || got.Last != head || got.Proven != head.Seq || got.Signed < 8 || got.Signed >= head.Seq {
		t.Errorf("Check = %+v, %v; want records 1 to 12 with all but the last segment signed", got, err)
	}
	if got := strings.Join(names(read(t, dir)), ""); got != "ABCDEFGHIJKL" {
		t.Errorf("Read: got %s", got)
	}
	if got := found(t, dir, audit.Query{}, 5); got != "LKJIHGFEDCBA" {
		t.Errorf("Find: got %s", got)
	}
	log := start(t, dir, audit.Config{FileSize: 900, Sign: sign, Writer: writer, Known: head})
	commit(t, log.Log, named("M"))
	commit(t, log.Log, named("N"))
	waitSealed(t, dir)
	log.stop()
	if got := strings.Join(names(read(t, dir)), ""); got != "ABCDEFGHIJKLMN" {
		t.Errorf("after another start: got %s", got)
	}
	if got, err := audit.Check(dir, trust(log.Head())); err != nil || got.Last.Seq != 14 {
		t.Errorf("Check after another start = %+v, %v", got, err)
	}
}

// TestDigestsAreFoundInAnyFolder: a name with brackets is a pattern to who looks for files by one.
func TestDigestsAreFoundInAnyFolder(t *testing.T) {
	made := filepath.Join(t.TempDir(), "audit")
	head := sealed(t, made)
	dir := filepath.Join(t.TempDir(), "copy [1]*")
	if err := os.Rename(made, dir); err != nil {
		t.Fatal(err)
	}
	if got, err := audit.Check(dir, trust(head)); err != nil || got.Signed < 8 {
		t.Errorf("Check = %+v, %v; want all but the last segment signed", got, err)
	}
	left := filepath.Join(dir, "digest-1.json.new")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir, audit.Config{Sign: sign, Writer: writer}).stop()
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}

func TestReadGoesOnFromAMark(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	sealed(t, dir)
	for size := 1; size < 14; size++ {
		var all strings.Builder
		var at audit.Mark
		for more := true; more; {
			n := 0
			next, err := audit.Read(t.Context(), dir, at, func(f audit.Found) bool {
				_, rest, _ := strings.Cut(string(f.Text), `"eventName":"`)
				all.WriteString(rest[:1])
				n++
				return n < size
			})
			if err != nil {
				t.Fatal(err)
			}
			at, more = next, n == size
		}
		if all.String() != "ABCDEFGHIJKL" {
			t.Errorf("%d at a time: got %s", size, all.String())
		}
	}
}

// resign makes all digests anew from what is in the folder, as a thief with a key would.
func resign(t *testing.T, dir, as string, with ed25519.PrivateKey) {
	t.Helper()
	digests, err := filepath.Glob(filepath.Join(dir, "digest-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range digests {
		remove(t, name)
	}
	log := start(t, dir, audit.Config{FileSize: 900, Writer: as, Sign: func(_ context.Context, digest []byte) ([]byte, error) {
		return ed25519.Sign(with, digest), nil
	}})
	waitSealed(t, dir)
	log.stop()
}

var thief = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))

var tampering = []struct {
	name   string
	spoil  func(t *testing.T, dir string, segments, digests []string)
	errors string // empty: accepted
}{
	{"untouched", func(*testing.T, string, []string, []string) {}, ""},
	{"packed again", func(t *testing.T, _ string, s, _ []string) {
		repack(t, s[1], func(l [][]byte) [][]byte { return l })
	}, ""},
	{"a flip", func(t *testing.T, _ string, s, _ []string) { repack(t, s[1], flip) }, "line 2: record 3 was changed after record 4 was written"},
	{"a flip of packed bytes", func(t *testing.T, _ string, s, _ []string) {
		text, err := os.ReadFile(s[1])
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 1
		if err := os.WriteFile(s[1], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}, "record"},
	{"a drop", func(t *testing.T, _ string, s, _ []string) {
		repack(t, s[1], func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) })
	}, "is not the segment that digest-0000000000000000003.json vouches for: one of the records 3 to 4"},
	{"a reordering", func(t *testing.T, _ string, s, _ []string) {
		repack(t, s[1], func(l [][]byte) [][]byte {
			l[0], l[1] = l[1], l[0]
			return l
		})
	}, "line 1: record 4 follows record 2"},
	{"a segment dropped", func(t *testing.T, _ string, s, _ []string) { remove(t, s[1]) }, "stands where audit-0000000000000000003.jsonl should"},
	{"a segment dropped with its digest", func(t *testing.T, _ string, s, d []string) {
		remove(t, s[1])
		remove(t, d[1])
	}, "stands where"},
	{"a digest dropped", func(t *testing.T, _ string, _, d []string) { remove(t, d[1]) }, "digest-0000000000000000005.json, of records 5 to 6, is not to be trusted: it does not follow"},
	{"a digest dropped while it is looked for", func(t *testing.T, _ string, _, d []string) {
		remove(t, d[1])
		vanishing(t, d[1])
	}, "digest-0000000000000000005.json, of records 5 to 6, is not to be trusted: it does not follow"},
	{"a signature dropped", func(t *testing.T, _ string, _, d []string) {
		remove(t, strings.TrimSuffix(d[1], ".json")+".sig")
	}, "reading a digest of the audit log"},
	{"two digests exchanged", func(t *testing.T, _ string, _, d []string) {
		for _, move := range [][2]string{{d[0], "x"}, {d[1], d[0]}, {"x", d[1]}} {
			if move[0] == "x" {
				move[0] = d[0] + "x"
			}
			if move[1] == "x" {
				move[1] = d[0] + "x"
			}
			if err := os.Rename(move[0], move[1]); err != nil {
				t.Fatal(err)
			}
		}
	}, "is not to be trusted"},
	{"a digest changed", func(t *testing.T, _ string, _, d []string) {
		edit(t, d[1], func(l [][]byte) [][]byte {
			return [][]byte{bytes.Replace(bytes.Join(l, nil), []byte(`"oldestRecord": 1`), []byte(`"oldestRecord": 3`), 1)}
		})
	}, "digest-0000000000000000003.json, of records 3 to 4, is not to be trusted: its signature"},
	{"the first segment dropped with its digest, as if by retention", func(t *testing.T, _ string, s, d []string) {
		remove(t, s[0])
		remove(t, d[0])
	}, "the files before it are missing, from record 1 on"},
	{"a segment replaced with its digest", func(t *testing.T, dir string, s, _ []string) {
		repack(t, s[1], flip)
		rechainPacked(t, s)
		resign(t, dir, writer, thief)
	}, "digest-0000000000000000001.json, of records 1 to 2, is not to be trusted: its signature"},
	{"a segment replaced with the digest of another writer", func(t *testing.T, dir string, s, _ []string) {
		repack(t, s[1], flip)
		rechainPacked(t, s)
		resign(t, dir, "gateway/1/mine", key)
	}, `it is of "gateway/1/mine"`},
	{"a segment replaced by who has the key, too", func(t *testing.T, dir string, s, _ []string) {
		repack(t, s[1], flip)
		rechainPacked(t, s)
		resign(t, dir, writer, key)
	}, "record 12 of the audit log is not the one"},
	{"the tail cut", func(t *testing.T, dir string, s, d []string) {
		for _, name := range append(slices.Clone(s[3:]), d[3:]...) {
			remove(t, name)
		}
	}, "records 7 to 12 of the audit log are missing"},
	{"all of it", func(t *testing.T, dir string, s, d []string) {
		for _, name := range s {
			remove(t, name)
		}
	}, "records 1 to 12 of the audit log are missing"},
}

// vanishing makes a name that is listed, of a file that is gone when it is opened.
func vanishing(t *testing.T, name string) {
	t.Helper()
	if err := os.Symlink(name+"-gone", name); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFindsTamperingWithWhatIsSealed(t *testing.T) {
	for _, tt := range tampering {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			head := sealed(t, dir)
			digests, err := filepath.Glob(filepath.Join(dir, "digest-*.json"))
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, dir, chainFiles(t, dir), digests)
			got, err := audit.Check(dir, trust(head))
			switch {
			case tt.errors == "" && err != nil:
				t.Errorf("Check: %v", err)
			case tt.errors != "" && (err == nil || !strings.Contains(err.Error(), tt.errors)):
				t.Errorf("Check = %+v, %v; want an error with %q", got, err, tt.errors)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "audit")
	if got, err := audit.Check(dir+"x", audit.Trust{}); err == nil {
		t.Errorf("Check of no folder = %+v", got)
	}
	head := sealed(t, dir)
	if got, err := audit.Check(dir, audit.Trust{Head: head, Writer: writer}); err == nil || !strings.Contains(err.Error(), "the key of digests is not known") {
		t.Errorf("Check without the key = %+v, %v", got, err)
	}
}

// rechainPacked is rechain for a log whose last segment alone is not packed.
func rechainPacked(t *testing.T, segments []string) {
	t.Helper()
	for _, name := range segments[:len(segments)-1] {
		text := unpack(t, name)
		remove(t, name)
		if err := os.WriteFile(strings.TrimSuffix(name, ".gz"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rechain(t, chainFiles(t, filepath.Dir(segments[0])))
}

func unpack(t *testing.T, name string) (text []byte) {
	t.Helper()
	repack(t, name, func(lines [][]byte) [][]byte {
		text = bytes.Join(lines, nil)
		return lines
	})
	return text
}

func TestRetention(t *testing.T) {
	for _, tt := range []struct {
		name      string
		keep      time.Duration
		delivered int64
		oldest    int64 // the first record that stays
	}{
		{"off", 0, 1 << 40, 1},
		{"not long enough", 48 * time.Hour, 1 << 40, 1},
		{"all that was sealed", 24 * time.Hour, 1 << 40, 11},
		{"not what is undelivered", 24 * time.Hour, 5, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			var passed atomic.Int64
			config := audit.Config{
				FileSize: 900, Sign: sign, Writer: writer, Keep: tt.keep, Delivered: func() int64 { return tt.delivered },
				Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) },
			}
			log := start(t, dir, config)
			for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"} {
				commit(t, log.Log, named(name))
			}
			waitSealed(t, dir)
			passed.Store(int64(25 * time.Hour)) // and so the hour of the last segment is over
			waitSealed(t, dir)
			first := func() int64 {
				var seq int64
				if _, err := fmt.Sscanf(filepath.Base(chainFiles(t, dir)[0]), "audit-%d", &seq); err != nil {
					t.Fatal(err)
				}
				return seq
			}
			commit(t, log.Log, named("M"))
			eventually(t, fmt.Sprintf("the log begins with record %d", tt.oldest), func() bool { return first() == tt.oldest })
			waitSealed(t, dir)
			log.stop()
			if got := first(); got != tt.oldest {
				t.Errorf("the log begins with record %d, want %d", got, tt.oldest)
			}
			got, err := audit.Check(dir, trust(log.Head()))
			if err != nil || got.First != tt.oldest || got.Last.Seq != 13 {
				t.Errorf("Check = %+v, %v; want records %d to 13", got, err, tt.oldest)
			}
			if tt.oldest > 1 {
				vanishing(t, filepath.Join(dir, "digest-0000000000000000001.json"))
				if got, err := audit.Check(dir, trust(log.Head())); err != nil || got.First != tt.oldest {
					t.Errorf("Check while retention removes = %+v, %v; want records %d to 13", got, err, tt.oldest)
				}
			}
			remove(t, chainFiles(t, dir)[0])
			if got, err := audit.Check(dir, trust(log.Head())); err == nil {
				t.Errorf("Check without the first segment = %+v, want an error", got)
			}
		})
	}
}

func TestWhatCannotBeSignedStaysInTheChain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log := start(t, dir, audit.Config{FileSize: 900, Writer: writer, Sign: func(context.Context, []byte) ([]byte, error) {
		return nil, errors.New("the server is away")
	}})
	for range 9 {
		commit(t, log.Log, named("A"))
	}
	log.stop()
	if got, err := audit.Check(dir, trust(log.Head())); err != nil || got.Proven != 9 || got.Signed != 0 {
		t.Errorf("Check = %+v, %v; want nine records and none signed", got, err)
	}
	log = start(t, dir, audit.Config{FileSize: 900, Writer: writer, Sign: sign})
	waitSealed(t, dir)
	log.stop()
	if got, err := audit.Check(dir, trust(log.Head())); err != nil || got.Signed < 6 {
		t.Errorf("Check once the server is back = %+v, %v; want signed records", got, err)
	}
}
