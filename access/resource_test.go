package access

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// TestTagsOfTheResource asks for each kind of resource with tags, with the tag that its policy wants and with another.
func TestTagsOfTheResource(t *testing.T) {
	w := fresh(t)
	ctx := t.Context()
	red, blue := []directory.Tag{{Key: "team", Value: "red"}}, []directory.Tag{{Key: "team", Value: "blue"}}
	must(t, w.Directory.PutPolicy(ctx, directory.Roles.Named(one, "app"), "p", document(
		`{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"iam:ResourceTag/team":"red"}}}`,
		`{"Effect":"Allow","Action":"eks:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}}`)))
	pod, err := w.authenticate(t, w.mint(t, w.podSession(t)))
	must(t, err)
	made, err := w.Directory.CreateManagedPolicy(ctx, directory.NewManagedPolicy{Account: one, Name: "tagged", Text: document(allowAll)})
	must(t, err)
	for _, test := range []struct {
		action, resource string
		tag              func([]directory.Tag) error
	}{
		{"iam:GetRole", w.role.ARN().String(), func(tags []directory.Tag) error { return w.Directory.Tag(ctx, directory.Roles.Named(one, "app"), tags) }},
		{"iam:GetPolicy", made.ARN().String(), func(tags []directory.Tag) error { return w.Directory.TagPolicy(ctx, one, made.ARN().String(), tags) }},
		{"eks:DescribeCluster", w.cluster.ARN().String(), func(tags []directory.Tag) error {
			_, err := w.Registry.TagCluster(ctx, one, "prod", tags, nil)
			return err
		}},
		{"eks:DescribePodIdentityAssociation", w.association.ARN().String(), func(tags []directory.Tag) error {
			_, err := w.Registry.TagAssociation(ctx, one, "prod", w.association.ID, tags, nil)
			return err
		}},
	} {
		ask := func() error {
			_, err := w.Authorize(pod, test.action, test.resource, nil)
			return err
		}
		wants(t, test.action+" of what has no tag", ask(), fault.Denied)
		must(t, test.tag(red))
		wants(t, test.action+" of the red one", ask(), accepted)
		must(t, test.tag(blue))
		wants(t, test.action+" of the blue one", ask(), fault.Denied)
		must(t, test.tag(red))
		wants(t, test.action+" of another name", func() error {
			_, err := w.Authorize(pod, test.action, strings.Replace(test.resource, ":"+one+":", ":"+one+":x/", 1), nil)
			return err
		}(), fault.Denied)
	}
}

// A record of a version to come may have tags that a Deny speaks of.
func TestTagsThatCannotBeReadRefuse(t *testing.T) {
	dir, master := folder(t), store.NewMasterKey()
	w := open(t, dir, master)
	w.fill(t)
	must(t, w.Store.Close())
	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: master})
	must(t, err)
	clusters := store.NewTable(st, "cluster", store.Codec[string]{
		Version: 99,
		Encode:  func(_ *store.Sealer, _ string, v string) ([]byte, error) { return []byte(v), nil },
		Decode:  func(_ *store.Sealer, _ string, _ int, data []byte) (string, error) { return string(data), nil },
	})
	must(t, st.Start(t.Context()))
	must(t, st.Update(t.Context(), func(tx *store.Tx) error { return clusters.Put(tx, one+"/new", "{}") }))
	must(t, st.Close())

	w = open(t, dir, master)
	doc, err := policy.Parse(policy.Identity, document(allowAll, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}}`))
	must(t, err)
	tester := &directory.Principal{Account: one, ARN: "arn:aws:iam::" + one + ":user/tester", Layers: policy.Layers{Identity: []*policy.Document{doc}}}
	resource := arn.Cluster("us-west-2", one, "new").String()
	_, err = w.Authorize(tester, "eks:DescribeCluster", resource, nil)
	wants(t, "Authorize", err, fault.Unavailable)
	if o := w.Foresee(tester, "eks:DescribeCluster", resource, nil); o.Effect == policy.Allow {
		t.Error("Foresee: allowed")
	}
	_, err = w.Authorize(tester, "eks:DescribeCluster", arn.Cluster("us-west-2", one, "none").String(), nil)
	wants(t, "Authorize of what does not exist", err, accepted)
}
