// Package directory keeps who exists: accounts with their users, access keys, roles and policies, after the model of
// IAM (https://docs.aws.amazon.com/IAM/latest/UserGuide/introduction_identity-management.html).
package directory

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"sync"
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
	users    identityTable[*User]
	groups   identityTable[*Group]
	roles    identityTable[*Role]
	keys     *store.Table[*AccessKey]
	policies *store.Table[*ManagedPolicy]
	issuers  *store.Table[*OIDCProvider]
	usage    *store.Table[*Usage] // by the id of a role or access key
	aliases  *store.Table[*alias] // by the alias, which is unique among all accounts

	used             sync.Map // *Usage by id: what was noted
	aliasesByAccount *store.Index[*alias]

	keysByUser *store.Index[*AccessKey]
	rolesByID  *store.Index[*Role]
	groupsByID *store.Index[*Group]

	policiesByID   *store.Index[*ManagedPolicy]
	usersByPolicy  *store.Index[*User] // these by policyKey
	groupsByPolicy *store.Index[*Group]
	rolesByPolicy  *store.Index[*Role]
	usersByGroup   *store.Index[*User] // by the group's id
	policyChanges  atomic.Uint64       // counts them, see IsCurrent
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
		users:    identityTable[*User]{Table: store.NewTable(st, "user", userCodec), kind: Users},
		groups:   identityTable[*Group]{Table: store.NewTable(st, "group", groupCodec), kind: Groups},
		roles:    identityTable[*Role]{Table: store.NewTable(st, roleTable, roleCodec), kind: Roles, own: isOwn},
		keys:     store.NewTable(st, "accesskey", accessKeyCodec),
		policies: store.NewTable(st, "policy", policyCodec),
		issuers:  store.NewTable(st, "oidcprovider", oidcProviderCodec),
		usage:    store.NewTable(st, "usage", usageCodec),
		aliases:  store.NewTable(st, "alias", aliasCodec),
	}
	d.keysByUser = store.NewIndex(d.keys, func(_ string, k *AccessKey) []string { return []string{nameKey(k.Account, k.User)} })
	d.rolesByID = store.NewIndex(d.roles.Table, func(_ string, r *Role) []string { return []string{r.ID} })
	d.groupsByID = store.NewIndex(d.groups.Table, func(_ string, g *Group) []string { return []string{g.ID} })
	d.policiesByID = store.NewIndex(d.policies, func(_ string, p *ManagedPolicy) []string { return []string{p.ID} })
	d.usersByPolicy = store.NewIndex(d.users.Table, func(_ string, u *User) []string { return u.uses() })
	d.groupsByPolicy = store.NewIndex(d.groups.Table, func(_ string, g *Group) []string { return g.uses() })
	d.rolesByPolicy = store.NewIndex(d.roles.Table, func(_ string, r *Role) []string { return r.uses() })
	d.aliasesByAccount = store.NewIndex(d.aliases, func(_ string, a *alias) []string { return []string{a.Account} })
	d.usersByGroup = store.NewIndex(d.users.Table, func(_ string, u *User) []string { return u.Groups })
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

// newID returns a unique id of IAM's form: a four-letter prefix (AROA, AIDA, AGPA, ANPA, AKIA) and n characters of A-Z2-7.
func newID(prefix string, n int) string {
	raw := make([]byte, (n*5+7)/8)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	return prefix + idAlphabet.EncodeToString(raw)[:n]
}
