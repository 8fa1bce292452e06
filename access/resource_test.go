package access

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
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
