package store

import (
	"slices"
	"sort"
)

// Index finds a table's records by something else than their key. One index key is meant to have few records: adding
// one between others copies the list.
type Index[T any] struct {
	table *Table[T]
	of    func(key string, v T) []string
	hits  map[string]hits[T]
}

// hits are the records under one index key, in the order of their keys. Readers are given values as it is, so an
// element that was published is never written again: the lists grow at the end or are replaced.
type hits[T any] struct {
	keys   []string
	values []T
}

// NewIndex declares an index of the table before Start. The function returns the index keys of a record, each once,
// and must answer the same for the same value. A record that cannot be read is in no index, but makes the store
// unready. It panics after Start.
func NewIndex[T any](t *Table[T], of func(key string, v T) []string) *Index[T] {
	if t.store.hasStarted() {
		panic("store: index of " + t.name + " declared after Start")
	}
	i := &Index[T]{table: t, of: of, hits: map[string]hits[T]{}}
	t.indexes = append(t.indexes, i)
	return i
}

// Get returns the values under the index key in the order of the records' keys. The slice is shared: do not change it.
func (i *Index[T]) Get(k string) []T {
	i.table.store.mu.RLock()
	values := i.hits[k].values
	i.table.store.mu.RUnlock()
	return slices.Clip(values)
}

// Read is Get in a transaction, with what the transaction itself has written. Each record it returns is guarded as if
// it were read by its key. A record that joins the index meanwhile is not noticed: where at most one may be, it needs
// a key of its own.
func (i *Index[T]) Read(tx *Tx, k string) ([]T, error) {
	t := i.table
	t.store.mu.RLock()
	keys := slices.Clone(i.hits[k].keys)
	t.store.mu.RUnlock()
	tx.eachWrite(t.name, func(key string, w write) {
		at, found := slices.BinarySearch(keys, key)
		switch {
		case w.deleted:
			// Read finds it absent.
		case !found && slices.Contains(i.of(key, w.value.(T)), k):
			keys = slices.Insert(keys, at, key)
		}
	})
	var values []T
	for _, key := range keys {
		v, ok, err := t.Read(tx, key)
		if err != nil {
			return nil, err
		}
		// Asked again, because the record may have left the index in this transaction or since the keys were read.
		if ok && slices.Contains(i.of(key, v), k) {
			values = append(values, v)
		}
	}
	return values, nil
}

// move takes the old record out of the index and puts the new one in; either may be nil.
func (i *Index[T]) move(old, now *record[T]) {
	var before, after []string
	if old != nil && old.err == nil {
		before = i.of(old.key, old.value)
	}
	if now != nil && now.err == nil {
		after = i.of(now.key, now.value)
	}
	for _, k := range before {
		if !slices.Contains(after, k) {
			i.remove(k, old.key)
		}
	}
	for _, k := range after {
		i.insert(k, now)
	}
}

func (i *Index[T]) insert(k string, r *record[T]) {
	h := i.hits[k]
	at := sort.SearchStrings(h.keys, r.key)
	switch {
	case at == len(h.keys): // append leaves what readers hold as it is
		h.keys, h.values = append(h.keys, r.key), append(h.values, r.value)
	case h.keys[at] == r.key:
		h.values = slices.Clone(h.values)
		h.values[at] = r.value
	default:
		h.keys, h.values = slices.Insert(slices.Clip(h.keys), at, r.key), slices.Insert(slices.Clip(h.values), at, r.value)
	}
	i.hits[k] = h
}

func (i *Index[T]) remove(k, key string) {
	h := i.hits[k]
	at, found := slices.BinarySearch(h.keys, key)
	if !found {
		return
	}
	if len(h.keys) == 1 {
		delete(i.hits, k)
		return
	}
	i.hits[k] = hits[T]{
		keys:   slices.Concat(h.keys[:at], h.keys[at+1:]),
		values: slices.Concat(h.values[:at], h.values[at+1:]),
	}
}
