package store

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/btree"

	"github.com/openlanyard/lanyard/fault"
)

// root is the prefix of every key; records have root/TABLE/KEY.
const root = "/lanyard/"

// Codec turns a table's values into records and back. A record is stored with its version; Decode is given any version
// up to the codec's, and a newer one makes the replica unready. Encode and Decode may run at once from many goroutines.
type Codec[T any] struct {
	Version int // at least 1
	Encode  func(s *Sealer, key string, v T) ([]byte, error)
	Decode  func(s *Sealer, key string, version int, data []byte) (T, error)
}

// Table is the records of one kind, by key. A value is shared by all who read it: T is a pointer to a struct that
// nobody changes, or a plain value. Reads are of the copy; before Start it is empty.
type Table[T any] struct {
	store   *Store
	name    string
	prefix  string
	codec   Codec[T]
	sealer  *Sealer
	records map[string]*record[T]
	ordered *btree.BTreeG[*record[T]]
	indexes []*Index[T]
	rule    *Rule[T] // what feeds tell of it; nil: nothing

	subscribers []func(Change[T])
}

// record is immutable. Its err says why the value could not be read.
type record[T any] struct {
	key               string
	value             T
	created, modified int64
	err               error
}

// table is a Table of any type, as the watch and the transactions see it.
type table interface {
	// prepare decodes a record outside the store's lock; what it returns puts it into the copy under the lock.
	prepare(key string, value []byte, created, modified int64) func()
	drop(key string)                                  // takes a record out of the copy; under the lock
	revisionOf(key string) int64                      // 0 when absent; under the lock
	modifiedSince(prefix string, revision int64) bool // under the lock
	each(visit func(key, path string))                // under the lock

	sealedUnder(m MasterKey) // before anything of a new feed is prepared
	tellPage(to *teller, after string) (last string, more bool, err error)
	tellChange(to *teller, c change) error
	tellAgain(to *teller, key string) error
}

// NewTable declares a table. Keys are stored under its name. It panics on a name that is taken or has a slash, on a
// version below 1, and after Start: such a program is broken.
func NewTable[T any](s *Store, name string, codec Codec[T]) *Table[T] {
	if s.hasStarted() {
		panic("store: table " + name + " declared after Start")
	}
	if _, taken := s.tables[name]; taken || name == "" || name == metaTable || strings.Contains(name, "/") || codec.Version < 1 {
		panic("store: table " + strconv.Quote(name) + " is declared twice or not well formed")
	}
	t := &Table[T]{
		store: s, name: name, prefix: root + name + "/", codec: codec,
		sealer:  &Sealer{master: s.master, table: name},
		records: map[string]*record[T]{},
		ordered: btree.NewG(64, func(a, b *record[T]) bool { return a.key < b.key }),
	}
	s.tables[name] = t
	return t
}

// Get returns the record with the key. The error, of kind Unavailable and naming the key, is for a record that exists
// but cannot be read: to call it absent would be wrong.
func (t *Table[T]) Get(key string) (v T, ok bool, err error) {
	t.store.mu.RLock()
	r := t.records[key]
	t.store.mu.RUnlock()
	if r == nil {
		return v, false, nil
	}
	return r.value, r.err == nil, r.err
}

// Entry is a record of a listing. Created and Modified are etcd revisions.
type Entry[T any] struct {
	Key               string
	Value             T
	Created, Modified int64
}

// List returns the records whose keys begin with prefix and come after the key after, in key order, at most limit of
// them; a limit of 0 is none. A record among them that cannot be read is an error as in Get.
func (t *Table[T]) List(prefix, after string, limit int) ([]Entry[T], error) {
	t.store.mu.RLock()
	defer t.store.mu.RUnlock()
	var list []Entry[T]
	var err error
	t.ordered.AscendGreaterOrEqual(&record[T]{key: max(prefix, after)}, func(r *record[T]) bool {
		if r.key == after {
			return true
		}
		if !strings.HasPrefix(r.key, prefix) || limit > 0 && len(list) == limit {
			return false
		}
		list = append(list, Entry[T]{Key: r.key, Value: r.value, Created: r.created, Modified: r.modified})
		err = r.err
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Count returns how many keys begin with prefix. It takes time in proportion to them, but for the empty prefix.
func (t *Table[T]) Count(prefix string) int {
	t.store.mu.RLock()
	defer t.store.mu.RUnlock()
	return t.count(prefix)
}

func (t *Table[T]) count(prefix string) int {
	if prefix == "" {
		return len(t.records)
	}
	n := 0
	t.ascend(prefix, func(*record[T]) bool { n++; return true })
	return n
}

// ascend visits the records under prefix in key order until visit returns false.
func (t *Table[T]) ascend(prefix string, visit func(*record[T]) bool) {
	t.ordered.AscendGreaterOrEqual(&record[T]{key: prefix}, func(r *record[T]) bool {
		return strings.HasPrefix(r.key, prefix) && visit(r)
	})
}

func (t *Table[T]) prepare(key string, value []byte, created, modified int64) func() {
	r := &record[T]{key: key, created: created, modified: modified}
	if err := t.decode(r, value); err != nil {
		r.err = fault.Hide(fault.Unavailable, err, "the record %s cannot be read by this program", t.prefix+key)
	}
	return func() { t.replace(r) }
}

// decode undoes frame.
func (t *Table[T]) decode(r *record[T], value []byte) error {
	text, data, ok := bytes.Cut(value, []byte{' '})
	version, err := strconv.Atoi(string(text))
	if !ok || err != nil || version < 1 {
		return errors.New("no version in front")
	}
	if version > t.codec.Version {
		return fmt.Errorf("it is of version %d, this program knows %d", version, t.codec.Version)
	}
	r.value, err = t.codec.Decode(t.sealer, r.key, version, data)
	return err
}

// frame returns a record as it is stored: the version in decimal, a space, and what the codec made. One byte is all
// that a million records need carry, and etcdctl shows it.
func (t *Table[T]) frame(sealer *Sealer, key string, v T) ([]byte, error) {
	data, err := t.codec.Encode(sealer, key, v)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", t.prefix+key, err)
	}
	return append(strconv.AppendInt(make([]byte, 0, len(data)+3), int64(t.codec.Version), 10), append([]byte{' '}, data...)...), nil
}

func (t *Table[T]) replace(r *record[T]) {
	old := t.records[r.key]
	t.note(old, r)
	if old != nil {
		r.key = old.key // keeps one string, and the map's
	}
	t.records[r.key] = r
	t.ordered.ReplaceOrInsert(r)
	for _, index := range t.indexes {
		index.move(old, r)
	}
	if r.err != nil {
		t.store.faulty[t.prefix+r.key] = r.err
	} else if old != nil && old.err != nil {
		delete(t.store.faulty, t.prefix+r.key)
	}
	t.tell(old, r)
}

func (t *Table[T]) drop(key string) {
	old := t.records[key]
	if old == nil {
		return
	}
	t.note(old, nil)
	delete(t.records, key)
	t.ordered.Delete(old)
	for _, index := range t.indexes {
		index.move(old, nil)
	}
	delete(t.store.faulty, t.prefix+key)
	t.tell(old, nil)
}

// note keeps a change for the feeds; either record may be nil.
func (t *Table[T]) note(old, now *record[T]) {
	if t.rule != nil && t.store.follower == nil {
		t.store.note(change{t, old, now})
	}
}

func (t *Table[T]) sealedUnder(m MasterKey) { t.sealer = &Sealer{master: m, table: t.name} }

func (t *Table[T]) revisionOf(key string) int64 {
	if r := t.records[key]; r != nil {
		return r.modified
	}
	return 0
}

func (t *Table[T]) modifiedSince(prefix string, revision int64) bool {
	found := false
	t.ascend(prefix, func(r *record[T]) bool { found = r.modified > revision; return !found })
	return found
}

func (t *Table[T]) each(visit func(key, path string)) {
	for key := range t.records {
		visit(key, t.prefix+key)
	}
}
