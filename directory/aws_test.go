package directory

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

func TestCreateAWSAccount(t *testing.T) {
	w := fresh(t)
	for _, test := range []struct {
		name string
		id   string
		aws  AWSAccount
		want fault.Kind
	}{
		{"as the first account", two, AWSAccount{Region: "us-east-1"}, fault.Invalid},
		{"a region", two, AWSAccount{Region: "ap-southeast-2"}, accepted},
		{"a GovCloud's region, https", "777788889999", AWSAccount{Region: "us-gov-west-1", Endpoint: "https://sts.example.com"}, accepted},
		{"loopback by http", "777788889998", AWSAccount{Region: "us-east-1", Endpoint: "http://[::1]:5000"}, accepted},
		{"no id", "", AWSAccount{Region: "us-east-1"}, fault.Invalid},
		{"no region", "777788889990", AWSAccount{}, fault.Invalid},
		{"a region with a path", "777788889990", AWSAccount{Region: "us-east-1.example.com/x"}, fault.Invalid},
		{"http", "777788889990", AWSAccount{Region: "us-east-1", Endpoint: "http://sts.example.com"}, fault.Invalid},
		{"http to a name that begins like loopback", "777788889990", AWSAccount{Region: "us-east-1", Endpoint: "http://127.0.0.1.example.com"}, fault.Invalid},
		{"a password in the URL", "777788889990", AWSAccount{Region: "us-east-1", Endpoint: "https://a:b@sts.example.com"}, fault.Invalid},
		{"no URL", "777788889990", AWSAccount{Region: "us-east-1", Endpoint: "sts.example.com"}, fault.Invalid},
	} {
		if _, err := w.Account(one); test.name != "as the first account" && err != nil {
			w.account(t, one)
		}
		made, key, err := w.CreateAccount(t.Context(), NewAccount{ID: test.id, Name: "aws", AWS: &test.aws})
		wants(t, test.name, err, test.want)
		if err == nil && (made.AWS.Region != test.aws.Region || len(made.AWS.ExternalID) < 30 || key == nil) {
			t.Errorf("%s: got %+v", test.name, made.AWS)
		}
	}
}

// TestRolesOfAWSAreNotManaged: those of AWS are refused in words, those of the account's clusters are there.
func TestRolesOfAWSAreNotManaged(t *testing.T) {
	w := fresh(t)
	w.account(t, one)
	_, _, err := w.CreateAccount(t.Context(), NewAccount{ID: two, Name: "aws", AWS: &AWSAccount{Region: "us-east-1"}})
	must(t, err)
	_, err = w.CreateRole(t.Context(), NewRole{Account: two, Name: "app", Trust: podTrust})
	wants(t, "CreateRole", err, fault.Unsupported)
	wants(t, "CheckManaged", w.CheckManaged(two, "app"), fault.Unsupported)
	if text := fault.Message(err); !strings.Contains(text, "aws iam") || !strings.Contains(text, "console") {
		t.Errorf("the refusal names no way: %s", text)
	}
	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
		return w.PutClusterRole(tx, ClusterRole{Account: two, Name: "agent", Cluster: "c1", Trust: podTrust, Permissions: listAll})
	}))
	wants(t, "CheckManaged of the cluster's", w.CheckManaged(two, "agent"), accepted)
	wants(t, "CheckManaged elsewhere", w.CheckManaged(one, "app"), accepted)
	_, err = w.CreateRole(t.Context(), NewRole{Account: one, Name: "app", Trust: podTrust})
	wants(t, "CreateRole elsewhere", err, accepted)
	for account, want := range map[string]bool{one: false, two: true, "777788889999": false} {
		if got, err := w.Backing(account); err != nil || (got != nil) != want {
			t.Errorf("Backing(%s): got %v, %v, want %v", account, got, err, want)
		}
	}
}
