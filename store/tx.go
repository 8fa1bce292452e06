package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// tries bounds how often a transaction is run. Losers of this process take turns, so only other replicas can make it lose.
	tries = 32
	// writeTime bounds one attempt to write. It does not end with the caller's context, so that a caller who hangs up
	// does not leave the answer unknown.
	writeTime = 5 * time.Second
)

// Tx is a transaction: what it has read, with revisions, and what it will write. It belongs to one goroutine, and is
// void after the function it was given to.
type Tx struct {
	store  *Store
	reads  map[item]int64
	ranges map[item]int64
	writes map[item]write
}

// item is a record's key, or a prefix of keys, in a table.
type item struct{ table, key string }

func (i item) path() string { return root + i.table + "/" + i.key }

type write struct {
	value   any // a T of the table
	data    []byte
	deleted bool
}

// Update runs fn, which reads through the transaction and writes into it, and commits all its writes if nothing that
// it read has changed meanwhile; else it catches up and runs fn again. It returns once this replica's copy has the
// writes. An error of fn aborts, writes nothing, and is returned as it is, after the reads behind it have been found
// up to date. Other errors are of kind Unavailable: too many conflicts, which wrote nothing, or etcd did not answer,
// which leaves open whether the writes were made.
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	if s.Following() {
		return readOnly()
	}
	for try := range tries {
		if try == 1 {
			s.lane.Lock()
			defer s.lane.Unlock()
		}
		tx := &Tx{store: s, reads: map[item]int64{}, ranges: map[item]int64{}, writes: map[item]write{}}
		failed := fn(tx)
		if failed != nil {
			if err := s.Barrier(ctx); err != nil {
				return err
			}
			if tx.current() {
				return failed
			}
			continue
		}
		done, err := s.commit(ctx, tx)
		if done || err != nil {
			return err
		}
	}
	return fault.New(fault.Unavailable, "too many changes at once: try again")
}

// commit returns false when something that was read has changed; the copy has the change by then.
func (s *Store) commit(ctx context.Context, tx *Tx) (bool, error) {
	if len(tx.writes) == 0 {
		return tx.current(), nil
	}
	var compares []clientv3.Cmp
	for read, revision := range tx.reads {
		compares = append(compares, clientv3.Compare(clientv3.ModRevision(read.path()), "=", revision))
	}
	for prefix, revision := range tx.ranges {
		under := clientv3.ModRevision(prefix.path()).WithPrefix()
		compares = append(compares, clientv3.Compare(under, "<", revision+1))
	}
	var operations []clientv3.Op
	for key, w := range tx.writes {
		if w.deleted {
			operations = append(operations, clientv3.OpDelete(key.path()))
		} else {
			operations = append(operations, clientv3.OpPut(key.path(), string(w.data)))
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	answer, err := s.client.Txn(ctx).If(compares...).Then(operations...).Commit()
	if err != nil {
		return false, fault.Hide(fault.Unavailable, err, "the store does not answer")
	}
	return answer.Succeeded, s.WaitRevision(ctx, answer.Header.Revision)
}

// current reports whether the copy still has what the transaction has read.
func (tx *Tx) current() bool {
	s := tx.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	for read, revision := range tx.reads {
		if s.tables[read.table].revisionOf(read.key) != revision {
			return false
		}
	}
	for prefix, revision := range tx.ranges {
		if s.tables[prefix.table].modifiedSince(prefix.key, revision) {
			return false
		}
	}
	return true
}

// eachWrite visits the transaction's writes to the table.
func (tx *Tx) eachWrite(table string, visit func(key string, w write)) {
	for key, w := range tx.writes {
		if key.table == table {
			visit(key.key, w)
		}
	}
}

// Read is Get in a transaction: it sees the transaction's own writes, and the commit fails if the record, or its
// absence, has changed.
func (t *Table[T]) Read(tx *Tx, key string) (v T, ok bool, err error) {
	if w, written := tx.writes[item{t.name, key}]; written {
		if w.deleted {
			return v, false, nil
		}
		return w.value.(T), true, nil
	}
	r := t.guard(tx, key)
	if r == nil {
		return v, false, nil
	}
	return r.value, r.err == nil, r.err
}

// guard remembers the revision of the key's record, nil if it is absent. The first one counts: a second read of
// something else would be of another moment.
func (t *Table[T]) guard(tx *Tx, key string) *record[T] {
	t.store.mu.RLock()
	r := t.records[key]
	revision := t.revisionOf(key)
	t.store.mu.RUnlock()
	if _, read := tx.reads[item{t.name, key}]; !read {
		tx.reads[item{t.name, key}] = revision
	}
	return r
}

// Put writes the record when the transaction commits. A record that this program cannot read is not overwritten.
func (t *Table[T]) Put(tx *Tx, key string, v T) error {
	if key == "" {
		return fmt.Errorf("store: empty key in table %s", t.name)
	}
	if r := t.guard(tx, key); r != nil && r.err != nil {
		return r.err
	}
	data, err := t.frame(t.sealer, key, v)
	if err != nil {
		return err
	}
	tx.writes[item{t.name, key}] = write{value: v, data: data}
	return nil
}

// Delete removes the record when the transaction commits; an absent one is fine. A record that this program cannot
// read is not removed.
func (t *Table[T]) Delete(tx *Tx, key string) error {
	if r := t.guard(tx, key); r != nil && r.err != nil {
		return r.err
	}
	tx.writes[item{t.name, key}] = write{deleted: true}
	return nil
}

// ReadCount is Count in a transaction, its own writes counted. The commit fails if a record under the prefix has been
// made or changed meanwhile, so a limit holds. After it, List of the same prefix is guarded as well, except that
// records removed meanwhile are not noticed. The guard makes etcd read what is under the prefix.
func (t *Table[T]) ReadCount(tx *Tx, prefix string) int {
	t.store.mu.RLock()
	defer t.store.mu.RUnlock()
	if _, read := tx.ranges[item{t.name, prefix}]; !read {
		tx.ranges[item{t.name, prefix}] = t.store.Revision()
	}
	n := t.count(prefix)
	tx.eachWrite(t.name, func(key string, w write) {
		if !strings.HasPrefix(key, prefix) {
			return
		}
		if exists := t.records[key] != nil; exists && w.deleted {
			n--
		} else if !exists && !w.deleted {
			n++
		}
	})
	return n
}
