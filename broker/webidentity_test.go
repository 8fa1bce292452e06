package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

func TestAnAgentGetsItsRoleWithItsNode(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, one, "prod")
	p := w.agent(t, c, "node")
	want := &session.Origin{
		Cluster: c.ID, Namespace: "kube-system", ServiceAccount: "eks-pod-identity-agent",
		PodName: "eks-pod-identity-agent-7c9f4d8b5-x2x", PodUID: "pod-uid", NodeName: "node", NodeUID: "node-uid",
	}
	if diff := cmp.Diff(want, p.Session.Origin); diff != "" {
		t.Errorf("origin (-want +got):\n%s", diff)
	}
	if len(p.Session.Tags) != 0 || p.ARN != "arn:aws:sts::111122223333:assumed-role/"+c.AgentRole()+"/node" || !p.Session.Expires.Equal(w.clock.now().Add(time.Hour)) {
		t.Errorf("session: got %+v", p.Session)
	}
	must(t, w.Registry.Honours(p.Session))
}

func TestForWebIdentityRefuses(t *testing.T) {
	w := fresh(t)
	prod, test, foreign := w.practice(t, one, "prod"), w.practice(t, one, "test"), w.practice(t, two, "prod")
	role := func(account, name string) string { return "arn:aws:iam::" + account + ":role/" + name }
	agent, connector := role(one, prod.AgentRole()), role(one, prod.ConnectorRole())
	good := w.agentToken(t, prod.signer, "node")
	connectorToken := func(audience string) string {
		return w.token(t, prod.signer, "lanyard-system", "lanyard-connector", audience, "node")
	}
	// A role that trusts the cluster of another account, and one that trusts no cluster.
	abroad := w.role(t, one, "abroad", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"`+foreign.ARN().String()+`"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`)
	podRole := w.role(t, one, "pods", "")
	both := w.role(t, one, "both", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":["`+test.ARN().String()+`","`+prod.ARN().String()+`"]},"Action":"sts:AssumeRoleWithWebIdentity"}]}`)
	for _, c := range []struct {
		name, role, token string
		want              fault.Kind
	}{
		{"the agent", agent, good, accepted},
		{"the connector", connector, connectorToken(registry.ConnectorAudience), accepted},
		{"the agent for the connector's role", connector, good, fault.BadToken},
		{"the connector for the agent's role", agent, connectorToken(registry.ConnectorAudience), fault.BadToken},
		{"the connector's service account with the agent's audience", agent, connectorToken(registry.AgentAudience), fault.Denied},
		{"the agent's service account with the connector's audience", connector, w.token(t, prod.signer, "kube-system", "eks-pod-identity-agent", registry.ConnectorAudience, "node"), fault.Denied},
		{"another service account", agent, w.token(t, prod.signer, "kube-system", "default", registry.AgentAudience, "node"), fault.Denied},
		{"the service account in another namespace", agent, w.token(t, prod.signer, "default", "eks-pod-identity-agent", registry.AgentAudience, "node"), fault.Denied},
		{"a pod's audience", agent, w.token(t, prod.signer, "kube-system", "eks-pod-identity-agent", registry.PodAudience, "node"), fault.BadToken},
		{"an expired token", agent, w.agentToken(t, prod.signer, "node", claims{"iat": 1, "nbf": 1, "exp": w.clock.now().Unix()}), fault.ExpiredToken},
		{"no token", agent, "", fault.BadToken},
		{"the agent of another cluster with the same tokenIssuer", agent, w.agentToken(t, test.signer, "node"), fault.BadToken},
		{"the agent of another account's cluster of the name", agent, w.agentToken(t, foreign.signer, "node"), fault.BadToken},
		{"its own", role(two, foreign.AgentRole()), w.agentToken(t, foreign.signer, "node"), accepted},
		{"the agent for another cluster's role", role(one, test.AgentRole()), good, fault.BadToken},
		{"the agent for another account's role", role(two, foreign.AgentRole()), good, fault.BadToken},
		{"a role that trusts another account's cluster", abroad, w.agentToken(t, foreign.signer, "node"), fault.Denied},
		{"a role that trusts two clusters, by the one", both, good, accepted},
		{"and by the other", both, w.agentToken(t, test.signer, "node"), accepted},
		{"and by a third", both, w.agentToken(t, foreign.signer, "node"), fault.BadToken},
		{"a role that trusts no cluster", podRole, good, fault.Denied},
		// The role comes first: of no role, no token is looked at.
		{"a role that does not exist", role(one, "nobody"), "no token", fault.Denied},
		{"a role of that name in another account", role(two, prod.AgentRole()), "no token", fault.Denied},
		{"a role that exists, with what is no token", agent, "no token", fault.BadToken},
		{"a user", "arn:aws:iam::111122223333:user/administrator", good, fault.Invalid},
		{"no ARN", "agent", good, fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := w.ForWebIdentity(t.Context(), WebIdentity{Role: c.role, SessionName: "node", Token: c.token})
			wants(t, "ForWebIdentity", g, err, c.want)
			if c.want == fault.Denied && fault.Message(err) != "Not authorized to perform sts:AssumeRoleWithWebIdentity" {
				t.Errorf("message: got %q, want STS's", fault.Message(err))
			}
			if err != nil && strings.Contains(c.token, "no token") && g.Token != nil {
				t.Errorf("a token stands in the grant: %+v", g.Token)
			}
		})
	}

	t.Run("a cluster that is gone", func(t *testing.T) {
		_, err := w.Registry.DeregisterCluster(t.Context(), one, "prod")
		must(t, err)
		g, err := w.ForWebIdentity(t.Context(), WebIdentity{Role: agent, SessionName: "node", Token: good})
		wants(t, "ForWebIdentity", g, err, fault.Denied)
	})
}

// Of two clusters that a role trusts, one may have rotated its keys: the other's no is not the answer.
func TestAWebIdentityThatCannotBeKnownIsNotRefused(t *testing.T) {
	w := fresh(t)
	joined, practice := w.join(t, one, "prod", newSigner(t, "k1"), false), w.practice(t, one, "test")
	trust := func(name string, clusters ...cluster) string {
		var names []string
		for _, c := range clusters {
			names = append(names, `"`+c.ARN().String()+`"`)
		}
		return w.role(t, one, name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":[`+strings.Join(names, ",")+`]},"Action":"sts:AssumeRoleWithWebIdentity"}]}`)
	}
	both, known := trust("both", joined, practice), trust("known", practice)
	token := w.agentToken(t, newSigner(t, "k2"), "node")
	for _, test := range []struct {
		name, role string
		want       fault.Kind
	}{{"one may know the key soon", both, fault.Unavailable}, {"none will", known, fault.BadToken}} {
		g, err := w.ForWebIdentity(t.Context(), WebIdentity{Role: test.role, SessionName: "node", Token: token})
		wants(t, test.name, g, err, test.want)
	}
}

func TestForWebIdentityChecksNameAndDuration(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, one, "prod")
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + c.ARN().String() + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"lanyard:ClusterId":"` + c.ID + `"}}}]}`
	hour := w.role(t, one, "hour", trust) // MaxSession is an hour
	agent := "arn:aws:iam::111122223333:role/" + c.AgentRole()
	token := w.agentToken(t, c.signer, "node")
	for _, test := range []struct {
		name, role, session string
		duration            time.Duration
		want                fault.Kind
		lasts               time.Duration
	}{
		{"the default", hour, "node", 0, accepted, time.Hour},
		{"900 seconds", hour, "node", 15 * time.Minute, accepted, 15 * time.Minute},
		{"899 seconds", hour, "node", 15*time.Minute - time.Second, fault.Invalid, 0},
		{"a negative duration", hour, "node", -time.Hour, fault.Invalid, 0},
		{"the role's longest", hour, "node", time.Hour, accepted, time.Hour},
		{"longer than the role's longest", hour, "node", time.Hour + time.Second, fault.Invalid, 0},
		{"12 hours", agent, "node", 12 * time.Hour, accepted, 12 * time.Hour},
		{"more than 12 hours", agent, "node", 12*time.Hour + time.Second, fault.Invalid, 0},
		{"a name of 64 characters", hour, strings.Repeat("n", 64), 0, accepted, time.Hour},
		{"a name of 65 characters", hour, strings.Repeat("n", 65), 0, fault.Invalid, 0},
		{"a name of one", hour, "n", 0, fault.Invalid, 0},
		{"a name with a slash", hour, "a/b", 0, fault.Invalid, 0},
		{"a name with a line break", hour, "ab\n", 0, fault.Invalid, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, err := w.ForWebIdentity(t.Context(), WebIdentity{Role: test.role, SessionName: test.session, Token: token, Duration: test.duration})
			wants(t, "ForWebIdentity", g, err, test.want)
			if err == nil && (g.Session.Expires.Sub(w.clock.now()) != test.lasts || g.Session.Name != test.session) {
				t.Errorf("session: got %s for %v, want %s for %v", g.Session.Name, g.Session.Expires.Sub(w.clock.now()), test.session, test.lasts)
			}
		})
	}
}
