// Package directory keeps who exists: accounts with their users, access keys, roles and policies, after the model of
// IAM (https://docs.aws.amazon.com/IAM/latest/UserGuide/introduction_identity-management.html).
package directory

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/store"
)

// Directory is the only writer of accounts, users, access keys, roles and managed policies.
type Directory struct {
	store *store.Store
	now   func() time.Time
	tied  func(viewer string, role arn.ARN) bool // nil: nothing ties roles to other accounts

	accounts *store.Table[*Account]
	users    *store.Table[*User]
	keys     *store.Table[*AccessKey]
	roles    *store.Table[*Role]
	policies *store.Table[*ManagedPolicy]
	issuers  *store.Table[*OIDCProvider]

	keysByUser *store.Index[*AccessKey]
	rolesByID  *store.Index[*Role]

	policiesByID  *store.Index[*ManagedPolicy]
	rolesByPolicy *store.Index[*Role]
	usersByPolicy *store.Index[*User]
	policyChanges atomic.Uint64 // counts them, see IsCurrent
}

// New declares the directory's tables on a store that is open and not yet started. A nil now is time.Now.
func New(st *store.Store, now func() time.Time) *Directory {
	if now == nil {
		now = time.Now
	}
	d := &Directory{
		store:    st,
		now:      now,
		accounts: store.NewTable(st, "account", accountCodec),
		users:    store.NewTable(st, "user", userCodec),
		keys:     store.NewTable(st, "accesskey", accessKeyCodec),
		roles:    store.NewTable(st, roleTable, roleCodec),
		policies: store.NewTable(st, "policy", policyCodec),
		issuers:  store.NewTable(st, "oidcprovider", oidcProviderCodec),
	}
	d.keysByUser = store.NewIndex(d.keys, func(_ string, k *AccessKey) []string { return []string{nameKey(k.Account, k.User)} })
	d.rolesByID = store.NewIndex(d.roles, func(_ string, r *Role) []string { return []string{r.ID} })
	d.policiesByID = store.NewIndex(d.policies, func(_ string, p *ManagedPolicy) []string { return []string{p.ID} })
	d.rolesByPolicy = store.NewIndex(d.roles, func(_ string, r *Role) []string { return r.Attached })
	d.usersByPolicy = store.NewIndex(d.users, func(_ string, u *User) []string { return u.Attached })
	store.Subscribe(d.policies, func(store.Change[*ManagedPolicy]) { d.policyChanges.Add(1) })
	d.share()
	return d
}

const roleTable = "role"

// nameKey is the key of a user, role or policy: names are unique in their account whatever their case and path.
func nameKey(account, name string) string { return account + "/" + strings.ToLower(name) }

// page returns those of the account's records that keep wants, by name, at most limit of them after the name `after`; a
// limit of 0 is none. It reads no more of the account than it needs.
func page[T any](t *store.Table[T], account, after string, limit int, keep func(T) bool) ([]T, error) {
	prefix, last := account+"/", ""
	if after != "" {
		last = nameKey(account, after)
	}
	var found []T
	for {
		entries, err := t.List(prefix, last, limit)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if keep(e.Value) {
				found = append(found, e.Value)
			}
			if limit > 0 && len(found) == limit {
				return found, nil
			}
		}
		if limit == 0 || len(entries) < limit {
			return found, nil
		}
		last = entries[len(entries)-1].Key
	}
}

var idAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// newID returns a unique id of IAM's form: a four-letter prefix (AROA, AIDA, ANPA, AKIA) and n characters of A-Z2-7.
func newID(prefix string, n int) string {
	raw := make([]byte, (n*5+7)/8)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	return prefix + idAlphabet.EncodeToString(raw)[:n]
}
