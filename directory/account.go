package directory

import (
	"context"
	"crypto/rand"
	"math/big"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// Account holds users and roles. Server-wide actions have their resources in the management account only.
type Account struct {
	ID         string // 12 digits
	Name       string // 1 to 50 characters, for people
	Management bool
	Created    time.Time
	AWS        *AWSAccount // nil: its roles are Lanyard's own
}

// Administrator is the name of the user that every account is created with, and of its inline policy.
const Administrator = "administrator"

const administratorPolicy = `{"Version":"2012-10-17","Statement":[{"Sid":"Administrator","Effect":"Allow","Action":"*","Resource":"*"}]}`

// NewAccount is what CreateAccount takes.
type NewAccount struct {
	ID   string // empty: a random one
	Name string
	AWS  *AWSAccount // nil: none. The external id is drawn by CreateAccount
}

// CreateAccount stores an account with its administrator and answers the administrator's access key, whose secret is
// shown this once. The first account is the management account.
func (d *Directory) CreateAccount(ctx context.Context, in NewAccount) (*Account, *AccessKey, error) {
	if in.ID != "" && !arn.IsAccount(in.ID) {
		return nil, nil, fault.New(fault.Invalid, "accountId %q: 12 digits are accepted", in.ID)
	}
	if n := len([]rune(in.Name)); n < 1 || n > 50 {
		return nil, nil, fault.New(fault.Invalid, "name %q: 1 to 50 characters are accepted", in.Name)
	}
	backing, err := in.backing()
	if err != nil {
		return nil, nil, err
	}
	admin, err := policy.Parse(policy.Identity, administratorPolicy)
	if err != nil {
		return nil, nil, err
	}
	var account *Account
	var key *AccessKey
	err = d.store.Update(ctx, func(tx *store.Tx) error {
		now := d.now()
		account = &Account{ID: in.ID, Name: in.Name, Management: d.accounts.ReadCount(tx, "") == 0, Created: now, AWS: backing}
		if account.Management && backing != nil {
			return fault.New(fault.Invalid, "the management account has no AWS account behind it")
		}
		if account.ID == "" {
			account.ID = newAccountID()
		}
		if _, taken, err := d.accounts.Read(tx, account.ID); err != nil {
			return err
		} else if taken {
			return fault.New(fault.Exists, "account %s already exists", account.ID)
		}
		if err := d.accounts.Put(tx, account.ID, account); err != nil {
			return err
		}
		key, err = d.putAdministrator(tx, account.ID, admin, now)
		return err
	})
	return account, key, err
}

// backing checks what is to stand behind the account and completes it.
func (in NewAccount) backing() (*AWSAccount, error) {
	if in.AWS == nil {
		return nil, nil
	}
	if in.ID == "" {
		return nil, fault.New(fault.Invalid, "accountId is required for an account with aws: the AWS account's 12 digits are accepted")
	}
	backing := *in.AWS
	backing.ExternalID = newExternalID()
	return &backing, backing.check()
}

// RecoverAdministrator makes the account's administrator whole again, whatever was done to it, and answers a new access
// key; the administrator's former keys, groups, boundary and other policies, of which one may be a Deny, are taken away. It is meant for
// `lanyard recover`, offline.
func (d *Directory) RecoverAdministrator(ctx context.Context, account string) (*AccessKey, error) {
	admin, err := policy.Parse(policy.Identity, administratorPolicy)
	if err != nil {
		return nil, err
	}
	var key *AccessKey
	err = d.store.Update(ctx, func(tx *store.Tx) error {
		if _, ok, err := d.accounts.Read(tx, account); err != nil {
			return err
		} else if !ok {
			return noAccount(account)
		}
		former, err := d.keysByUser.Read(tx, nameKey(account, Administrator))
		if err != nil {
			return err
		}
		for _, k := range former {
			if err := d.deleteKey(tx, k.ID); err != nil {
				return err
			}
		}
		key, err = d.putAdministrator(tx, account, admin, d.now())
		return err
	})
	return key, err
}

// putAdministrator stores the administrator with its policy and a new key, keeping the user's id where it exists.
func (d *Directory) putAdministrator(tx *store.Tx, account string, admin *policy.Document, now time.Time) (*AccessKey, error) {
	user := newUser(account, "/", Administrator, now)
	former, ok, err := d.users.Read(tx, nameKey(account, Administrator))
	if err != nil {
		return nil, err
	}
	if ok {
		user = former.clone()
	}
	user.Inline = []InlinePolicy{{Name: Administrator, Document: admin}}
	user.Attached, user.Groups, user.Boundary = nil, nil, ""
	if err := d.users.Put(tx, nameKey(account, user.Name), user.sealed()); err != nil {
		return nil, err
	}
	key := newAccessKey(account, user.Name, now)
	return key, d.keys.Put(tx, key.ID, key)
}

// Account returns the account with the id.
func (d *Directory) Account(id string) (*Account, error) {
	a, ok, err := d.accounts.Get(id)
	if err == nil && !ok {
		err = noAccount(id)
	}
	return a, err
}

// Accounts returns every account in the order of their ids.
func (d *Directory) Accounts() ([]*Account, error) {
	entries, err := d.accounts.List("", "", 0)
	if err != nil {
		return nil, err
	}
	all := make([]*Account, len(entries))
	for i, e := range entries {
		all[i] = e.Value
	}
	return all, nil
}

// Management returns the management account; NotFound before the first account is made.
func (d *Directory) Management() (*Account, error) {
	all, err := d.Accounts()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.Management {
			return a, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no account yet")
}

func newAccountID() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(900_000_000_000)) // never fails, see newID
	return n.Add(n, big.NewInt(100_000_000_000)).String()
}

func noAccount(id string) error { return fault.New(fault.NotFound, "account %q does not exist", id) }
