package broker

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
)

// Each way to a role is foreseen and then gone: what is sure comes so, what is open may.
func TestAProspectIsWhatComes(t *testing.T) {
	third := "arn:aws:iam::" + one + ":role/third"
	when := func(condition string) string { return `,"Condition":{` + condition + `}` }
	pods := func(condition string) string { return strings.Replace(podTrust, `}]}`, when(condition)+`}]}`, 1) }
	targeted := func(in *registry.NewAssociation) { in.Target = third }
	direct := func(in *registry.NewAssociation) { in.Target = "" }
	untagged := func(in *registry.NewAssociation) { in.Target, in.DisableTags = "", true }
	const sure, open, never = "sure", "open", "never"
	for name, c := range map[string]struct {
		edit         func(*registry.NewAssociation)
		first, third string // trust policies
		own          string // of the first role
		want         string
	}{
		"the role":                              {direct, podTrust, "", "", sure},
		"its namespace":                         {direct, pods(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}`), "", "", sure},
		"another namespace":                     {direct, pods(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"web"}`), "", "", never},
		"its cluster":                           {direct, pods(`"ArnEquals":{"aws:SourceArn":"arn:aws:eks:*:*:cluster/prod"}`), "", "", sure},
		"another cluster":                       {direct, pods(`"ArnEquals":{"aws:SourceArn":"arn:aws:eks:*:*:cluster/test"}`), "", "", never},
		"some pods":                             {direct, pods(`"StringLike":{"aws:RequestTag/kubernetes-pod-name":"app-*"}`), "", "", open},
		"from some day":                         {direct, pods(`"DateGreaterThan":{"aws:CurrentTime":"2020-01-01"}`), "", "", open},
		"from an address, which a pod has none": {direct, pods(`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`), "", "", never},
		"no tags":                               {untagged, plainPods, "", "", sure},
		"no tags, and it asks for one":          {untagged, pods(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}`), "", "", never},
		"tags that it does not take":            {direct, plainPods, "", "", never},
		"a target that names the first role":    {targeted, podTrust, trusts(firstARN, ""), "", sure},
		"a target that trusts the account":      {targeted, podTrust, trusts(root(one), ""), may(assumeAll), sure},
		"a target that the first may not":       {targeted, podTrust, trusts(root(one), ""), "", never},
		"a target that is denied":               {targeted, podTrust, trusts(firstARN, ""), may(assumeAll, denyAll), never},
		"a target that trusts another role":     {targeted, podTrust, trusts(third+"2", ""), may(assumeAll), never},
		"its external id":                       {targeted, podTrust, trusts(firstARN, when(`"StringLike":{"sts:ExternalId":"*/prod/default/app"}`)), "", sure},
		"another external id":                   {targeted, podTrust, trusts(firstARN, when(`"StringLike":{"sts:ExternalId":"*/prod/default/other"}`)), "", never},
		"its tag, which goes on":                {targeted, podTrust, trusts(firstARN, when(`"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"default"}`)), "", sure},
		"some of its pods, to the target":       {targeted, podTrust, trusts(firstARN, when(`"StringLike":{"aws:PrincipalTag/kubernetes-pod-name":"app-*"}`)), "", open},
		"a first role that trusts no pods":      {targeted, trusts(root(one), ""), trusts(firstARN, ""), "", never},
	} {
		t.Run(name, func(t *testing.T) {
			w := newOnward(t, func(in *registry.NewAssociation) { c.edit(in) })
			w.trust(t, one, "first", c.first)
			w.allow(t, one, "first", c.own)
			if c.third != "" {
				w.role(t, one, "third", c.third)
			}
			p, err := w.Prospect(w.association)
			must(t, err)
			got := never
			if p.Way.Effect == policy.Allow {
				if got = open; len(p.Way.Open) == 0 {
					got = sure
				}
			}
			g, err := w.ask(t)
			if got != c.want || (err == nil) != (c.want != never) {
				t.Fatalf("foreseen as %s and answered %v, want %s", got, err, c.want)
			}
			if err != nil {
				wants(t, "ForPod", g, err, fault.Denied)
				return
			}
			if is := w.opened(t, g); p.Who.Role != is.Role {
				t.Errorf("foreseen as %s, it is %s", p.Who.ARN, is.ARN)
			}
			is := w.opened(t, g).Context()
			for _, e := range p.Context() {
				found := false
				for _, f := range is {
					found = found || strings.EqualFold(e.Key, f.Key) && e.Values[0] == f.Values[0]
				}
				if !found {
					t.Errorf("%s is foreseen as %q; the session's: %v", e.Key, e.Values, is)
				}
			}
			for _, f := range is {
				if LacksSession(strings.ToLower(f.Key)) && !strings.HasPrefix(f.Key, "aws:PrincipalTag/") {
					t.Errorf("the session has %s, which none is foreseen to have", f.Key)
				}
			}
		})
	}
}

func TestAProspectOfWhatIsNotTold(t *testing.T) {
	w := newOnward(t, nil)
	p, err := w.Prospect(w.association)
	must(t, err)
	if p.Elsewhere != two || p.Who != nil || p.Way.Effect != policy.Allow {
		t.Errorf("a role of another account: got %+v", p)
	}
	gone := *w.association
	gone.Role, gone.Target = arn.Role(one, "/", "gone"), arn.ARN{}
	p, err = w.Prospect(&gone)
	must(t, err)
	if p.Missing != gone.Role || p.Way.Effect == policy.Allow {
		t.Errorf("a role that is gone: got %+v", p)
	}
	gone = *w.association
	gone.Target = arn.Role(one, "/", "gone")
	p, err = w.Prospect(&gone)
	must(t, err)
	if p.Missing != gone.Target || p.Who != nil || p.Way.Effect == policy.Allow {
		t.Errorf("a target role that is gone: got %+v", p)
	}
}
