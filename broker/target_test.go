package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

const (
	firstARN  = "arn:aws:iam::" + one + ":role/first"
	plainPods = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

// onward is a world in which the pods of one's cluster prod become role second of account two by way of role first.
type onward struct {
	*world
	cluster     cluster
	association *registry.Association
}

func newOnward(t *testing.T, edit func(*registry.NewAssociation)) *onward {
	t.Helper()
	w := &onward{world: fresh(t)}
	w.cluster = w.practice(t, one, "prod")
	w.role(t, one, "first", "")
	w.allow(t, one, "first", may(assumeAll))
	w.role(t, two, "second", trusts(firstARN, ""))
	w.allow(t, two, "second", may(`"s3:GetObject","s3:PutObject"`))
	in := registry.NewAssociation{
		Account: one, Cluster: "prod", Namespace: "default", ServiceAccount: "app", Role: firstARN, Target: "arn:aws:iam::" + two + ":role/second",
	}
	if edit != nil {
		edit(&in)
	}
	var err error
	w.association, err = w.Registry.CreateAssociation(t.Context(), in)
	must(t, err)
	return w
}

func (w *onward) ask(t *testing.T) (*Grant, error) {
	t.Helper()
	return w.ForPod(t.Context(), w.agent(t, w.cluster, "node"), "prod", w.podToken(t, w.cluster.signer, "node"))
}

func (w *onward) trust(t *testing.T, account, role, document string) {
	t.Helper()
	must(t, w.Directory.UpdateTrust(t.Context(), account, role, document))
}

func TestAPodGetsItsTargetRole(t *testing.T) {
	w := newOnward(t, nil)
	g, err := w.ask(t)
	wants(t, "ForPod", g, err, accepted)
	p := w.opened(t, g)
	s, first := p.Session, g.First.Session
	want := &session.Origin{
		Cluster: w.cluster.ID, Namespace: "default", ServiceAccount: "app", PodName: "app-7c9f4d8b5-x2x", PodUID: "pod-uid",
		NodeName: "node", NodeUID: "node-uid", Association: w.association.ID,
		Digest: session.Digest(g.Role.ID, g.Target.ID, "", false),
	}
	if diff := cmp.Diff(want, s.Origin); diff != "" {
		t.Errorf("origin (-want +got):\n%s", diff)
	}
	digest, err := w.Registry.Digest(w.association)
	must(t, err)
	if digest != s.Origin.Digest {
		t.Error("the association's digest in the registry is not the session's")
	}
	if p.ARN != "arn:aws:sts::"+two+":assumed-role/second/"+first.Name || s.RoleID != g.Target.ID || s.Chain != 1 || s.Expires.Sub(s.Issued) != time.Hour {
		t.Errorf("session: got %+v of %s", s, p.ARN)
	}
	if diff := cmp.Diff(first.Tags, s.Tags); diff != "" || len(s.Tags) != 6 {
		t.Errorf("tags: all six go on (-want +got):\n%s", diff)
	}
	if g.Role.Name != "first" || first.AccessKeyID == s.AccessKeyID || first.Expires.Sub(first.Issued) != PodSession {
		t.Errorf("the session between: got %+v", first)
	}
	must(t, w.Registry.Honours(s))
}

// Each refusal is one change away from the allowance that stands above it.
func TestTheWayToATargetRole(t *testing.T) {
	id := `"StringEquals":{"sts:ExternalId":"us-west-2/` + one + `/prod/default/app"}`
	when := func(condition string) string { return `,"Condition":{` + condition + `}` }
	untagged := func(in *registry.NewAssociation) { in.DisableTags = true }
	narrow := func(in *registry.NewAssociation) { in.DisableTags, in.Policy = true, may(`"s3:GetObject"`) }
	untagging := strings.NewReplacer(`,"sts:TagSession"`, "")
	for _, c := range []struct {
		name string
		edit func(*registry.NewAssociation)
		do   func(*testing.T, *onward)
		want fault.Kind
	}{
		{"by both", nil, func(*testing.T, *onward) {}, accepted},
		{"the first role may not", nil, func(t *testing.T, w *onward) { w.allow(t, one, "first", "") }, fault.Denied},
		{"the first role may not pass tags", nil, func(t *testing.T, w *onward) { w.allow(t, one, "first", may(`"sts:AssumeRole"`)) }, fault.Denied},
		{"the first role is denied it", nil, func(t *testing.T, w *onward) { w.allow(t, one, "first", may(assumeAll, denyAll)) }, fault.Denied},
		{"the first role may in its region", nil, func(t *testing.T, w *onward) {
			w.allow(t, one, "first", strings.Replace(may(assumeAll), `"*"}`, `"*"`+when(`"StringEquals":{"aws:RequestedRegion":"us-west-2"}`)+`}`, 1))
		}, accepted},
		{"the first role may in another region", nil, func(t *testing.T, w *onward) {
			w.allow(t, one, "first", strings.Replace(may(assumeAll), `"*"}`, `"*"`+when(`"StringEquals":{"aws:RequestedRegion":"eu-west-1"}`)+`}`, 1))
		}, fault.Denied},
		{"the target trusts the account", nil, func(t *testing.T, w *onward) { w.trust(t, two, "second", trusts(root(one), "")) }, accepted},
		{"the target trusts another role", nil, func(t *testing.T, w *onward) { w.trust(t, two, "second", trusts(firstARN+"2", "")) }, fault.Denied},
		{"the target trusts pods", nil, func(t *testing.T, w *onward) { w.trust(t, two, "second", podTrust) }, fault.Denied},
		{"the target takes no tags", nil, func(t *testing.T, w *onward) { w.trust(t, two, "second", untagging.Replace(trusts(firstARN, ""))) }, fault.Denied},
		{"the target takes no tags, and there are none", untagged, func(t *testing.T, w *onward) { w.trust(t, two, "second", untagging.Replace(trusts(firstARN, ""))) }, accepted},
		{"the target asks for tags, and there are none", untagged, func(t *testing.T, w *onward) {
			w.trust(t, two, "second", trusts(firstARN, when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}`)))
		}, fault.Denied},
		{"the target asks for the tags that there are", nil, func(t *testing.T, w *onward) {
			w.trust(t, two, "second", trusts(firstARN, when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}`)))
		}, accepted},
		{"the target asks for another namespace", nil, func(t *testing.T, w *onward) {
			w.trust(t, two, "second", trusts(firstARN, when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"kube-system"}`)))
		}, fault.Denied},
		{"the external id", nil, func(t *testing.T, w *onward) { w.trust(t, two, "second", trusts(firstARN, when(id))) }, accepted},
		{"the external id, without tags", untagged, func(t *testing.T, w *onward) { w.trust(t, two, "second", trusts(firstARN, when(id))) }, accepted},
		{"the external id of another service account", nil, func(t *testing.T, w *onward) {
			w.trust(t, two, "second", trusts(firstARN, when(strings.Replace(id, "/app", "/other", 1))))
		}, fault.Denied},
		{"a policy does not stand in the way", narrow, func(*testing.T, *onward) {}, accepted},
		{"the first role no longer trusts pods", nil, func(t *testing.T, w *onward) { w.trust(t, one, "first", trusts(root(one), "")) }, fault.Denied},
		{"the target is deleted", nil, func(t *testing.T, w *onward) {
			w.allow(t, two, "second", "")
			must(t, w.Directory.DeleteRole(t.Context(), two, "second"))
		}, fault.Denied},
		{"the first role is deleted", nil, func(t *testing.T, w *onward) {
			w.allow(t, one, "first", "")
			must(t, w.Directory.DeleteRole(t.Context(), one, "first"))
		}, fault.Denied},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newOnward(t, c.edit)
			c.do(t, w)
			g, err := w.ask(t)
			wants(t, "ForPod", g, err, c.want)
			const unauthorized = "Unauthorized Exception! EKS does not have permissions to assume the associated role."
			if err != nil && fault.Message(err) != unauthorized {
				t.Errorf("message: got %q, want EKS's", fault.Message(err))
			}
		})
	}
}

// A target role of the cluster's own account that names the first role needs no more.
func TestATargetRoleOfTheSameAccount(t *testing.T) {
	for name, c := range map[string]struct {
		trust string
		want  fault.Kind
	}{
		"the first role is named": {trusts(firstARN, ""), accepted},
		"the account is named":    {trusts(root(one), ""), fault.Denied},
	} {
		w := newOnward(t, func(in *registry.NewAssociation) { in.Target = "arn:aws:iam::" + one + ":role/third" })
		w.role(t, one, "third", c.trust)
		w.allow(t, one, "first", "")
		g, err := w.ask(t)
		wants(t, name, g, err, c.want)
	}
}

func TestTheAssociationEndsTheSessionOfItsTargetRole(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *onward) error{
		"deleted": func(t *testing.T, w *onward) error {
			_, err := w.Registry.DeleteAssociation(t.Context(), one, "prod", w.association.ID)
			return err
		},
		"revoked": func(t *testing.T, w *onward) error {
			_, err := w.Registry.Revoke(t.Context(), one, "arn", registry.Target{Kind: registry.ByAssociation, Value: w.cluster.ID + "/" + w.association.ID})
			return err
		},
		"replaced by one without a target role": func(t *testing.T, w *onward) error {
			_, err := w.Registry.DeleteAssociation(t.Context(), one, "prod", w.association.ID)
			must(t, err)
			w.associate(t, w.cluster, "default", "app", firstARN)
			return nil
		},
		"the target role revoked": func(t *testing.T, w *onward) error {
			second, err := w.Directory.Role(two, "second")
			must(t, err)
			_, err = w.Registry.Revoke(t.Context(), two, "arn", registry.Target{Kind: registry.ByRole, Value: second.ID})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOnward(t, nil)
			g, err := w.ask(t)
			wants(t, "ForPod", g, err, accepted)
			s := w.opened(t, g).Session
			must(t, w.Registry.Honours(s))
			must(t, end(t, w))
			if err := w.Registry.Honours(s); !fault.Is(err, fault.ExpiredCredentials) {
				t.Errorf("Honours: got %v, want ExpiredCredentials", err)
			}
		})
	}
}

// The policy narrows what the pod gets: the role's session, or the target role's and not the way to it.
func TestAnAssociationsPolicyNarrows(t *testing.T) {
	for name, target := range map[string]string{"the role": "", "the target role": "arn:aws:iam::" + two + ":role/second"} {
		t.Run(name, func(t *testing.T) {
			w := newOnward(t, func(in *registry.NewAssociation) {
				in.Target, in.DisableTags, in.Policy = target, true, may(`"s3:GetObject"`)
			})
			w.allow(t, one, "first", may(assumeAll+`,"s3:GetObject","s3:PutObject"`))
			g, err := w.ask(t)
			wants(t, "ForPod", g, err, accepted)
			p := w.opened(t, g)
			if len(p.Session.Tags) != 0 {
				t.Errorf("tags: got %v, want none", p.Session.Tags)
			}
			for action, want := range map[string]policy.Effect{"s3:GetObject": policy.Allow, "s3:PutObject": policy.ImplicitDeny} {
				if got := p.Layers.Evaluate(&policy.Question{Action: action, Resource: "arn:aws:s3:::b/k", Context: p.Context()}); got.Effect != want {
					t.Errorf("%s: got %v, want %v", action, got.Effect, want)
				}
			}
			digest, err := w.Registry.Digest(w.association)
			must(t, err)
			if digest != p.Session.Origin.Digest {
				t.Error("the association's digest in the registry is not the session's")
			}
		})
	}
}

// Without tags nobody is asked whether there may be any, and a trust policy that asks for one is not met.
func TestSessionsWithoutTags(t *testing.T) {
	for name, c := range map[string]struct {
		disabled bool
		trust    string
		want     fault.Kind
	}{
		"trust that allows no tags":            {true, plainPods, accepted},
		"trust that allows no tags, with tags": {false, plainPods, fault.Denied},
		"trust that asks for a tag": {true, strings.Replace(podTrust, `}]}`,
			`,"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}}}]}`, 1), fault.Denied},
		"trust that asks for a tag, with tags": {false, strings.Replace(podTrust, `}]}`,
			`,"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}}}]}`, 1), accepted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOnward(t, func(in *registry.NewAssociation) { in.Target, in.DisableTags = "", c.disabled })
			w.trust(t, one, "first", c.trust)
			g, err := w.ask(t)
			wants(t, "ForPod", g, err, c.want)
			if err == nil && len(g.Session.Tags) == 0 != c.disabled {
				t.Errorf("tags: got %v", g.Session.Tags)
			}
		})
	}
}
