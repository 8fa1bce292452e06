package directory

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

func TestUserPolicies(t *testing.T) {
	w := fresh(t)
	w.account(t, one)
	large := listAll[:len(listAll)-1] + `,"Id":"` + strings.Repeat("x", maxInline[Users]) + `"}`
	for _, test := range []struct {
		name, user, policy, text string
		want                     fault.Kind
	}{
		{"a policy, the user in other case", "Administrator", "list", listAll, accepted},
		{"more than the quota", Administrator, "large", large, fault.Limit},
		{"of no such user", "nobody", "list", listAll, fault.NotFound},
		{"with a bad name", Administrator, "", listAll, fault.Invalid},
		{"with an unknown element", Administrator, "x", strings.Replace(listAll, `"Effect"`, `"Sometimes":1,"Effect"`, 1), fault.MalformedPolicy},
	} {
		t.Run(test.name, func(t *testing.T) {
			wants(t, "PutUserPolicy", w.PutPolicy(t.Context(), Who{Users, one, test.user}, test.policy, test.text), test.want)
		})
	}
	user, err := w.User(one, "ADMINISTRATOR")
	must(t, err)
	if p, err := user.Policy("list"); err != nil || p.Document.Text() != listAll {
		t.Errorf("the policy: got %v, %v", p, err)
	}
	wants(t, "DeleteUserPolicy", w.DeletePolicy(t.Context(), Who{Users, one, Administrator}, "list"), accepted)
	wants(t, "DeleteUserPolicy again", w.DeletePolicy(t.Context(), Who{Users, one, Administrator}, "list"), fault.NotFound)
	if _, err := user.Policy("list"); err != nil {
		t.Error("a user that was handed out was changed in place")
	}
}

func TestSecretsPrintAsREDACTED(t *testing.T) {
	key := newAccessKey(one, "u", made)
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", key, "secret", key.Secret)
	fmt.Fprintf(&out, "%v %+v %#v %s %#v", key, *key, *key, key.Secret, key.Secret)
	if strings.Contains(out.String(), string(key.Secret)) || !strings.Contains(out.String(), "REDACTED") {
		t.Errorf("the secret was printed: %s", out.String())
	}
}
