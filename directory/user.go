package directory

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"slices"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// User is a person or tool with long-term access keys. A stored User is never changed in place.
type User struct {
	Account, Path, Name string
	ID                  string // AIDA and 17 characters
	Created             time.Time
	Inline              []InlinePolicy // by name
	Attached            []string       // ids of managed policies, in the order of their attachment
	Tags                []Tag          // by key

	inline []*policy.Document
}

// ARN returns the user's name.
func (u *User) ARN() arn.ARN { return arn.User(u.Account, u.Path, u.Name) }

// Policy returns the inline policy with the name.
func (u *User) Policy(name string) (InlinePolicy, error) {
	return findInline(u.Inline, name, "user")
}

func (u *User) clone() *User {
	c := *u
	c.Inline, c.Attached, c.Tags = slices.Clone(u.Inline), slices.Clone(u.Attached), slices.Clone(u.Tags)
	return &c
}

// sealed finishes a user before it is stored or served.
func (u *User) sealed() *User {
	u.inline = documents(u.Inline)
	return u
}

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

// User returns a user of the account by name, whatever its case.
func (d *Directory) User(account, name string) (*User, error) {
	u, ok, err := d.users.Get(nameKey(account, name))
	if err == nil && !ok {
		err = noUser(name)
	}
	return u, err
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

// PutUserPolicy stores an inline policy of a user, in place of the one with the same name.
func (d *Directory) PutUserPolicy(ctx context.Context, account, user, name, text string) error {
	p, err := newInline(name, text)
	if err != nil {
		return err
	}
	return d.updateUser(ctx, account, user, func(u *User) error {
		u.Inline = putInline(u.Inline, p)
		if n := inlineSize(u.Inline); n > maxUserInline {
			return fault.New(fault.Limit, "Maximum policy size of %d bytes exceeded for user %s", maxUserInline, u.Name)
		}
		return nil
	})
}

// DeleteUserPolicy removes an inline policy of a user.
func (d *Directory) DeleteUserPolicy(ctx context.Context, account, user, name string) error {
	return d.updateUser(ctx, account, user, func(u *User) (err error) {
		u.Inline, err = deleteInline(u.Inline, name, "user")
		return err
	})
}

func (d *Directory) updateUser(ctx context.Context, account, name string, change func(*User) error) error {
	return d.store.Update(ctx, func(tx *store.Tx) error { return d.changeUser(tx, account, name, change) })
}

func (d *Directory) changeUser(tx *store.Tx, account, name string, change func(*User) error) error {
	former, ok, err := d.users.Read(tx, nameKey(account, name))
	if err != nil {
		return err
	}
	if !ok {
		return noUser(name)
	}
	u := former.clone()
	if err := change(u); err != nil {
		return err
	}
	return d.users.Put(tx, nameKey(account, name), u.sealed())
}

func noUser(name string) error {
	return fault.New(fault.NotFound, "The user with name %s cannot be found.", name)
}
