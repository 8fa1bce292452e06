package directory

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"slices"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// Secret is the secret half of a long-term access key. It prints as REDACTED.
type Secret string

// LogValue keeps the secret out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// String keeps the secret out of formatted text; convert with string(s) where it must be shown.
func (Secret) String() string { return "REDACTED" }

// GoString is String, for the verb that ignores it.
func (Secret) GoString() string { return "REDACTED" }

// MarshalText keeps the secret out of JSON, which is how slog writes down a struct that has one.
func (Secret) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }

// AccessKey is a long-term key of a user.
type AccessKey struct {
	ID            string // AKIA and 16 characters
	Account, User string
	Secret        Secret // 40 characters
	Active        bool
	Created       time.Time
}

func newAccessKey(account, user string, now time.Time) *AccessKey {
	raw := make([]byte, 30)
	_, _ = rand.Read(raw) // never fails, see newID
	return &AccessKey{
		ID: newID("AKIA", 16), Account: account, User: user,
		Secret: Secret(base64.StdEncoding.EncodeToString(raw)), Active: true, Created: now,
	}
}

const maxAccessKeys = 2 // of one user

// CreateAccessKey stores a key of a user and answers it, whose secret is shown this once.
func (d *Directory) CreateAccessKey(ctx context.Context, account, user string) (*AccessKey, error) {
	var key *AccessKey
	err := d.store.Update(ctx, func(tx *store.Tx) error {
		// Written as it is: of two who see one key left to make, and of a key made while its user is deleted, one fails.
		u, err := d.users.change(tx, account, user, func(*User) error { return nil })
		if err != nil {
			return err
		}
		have, err := d.keysByUser.Read(tx, nameKey(account, user))
		if err != nil {
			return err
		}
		if len(have) >= maxAccessKeys {
			return fault.New(fault.Limit, "Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
		}
		key = newAccessKey(account, u.Name, d.now())
		return d.keys.Put(tx, key.ID, key)
	})
	return key, err
}

// AccessKeys returns a user's keys, oldest first.
func (d *Directory) AccessKeys(u *User) []*AccessKey {
	keys := slices.Clone(d.keysByUser.Get(nameKey(u.Account, u.Name)))
	slices.SortStableFunc(keys, func(a, b *AccessKey) int { return a.Created.Compare(b.Created) })
	return keys
}

// ActivateAccessKey says whether a key of the user is accepted from now on.
func (d *Directory) ActivateAccessKey(ctx context.Context, account, user, id string, active bool) error {
	return d.changeAccessKey(ctx, account, user, id, func(tx *store.Tx, k *AccessKey) error {
		changed := *k
		changed.Active = active
		return d.keys.Put(tx, id, &changed)
	})
}

// DeleteAccessKey removes a key of the user.
func (d *Directory) DeleteAccessKey(ctx context.Context, account, user, id string) error {
	return d.changeAccessKey(ctx, account, user, id, func(tx *store.Tx, _ *AccessKey) error { return d.deleteKey(tx, id) })
}

func (d *Directory) deleteKey(tx *store.Tx, id string) error {
	if err := d.usage.Delete(tx, id); err != nil {
		return err
	}
	return d.keys.Delete(tx, id)
}

func (d *Directory) changeAccessKey(ctx context.Context, account, user, id string, change func(*store.Tx, *AccessKey) error) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		if _, err := d.users.read(tx, account, user); err != nil {
			return err
		}
		k, ok, err := d.keys.Read(tx, id)
		if err != nil {
			return err
		}
		if !ok || nameKey(k.Account, k.User) != nameKey(account, user) {
			return fault.New(fault.NotFound, "The Access Key with id %s cannot be found.", id)
		}
		return change(tx, k)
	})
}

// AccessKey returns the key with the id and its user. NotFound also when the user is gone.
func (d *Directory) AccessKey(id string) (*AccessKey, *User, error) {
	k, ok, err := d.keys.Get(id)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, fault.New(fault.NotFound, "the access key %q does not exist", id)
	}
	u, err := d.User(k.Account, k.User)
	return k, u, err
}
