package registry

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/policy"
)

func TestAClusterJoinsOnce(t *testing.T) {
	w := fresh(t)
	c := w.register(t, one, "prod")
	for what, form := range map[string]string{
		c.ID: `^[0-9a-f]{32}$`, c.Activation.ID: `^ACTV[A-Z2-7]{16}$`, string(c.Activation.Secret): `^[A-Za-z0-9]{40}$`,
	} {
		if !regexp.MustCompile(form).MatchString(what) {
			t.Errorf("got %q, want it of the form %s", what, form)
		}
	}
	if c.Status != Pending || !c.NodeBinding || !c.Activation.Expires.Equal(w.clock.now().Add(72*time.Hour)) {
		t.Errorf("registered: got %+v, want PENDING, bound to nodes, for three days", c)
	}
	if waiting, err := w.ClusterByActivation(c.Activation.ID); err != nil || waiting.ID != c.ID {
		t.Errorf("ClusterByActivation: got %+v, %v", waiting, err)
	}
	keys := []podtoken.Key{newKey(t, "k1")}
	_, err := w.PutClusterKeys(t.Context(), one, "prod", []string{issuer}, keys)
	wants(t, "keys before the activation", err, fault.BadState)
	_, err = w.ActivateCluster(t.Context(), c.Activation.ID, Joining{Issuers: []string{issuer}})
	wants(t, "activation without keys", err, fault.Invalid)
	_, err = w.ActivateCluster(t.Context(), "ACTVAAAAAAAAAAAAAAAA", Joining{Issuers: []string{issuer}, Keys: keys})
	wants(t, "another activation id", err, fault.Denied)

	joined, err := w.ActivateCluster(t.Context(), c.Activation.ID, Joining{Issuers: []string{issuer}, Keys: keys, Endpoint: "https://10.0.0.1:6443", CA: "CA"})
	must(t, err)
	if joined.ID != c.ID || joined.Status != Active || joined.Activation != nil || joined.Endpoint != "https://10.0.0.1:6443" || joined.CA != "CA" {
		t.Errorf("joined: got %+v", joined)
	}
	want := podtoken.KeySet{Cluster: c.ID, Generation: 1, Issuers: []string{issuer}, Keys: keys}
	if diff := cmp.Diff(want, joined.KeySet(w.clock.now())); diff != "" {
		t.Errorf("KeySet (-want +got):\n%s", diff)
	}
	_, err = w.ActivateCluster(t.Context(), c.Activation.ID, Joining{Issuers: []string{issuer}, Keys: keys})
	wants(t, "the same activation id again", err, fault.Denied)
	if _, err := w.ClusterByActivation(c.Activation.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("ClusterByActivation once used: got %v, want NotFound", err)
	}
}

func TestRegisterClusterChecksItsInput(t *testing.T) {
	w := fresh(t)
	w.register(t, one, "taken")
	for _, test := range []struct {
		name string
		in   NewCluster
		want fault.Kind
	}{
		{"another name", NewCluster{Name: "free"}, accepted},
		{"a name that is taken", NewCluster{Name: "taken"}, fault.Exists},
		{"in other case", NewCluster{Name: "Taken"}, accepted}, // as at EKS
		{"in another account", NewCluster{Account: two, Name: "taken"}, accepted},
		{"a name of 100 characters", NewCluster{Name: strings.Repeat("n", 100)}, accepted},
		{"a name of 101", NewCluster{Name: strings.Repeat("n", 101)}, fault.Invalid},
		{"a name with a slash", NewCluster{Name: "a/b"}, fault.Invalid},
		{"a name that begins with a hyphen", NewCluster{Name: "-a"}, fault.Invalid},
		{"no name", NewCluster{}, fault.Invalid},
		{"another provider", NewCluster{Name: "gke", Provider: "GKE"}, accepted},
		{"an unknown provider", NewCluster{Name: "x", Provider: "gke"}, fault.Invalid},
		{"a reserved tag", NewCluster{Name: "x", Tags: []directory.Tag{{Key: "aws:a"}}}, fault.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.in.Account == "" {
				test.in.Account = one
			}
			if test.in.Provider == "" {
				test.in.Provider = "OTHER"
			}
			_, err := w.RegisterCluster(t.Context(), test.in)
			wants(t, "RegisterCluster", err, test.want)
		})
	}
}

func TestRegisteringAgainWithTheSameRequestToken(t *testing.T) {
	w := fresh(t)
	in := NewCluster{Account: one, Name: "prod", Provider: "OTHER", RoleARN: "arn:aws:iam::111122223333:role/r", RequestToken: "t1", Tags: []directory.Tag{{Key: "a", Value: "b"}}}
	first, err := w.RegisterCluster(t.Context(), in)
	must(t, err)
	again, err := w.RegisterCluster(t.Context(), in)
	if err != nil || again.ID != first.ID || again.Activation.Secret != first.Activation.Secret {
		t.Errorf("the same again: got %+v, %v, want the same cluster", again, err)
	}
	for name, change := range map[string]struct {
		edit func(*NewCluster)
		want fault.Kind
	}{
		"another token":    {func(in *NewCluster) { in.RequestToken = "t2" }, fault.Exists},
		"no token":         {func(in *NewCluster) { in.RequestToken = "" }, fault.Exists},
		"another provider": {func(in *NewCluster) { in.Provider = "GKE" }, fault.Invalid},
		"another role":     {func(in *NewCluster) { in.RoleARN += "x" }, fault.Invalid},
		"other tags":       {func(in *NewCluster) { in.Tags = nil }, fault.Invalid},
	} {
		other := in
		change.edit(&other)
		got, err := w.RegisterCluster(t.Context(), other)
		wants(t, name, err, change.want)
		if got != nil {
			t.Errorf("%s: got the cluster, with its activation secret", name)
		}
	}
}

// The agent's and the connector's roles are for one service account of one cluster, and do little on that cluster only.
func TestAClusterBringsItsTwoRoles(t *testing.T) {
	w := fresh(t)
	c := w.register(t, one, "prod")
	for _, test := range []struct{ role, subject, audience, action, otherAction string }{
		{c.AgentRole(), AgentSubject, AgentAudience, "eks-auth:AssumeRoleForPodIdentity", "lanyard:PutClusterKeys"},
		{c.AgentRole(), AgentSubject, AgentAudience, "lanyard:WatchInvalidations", "eks:DescribeCluster"},
		{c.ConnectorRole(), ConnectorSubject, ConnectorAudience, "lanyard:PutClusterKeys", "eks-auth:AssumeRoleForPodIdentity"},
	} {
		role, err := w.directory.Role(one, test.role)
		must(t, err)
		permissions, err := w.directory.RolePermissions(role)
		must(t, err)
		for _, permission := range []struct {
			action, resource string
			want             policy.Effect
		}{
			{test.action, c.ARN().String(), policy.Allow},
			{test.otherAction, c.ARN().String(), policy.ImplicitDeny},
			{test.action, c.ARN().String() + "2", policy.ImplicitDeny},
		} {
			got := policy.Evaluate(&policy.Question{Action: permission.action, Resource: permission.resource}, permissions).Effect
			if got != permission.want {
				t.Errorf("%s: %s on %s: got %v, want %v", test.role, permission.action, permission.resource, got, permission.want)
			}
		}
		for _, trust := range []struct {
			name, provider, id, sub, aud string
			want                         policy.Effect
		}{
			{"its own", c.ARN().String(), c.ID, test.subject, test.audience, policy.Allow},
			{"another cluster", c.ARN().String() + "2", c.ID, test.subject, test.audience, policy.ImplicitDeny},
			{"another cluster of the name", c.ARN().String(), "0" + c.ID, test.subject, test.audience, policy.ImplicitDeny},
			{"another service account", c.ARN().String(), c.ID, "system:serviceaccount:kube-system:default", test.audience, policy.ImplicitDeny},
			{"another audience", c.ARN().String(), c.ID, test.subject, PodAudience, policy.ImplicitDeny},
		} {
			got := policy.Evaluate(&policy.Question{
				Action: "sts:AssumeRoleWithWebIdentity", Resource: role.ARN().String(),
				Principal: policy.Principal{Kind: policy.Federated, Names: []string{trust.provider}},
				Context: policy.Context{
					{Key: "lanyard:ClusterId", Values: []string{trust.id}},
					{Key: "lanyard:sub", Values: []string{trust.sub}},
					{Key: "lanyard:aud", Values: []string{trust.aud}},
				},
			}, []*policy.Document{role.Trust}).Effect
			if got != trust.want {
				t.Errorf("%s: trust of %s: got %v, want %v", test.role, trust.name, got, trust.want)
			}
		}
	}
}

func TestAnotherAccountsClusterIsNotFound(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	a := w.associate(t, c, "ns", "sa", w.role(t, one, "app"))
	calls := func(account string) map[string]func() error {
		return map[string]func() error{
			"Cluster":         func() error { _, err := w.Cluster(account, "prod"); return err },
			"AssociationByID": func() error { _, err := w.AssociationByID(account, "prod", a.ID); return err },
			"Associations":    func() error { _, _, err := w.Associations(account, "prod", AssociationQuery{Limit: 1}); return err },
			"UpdateCluster": func() error {
				_, err := w.UpdateCluster(t.Context(), account, "prod", ClusterChange{NodeBinding: new(true)})
				return err
			},
			"TagCluster":     func() error { _, err := w.TagCluster(t.Context(), account, "prod", nil, nil); return err },
			"TagAssociation": func() error { _, err := w.TagAssociation(t.Context(), account, "prod", a.ID, nil, nil); return err },
			"UpdateAssociation": func() error {
				_, err := w.UpdateAssociation(t.Context(), account, "prod", a.ID, toRole(a.Role.String()))
				return err
			},
			"DeleteAssociation": func() error { _, err := w.DeleteAssociation(t.Context(), account, "prod", a.ID); return err },
			"PutClusterKeys": func() error {
				_, err := w.PutClusterKeys(t.Context(), account, "prod", []string{issuer}, []podtoken.Key{c.Keys[0].Key})
				return err
			},
			"CreateAssociation": func() error {
				_, err := w.CreateAssociation(t.Context(), NewAssociation{Account: account, Cluster: "prod", Namespace: "ns2", ServiceAccount: "sa", Role: a.Role.String()})
				return err
			},
		}
	}
	for name, call := range calls(two) {
		if err := call(); fault.Message(err) != "No cluster found for name: prod." || !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: got %v, want EKS's NotFound", name, err)
		}
	}
	own := calls(one)
	last := own["DeleteAssociation"]
	delete(own, "DeleteAssociation")
	for name, call := range own {
		wants(t, name+" of one's own", call(), accepted)
	}
	wants(t, "DeleteAssociation of one's own", last(), accepted)

	_, err := w.DeregisterCluster(t.Context(), two, "prod")
	wants(t, "DeregisterCluster", err, fault.NotFound)
	if clusters, err := w.Clusters(two, "", 0); err != nil || len(clusters) != 0 {
		t.Errorf("Clusters: got %v, %v, want none", clusters, err)
	}
}

func TestClustersAreListedInPages(t *testing.T) {
	w := fresh(t)
	for _, name := range []string{"c", "a", "b"} {
		w.register(t, one, name)
	}
	w.register(t, two, "aa")
	for _, test := range []struct {
		after string
		limit int
		want  string
	}{{"", 0, "a b c"}, {"", 2, "a b"}, {"b", 2, "c"}, {"aa", 1, "b"}, {"c", 1, ""}} {
		clusters, err := w.Clusters(one, test.after, test.limit)
		must(t, err)
		var names []string
		for _, c := range clusters {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("after %q, at most %d: got %q, want %q", test.after, test.limit, got, test.want)
		}
	}
}

func TestUpdateAndTagCluster(t *testing.T) {
	w := fresh(t)
	before := w.join(t, one, "prod")
	changed, err := w.UpdateCluster(t.Context(), one, "prod", ClusterChange{NodeBinding: new(false)})
	must(t, err)
	if changed.NodeBinding || !before.NodeBinding || changed.Generation != before.Generation {
		t.Errorf("UpdateCluster: got %+v, want node binding off, and the former value as it was", changed)
	}
	_, err = w.TagCluster(t.Context(), one, "prod", []directory.Tag{{Key: "b", Value: "1"}, {Key: "a", Value: "1"}}, nil)
	must(t, err)
	changed, err = w.TagCluster(t.Context(), one, "prod", []directory.Tag{{Key: "a", Value: "2"}, {Key: "A", Value: "3"}}, []string{"b", "absent"})
	must(t, err)
	if diff := cmp.Diff([]directory.Tag{{Key: "A", Value: "3"}, {Key: "a", Value: "2"}}, changed.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	_, err = w.TagCluster(t.Context(), one, "prod", []directory.Tag{{Key: "Aws:x"}}, nil)
	wants(t, "a reserved tag", err, fault.Invalid)
}

func TestDeregisterEndsAllThatHangsOnTheCluster(t *testing.T) {
	w := fresh(t)
	role := w.role(t, one, "app")
	c, other := w.join(t, one, "prod"), w.join(t, one, "test")
	a, kept := w.associate(t, c, "ns", "sa", role), w.associate(t, other, "ns", "sa", role)
	pod, keptPod := w.podSession(t, a), w.podSession(t, kept)
	agent := w.podSession(t, a)
	agent.Origin.Association = ""
	for name, err := range map[string]error{"a pod's": w.Honours(pod), "the agent's": w.Honours(agent), "another cluster's": w.Honours(keptPod)} {
		wants(t, name+" session before", err, accepted)
	}

	gone, err := w.DeregisterCluster(t.Context(), one, "prod")
	if err != nil || gone.ID != c.ID {
		t.Fatalf("DeregisterCluster: got %+v, %v", gone, err)
	}
	wants(t, "a pod's session", w.Honours(pod), fault.ExpiredCredentials)
	wants(t, "the agent's session", w.Honours(agent), fault.ExpiredCredentials)
	wants(t, "another cluster's session", w.Honours(keptPod), accepted)
	for _, name := range []string{c.AgentRole(), c.ConnectorRole()} {
		_, err := w.directory.Role(one, name)
		wants(t, "its role", err, fault.NotFound)
	}
	_, err = w.directory.Role(one, other.AgentRole())
	wants(t, "another cluster's role", err, accepted)
	if _, err := w.Association(c.ID, "ns", "sa"); !fault.Is(err, fault.NotFound) {
		t.Errorf("its association: got %v, want NotFound", err)
	}

	again := w.join(t, one, "prod", c.Keys[0].Key) // its key is free again
	w.associate(t, again, "ns", "sa", role)
	if again.ID == c.ID {
		t.Error("the cluster's id came back")
	}
	wants(t, "a session of the former cluster, its like registered again", w.Honours(pod), fault.ExpiredCredentials)
}

func TestClustersByIssuer(t *testing.T) {
	w := fresh(t)
	w.register(t, one, "waiting")
	prod := w.join(t, one, "prod", newKey(t, "k1"))
	w.join(t, two, "prod", newKey(t, "k2"))
	names := func(account, issuer string) (all []string) {
		for _, c := range w.ClustersByIssuer(account, issuer) {
			all = append(all, c.Account+"/"+c.Name)
		}
		return all
	}
	if diff := cmp.Diff([]string{one + "/prod"}, names(one, issuer)); diff != "" {
		t.Errorf("by issuer (-want +got):\n%s", diff)
	}
	for _, other := range []string{issuer + "/", strings.ToUpper(issuer), "", strings.TrimPrefix(issuer, "https://")} {
		if got := names(one, other); len(got) > 0 {
			t.Errorf("of the issuer %q: got %v, want none", other, got)
		}
	}
	_, err := w.PutClusterKeys(t.Context(), one, "prod", []string{"https://a", "https://b", "https://b"}, []podtoken.Key{prod.Keys[0].Key})
	must(t, err)
	if len(names(one, issuer)) != 0 || len(names(one, "https://a")) != 1 || len(names(one, "https://b")) != 1 {
		t.Errorf("after a change: got %v, %v, %v", names(one, issuer), names(one, "https://a"), names(one, "https://b"))
	}
	_, err = w.DeregisterCluster(t.Context(), one, "prod")
	must(t, err)
	if got := names(one, "https://a"); len(got) > 0 {
		t.Errorf("of a cluster that is gone: got %v", got)
	}
}
