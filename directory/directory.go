// Package directory keeps who exists: accounts with their users, access keys, roles and policies, after the model of
// IAM (https://docs.aws.amazon.com/IAM/latest/UserGuide/introduction_identity-management.html).
package directory

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/store"
)

// Directory is the only writer of accounts, users, access keys and roles.
type Directory struct {
	store *store.Store
	now   func() time.Time
	tied  func(viewer string, role arn.ARN) bool // nil: nothing ties roles to other accounts

	accounts *store.Table[*Account]
	users    *store.Table[*User]
	keys     *store.Table[*AccessKey]
	roles    *store.Table[*Role]

	keysByUser *store.Index[*AccessKey]
	rolesByID  *store.Index[*Role]
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
	}
	d.keysByUser = store.NewIndex(d.keys, func(_ string, k *AccessKey) []string { return []string{nameKey(k.Account, k.User)} })
	d.rolesByID = store.NewIndex(d.roles, func(_ string, r *Role) []string { return []string{r.ID} })
	d.share()
	return d
}

const roleTable = "role"

// nameKey is the key of a user or role: names are unique in their account whatever their case and path.
func nameKey(account, name string) string { return account + "/" + strings.ToLower(name) }

var idAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// newID returns a unique id of IAM's form: a four-letter prefix (AROA, AIDA, AKIA) and n characters of A-Z2-7.
func newID(prefix string, n int) string {
	raw := make([]byte, (n*5+7)/8)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	return prefix + idAlphabet.EncodeToString(raw)[:n]
}
