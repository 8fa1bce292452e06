package registry

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
)

// Tools look for these sentences: Terraform repeats a call while the role "does not exist".
func TestCreateAssociationAnswersInEKSsWords(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	role := w.role(t, one, "app")
	first := w.associate(t, c, "ns", "sa", role)
	if !regexp.MustCompile(`^a-[a-z0-9]{17}$`).MatchString(first.ID) {
		t.Errorf("id: got %q", first.ID)
	}
	if want := "arn:aws:eks:us-west-2:111122223333:podidentityassociation/prod/" + first.ID; first.ARN().String() != want {
		t.Errorf("ARN: got %s, want %s", first.ARN(), want)
	}
	for name, statement := range map[string]string{
		"untagged": `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}`,
		"unbecome": `{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:TagSession"}`,
		"foreign":  `{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}`,
	} {
		_, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: one, Name: name, Trust: `{"Version":"2012-10-17","Statement":[` + statement + `]}`})
		must(t, err)
	}
	const namespaces = `The parameter namespace contains invalid characters. It should conform to the regular expression ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	const accounts = `The parameter serviceAccount contains invalid characters. It should conform to the regular expression ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	for _, test := range []struct {
		name, cluster, namespace, account, role string
		want                                    fault.Kind
		message                                 string // its beginning
	}{
		{"another service account", "prod", "ns", "my.sa-2", role, accepted, ""},
		{"the same", "prod", "ns", "sa", role, fault.Exists, "Association already exists: " + first.ID},
		{"a namespace with an upper-case letter", "prod", "Ns", "sa", role, fault.Invalid, namespaces},
		{"a namespace with a dot", "prod", "n.s", "sa", role, fault.Invalid, namespaces},
		{"a namespace with a slash", "prod", "ns/sa", "sa", role, fault.Invalid, namespaces},
		{"a namespace of 63 characters", "prod", strings.Repeat("n", 63), "sa", role, accepted, ""},
		{"a namespace of 64 characters", "prod", strings.Repeat("n", 64), "sa", role, fault.Invalid, namespaces},
		{"no namespace", "prod", "", "sa", role, fault.Invalid, namespaces},
		{"a service account with a slash", "prod", "ns", "s/a", role, fault.Invalid, accounts},
		{"a service account that ends in a dot", "prod", "ns", "sa.", role, fault.Invalid, accounts},
		{"a service account of 254 characters", "prod", "ns", strings.Repeat("s", 254), role, fault.Invalid, accounts},
		{"no such role", "prod", "ns", "sa3", role + "s", fault.Invalid, "Role provided in the request does not exist."},
		{"a role of another path", "prod", "ns", "sa3", "arn:aws:iam::111122223333:role/team/app", fault.Invalid, "Role provided in the request does not exist."},
		{"a role that may not be tagged", "prod", "ns", "sa3", strings.Replace(role, "app", "untagged", 1), fault.Invalid, "Trust policy of the role provided is invalid."},
		{"a role that may only be tagged", "prod", "ns", "sa3", strings.Replace(role, "app", "unbecome", 1), fault.Invalid, "Trust policy of the role provided is invalid."},
		{"a role for another service", "prod", "ns", "sa3", strings.Replace(role, "app", "foreign", 1), fault.Invalid, "Trust policy of the role provided is invalid."},
		{"a role of another account", "prod", "ns", "sa3", strings.Replace(role, one, two, 1), fault.CrossAccount, "Cross-account pass role is not allowed."},
		{"a user", "prod", "ns", "sa3", strings.Replace(role, "role", "user", 1), fault.Invalid, "roleArn"},
		{"no ARN", "prod", "ns", "sa3", "app", fault.Invalid, "roleArn"},
		{"no such cluster", "dev", "ns", "sa3", role, fault.NotFound, "No cluster found for name: dev."},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.CreateAssociation(t.Context(), NewAssociation{
				Account: one, Cluster: test.cluster, Namespace: test.namespace, ServiceAccount: test.account, Role: test.role,
			})
			wants(t, "CreateAssociation", err, test.want)
			if err != nil && !strings.HasPrefix(fault.Message(err), test.message) {
				t.Errorf("message: got %q, want it to begin with %q", fault.Message(err), test.message)
			}
		})
	}
}

func TestCreatingAgainWithTheSameRequestToken(t *testing.T) {
	w := fresh(t)
	c, other := w.join(t, one, "prod"), w.join(t, one, "test")
	in := NewAssociation{
		Account: one, Cluster: c.Name, Namespace: "ns", ServiceAccount: "sa", Role: w.role(t, one, "app"), RequestToken: "t1",
		Tags: []directory.Tag{{Key: "a", Value: "b"}},
	}
	second := w.role(t, one, "second")
	first, err := w.CreateAssociation(t.Context(), in)
	must(t, err)
	again, err := w.CreateAssociation(t.Context(), in)
	if err != nil || again.ID != first.ID {
		t.Errorf("the same again: got %+v, %v, want %s", again, err, first.ID)
	}
	for name, change := range map[string]struct {
		edit func(*NewAssociation)
		want fault.Kind
	}{
		"another token":           {func(in *NewAssociation) { in.RequestToken = "t2" }, fault.Exists},
		"no token":                {func(in *NewAssociation) { in.RequestToken = "" }, fault.Exists},
		"another service account": {func(in *NewAssociation) { in.ServiceAccount = "sb" }, fault.Invalid},
		"another namespace":       {func(in *NewAssociation) { in.Namespace = "nt" }, fault.Invalid},
		"another role":            {func(in *NewAssociation) { in.Role = second }, fault.Invalid},
		"other tags":              {func(in *NewAssociation) { in.Tags = nil }, fault.Invalid},
		"a token too long":        {func(in *NewAssociation) { in.RequestToken = strings.Repeat("t", 257) }, fault.Invalid},
		"in another cluster":      {func(in *NewAssociation) { in.Cluster = other.Name }, accepted},
	} {
		changed := in
		change.edit(&changed)
		_, err := w.CreateAssociation(t.Context(), changed)
		wants(t, name, err, change.want)
	}
}

func TestTheLimitHoldsForManyAtOnce(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	role := w.role(t, one, "app")
	var all sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		all.Go(func() {
			_, errs[i] = w.CreateAssociation(t.Context(), NewAssociation{Account: one, Cluster: c.Name, Namespace: "ns", ServiceAccount: fmt.Sprint("sa-", i), Role: role})
		})
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		wants(t, "one too many", err, fault.Limit)
	}
	if made != 3 {
		t.Errorf("made: got %d, want the limit of 3", made)
	}
	found, _, err := w.Associations(one, c.Name, AssociationQuery{Limit: 10})
	must(t, err)
	if len(found) != 3 {
		t.Errorf("stored: got %d, want 3", len(found))
	}
	_, err = w.DeleteAssociation(t.Context(), one, c.Name, found[0].ID)
	must(t, err)
	w.associate(t, c, "ns", "late", role)
	w.associate(t, w.join(t, one, "test"), "ns", "sa", role) // another cluster has its own room
}

func TestAssociationsAreListedInPages(t *testing.T) {
	w := fresh(t)
	w.maxAssociations = 100
	c := w.join(t, one, "prod")
	other := w.join(t, one, "prod-2")
	role := w.role(t, one, "app")
	for _, namespace := range []string{"a", "a-b", "b", "c"} {
		for _, account := range []string{"x", "y", "z"} {
			w.associate(t, c, namespace, account, role)
		}
	}
	w.associate(t, other, "a", "x", role)
	for _, test := range []struct {
		name, namespace, account string
		want                     []string
	}{
		{"all", "", "", []string{"a-b/x", "a-b/y", "a-b/z", "a/x", "a/y", "a/z", "b/x", "b/y", "b/z", "c/x", "c/y", "c/z"}},
		{"a namespace", "a", "", []string{"a/x", "a/y", "a/z"}},
		{"a service account", "", "y", []string{"a-b/y", "a/y", "b/y", "c/y"}},
		{"both", "a-b", "z", []string{"a-b/z"}},
		{"neither is there", "d", "x", nil},
		{"no such service account", "", "w", nil},
	} {
		for limit := 1; limit <= 13; limit++ {
			var got []string
			query := AssociationQuery{Namespace: test.namespace, ServiceAccount: test.account, Limit: limit}
			for pages := 0; ; pages++ {
				if pages > 12 {
					t.Fatalf("%s by %d: no end", test.name, limit)
				}
				found, next, err := w.Associations(one, "prod", query)
				must(t, err)
				for _, a := range found {
					got = append(got, a.Namespace+"/"+a.ServiceAccount)
				}
				if len(found) > limit || next != "" && len(found) < limit {
					t.Errorf("%s by %d: got a page of %d", test.name, limit, len(found))
				}
				if next == "" {
					break
				}
				query.After = next
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s by %d (-want +got):\n%s", test.name, limit, diff)
			}
		}
	}
	// A page that was asked for by hand stays in its cluster.
	found, _, err := w.Associations(one, "prod", AssociationQuery{After: "zzzz/../" + other.ID, Limit: 10})
	if err != nil || len(found) != 0 {
		t.Errorf("after a made-up place: got %v, %v, want nothing", found, err)
	}
}

func toRole(name string) AssociationChange { return AssociationChange{Role: &name} }

func TestUpdateTagAndDeleteAssociation(t *testing.T) {
	w := fresh(t)
	c, other := w.join(t, one, "prod"), w.join(t, one, "test")
	a := w.associate(t, c, "ns", "sa", w.role(t, one, "app"))
	second := w.role(t, one, "second")
	w.clock.pass(time.Minute)

	changed, err := w.UpdateAssociation(t.Context(), one, "prod", a.ID, toRole(second))
	must(t, err)
	want := *a
	want.Role.Resource, want.Modified = "role/second", w.clock.now()
	if diff := cmp.Diff(&want, changed); diff != "" {
		t.Errorf("UpdateAssociation (-want +got):\n%s", diff)
	}
	_, err = w.UpdateAssociation(t.Context(), one, "prod", a.ID, toRole(second+"s"))
	wants(t, "to a role that does not exist", err, fault.Invalid)
	_, err = w.UpdateAssociation(t.Context(), one, "prod", a.ID, toRole(strings.Replace(second, one, two, 1)))
	wants(t, "to a role of another account", err, fault.CrossAccount)

	_, err = w.TagAssociation(t.Context(), one, "prod", a.ID, []directory.Tag{{Key: "b", Value: "1"}, {Key: "a", Value: "1"}}, nil)
	must(t, err)
	changed, err = w.TagAssociation(t.Context(), one, "prod", a.ID, []directory.Tag{{Key: "a", Value: "2"}}, []string{"b"})
	must(t, err)
	if diff := cmp.Diff([]directory.Tag{{Key: "a", Value: "2"}}, changed.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	var many []directory.Tag
	for i := range maxTags {
		many = append(many, directory.Tag{Key: fmt.Sprint("k", i)})
	}
	_, err = w.TagAssociation(t.Context(), one, "prod", a.ID, many, nil)
	wants(t, "51 tags", err, fault.Invalid)
	_, err = w.TagAssociation(t.Context(), one, "prod", a.ID, many, []string{"a"})
	wants(t, "50 tags", err, accepted)

	_, err = w.DeleteAssociation(t.Context(), one, other.Name, a.ID)
	wants(t, "deleting it in another cluster", err, fault.NotFound)
	gone, err := w.DeleteAssociation(t.Context(), one, "prod", a.ID)
	if err != nil || gone.ID != a.ID {
		t.Errorf("DeleteAssociation: got %+v, %v", gone, err)
	}
	for name, call := range map[string]func() error{
		"AssociationByID": func() error { _, err := w.AssociationByID(one, "prod", a.ID); return err },
		"UpdateAssociation": func() error {
			_, err := w.UpdateAssociation(t.Context(), one, "prod", a.ID, toRole(second))
			return err
		},
		"DeleteAssociation": func() error { _, err := w.DeleteAssociation(t.Context(), one, "prod", a.ID); return err },
		"TagAssociation":    func() error { _, err := w.TagAssociation(t.Context(), one, "prod", a.ID, nil, nil); return err },
	} {
		wants(t, name+" once it is gone", call(), fault.NotFound)
	}
}
