package store

// Change is what became of one record. A record that this program cannot read counts as absent.
type Change[T any] struct {
	Key           string
	Before, After T
	Was, Is       bool // whether there was a record before, and is one now
}

// Subscribe has each change to the table's records told from Start on, in the order in which the copy gets them. It is
// declared before Start, as an index is, and panics after it. tell runs under the store's lock: it must be quick and must
// not read the store.
func Subscribe[T any](t *Table[T], tell func(Change[T])) {
	if t.store.hasStarted() {
		panic("store: subscription to " + t.name + " declared after Start")
	}
	t.subscribers = append(t.subscribers, tell)
}

// SubscribeRevisions has each revision told that the copy has reached, after all changes up to it were told and before
// Revision says it: who has handled what was told before reading Revision has missed nothing. It follows the rules of
// Subscribe. A new epoch means that revisions count from elsewhere.
func (s *Store) SubscribeRevisions(tell func(epoch string, revision int64)) {
	if s.hasStarted() {
		panic("store: subscription to revisions declared after Start")
	}
	s.subscribers = append(s.subscribers, tell)
}

// tell is called under the lock with a record before and after; either may be nil.
func (t *Table[T]) tell(before, after *record[T]) {
	if len(t.subscribers) == 0 || !t.store.started {
		return
	}
	var c Change[T]
	if before != nil && before.err == nil {
		c.Key, c.Before, c.Was = before.key, before.value, true
	}
	if after != nil && after.err == nil {
		c.Key, c.After, c.Is = after.key, after.value, true
	}
	if !c.Was && !c.Is {
		return
	}
	for _, tell := range t.subscribers {
		tell(c)
	}
}

// Since returns the records under the prefix that were made or changed after the revision, at most limit of them, and
// whether these are all. Those that were removed are not seen, and those that cannot be read are an error as in Get.
func (t *Table[T]) Since(prefix string, revision int64, limit int) (list []Entry[T], all bool, err error) {
	t.store.mu.RLock()
	defer t.store.mu.RUnlock()
	all = true
	t.ascend(prefix, func(r *record[T]) bool {
		if r.modified <= revision {
			return true
		}
		if all = len(list) < limit; all {
			list = append(list, Entry[T]{Key: r.key, Value: r.value, Created: r.created, Modified: r.modified})
			err = r.err
		}
		return all && err == nil
	})
	return list, all, err
}
