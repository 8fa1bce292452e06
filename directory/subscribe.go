package directory

import "github.com/openlanyard/lanyard/store"

// OnRoleEnd has each role told that is deleted: a role of the same name that is made again is another. It follows the rules
// of store.Subscribe.
func (d *Directory) OnRoleEnd(tell func(*Role)) {
	store.Subscribe(d.roles.Table, func(c store.Change[*Role]) {
		if c.Was && (!c.Is || c.After.ID != c.Before.ID) {
			tell(c.Before)
		}
	})
}

// OnTrustChange has each role told whose trust policy has another text. It follows the rules of store.Subscribe.
func (d *Directory) OnTrustChange(tell func(*Role)) {
	store.Subscribe(d.roles.Table, func(c store.Change[*Role]) {
		if c.Was && c.Is && c.After.ID == c.Before.ID && c.After.Trust.Text() != c.Before.Trust.Text() {
			tell(c.After)
		}
	})
}

// RolesSince returns the roles that were made or changed after the revision, at most limit of them, and whether these are
// all.
func (d *Directory) RolesSince(revision int64, limit int) (list []*Role, all bool, err error) {
	entries, all, err := d.roles.Since("", revision, limit)
	for _, e := range entries {
		list = append(list, e.Value)
	}
	return list, all, err
}
