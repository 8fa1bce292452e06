package keyring

import (
	"context"
	"fmt"
	"time"

	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

// Rotate makes a next key for every scope that has a current key and no next one. Run (or Step) carries it on.
func (k *Keyring) Rotate(ctx context.Context) error {
	return k.makeNext(ctx, 0)
}

// makeNext makes successors for current keys of at least the given age.
func (k *Keyring) makeNext(ctx context.Context, age time.Duration) error {
	all, err := k.Keys("")
	if err != nil {
		return err
	}
	for _, key := range all {
		if key.State != Current {
			continue
		}
		err := k.store.Update(ctx, func(tx *store.Tx) error {
			k.keys.ReadCount(tx, key.Scope+"/") // guards the look: of replicas that do the same at once, one makes a key
			present, err := k.Keys(key.Scope)
			if err != nil || !k.due(present, age) {
				return err
			}
			next := k.newKey(key.Scope, Next)
			return k.keys.Put(tx, recordKey(key.Scope, next.ID), next)
		})
		if err != nil {
			return fmt.Errorf("making the next sealing key of %s: %w", key.Scope, err)
		}
	}
	return nil
}

// due reports whether a scope's current key has the age and no successor yet.
func (k *Keyring) due(scope []*Key, age time.Duration) bool {
	old := false
	for _, key := range scope {
		if key.State == Next {
			return false
		}
		old = old || key.State == Current && k.now().Sub(key.Since) >= age
	}
	return old
}

// Run keeps this replica's heartbeat and moves keys on, until ctx is done.
func (k *Keyring) Run(ctx context.Context) error {
	ticker := time.NewTicker(Heartbeat)
	defer ticker.Stop()
	for {
		if err := k.Step(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("sealing keys were not moved on", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Step does once what Run does every ten seconds: say that this replica lives, make next keys that are due, promote those
// that everyone live knows who opens sessions with them, and drop retired keys that nothing can need any more.
func (k *Keyring) Step(ctx context.Context) error {
	err := k.store.Update(ctx, func(tx *store.Tx) error {
		return k.replicas.Put(tx, k.replica, &replica{Seen: k.now(), Revision: k.store.Revision()})
	})
	if err != nil {
		return err
	}
	if err := k.makeNext(ctx, MaxAge); err != nil {
		return err
	}
	known, err := k.knownToAll(ctx)
	if err != nil {
		return err
	}
	gateways, err := k.knownToGateways(ctx)
	if err != nil {
		return err
	}
	entries, err := k.keys.List("", "", 0)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch key := e.Value; {
		case key.State == Next && e.Created <= known && gateways.know(key.Scope, e.Created):
			err = k.promote(ctx, key)
		case key.State == Retired && k.now().Sub(key.Since) > Keep:
			err = k.store.Update(ctx, func(tx *store.Tx) error { return k.keys.Delete(tx, e.Key) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// knownToAll returns the revision that every live replica has reached, and forgets those that are gone.
func (k *Keyring) knownToAll(ctx context.Context) (int64, error) {
	entries, err := k.replicas.List("", "", 0)
	if err != nil {
		return 0, err
	}
	known := k.store.Revision()
	for _, e := range entries {
		if k.now().Sub(e.Value.Seen) <= Alive {
			known = min(known, e.Value.Revision)
			continue
		}
		if err := k.store.Update(ctx, func(tx *store.Tx) error { return k.replicas.Delete(tx, e.Key) }); err != nil {
			return 0, err
		}
	}
	return known, nil
}

// promote makes a next key current and retires the former one, in one transaction.
func (k *Keyring) promote(ctx context.Context, next *Key) error {
	return k.store.Update(ctx, func(tx *store.Tx) error {
		name := recordKey(next.Scope, next.ID)
		key, ok, err := k.keys.Read(tx, name)
		if err != nil || !ok || key.State != Next {
			return err // another replica was faster
		}
		former, err := k.current.Read(tx, next.Scope)
		if err != nil {
			return err
		}
		for _, f := range former {
			if err := k.keys.Put(tx, recordKey(f.Scope, f.ID), f.in(Retired, k.now())); err != nil {
				return err
			}
		}
		return k.keys.Put(tx, name, key.in(Current, k.now()))
	})
}

// in returns the key in another state.
func (key *Key) in(state State, now time.Time) *Key {
	return &Key{Scope: key.Scope, State: state, Since: now, Key: session.Key{ID: key.ID, Secret: key.Secret}}
}
