package directory

import (
	"strings"
	"sync"
	"testing"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

func TestTheFirstAccountIsTheManagementAccount(t *testing.T) {
	w := fresh(t)
	if got, err := w.Management(); !fault.Is(err, fault.NotFound) {
		t.Errorf("Management before the first account: got %v, %v, want NotFound", got, err)
	}
	w.account(t, two)
	w.account(t, one) // smaller, and still the second
	for id, want := range map[string]bool{two: true, one: false} {
		a, err := w.Account(id)
		must(t, err)
		if a.Management != want || !a.Created.Equal(made) || a.Name != "account "+id {
			t.Errorf("account %s: got %+v, want Management %v", id, a, want)
		}
	}
	if m, err := w.Management(); err != nil || m.ID != two {
		t.Errorf("Management: got %+v, %v, want %s", m, err, two)
	}
	if _, err := w.Account("999900001111"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an account that does not exist: got %v, want NotFound", err)
	}
}

func TestOfManyFirstAccountsOneIsTheManagementAccount(t *testing.T) {
	w := fresh(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, err := w.CreateAccount(t.Context(), NewAccount{Name: "racer"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	accounts, err := w.Accounts()
	must(t, err)
	management := 0
	for _, a := range accounts {
		if a.Management {
			management++
		}
		if !arn.IsAccount(a.ID) || a.ID[0] == '0' {
			t.Errorf("a random account id: got %q", a.ID)
		}
	}
	if len(accounts) != 8 || management != 1 {
		t.Errorf("got %d accounts, %d of them management, want 8 and 1", len(accounts), management)
	}
}

func TestCreateAccountChecksItsInput(t *testing.T) {
	w := fresh(t)
	w.account(t, one)
	for _, test := range []struct {
		name string
		in   NewAccount
		want fault.Kind
	}{
		{"an id and a name", NewAccount{ID: two, Name: "second"}, accepted},
		{"the id again", NewAccount{ID: two, Name: "third"}, fault.Exists},
		{"an id of 11 digits", NewAccount{ID: "11112222333", Name: "x"}, fault.Invalid},
		{"an id of letters", NewAccount{ID: "aaaabbbbcccc", Name: "x"}, fault.Invalid},
		{"a name of 50 characters", NewAccount{ID: "", Name: strings.Repeat("ü", 50)}, accepted},
		{"a name of 51 characters", NewAccount{ID: "", Name: strings.Repeat("ü", 51)}, fault.Invalid},
		{"no name", NewAccount{ID: "777788889999", Name: ""}, fault.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := w.CreateAccount(t.Context(), test.in)
			wants(t, "CreateAccount", err, test.want)
		})
	}
}

func TestTheAdministratorMayDoEverythingInItsAccount(t *testing.T) {
	w := fresh(t)
	key := w.account(t, one)
	if len(key.ID) != 20 || !strings.HasPrefix(key.ID, "AKIA") || len(key.Secret) != 40 || !key.Active {
		t.Errorf("key: got %+v with a secret of %d characters", key, len(key.Secret))
	}
	got, user, err := w.AccessKey(key.ID)
	must(t, err)
	if got.Secret != key.Secret || user.Name != Administrator || user.ARN().String() != "arn:aws:iam::111122223333:user/administrator" {
		t.Errorf("AccessKey: got %+v of %+v", got, user)
	}
	question := &policy.Question{Action: "iam:DeleteRole", Resource: "arn:aws:iam::111122223333:role/x"}
	if d := policy.Evaluate(question, w.userMay(t, user)); d.Effect != policy.Allow {
		t.Errorf("the administrator's permissions: got %v, want Allow", d.Effect)
	}
	if _, _, err := w.AccessKey(key.ID + "A"); !fault.Is(err, fault.NotFound) {
		t.Errorf("another key id: got %v, want NotFound", err)
	}
}

func TestRecoverAdministrator(t *testing.T) {
	w := fresh(t)
	first, other := w.account(t, one), w.account(t, two)
	_, before, err := w.AccessKey(first.ID)
	must(t, err)
	must(t, w.PutPolicy(t.Context(), Who{Users, one, Administrator}, "mine", denyAll))
	must(t, w.DeletePolicy(t.Context(), Who{Users, one, Administrator}, Administrator))
	must(t, w.Attach(t.Context(), Who{Users, one, Administrator}, w.managed(t, "deny", denyAll)))

	second, err := w.RecoverAdministrator(t.Context(), one)
	must(t, err)
	if _, _, err := w.AccessKey(first.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("the former key: got %v, want NotFound", err)
	}
	_, user, err := w.AccessKey(second.ID)
	must(t, err)
	if user.ID != before.ID {
		t.Errorf("the user's id: got %s, want %s as before", user.ID, before.ID)
	}
	question := &policy.Question{Action: "iam:PutRolePolicy", Resource: "arn:aws:iam::111122223333:role/x"}
	if d := policy.Evaluate(question, w.userMay(t, user)); d.Effect != policy.Allow {
		t.Errorf("the recovered administrator's permissions: got %v by %v, want Allow", d.Effect, d.Statement)
	}
	if _, _, err := w.AccessKey(other.ID); err != nil {
		t.Errorf("another account's administrator: got %v, want its key untouched", err)
	}
	if _, err := w.RecoverAdministrator(t.Context(), "999900001111"); !fault.Is(err, fault.NotFound) {
		t.Errorf("recovering an account that does not exist: got %v, want NotFound", err)
	}
}
