package access

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// userSession is what the administrator gets by GetSessionToken, or a guest by GetFederationToken.
func (w *world) userSession(t testing.TB, guest string, policies ...string) *session.Session {
	t.Helper()
	_, user, err := w.Directory.AccessKey(w.admin.ID)
	must(t, err)
	now := w.clock.now()
	return &session.Session{
		Account: one, Name: guest, User: &session.User{ID: user.ID, KeyID: w.admin.ID}, Policies: policies,
		Issued: now, Expires: now.Add(session.Longest), Revision: w.Store.Revision(), Epoch: w.Store.Epoch(),
	}
}

func TestUserSessions(t *testing.T) {
	w := fresh(t)
	w.Sessions = NewSessions(8)
	read := document(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`)
	const object, roleARN = "arn:aws:s3:::b/k", "arn:aws:iam::111122223333:role/app"
	for _, test := range []struct {
		name, guest            string
		policies               []string
		arn                    string
		reads, writes, assumes bool
	}{
		{"the user", "", nil, "arn:aws:iam::111122223333:user/administrator", true, true, true},
		{"a guest with a policy", "anna", []string{read}, "arn:aws:sts::111122223333:federated-user/anna", true, false, false},
		{"a guest without", "anna", nil, "arn:aws:sts::111122223333:federated-user/anna", false, false, false},
		{"a guest with a managed policy that is gone", "anna", []string{"arn:aws:iam::111122223333:policy/gone"}, "arn:aws:sts::111122223333:federated-user/anna", false, false, false},
		{"a guest who may do all that the user may", "anna", []string{document(`{"Effect":"Allow","Action":"*","Resource":"*"}`)}, "arn:aws:sts::111122223333:federated-user/anna", true, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := w.authenticate(t, w.mint(t, w.userSession(t, test.guest, test.policies...)))
			must(t, err)
			if p.ARN != test.arn || p.User == nil || p.Role != nil || p.RateKey() != "arn:aws:iam::111122223333:user/administrator" {
				t.Errorf("got %s, %v, %v, counted as %s", p.ARN, p.User, p.Role, p.RateKey())
			}
			for _, question := range []struct {
				action, resource string
				want             bool
			}{
				{"s3:GetObject", object, test.reads},
				{"s3:PutObject", object, test.writes},
				{"sts:AssumeRole", roleARN, test.assumes},
				{"sts:GetAccessKeyInfo", "*", false},
				{"iam:GetRole", roleARN, false},
				{"IAM:GetRole", roleARN, false},
			} {
				if _, err := w.Authorize(p, question.action, question.resource, nil); (err == nil) != question.want {
					t.Errorf("%s: got %v, want allowed: %v", question.action, err, question.want)
				}
			}
			if again, err := w.Again(p); err != nil || again.ARN != p.ARN {
				t.Errorf("Again: got %v, %v", again, err)
			}
		})
	}
}

// What the user may no longer do, the session may not either, at the next request.
func TestUserSessionsFollowTheirUser(t *testing.T) {
	w := fresh(t)
	w.Sessions = NewSessions(8)
	s := w.mint(t, w.userSession(t, ""))
	p, err := w.authenticate(t, s)
	must(t, err)
	_, err = w.Authorize(p, "s3:GetObject", "arn:aws:s3:::b/k", nil)
	must(t, err)
	administrator := directory.Users.Named(one, directory.Administrator)
	must(t, w.Directory.PutPolicy(t.Context(), administrator, "deny", document(`{"Effect":"Deny","Action":"s3:*","Resource":"*"}`)))
	p, err = w.authenticate(t, s)
	must(t, err)
	if _, err = w.Authorize(p, "s3:GetObject", "arn:aws:s3:::b/k", nil); !fault.Is(err, fault.Denied) {
		t.Errorf("after a Deny: got %v, want Denied", err)
	}
}

func TestUserSessionsEnd(t *testing.T) {
	w := fresh(t)
	w.Sessions = NewSessions(8)
	held := w.userSession(t, "")
	s := w.mint(t, held)
	_, err := w.authenticate(t, s)
	must(t, err)
	other := w.userSession(t, "")
	other.User.ID = "AIDAANOTHERANOTHER123"
	_, err = w.authenticate(t, w.mint(t, other))
	wants(t, "of a user of another id", err, fault.UnknownKey)
	none := w.userSession(t, "")
	none.User.KeyID = "AKIAAAAAAAAAAAAAAAAA"
	_, err = w.authenticate(t, w.mint(t, none))
	wants(t, "by a key that is not there", err, fault.UnknownKey)
	_, key, err := w.Directory.CreateAccount(t.Context(), directory.NewAccount{ID: "444455556666", Name: "two"})
	must(t, err)
	across := w.userSession(t, "")
	across.User.KeyID = key.ID
	_, err = w.authenticate(t, w.mint(t, across))
	wants(t, "by the key of another account", err, fault.UnknownKey)

	p, err := w.authenticate(t, s)
	must(t, err)
	_, err = w.Directory.RecoverAdministrator(t.Context(), one) // which deletes the former key
	must(t, err)
	_, err = w.authenticate(t, s)
	wants(t, "after the key is deleted", err, fault.UnknownKey)
	_, err = w.Again(p)
	wants(t, "after the key is deleted, in a request that waits", err, fault.UnknownKey)

	w.admin, err = w.Directory.RecoverAdministrator(t.Context(), one)
	must(t, err)
	s = w.mint(t, w.userSession(t, ""))
	w.clock.pass(session.Longest - time.Second)
	_, err = w.authenticate(t, s)
	must(t, err)
	w.clock.pass(time.Second)
	_, err = w.authenticate(t, s)
	wants(t, "when it is over", err, fault.ExpiredCredentials)
}

// A gateway has the session's secret from its token, and asks for the day's keys of long-term keys alone.
func TestUserSessionsAtAGateway(t *testing.T) {
	w := fresh(t)
	s := w.mint(t, w.userSession(t, ""))
	w.SigningKey = func(context.Context, string, string, string, string) (sigv4.Key, error) {
		return sigv4.Key{}, errors.New("asked for the key of a session")
	}
	_, err := w.authenticate(t, s)
	must(t, err)
	if _, err := w.authenticate(t, byKey(w.admin)); err == nil {
		t.Error("the long-term key was not asked for")
	}
}
