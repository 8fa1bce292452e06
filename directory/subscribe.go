package directory

import "github.com/openlanyard/lanyard/store"

// OnRoleEnd has each role told that is deleted, by account and id: a role of the same name that is made again is another.
// It follows the rules of store.Subscribe.
func (d *Directory) OnRoleEnd(tell func(account, id string)) {
	store.Subscribe(d.roles, func(c store.Change[*Role]) {
		if c.Was && (!c.Is || c.After.ID != c.Before.ID) {
			tell(c.Before.Account, c.Before.ID)
		}
	})
}
