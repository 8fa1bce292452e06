package directory

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// Kind is one of the kinds of identities, which are what policies are put on
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id.html).
type Kind int

// The kinds of identities.
const (
	Users Kind = iota
	Groups
	Roles
)

// String returns the kind's noun: "user", "group" or "role".
func (k Kind) String() string { return [...]string{"user", "group", "role"}[k] }

// title is the noun at the beginning of a sentence, and of the names of quotas.
func (k Kind) title() string { return [...]string{"User", "Group", "Role"}[k] }

// Who names an identity of an account, whatever the case of its name.
type Who struct {
	Kind
	Account, Name string
}

// Named names an identity of the kind.
func (k Kind) Named(account, name string) Who { return Who{k, account, name} }

// Identity is what a user, a group and a role have in common.
type Identity struct {
	Account, Path, Name string
	ID                  string // AIDA, AGPA or AROA and 17 characters; one made again under the same name has another
	Created             time.Time
	Inline              []InlinePolicy // by name
	Attached            []string       // ids of managed policies, in the order of their attachment
	Boundary            string         // id of the managed policy beyond which it may do nothing; none for a group
	Tags                []Tag          // by key; none for a group

	kind   Kind
	inline []*policy.Document
}

// ARN returns the identity's name.
func (i *Identity) ARN() arn.ARN {
	return arn.ARN{Service: "iam", Account: i.Account, Resource: i.kind.String() + i.Path + i.Name}
}

// Who returns what names it.
func (i *Identity) Who() Who { return Who{i.kind, i.Account, i.Name} }

// Policy returns the inline policy with the name.
func (i *Identity) Policy(name string) (InlinePolicy, error) {
	return findInline(i.Inline, name, i.kind.String())
}

func (i *Identity) identity() *Identity { return i }

// unshared gives the identity, which is a copy, lists of its own.
func (i *Identity) unshared() {
	i.Inline, i.Attached, i.Tags = slices.Clone(i.Inline), slices.Clone(i.Attached), slices.Clone(i.Tags)
}

// finish completes an identity before it is stored or served.
func (i *Identity) finish(kind Kind) {
	i.kind, i.inline = kind, documents(i.Inline)
}

// isFree returns nil when no policy is left on the identity, without which it may be deleted.
func (i *Identity) isFree() error {
	switch {
	case len(i.Attached) > 0:
		return fault.New(fault.InUse, "Cannot delete entity, must detach all policies first.")
	case len(i.Inline) > 0:
		return fault.New(fault.InUse, "Cannot delete entity, must delete policies first.")
	}
	return nil
}

// Quotas that the room enforces, as IAM's at their raised values
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html), but for roles, of which clusters with many
// service accounts need more.
var (
	maxIdentities = [...]int{Users: 5000, Groups: 500, Roles: 100_000}
	maxInline     = [...]int{Users: 2048, Groups: 5120, Roles: 10240} // characters without white space, of all together
)

const (
	maxAttached = 10 // managed policies of one identity
	maxTags     = 50
)

// identities are those of one kind, whichever it is.
type identities interface {
	find(account, name string) (*Identity, error)
	// changeIdentity changes one in the transaction, unless the system alone may.
	changeIdentity(tx *store.Tx, account, name string, change func(*Identity) error) error
}

// anIdentity is *User, *Group or *Role.
type anIdentity[T any] interface {
	identity() *Identity
	clone() T
	sealed() T
}

// identityTable keeps the identities of one kind.
type identityTable[T anIdentity[T]] struct {
	*store.Table[T]
	kind Kind
	own  func(T) error // nil, or why an account may not change the one that it is shown
}

func (t identityTable[T]) none(name string) error {
	return fault.New(fault.NotFound, "The %s with name %s cannot be found.", t.kind, name)
}

func (t identityTable[T]) byName(account, name string) (T, error) {
	v, ok, err := t.Get(nameKey(account, name))
	if err == nil && !ok {
		err = t.none(name)
	}
	return v, err
}

func (t identityTable[T]) find(account, name string) (*Identity, error) {
	v, err := t.byName(account, name)
	if err != nil {
		return nil, err
	}
	return v.identity(), nil
}

// read is byName in a transaction, for who wants to change it.
func (t identityTable[T]) read(tx *store.Tx, account, name string) (T, error) {
	v, ok, err := t.Read(tx, nameKey(account, name))
	switch {
	case err != nil:
		return v, err
	case !ok:
		return v, t.none(name)
	case t.own != nil:
		return v, t.own(v)
	}
	return v, nil
}

// create stores one whose name is free. The quota is held as nearly as a count of the copy does: two writers at once may
// pass it by one. To hold it to the letter would make the store read every name for each new one.
func (t identityTable[T]) create(tx *store.Tx, v T) error {
	i := v.identity()
	if t.Count(i.Account+"/") >= maxIdentities[t.kind] {
		return fault.New(fault.Limit, "Cannot exceed quota for %ssPerAccount: %d", t.kind.title(), maxIdentities[t.kind])
	}
	return t.putNew(tx, v)
}

func (t identityTable[T]) putNew(tx *store.Tx, v T) error {
	key := nameKey(v.identity().Account, v.identity().Name)
	if _, taken, err := t.Read(tx, key); err != nil {
		return err
	} else if taken {
		return fault.New(fault.Exists, "%s with name %s already exists.", t.kind.title(), v.identity().Name)
	}
	return t.Put(tx, key, v.sealed())
}

// change changes one in the transaction and returns it as it is then. A new name has to be free.
func (t identityTable[T]) change(tx *store.Tx, account, name string, change func(T) error) (changed T, err error) {
	former, err := t.read(tx, account, name)
	if err != nil {
		return changed, err
	}
	changed = former.clone()
	if err := change(changed); err != nil {
		return changed, err
	}
	if nameKey(account, name) == nameKey(account, changed.identity().Name) {
		return changed, t.Put(tx, nameKey(account, name), changed.sealed())
	}
	if err := t.putNew(tx, changed); err != nil {
		return changed, err
	}
	return changed, t.Delete(tx, nameKey(account, name))
}

func (t identityTable[T]) changeIdentity(tx *store.Tx, account, name string, change func(*Identity) error) error {
	_, err := t.change(tx, account, name, func(v T) error { return change(v.identity()) })
	return err
}

// under returns the account's identities whose path begins with the prefix, by name, at most limit of them after the name
// `after`.
func (t identityTable[T]) under(account, pathPrefix, after string, limit int) ([]T, error) {
	return page(t.Table, account, after, limit, func(v T) bool { return strings.HasPrefix(v.identity().Path, pathPrefix) })
}

// of are the identities of a kind.
func (d *Directory) of(k Kind) identities {
	return [...]identities{Users: d.users, Groups: d.groups, Roles: d.roles}[k]
}

// Identity returns the one with the name.
func (d *Directory) Identity(who Who) (*Identity, error) {
	return d.of(who.Kind).find(who.Account, who.Name)
}

func (d *Directory) changeIdentity(ctx context.Context, who Who, change func(tx *store.Tx, i *Identity) error) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		return d.of(who.Kind).changeIdentity(tx, who.Account, who.Name, func(i *Identity) error { return change(tx, i) })
	})
}

// PutPolicy stores an inline policy, in place of the one with the same name.
func (d *Directory) PutPolicy(ctx context.Context, who Who, name, text string) error {
	p, err := newInline(name, text)
	if err != nil {
		return err
	}
	return d.changeIdentity(ctx, who, func(_ *store.Tx, i *Identity) error {
		i.Inline = putInline(i.Inline, p)
		if most := maxInline[i.kind]; inlineSize(i.Inline) > most {
			return fault.New(fault.Limit, "Maximum policy size of %d bytes exceeded for %s %s", most, i.kind, i.Name)
		}
		return nil
	})
}

// DeletePolicy removes an inline policy.
func (d *Directory) DeletePolicy(ctx context.Context, who Who, name string) error {
	return d.changeIdentity(ctx, who, func(_ *store.Tx, i *Identity) (err error) {
		i.Inline, err = deleteInline(i.Inline, name, i.kind.String())
		return err
	})
}

// Tag adds tags, in place of those with the same key.
func (d *Directory) Tag(ctx context.Context, who Who, tags []Tag) error {
	return d.changeIdentity(ctx, who, func(_ *store.Tx, i *Identity) (err error) {
		i.Tags, err = mergeTags(i.Tags, tags)
		return err
	})
}

// Untag removes tags by key, whatever its case; keys that are absent are no error.
func (d *Directory) Untag(ctx context.Context, who Who, keys []string) error {
	return d.changeIdentity(ctx, who, func(_ *store.Tx, i *Identity) error {
		i.Tags = withoutTags(i.Tags, keys)
		return nil
	})
}
