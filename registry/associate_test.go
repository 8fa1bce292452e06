package registry

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
)

const (
	narrow     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	targetName = "arn:aws:iam::" + two + ":role/team/target"
)

func pointer[T any](v T) *T { return &v }

func TestWhatAnAssociationMayGrant(t *testing.T) {
	w := fresh(t)
	w.maxAssociations = 100
	c := w.join(t, one, "prod")
	w.role(t, one, "app")
	_, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: one, Name: "plain", Trust: strings.Replace(podTrust, `,"sts:TagSession"`, "", 1)})
	must(t, err)
	const both = "When policy is specified, disableSessionTags must be set to true"
	for _, test := range []struct {
		name, role, target, policy string
		untagged                   bool
		want                       fault.Kind
		message                    string // its beginning
	}{
		{"a role", "app", "", "", false, accepted, ""},
		{"a target role of another account", "app", targetName, "", false, accepted, ""},
		{"a target role of the same account", "app", "arn:aws:iam::" + one + ":role/none", "", false, accepted, ""},
		{"no tags", "app", "", "", true, accepted, ""},
		{"no tags, and a trust policy that takes none", "plain", "", "", true, accepted, ""},
		{"tags, and a trust policy that takes none", "plain", "", "", false, fault.Invalid, "Trust policy of the role provided is invalid."},
		{"a policy and no tags", "app", "", narrow, true, accepted, ""},
		{"a policy and tags", "app", "", narrow, false, fault.Invalid, both},
		{"all of it", "app", targetName, narrow, true, accepted, ""},
		{"a policy that is none", "app", "", "{}", true, fault.MalformedPolicy, ""},
		{"a policy with a principal", "app", "", podTrust, true, fault.MalformedPolicy, ""},
		{"a policy of 2048 characters", "app", "", narrow + strings.Repeat(" ", 2048-len(narrow)), true, accepted, ""},
		{"a policy of 2049 characters", "app", "", narrow + strings.Repeat(" ", 2049-len(narrow)), true, fault.Invalid, "The parameter policy has 2049 characters"},
		{"a target that is no ARN", "app", "target", "", false, fault.Invalid, "targetRoleArn: "},
		{"a target that is a user", "app", "arn:aws:iam::" + two + ":user/ann", "", false, fault.Invalid, "targetRoleArn "},
		{"a target that is a session", "app", "arn:aws:sts::" + two + ":assumed-role/a/b", "", false, fault.Invalid, "targetRoleArn "},
		{"a target of no account", "app", "arn:aws:iam:::role/a", "", false, fault.Invalid, "targetRoleArn "},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := w.CreateAssociation(t.Context(), NewAssociation{
				Account: one, Cluster: c.Name, Namespace: "ns", ServiceAccount: "sa", Role: "arn:aws:iam::" + one + ":role/" + test.role,
				Target: test.target, Policy: test.policy, DisableTags: test.untagged,
			})
			wants(t, "CreateAssociation", err, test.want)
			if err != nil {
				if !strings.HasPrefix(fault.Message(err), test.message) {
					t.Errorf("message: got %q, want it to begin with %q", fault.Message(err), test.message)
				}
				return
			}
			if want := map[bool]string{true: "us-west-2/" + one + "/prod/ns/sa"}[test.target != ""]; a.ExternalID() != want {
				t.Errorf("external id: got %q, want %q", a.ExternalID(), want)
			}
			_, err = w.DeleteAssociation(t.Context(), one, c.Name, a.ID)
			must(t, err)
		})
	}
}

// What is left out stays, what is empty is taken away, and the whole has to hold together after each step.
func TestUpdatingWhatAnAssociationGrants(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	a := w.associate(t, c, "ns", "sa", w.role(t, one, "app"))
	plain, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: one, Name: "plain", Trust: strings.Replace(podTrust, `,"sts:TagSession"`, "", 1)})
	must(t, err)
	want := *a
	target, err := arn.Parse(targetName)
	must(t, err)
	for _, step := range []struct {
		name   string
		change AssociationChange
		want   fault.Kind
		is     func(*Association)
	}{
		{"a target role", AssociationChange{Target: pointer(targetName)}, accepted, func(a *Association) { a.Target = target }},
		{"a target that is none", AssociationChange{Target: pointer("x")}, fault.Invalid, nil},
		{"a policy beside tags", AssociationChange{Policy: pointer(narrow)}, fault.Invalid, nil},
		{"a role that takes no tags", toRole(plain.ARN().String()), fault.Invalid, nil},
		{"a policy and no tags", AssociationChange{Policy: pointer(narrow), DisableTags: pointer(true)}, accepted, func(a *Association) { a.Policy, a.DisableTags = narrow, true }},
		{"tags beside the policy", AssociationChange{DisableTags: pointer(false)}, fault.Invalid, nil},
		{"a role that takes no tags, now that there are none", toRole(plain.ARN().String()), accepted, func(a *Association) { a.Role = plain.ARN() }},
		{"no target role", AssociationChange{Target: pointer("")}, accepted, func(a *Association) { a.Target = arn.ARN{} }},
		{"no policy", AssociationChange{Policy: pointer("")}, accepted, func(a *Association) { a.Policy = "" }},
		{"tags, which the role does not take", AssociationChange{DisableTags: pointer(false)}, fault.Invalid, nil},
		{
			"tags and a role that takes them",
			AssociationChange{DisableTags: pointer(false), Role: pointer("arn:aws:iam::" + one + ":role/app")},
			accepted,
			func(a *Association) { a.DisableTags, a.Role.Resource = false, "role/app" },
		},
	} {
		w.clock.pass(time.Minute)
		_, err := w.UpdateAssociation(t.Context(), one, "prod", a.ID, step.change)
		wants(t, step.name, err, step.want)
		if step.is != nil {
			step.is(&want)
			want.Modified = w.clock.now()
		}
		got, err := w.AssociationByID(one, "prod", a.ID)
		must(t, err)
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestARepeatedRequestGrantsTheSame(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	in := NewAssociation{
		Account: one, Cluster: c.Name, Namespace: "ns", ServiceAccount: "sa", Role: w.role(t, one, "app"), RequestToken: "t",
		Target: targetName, Policy: narrow, DisableTags: true,
	}
	first, err := w.CreateAssociation(t.Context(), in)
	must(t, err)
	again, err := w.CreateAssociation(t.Context(), in)
	if err != nil || again.ID != first.ID {
		t.Errorf("the same again: got %+v, %v", again, err)
	}
	for name, edit := range map[string]func(*NewAssociation){
		"another target role": func(in *NewAssociation) { in.Target += "2" },
		"no target role":      func(in *NewAssociation) { in.Target = "" },
		"no policy":           func(in *NewAssociation) { in.Policy = "" },
		"with tags":           func(in *NewAssociation) { in.Policy, in.DisableTags = "", false },
	} {
		other := in
		edit(&other)
		_, err := w.CreateAssociation(t.Context(), other)
		wants(t, name, err, fault.Invalid)
	}
}

// The digest tells apart all that an association grants, and a target role that was made again.
func TestTheDigestHasAllThatIsGranted(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	a := w.associate(t, c, "ns", "sa", w.role(t, one, "app"))
	second := w.role(t, two, "second")
	seen := map[[32]byte]string{}
	note := func(name string) {
		t.Helper()
		present, err := w.AssociationByID(one, "prod", a.ID)
		must(t, err)
		digest, err := w.Digest(present)
		must(t, err)
		if former, ok := seen[digest]; ok {
			t.Errorf("%s: the digest is that of %s", name, former)
		}
		seen[digest] = name
	}
	note("the role")
	for _, step := range []struct {
		name   string
		change AssociationChange
	}{
		{"no tags", AssociationChange{DisableTags: pointer(true)}},
		{"a policy", AssociationChange{Policy: pointer(narrow)}},
		{"a target role", AssociationChange{Target: pointer(second)}},
	} {
		_, err := w.UpdateAssociation(t.Context(), one, "prod", a.ID, step.change)
		must(t, err)
		note(step.name)
	}
	must(t, w.directory.DeleteRole(t.Context(), two, "second"))
	present, err := w.AssociationByID(one, "prod", a.ID)
	must(t, err)
	if _, err := w.Digest(present); !fault.Is(err, fault.NotFound) {
		t.Errorf("without its target role: got %v, want NotFound", err)
	}
	w.role(t, two, "second")
	note("another target role of the same name")
}

// A record from before there were target roles and policies is an association without them.
func TestAFormerAssociationIsRead(t *testing.T) {
	const former = `{"id":"a-1","clusterId":"c","account":"111122223333","region":"us-west-2","cluster":"prod","namespace":"ns",` +
		`"serviceAccount":"sa","role":"arn:aws:iam::111122223333:role/app","tags":[{"key":"a","value":"b"}],` +
		`"created":"2026-11-01T00:00:00Z","modified":"2026-11-02T00:00:00Z","requestToken":"t"}`
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	want := &Association{
		ID: "a-1", ClusterID: "c", Account: one, Region: region, Cluster: "prod", Namespace: "ns", ServiceAccount: "sa",
		Role: arn.Role(one, "/", "app"), Tags: []directory.Tag{{Key: "a", Value: "b"}},
		Created: at, Modified: at.AddDate(0, 0, 1), RequestToken: "t",
	}
	got, err := associationCodec.Decode(nil, "k", 1, []byte(former))
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	encoded, err := associationCodec.Encode(nil, "k", got)
	must(t, err)
	var a, b map[string]any
	must(t, json.Unmarshal([]byte(former), &a))
	must(t, json.Unmarshal(encoded, &b))
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("encoded again (-want +got):\n%s", diff)
	}
}
