package directory

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

const (
	one = "111122223333"
	two = "444455556666"

	podTrust  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	userTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}`
	listAll   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}`
	denyAll   = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
)

// made is when everything in these tests is made.
var made = time.Date(2026, 11, 23, 2, 0, 0, 123456789, time.UTC)

// world is a directory with its store.
type world struct {
	*Directory
	store *store.Store
}

// open starts a directory in the folder and closes it with the test.
func open(t testing.TB, dir string, key store.MasterKey) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: key})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{New(st, func() time.Time { return made }), st}
	if err := st.Start(t.Context()); err != nil {
		t.Fatal(errors.Join(err, st.Close()))
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func folder(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }

func fresh(t testing.TB) *world {
	t.Helper()
	return open(t, folder(t), store.NewMasterKey())
}

// create makes a role, which must succeed.
func (w *world) create(t testing.TB, in NewRole) *Role {
	t.Helper()
	if in.Trust == "" {
		in.Trust = podTrust
	}
	r, err := w.CreateRole(t.Context(), in)
	if err != nil {
		t.Fatalf("CreateRole %s: %v", in.Name, err)
	}
	return r
}

// roleMay and userMay return permissions, which must be readable.
func (w *world) roleMay(t testing.TB, r *Role) []*policy.Document {
	t.Helper()
	docs, err := w.RolePermissions(r)
	must(t, err)
	return docs
}

func (w *world) userMay(t testing.TB, u *User) []*policy.Document {
	t.Helper()
	docs, err := w.UserPermissions(u)
	must(t, err)
	return docs
}

// account makes an account, which must succeed.
func (w *world) account(t testing.TB, id string) *AccessKey {
	t.Helper()
	_, key, err := w.CreateAccount(t.Context(), NewAccount{ID: id, Name: "account " + id})
	if err != nil {
		t.Fatalf("CreateAccount %s: %v", id, err)
	}
	return key
}

// accepted stands in tables for "no error": it is no kind that a room returns.
const accepted = fault.Internal

// wants holds an error against the kind that is wanted.
func wants(t testing.TB, what string, err error, want fault.Kind) {
	t.Helper()
	switch {
	case want == accepted && err != nil:
		t.Errorf("%s: got %v, want no error", what, err)
	case want != accepted && !fault.Is(err, want):
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// managed makes a policy of the first account, which must succeed, and returns its ARN.
func (w *world) managed(t testing.TB, name, text string) string {
	t.Helper()
	p, err := w.CreateManagedPolicy(t.Context(), NewManagedPolicy{Account: one, Name: name, Text: text})
	must(t, err)
	return p.ARN().String()
}

func policyARN(name string) string { return "arn:aws:iam::" + one + ":policy/" + name }
