package directory

import (
	"context"
	"regexp"
	"strings"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// alias is a word for an account. An account has one at most.
type alias struct{ Name, Account string }

var aliasName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// CreateAlias gives an account an alias that no account has, in place of the one that it had.
func (d *Directory) CreateAlias(ctx context.Context, account, name string) error {
	if !aliasName.MatchString(name) || strings.Contains(name, "--") {
		return fault.New(fault.Invalid, "accountAlias %q: 3 to 63 lower-case letters, digits and single dashes between them are accepted", name)
	}
	return d.store.Update(ctx, func(tx *store.Tx) error {
		former, taken, err := d.aliases.Read(tx, name)
		switch {
		case err != nil:
			return err
		case taken && former.Account == account:
			return nil
		case taken:
			return fault.New(fault.Exists, "The account alias %s already exists.", name)
		}
		if err := d.holdAccount(tx, account); err != nil { // of two who name it at once, one comes second
			return err
		}
		had, err := d.aliasesByAccount.Read(tx, account)
		if err != nil {
			return err
		}
		for _, a := range had {
			if err := d.aliases.Delete(tx, a.Name); err != nil {
				return err
			}
		}
		return d.aliases.Put(tx, name, &alias{name, account})
	})
}

func (d *Directory) holdAccount(tx *store.Tx, id string) error {
	a, ok, err := d.accounts.Read(tx, id)
	if err != nil {
		return err
	}
	if !ok {
		return noAccount(id)
	}
	return d.accounts.Put(tx, id, a)
}

// DeleteAlias takes the account's alias away.
func (d *Directory) DeleteAlias(ctx context.Context, account, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		a, ok, err := d.aliases.Read(tx, name)
		if err != nil {
			return err
		}
		if !ok || a.Account != account {
			return fault.New(fault.NotFound, "The account alias with name %s cannot be found.", name)
		}
		return d.aliases.Delete(tx, name)
	})
}

// Alias returns the account's alias, "" for none.
func (d *Directory) Alias(account string) string {
	for _, a := range d.aliasesByAccount.Get(account) {
		return a.Name
	}
	return ""
}
