package directory

import (
	"context"
	"slices"
	"sort"
	"strings"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// An attachment is the id of a managed policy in the record of an identity. What it allows is looked up when the
// principal is made, so that a policy's new default version is in force at the next request.

// Attach attaches an identity to the policy with the ARN; done before, it is done.
func (d *Directory) Attach(ctx context.Context, who Who, name string) error {
	return d.changeIdentity(ctx, who, func(tx *store.Tx, i *Identity) error {
		p, err := d.holdPolicy(tx, who.Account, name)
		switch {
		case err != nil:
			return err
		case slices.Contains(i.Attached, p.ID):
			return nil
		case len(i.Attached) >= maxAttached:
			return fault.New(fault.Limit, "Cannot exceed quota for PoliciesPer%s: %d", i.kind.title(), maxAttached)
		}
		i.Attached = append(i.Attached, p.ID)
		return nil
	})
}

// Detach takes an attachment away.
func (d *Directory) Detach(ctx context.Context, who Who, name string) error {
	return d.changeIdentity(ctx, who, func(tx *store.Tx, i *Identity) error {
		p, _, err := d.anyPolicy(tx, who.Account, name)
		if err != nil {
			return err
		}
		at := slices.Index(i.Attached, p.ID)
		if at < 0 {
			return fault.New(fault.NotFound, "Policy %s was not found.", p.ARN())
		}
		i.Attached = slices.Delete(i.Attached, at, at+1)
		return nil
	})
}

// holdPolicy reads a policy and writes it as it is: a deletion under way, which has seen it unattached, then fails.
func (d *Directory) holdPolicy(tx *store.Tx, account, name string) (*ManagedPolicy, error) {
	p, key, err := d.anyPolicy(tx, account, name)
	if err != nil || p.IsAWS() {
		return p, err
	}
	return p, d.policies.Put(tx, key, p)
}

// Attached returns the policies with the ids, by name.
func (d *Directory) Attached(ids []string) ([]*ManagedPolicy, error) {
	all := make([]*ManagedPolicy, 0, len(ids))
	for _, id := range ids {
		p, err := d.policyByID(id)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *ManagedPolicy) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// uses are the keys under which an identity is found by the policies that it has.
func (i *Identity) uses() []string {
	keys := make([]string, 0, len(i.Attached)+1)
	for _, id := range i.Attached {
		keys = append(keys, Permissions.key(i.Account, id))
	}
	if i.Boundary != "" {
		keys = append(keys, Boundary.key(i.Account, i.Boundary))
	}
	return keys
}

// Use is what an identity has a managed policy for.
type Use string

// The uses of a managed policy.
const (
	Permissions Use = "permissions"
	Boundary    Use = "boundary"
)

// key has the account in it, since some policies are every account's.
func (u Use) key(account, policyID string) string { return account + "/" + policyID + "/" + string(u) }

// UseCount returns how many identities of the account have the policy for the use.
func (d *Directory) UseCount(account string, p *ManagedPolicy, as Use) int {
	key := as.key(account, p.ID)
	return len(d.usersByPolicy.Get(key)) + len(d.groupsByPolicy.Get(key)) + len(d.rolesByPolicy.Get(key))
}

// UsedBy returns those identities of the account that have the policy for the use and that keep wants, by name, at most
// limit of them after the name `after`; a limit of 0 is none.
func (d *Directory) UsedBy(k Kind, account string, p *ManagedPolicy, as Use, after string, limit int, keep func(*Identity) bool) []*Identity {
	key := as.key(account, p.ID)
	switch k {
	case Users:
		return someIdentities(d.usersByPolicy.Get(key), after, limit, keep)
	case Groups:
		return someIdentities(d.groupsByPolicy.Get(key), after, limit, keep)
	}
	return someIdentities(d.rolesByPolicy.Get(key), after, limit, keep)
}

func someIdentities[T anIdentity[T]](all []T, after string, limit int, keep func(*Identity) bool) []*Identity {
	found := some(all, after, limit, func(v T) bool { return keep(v.identity()) })
	list := make([]*Identity, len(found))
	for i, v := range found {
		list[i] = v.identity()
	}
	return list
}

// some returns those of an index's identities, which are by name, that keep wants, at most limit of them after the name.
func some[T anIdentity[T]](all []T, after string, limit int, keep func(T) bool) (found []T) {
	after = strings.ToLower(after)
	first := 0
	if after != "" {
		first = sort.Search(len(all), func(i int) bool { return strings.ToLower(all[i].identity().Name) > after })
	}
	for _, v := range all[first:] {
		if limit > 0 && len(found) == limit {
			break
		}
		if keep(v) {
			found = append(found, v)
		}
	}
	return found
}

// ByName is the order of every list of identities.
func ByName(a, b *Identity) int {
	return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
}

// inUse returns an error while an identity of the account has the policy; in a transaction.
func (d *Directory) inUse(tx *store.Tx, p *ManagedPolicy) error {
	for _, use := range []Use{Permissions, Boundary} {
		key := use.key(p.Account, p.ID)
		users, err := d.usersByPolicy.Read(tx, key)
		if err != nil {
			return err
		}
		groups, err := d.groupsByPolicy.Read(tx, key)
		if err != nil {
			return err
		}
		roles, err := d.rolesByPolicy.Read(tx, key)
		if err != nil {
			return err
		}
		if len(users)+len(groups)+len(roles) > 0 {
			return fault.New(fault.InUse, "Cannot delete a policy attached to entities.")
		}
	}
	return nil
}

// RolePermissions returns what the role's policies say now, inline and managed, ready for policy.Evaluate.
func (d *Directory) RolePermissions(r *Role) ([]*policy.Document, error) {
	return d.permissions(&r.Identity)
}

// UserPermissions returns what the policies of the user and its groups say now, as RolePermissions does.
func (d *Directory) UserPermissions(u *User) ([]*policy.Document, error) {
	docs, err := d.permissions(&u.Identity)
	if err != nil {
		return nil, err
	}
	return d.groupPermissions(docs, u.Groups)
}

func (d *Directory) permissions(i *Identity) ([]*policy.Document, error) {
	if len(i.Attached) == 0 {
		return i.inline, nil
	}
	all := append(make([]*policy.Document, 0, len(i.inline)+len(i.Attached)), i.inline...)
	for _, id := range i.Attached {
		p, err := d.policyByID(id)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Document())
	}
	return all, nil
}

// policyByID returns a policy that something is attached to. One that cannot be read may be a Deny: to leave it out would
// give what it takes.
func (d *Directory) policyByID(id string) (*ManagedPolicy, error) {
	if p := awsPolicyByID(id); p != nil {
		return p, nil
	}
	found := d.policiesByID.Get(id)
	if len(found) == 0 {
		return nil, fault.New(fault.Unavailable, "the attached policy with id %s cannot be read", id)
	}
	return found[0], nil
}
