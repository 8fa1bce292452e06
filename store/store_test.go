package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

// note is the record of these tests.
type note struct {
	Owner  string
	Text   string
	Secret string
	N      int
}

type noteV1 struct {
	Owner  string `json:"owner"`
	Text   string `json:"text"`
	Secret []byte `json:"secret,omitempty"`
	N      int    `json:"n"`
}

var noteCodec = Codec[*note]{
	Version: 1,
	Encode: func(s *Sealer, key string, n *note) ([]byte, error) {
		r := noteV1{Owner: n.Owner, Text: n.Text, N: n.N}
		if n.Secret != "" {
			r.Secret = s.Seal(key+"/secret", []byte(n.Secret))
		}
		return json.Marshal(r)
	},
	Decode: func(s *Sealer, key string, _ int, data []byte) (*note, error) {
		var r noteV1
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, err
		}
		n := &note{Owner: r.Owner, Text: r.Text, N: r.N}
		if r.Secret != nil {
			secret, err := s.Open(key+"/secret", r.Secret)
			if err != nil {
				return nil, err
			}
			n.Secret = string(secret)
		}
		return n, nil
	},
}

// notebook is a store with one table and one index.
type notebook struct {
	*Store
	notes   *Table[*note]
	byOwner *Index[*note]
}

func declare(s *Store) *notebook {
	notes := NewTable(s, "note", noteCodec)
	return &notebook{s, notes, NewIndex(notes, func(_ string, n *note) []string { return []string{n.Owner} })}
}

// open starts a notebook in the folder and closes it with the test.
func open(t testing.TB, config Config) *notebook {
	t.Helper()
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	book := declare(s)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(errors.Join(err, s.Close()))
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return book
}

func fresh(t testing.TB) *notebook {
	t.Helper()
	return open(t, Config{Dir: folder(t), MasterKey: NewMasterKey()})
}

// folder returns a path for a store: the testing package's own folders are readable by others.
func folder(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }

func (b *notebook) put(t testing.TB, key string, n *note) {
	t.Helper()
	if err := b.Update(t.Context(), func(tx *Tx) error { return b.notes.Put(tx, key, n) }); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func (b *notebook) remove(t testing.TB, key string) {
	t.Helper()
	if err := b.Update(t.Context(), func(tx *Tx) error { return b.notes.Delete(tx, key) }); err != nil {
		t.Fatalf("delete %s: %v", key, err)
	}
}

// has fails the test unless the copy has the record, or lacks it.
func (b *notebook) has(t testing.TB, key string, want bool) {
	t.Helper()
	_, got, err := b.notes.Get(key)
	if err != nil || got != want {
		t.Fatalf("Get(%q): got %v, %v, want %v", key, got, err, want)
	}
}

func TestRecordsOutliveTheProcess(t *testing.T) {
	config := Config{Dir: folder(t), MasterKey: NewMasterKey()}
	book := open(t, config)
	epoch := book.Epoch()
	want := &note{Owner: "ann", Text: "hello", Secret: "hidden", N: 7}
	book.put(t, "a/1", want)
	book.put(t, "a/2", want)
	book.remove(t, "a/2")
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	if err := book.Ready(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Ready after Close: got %v, want Unavailable", err)
	}

	again := open(t, config)
	got, ok, err := again.notes.Get("a/1")
	if err != nil || !ok {
		t.Fatalf("Get: got %v, %v", ok, err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got - want +\n%s", diff)
	}
	again.has(t, "a/2", false)
	if again.Epoch() != epoch || epoch == "" {
		t.Errorf("epoch: got %q, want %q", again.Epoch(), epoch)
	}
	if err := again.Ready(); err != nil {
		t.Errorf("Ready: got %v, want nil", err)
	}
	if got := again.Age(); got != 0 {
		t.Errorf("Age of the sole member: got %v, want 0", got)
	}
}

func TestList(t *testing.T) {
	book := fresh(t)
	for _, key := range []string{"b", "a/3", "a/1", "a/2", "a0"} {
		book.put(t, key, &note{Text: key})
	}
	tests := []struct {
		name, prefix, after string
		limit               int
		want                []string
	}{
		{name: "everything", want: []string{"a/1", "a/2", "a/3", "a0", "b"}},
		{name: "prefix", prefix: "a/", want: []string{"a/1", "a/2", "a/3"}},
		{name: "first page", prefix: "a/", limit: 2, want: []string{"a/1", "a/2"}},
		{name: "second page", prefix: "a/", after: "a/2", limit: 2, want: []string{"a/3"}},
		{name: "after a key that is gone", prefix: "a/", after: "a/15", want: []string{"a/2", "a/3"}},
		{name: "after the prefix", prefix: "a/", after: "a0", want: nil},
		{name: "nothing", prefix: "c", want: nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, err := book.notes.List(test.prefix, test.after, test.limit)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range list {
				if e.Value.Text != e.Key || e.Created == 0 || e.Modified < e.Created {
					t.Errorf("entry %+v does not fit its key", e)
				}
				got = append(got, e.Key)
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Errorf("got - want +\n%s", diff)
			}
		})
	}
	if got := book.notes.Count("a/"); got != 3 {
		t.Errorf("Count: got %d, want 3", got)
	}
}

func TestIndexFollowsItsRecords(t *testing.T) {
	book := fresh(t)
	owned := func(owner string) string {
		var texts []string
		for _, n := range book.byOwner.Get(owner) {
			texts = append(texts, n.Text)
		}
		return strings.Join(texts, " ")
	}
	book.put(t, "3", &note{Owner: "ann", Text: "three"})
	book.put(t, "1", &note{Owner: "ann", Text: "one"})
	book.put(t, "2", &note{Owner: "ann", Text: "two"})
	if got, want := owned("ann"), "one two three"; got != want {
		t.Errorf("added: got %q, want %q", got, want)
	}
	held := book.byOwner.Get("ann")
	book.put(t, "2", &note{Owner: "bob", Text: "two"})
	book.put(t, "1", &note{Owner: "ann", Text: "uno"})
	if got, want := owned("ann")+"|"+owned("bob"), "uno three|two"; got != want {
		t.Errorf("moved and changed: got %q, want %q", got, want)
	}
	book.remove(t, "1")
	book.remove(t, "3")
	if got, want := owned("ann")+"|"+owned("bob"), "|two"; got != want {
		t.Errorf("removed: got %q, want %q", got, want)
	}
	if len(held) != 3 || held[0].Text != "one" || held[1].Text != "two" {
		t.Errorf("a slice given out before has changed: %+v", held)
	}
}

func TestNewerRecordIsLeftAlone(t *testing.T) {
	tests := []struct {
		name, path, value, says string
	}{
		{"newer version", root + "note/x", `2 {"owner":"ann"}`, "of version 2"},
		{"does not decode", root + "note/x", `1 {"owner":`, "unexpected end"},
		{"no version", root + "note/x", `{}`, "no version"},
		{"a secret under another key", root + "note/x", `1 {"owner":"ann","secret":"AXhhYmM="}`, `master key "x"`},
	}
	config := Config{Dir: folder(t), MasterKey: NewMasterKey()}
	book := open(t, config)
	book.put(t, "y", &note{Owner: "ann"})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			putRaw(t, book.Store, test.path, test.value)
			if err := book.Ready(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), test.path) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Ready: got %v, want Unavailable with %s and %q", err, test.path, test.says)
			}
			if _, ok, err := book.notes.Get("x"); ok || !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Message(err), test.path) {
				t.Errorf("Get: got %v, %v, want Unavailable with the key", ok, err)
			}
			if _, err := book.notes.List("", "", 0); !fault.Is(err, fault.Unavailable) {
				t.Errorf("List: got %v, want Unavailable", err)
			}
			for name, fn := range map[string]func(tx *Tx) error{
				"Put":    func(tx *Tx) error { return book.notes.Put(tx, "x", &note{}) },
				"Delete": func(tx *Tx) error { return book.notes.Delete(tx, "x") },
				"Read":   func(tx *Tx) error { _, _, err := book.notes.Read(tx, "x"); return err },
			} {
				if err := book.Update(t.Context(), fn); !fault.Is(err, fault.Unavailable) {
					t.Errorf("%s: got %v, want Unavailable", name, err)
				}
			}
			if got := getRaw(t, book.Store, test.path); got != test.value {
				t.Errorf("record: got %q, want it untouched: %q", got, test.value)
			}
			book.has(t, "y", true)
			book.put(t, "y", &note{Owner: "bob"})
			putRaw(t, book.Store, test.path, `1 {"owner":"ann"}`)
			if err := book.Ready(); err != nil {
				t.Errorf("Ready with a readable record: got %v, want nil", err)
			}
			book.remove(t, "x")
		})
	}

	putRaw(t, book.Store, root+"note/x", `2 {}`)
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, config)
	if err := again.Ready(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "note/x") {
		t.Errorf("Ready after a restart: got %v, want Unavailable with the key", err)
	}
	if _, err := again.client.Delete(t.Context(), root+"note/x"); err != nil {
		t.Fatal(err)
	}
	putRaw(t, again.Store, root+"future/z", `1 {}`)
	if err := again.Ready(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "future/z") {
		t.Errorf("Ready with an unknown table: got %v, want Unavailable with the key", err)
	}
}

func putRaw(t testing.TB, s *Store, path, value string) {
	t.Helper()
	answer, err := s.client.Put(t.Context(), path, value)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WaitRevision(t.Context(), answer.Header.Revision); err != nil {
		t.Fatal(err)
	}
}

func getRaw(t testing.TB, s *Store, path string) string {
	t.Helper()
	answer, err := s.client.Get(t.Context(), path)
	if err != nil || len(answer.Kvs) != 1 {
		t.Fatalf("reading %s: %v", path, err)
	}
	return string(answer.Kvs[0].Value)
}

func TestFolderHasNoSecret(t *testing.T) {
	const secret, plain = "wJalrXUtnFEMI-the-secret", "the-text-anyone-may-read"
	dir := folder(t)
	book := open(t, Config{Dir: dir, MasterKey: NewMasterKey()})
	epoch := book.Epoch()
	book.put(t, "x", &note{Text: plain, Secret: secret})
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, text := range []string{secret, plain, epoch} {
			found[text] = found[text] || bytes.Contains(data, []byte(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found[plain] {
		t.Error("the scan does not see records at all")
	}
	if found[secret] {
		t.Error("the secret is in the folder")
	}
}

func TestFolderIsRefused(t *testing.T) {
	prepare := func(t *testing.T, change func(dir string) error) string {
		dir := folder(t)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600), change(dir)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	tests := []struct {
		name   string
		change func(dir string) error
		want   fault.Kind
	}{
		{"folder that others may read", func(dir string) error { return os.Chmod(dir, 0o755) }, fault.Invalid},
		{"file that others may read", func(dir string) error { return os.Chmod(filepath.Join(dir, "file"), 0o640) }, fault.Invalid},
		{"folder inside that others may read", func(dir string) error {
			inside := filepath.Join(dir, "etcd")
			return errors.Join(os.Mkdir(inside, 0o700), os.Chmod(inside, 0o755)) // whatever the umask is
		}, fault.Invalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := prepare(t, test.change)
			_, err := Open(t.Context(), Config{Dir: dir, MasterKey: NewMasterKey()})
			if fault.Of(err) != test.want || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want %v with the path", err, test.want)
			}
		})
	}
	t.Run("a folder and files of one's own are fine", func(t *testing.T) {
		open(t, Config{Dir: prepare(t, func(string) error { return nil }), MasterKey: NewMasterKey()})
	})
}

func TestSnapshotsOfEtcdAreMadePrivate(t *testing.T) {
	config := Config{Dir: folder(t), MasterKey: NewMasterKey()}
	if err := open(t, config).Close(); err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(config.Dir, "etcd", "member", "snap", "0000000000000000-0000000000000000.snap")
	if err := errors.Join(os.WriteFile(snapshot, nil, 0o600), os.Chmod(snapshot, 0o644)); err != nil {
		t.Fatal(err)
	}
	open(t, config)
	found, err := filepath.Glob(snapshot + "*") // etcd may have put it aside under a longer name
	if err != nil || len(found) != 1 {
		t.Fatalf("got %v, %v, want one file", found, err)
	}
	info, err := os.Stat(found[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want 0600", info, err)
	}
}

func TestOpenNeedsAFolderAndAKey(t *testing.T) {
	for name, config := range map[string]Config{
		"no master key": {Dir: folder(t)},
		"no folder":     {MasterKey: NewMasterKey()},
	} {
		if _, err := Open(t.Context(), config); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want Invalid", name, err)
		}
	}
}

func TestStartRefusesAnotherMasterKey(t *testing.T) {
	dir, old, other := folder(t), NewMasterKey(), NewMasterKey()
	book := open(t, Config{Dir: dir, MasterKey: old})
	book.put(t, "x", &note{Secret: "hidden"})
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Dir: dir, MasterKey: other})
	if err != nil {
		t.Fatal(err)
	}
	declare(s)
	if err := s.Start(context.Background()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "master key") {
		t.Errorf("another key: got %v, want Invalid", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	both, err := ParseMasterKey(append(other.Text(), old.Text()...))
	if err != nil {
		t.Fatal(err)
	}
	rotated := open(t, Config{Dir: dir, MasterKey: both})
	if n, ok, err := rotated.notes.Get("x"); !ok || err != nil || n.Secret != "hidden" {
		t.Errorf("a new key in front of the old: got %v, %v", ok, err)
	}
}
