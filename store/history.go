package store

import "slices"

// historyKept is how many changes a store remembers for viewers that come back, at least: only when there are half as many more
// are the oldest forgotten, for that moves all others while the store is locked.
const (
	historyKept = 1 << 14
	historyMost = historyKept + historyKept/2
)

// Position is what a viewer has: all that it may know up to a revision of a history of revisions. The zero value is nothing.
type Position struct {
	Epoch    string
	Revision int64
}

// history is what a viewer is told who was away for a moment, so that it need not be told everything again; and many are, when
// a server that they share was. Under the store's lock.
type history struct {
	changes  []past
	floor    int64 // changes up to it are not known, or no longer; 0: nothing is
	revision int64 // of the last mark
	overran  bool  // more changes since the last mark than are worth keeping
}

// past is a change and the revision with whose mark it was told; 0 until then.
type past struct {
	change
	revision int64
}

func (h *history) note(c change) {
	if h.floor == 0 || h.overran {
		return
	}
	if len(h.changes) > historyMost+historyKept {
		h.overran, h.changes = true, nil
		return
	}
	h.changes = append(h.changes, past{change: c})
}

// mark ends what was noted since the last one. A revision below the last is another history.
func (h *history) mark(revision int64) {
	if h.floor == 0 || h.overran || revision < h.revision {
		*h = history{floor: revision, revision: revision}
		return
	}
	h.revision = revision
	for i := len(h.changes) - 1; i >= 0 && h.changes[i].revision == 0; i-- {
		h.changes[i].revision = revision
	}
	if len(h.changes) > historyMost {
		surplus := len(h.changes) - historyKept
		h.floor = h.changes[surplus-1].revision
		h.changes = slices.Delete(h.changes, 0, surplus)
	}
}

// since returns the changes behind a revision, or false when not all of them are known.
func (h *history) since(revision int64) (changes []change, ok bool) {
	if h.floor == 0 || h.overran || revision < h.floor || revision > h.revision {
		return nil, false
	}
	for _, p := range h.changes {
		if p.revision > revision || p.revision == 0 {
			changes = append(changes, p.change)
		}
	}
	return changes, true
}
