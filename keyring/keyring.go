// Package keyring keeps the keys that sessions are sealed and authenticated with, and rotates them without a session
// lost: next, then current, then retired (docs/TRUST.md says what each key's theft would mean).
package keyring

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

// server is the scope of the key that authenticates sessions to the server's own doors; every other scope is an
// account's id.
const server = "server"

// State is where a key stands in its life.
type State string

// A key is made as Next, which every live replica and every live gateway of its account confirms to know before it becomes Current and seals; Retired, it still
// opens what it sealed, until the longest session is over.
const (
	Next    State = "next"
	Current State = "current"
	Retired State = "retired"
)

// Key is one key of one scope.
type Key struct {
	Scope string
	State State
	Since time.Time // when it came into this state
	session.Key
}

// How long things last.
const (
	Alive     = 60 * time.Second // a replica or gateway that was heard from within this counts as live
	Heartbeat = 10 * time.Second // how often a replica says so
	Keep      = session.Longest + time.Hour
	MaxAge    = 30 * 24 * time.Hour // a current key older than this gets a successor
)

// Keyring is the only writer of sealing keys.
type Keyring struct {
	store    *store.Store
	now      func() time.Time
	log      *slog.Logger
	replica  string
	keys     *store.Table[*Key]
	current  *store.Index[*Key]
	replicas *store.Table[*replica]
	gateways *store.Table[*Gateway]
}

// replica is a running server that holds a copy of the keys.
type replica struct {
	Seen     time.Time
	Revision int64 // the store revision that its copy had reached
}

// New declares the keyring's tables on a store that is open and not yet started. A nil now is time.Now.
func New(st *store.Store, log *slog.Logger, now func() time.Time) *Keyring {
	if now == nil {
		now = time.Now
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	k := &Keyring{
		store: st, now: now, log: log, replica: hex.EncodeToString(id[:]),
		keys:     store.NewTable(st, "sealingkey", keyCodec),
		replicas: store.NewTable(st, "replica", replicaCodec),
		gateways: store.NewTable(st, "gateway", gatewayCodec),
	}
	k.current = store.NewIndex(k.keys, func(_ string, key *Key) []string {
		if key.State != Current {
			return nil
		}
		return []string{key.Scope}
	})
	// An account's gateways hold its opening keys. The server's key stays here: with it they could forge sessions.
	store.Share(k.keys, store.Rule[*Key]{See: func(viewer, _ string, key *Key) (*Key, bool) {
		return key, key.Scope == viewer && key.Scope != server
	}})
	return k
}

func recordKey(scope string, id session.KeyID) string { return scope + "/" + hex.EncodeToString(id[:]) }

// Sealing returns the current keys that a session of the account is minted with. The first call for an account makes
// its key.
func (k *Keyring) Sealing(ctx context.Context, account string) (sealing, mac session.Key, err error) {
	if sealing, err = k.currentOf(ctx, account); err != nil {
		return sealing, mac, err
	}
	mac, err = k.currentOf(ctx, server)
	return sealing, mac, err
}

func (k *Keyring) currentOf(ctx context.Context, scope string) (session.Key, error) {
	if found := k.current.Get(scope); len(found) > 0 {
		return found[0].Key, nil
	}
	var made *Key
	err := k.store.Update(ctx, func(tx *store.Tx) error {
		k.keys.ReadCount(tx, scope+"/") // before the look: of two that make the first key at once, one looks again
		present, err := k.Keys(scope)   // all of them: a key that cannot be read may be the current one
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(present, func(key *Key) bool { return key.State == Current }); i >= 0 {
			made = present[i]
			return nil
		}
		made = k.newKey(scope, Current)
		return k.keys.Put(tx, recordKey(scope, made.ID), made)
	})
	if err != nil {
		return session.Key{}, fmt.Errorf("making the sealing key of %s: %w", scope, err)
	}
	return made.Key, nil
}

func (k *Keyring) newKey(scope string, state State) *Key {
	key := &Key{Scope: scope, State: state, Since: k.now()}
	_, _ = rand.Read(key.ID[:])     // never fails, see New
	_, _ = rand.Read(key.Secret[:]) // never fails, see New
	return key
}

// Ring returns what opens sessions at the server's doors: every account's keys and the server's.
func (k *Keyring) Ring() session.Ring {
	find := func(scope string, id session.KeyID) (session.Key, bool, error) {
		key, ok, err := k.keys.Get(recordKey(scope, id))
		if err != nil || !ok {
			return session.Key{}, false, err
		}
		return key.Key, true, nil
	}
	return session.Ring{
		Account: func(account string, id session.KeyID) (session.Key, bool, error) {
			if account == server {
				return session.Key{}, false, nil
			}
			return find(account, id)
		},
		Server: func(id session.KeyID) (session.Key, bool, error) { return find(server, id) },
	}
}

// GatewayRing returns what opens sessions at a gateway: its account's keys alone, since the server's never gets there.
func (k *Keyring) GatewayRing() session.Ring {
	return session.Ring{Account: k.Ring().Account}
}

// Keys lists every key of a scope with its state; an empty scope lists all. It is for status and tests.
func (k *Keyring) Keys(scope string) ([]*Key, error) {
	prefix := scope
	if scope != "" {
		prefix += "/"
	}
	entries, err := k.keys.List(prefix, "", 0)
	if err != nil {
		return nil, err
	}
	keys := make([]*Key, len(entries))
	for i, e := range entries {
		keys[i] = e.Value
	}
	return keys, nil
}
