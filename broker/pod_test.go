package broker

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

func TestAPodGetsItsRole(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, one, "production-1")
	a := w.associate(t, c, "default", "app", w.role(t, one, "app", ""))
	w.clock.pass(time.Minute)
	g, err := w.ForPod(t.Context(), w.agent(t, c, "node"), c.Name, w.podToken(t, c.signer, "node"))
	wants(t, "ForPod", g, err, accepted)
	if g.Stale || g.Decision.Effect != policy.Allow || g.Cluster.ID != c.ID || g.Association.ID != a.ID || g.Role.Name != "app" || g.Token.Pod.UID != "pod-uid" {
		t.Errorf("grant: got %+v", g)
	}

	opened, err := session.Open(w.Keyring.Ring(), g.Credentials.AccessKeyID, g.Credentials.SessionToken)
	must(t, err)
	now := w.clock.now()
	want := &session.Session{
		Account: one, RoleID: g.Role.ID, RoleName: "app", Issued: now, Expires: now.Add(6 * time.Hour),
		Tags: []session.Tag{
			{Key: "eks-cluster-arn", Value: "arn:aws:eks:us-west-2:111122223333:cluster/production-1", Transitive: true},
			{Key: "eks-cluster-name", Value: "production-1", Transitive: true},
			{Key: "kubernetes-namespace", Value: "default", Transitive: true},
			{Key: "kubernetes-service-account", Value: "app", Transitive: true},
			{Key: "kubernetes-pod-name", Value: "app-7c9f4d8b5-x2x", Transitive: true},
			{Key: "kubernetes-pod-uid", Value: "pod-uid", Transitive: true},
		},
		Origin: &session.Origin{
			Cluster: c.ID, Namespace: "default", ServiceAccount: "app", PodName: "app-7c9f4d8b5-x2x", PodUID: "pod-uid",
			NodeName: "node", NodeUID: "node-uid", Association: a.ID, Digest: session.Digest(g.Role.ID, "", "", false),
		},
		Revision: w.Store.Revision(), Epoch: w.Store.Epoch(), AccessKeyID: g.Credentials.AccessKeyID,
	}
	ignored := []cmp.Option{cmpopts.IgnoreUnexported(session.Session{}), cmpopts.IgnoreFields(session.Session{}, "Name", "Revision")}
	if diff := cmp.Diff(want, opened, ignored...); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	if opened.Secret() != g.Credentials.SecretAccessKey || !g.Credentials.Expires.Equal(want.Expires) {
		t.Errorf("credentials: got %v until %v, want the session's own", g.Credentials, g.Credentials.Expires)
	}
	if opened.Revision < 1 || opened.Revision > w.Store.Revision() {
		t.Errorf("revision: got %d, want one of the store's, at most %d", opened.Revision, w.Store.Revision())
	}
	if form := regexp.MustCompile(`^eks-production-app-7c9f4d-[0-9a-f-]{36}$`); !form.MatchString(opened.Name) {
		t.Errorf("session name: got %q, want it of the form %s", opened.Name, form)
	}
	must(t, w.Registry.Honours(opened))

	again, err := w.ForPod(t.Context(), w.agent(t, c, "node"), c.Name, w.podToken(t, c.signer, "node"))
	wants(t, "again", again, err, accepted)
	if again.Session.Name == opened.Name || again.Credentials.AccessKeyID == opened.AccessKeyID {
		t.Error("two calls led to one session")
	}
}

func TestSessionNamesFit(t *testing.T) {
	for _, test := range []struct{ cluster, pod, want string }{
		{"p", "a", "^eks-p-a-"},
		{"production_1", "app-7c9f4d8b5-x2x", "^eks-production-app-7c9f4d-"},
		{strings.Repeat("c", 100), strings.Repeat("a.b", 84), `^eks-cccccccccc-a\.ba\.ba\.ba-`},
	} {
		got := sessionName(test.cluster, test.pod)
		if !regexp.MustCompile(test.want+`[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`).MatchString(got) || !sessionNames.MatchString(got) {
			t.Errorf("sessionName(%.20q, %.20q): got %q of %d characters, want %s and at most 64", test.cluster, test.pod, got, len(got), test.want)
		}
	}
}

func TestForPodRefuses(t *testing.T) {
	w := fresh(t)
	prod, test, foreign := w.practice(t, one, "prod"), w.practice(t, one, "test"), w.practice(t, two, "foreign")
	waiting, err := w.Registry.RegisterCluster(t.Context(), registry.NewCluster{Account: one, Name: "waiting", Provider: "OTHER"})
	must(t, err)
	app := w.role(t, one, "app", "")
	w.associate(t, prod, "default", "app", app)
	w.associate(t, prod, "default", "roleless", w.role(t, one, "doomed", ""))
	must(t, w.Directory.DeleteRole(t.Context(), one, "doomed"))
	agent := w.agent(t, prod, "node")
	_, key, err := w.Directory.CreateAccount(t.Context(), directory.NewAccount{ID: one, Name: "x"})
	must(t, err)
	_, administrator, err := w.Directory.AccessKey(key.ID)
	must(t, err)
	admin, err := w.Directory.UserPrincipal(administrator, key.ID)
	must(t, err)
	nodeless := *agent
	nodeless.Session = &session.Session{Origin: &session.Origin{Cluster: prod.ID}}

	good := w.podToken(t, prod.signer, "node")
	other := newSigner(t, "k2")
	forged := other
	forged.ID = "k1"
	k8s := func(edit claims) claims {
		all := map[string]any{
			"namespace": "default", "serviceaccount": map[string]any{"name": "app", "uid": "u"},
			"pod": map[string]any{"name": "p", "uid": "pod-uid"}, "node": map[string]any{"name": "node", "uid": "node-uid"},
		}
		for k, v := range edit {
			if all[k] = v; v == nil {
				delete(all, k)
			}
		}
		return claims{"kubernetes.io": all}
	}
	for _, c := range []struct {
		name    string
		caller  *directory.Principal
		cluster string
		token   string
		want    fault.Kind
		message string // a part of it
	}{
		{"the pod", agent, "prod", good, accepted, ""},
		{"a cluster that does not exist", agent, "prod2", good, fault.NotFound, "No cluster found for name: prod2."},
		{"another account's cluster", agent, foreign.Name, w.podToken(t, foreign.signer, "node"), fault.NotFound, "No cluster found for name: foreign."},
		{"a cluster that has not joined", agent, waiting.Name, good, fault.BadState, "PENDING"},
		{"the token of another cluster", agent, "prod", w.podToken(t, test.signer, "node"), fault.BadToken, "signature"},
		{"the token at another cluster", agent, "test", good, fault.BadToken, "signature"},
		{"a token signed with another key of that name", agent, "prod", w.podToken(t, forged, "node"), fault.BadToken, "signature"},
		{"a token signed with an unknown key", agent, "prod", w.podToken(t, other, "node"), fault.BadToken, "key"}, // at once: the cluster is a practice one
		{"a token of another tokenIssuer", agent, "prod", w.podToken(t, prod.signer, "node", claims{"iss": "https://other.example"}), fault.BadToken, "issuer"},
		{"a token for STS", agent, "prod", w.token(t, prod.signer, "default", "app", registry.AgentAudience, "node"), fault.BadToken, "aud"},
		{"a token for two audiences", agent, "prod", w.podToken(t, prod.signer, "node", claims{"aud": []string{registry.PodAudience, "x"}}), fault.BadToken, "aud"},
		{"an expired token", agent, "prod", w.podToken(t, prod.signer, "node", claims{"exp": w.clock.now().Unix(), "iat": 1, "nbf": 1}), fault.ExpiredToken, "expired"},
		{"a token that is none", agent, "prod", "x.y.z", fault.BadToken, ""},
		{"a token bound to no pod", agent, "prod", w.podToken(t, prod.signer, "node", k8s(claims{"pod": nil})), fault.BadToken, "not bound to a pod"},
		{"a token of another node", agent, "prod", w.podToken(t, prod.signer, "node2"), fault.Denied, "Node binding: the token is of node node2, the caller is on node node."},
		{"a token of a node of the name", agent, "prod", w.podToken(t, prod.signer, "node", k8s(claims{"node": map[string]any{"name": "node", "uid": "later"}})), fault.Denied, "Node binding"},
		{"a token without node", agent, "prod", w.podToken(t, prod.signer, ""), fault.Denied, "names no node"},
		{"an administrator", admin, "prod", good, fault.Denied, "no node identity"},
		{"a session without node", &nodeless, "prod", good, fault.Denied, "no node identity"},
		{"the agent of another cluster", w.agent(t, test, "node"), "prod", good, fault.Denied, "another cluster"},
		{"another service account", agent, "prod", w.token(t, prod.signer, "default", "app2", registry.PodAudience, "node"), fault.NotFound, "No pod identity association found for service account default/app2."},
		{"another namespace", agent, "prod", w.token(t, prod.signer, "default2", "app", registry.PodAudience, "node"), fault.NotFound, "default2/app"},
		{"a role that is deleted", agent, "prod", w.token(t, prod.signer, "default", "roleless", registry.PodAudience, "node"), fault.Denied, "EKS does not have permissions to assume the associated role."},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := w.ForPod(t.Context(), c.caller, c.cluster, c.token)
			wants(t, "ForPod", g, err, c.want)
			if !strings.Contains(fault.Message(err), c.message) {
				t.Errorf("message: got %q, want %q in it", fault.Message(err), c.message)
			}
			if (c.want == fault.BadToken || c.want == fault.ExpiredToken) && g.Token != nil && c.message != "not bound to a pod" {
				t.Errorf("an unverified token stands in the grant: %+v", g.Token)
			}
		})
	}

	t.Run("without node binding", func(t *testing.T) {
		_, err := w.Registry.UpdateCluster(t.Context(), one, "prod", registry.ClusterChange{NodeBinding: new(false)})
		must(t, err)
		for name, call := range map[string]struct {
			caller *directory.Principal
			token  string
			want   fault.Kind
		}{
			"an administrator":        {admin, good, accepted},
			"a token of another node": {agent, w.podToken(t, prod.signer, "node2"), accepted},
			"a token without node":    {agent, w.podToken(t, prod.signer, ""), accepted},
			"bound to no pod":         {admin, w.podToken(t, prod.signer, "node", k8s(claims{"pod": nil})), fault.BadToken},
		} {
			g, err := w.ForPod(t.Context(), call.caller, "prod", call.token)
			wants(t, name, g, err, call.want)
		}
	})
}

// A deleted pod's token is refused, and one that lives longer than it would be remembered; others are not.
func TestForPodRefusesTheTokensOfDeletedPods(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, one, "prod")
	agent := w.agent(t, c, "node")
	w.associate(t, c, "default", "app", w.role(t, one, "app", ""))
	token := w.podToken(t, c.signer, "node")
	lives := func(seconds int64) string {
		return w.podToken(t, c.signer, "node", claims{"exp": w.clock.now().Unix() + seconds})
	}
	ask := func(what, token string, want fault.Kind) {
		t.Helper()
		g, err := w.ForPod(t.Context(), agent, "prod", token)
		wants(t, what, g, err, want)
	}
	ask("before", token, accepted)
	ask("a day", lives(86400), accepted)
	ask("more than a day", lives(86401), fault.BadToken)
	_, err := w.Registry.UpdateCluster(t.Context(), one, "prod", registry.ClusterChange{MaxToken: new(time.Hour)})
	must(t, err)
	ask("an hour where that is the most", lives(3600), accepted)
	ask("more than the most", lives(3601), fault.BadToken)
	_, err = w.Registry.DeletePods(t.Context(), one, "prod", "by", []registry.DeletedPod{{UID: "another"}})
	must(t, err)
	ask("another pod deleted", token, accepted)
	_, err = w.Registry.DeletePods(t.Context(), one, "prod", "by", []registry.DeletedPod{{UID: "pod-uid"}})
	must(t, err)
	ask("deleted", token, fault.BadToken)
}

// An unknown key has the connector asked, and the call that waits is answered by what it then tells: a key that is new, or
// a list that lacks it still.
func TestAnUnknownKeyIsAskedFor(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod", newSigner(t, "k1"), false)
	agent := w.agent(t, c, "node")
	w.associate(t, c, "default", "app", w.role(t, one, "app", ""))
	rotated, forged := newSigner(t, "k2"), newSigner(t, "forged")
	listed := []podtoken.Key{c.signer.Key, rotated.Key}
	present, err := w.Registry.Cluster(one, "prod")
	must(t, err)
	f := w.Registry.Follow(present)
	defer f.Close()
	_, err = f.Next()
	must(t, err)
	asked := make(chan error, 2)
	go func() {
		for range f.Woken {
			change, err := f.Next()
			if err == nil && change.RecheckKeys {
				w.clock.pass(time.Millisecond)
				_, err = w.Registry.PutClusterKeys(context.Background(), one, "prod", present.Issuers, listed)
				asked <- err
			}
		}
	}()
	g, err := w.ForPod(t.Context(), agent, "prod", w.podToken(t, rotated, "node"))
	wants(t, "a new key", g, err, accepted)
	must(t, <-asked)
	w.clock.pass(5 * time.Second)
	g, err = w.ForPod(t.Context(), agent, "prod", w.podToken(t, forged, "node"))
	wants(t, "a forged key", g, err, fault.BadToken)
	must(t, <-asked)
}

// A role's trust policy is asked as it is at the moment of the call, with what EKS tells it.
func TestForPodAsksTheTrustPolicy(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, one, "prod")
	agent := w.agent(t, c, "node")
	w.associate(t, c, "default", "app", w.role(t, one, "app", ""))
	token := w.podToken(t, c.signer, "node")
	statement := func(effect, actions, condition string) string {
		return `{"Effect":"` + effect + `","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":` + actions + `,"Condition":{` + condition + `}}`
	}
	const both = `["sts:AssumeRole","sts:TagSession"]`
	when := func(condition string) string { return statement("Allow", both, condition) }
	for _, test := range []struct {
		name, statements string
		want             fault.Kind
	}{
		{"both actions", when(``), accepted},
		{"AssumeRole alone", statement("Allow", `"sts:AssumeRole"`, ``), fault.Denied},
		{"TagSession alone", statement("Allow", `"sts:TagSession"`, ``), fault.Denied},
		{"another service", strings.Replace(when(``), "pods.eks", "ec2", 1), fault.Denied},
		{"a Deny beside the Allow", when(``) + "," + statement("Deny", `"sts:TagSession"`, `"StringEquals":{"aws:RequestTag/kubernetes-pod-uid":"pod-uid"}`), fault.Denied},
		{"a Deny of another pod", when(``) + "," + statement("Deny", `"sts:TagSession"`, `"StringEquals":{"aws:RequestTag/kubernetes-pod-uid":"other"}`), accepted},
		{"its namespace", when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}`), accepted},
		{"another namespace", when(`"StringEquals":{"aws:RequestTag/kubernetes-namespace":"payments"}`), fault.Denied},
		{"its service account", when(`"StringEquals":{"aws:RequestTag/kubernetes-service-account":"app"}`), accepted},
		{"another service account", when(`"StringEquals":{"aws:RequestTag/kubernetes-service-account":"app2"}`), fault.Denied},
		{"its cluster", when(`"ArnEquals":{"aws:SourceArn":"arn:aws:eks:us-west-2:111122223333:cluster/prod"}`), accepted},
		{"another cluster", when(`"ArnEquals":{"aws:SourceArn":"arn:aws:eks:us-west-2:111122223333:cluster/test"}`), fault.Denied},
		{"its account", when(`"StringEquals":{"aws:SourceAccount":"111122223333"}`), accepted},
		{"another account", when(`"StringEquals":{"aws:SourceAccount":"444455556666"}`), fault.Denied},
		{"the tag keys", when(`"ForAllValues:StringLike":{"aws:TagKeys":["eks-*","kubernetes-*"],"sts:TransitiveTagKeys":["eks-*","kubernetes-*"]}`), accepted},
		{"some of the tag keys", when(`"ForAllValues:StringLike":{"sts:TransitiveTagKeys":["eks-*"]}`), fault.Denied},
		{"the session name", when(`"StringLike":{"sts:RoleSessionName":"eks-prod-app-7c9f4d-*"}`), accepted},
		{"from now on", when(`"DateGreaterThan":{"aws:CurrentTime":"2020"}`), accepted},
		{"until lately", when(`"DateLessThan":{"aws:CurrentTime":"2020"}`), fault.Denied},
		{"another session name", when(`"StringLike":{"sts:RoleSessionName":"eks-test-*"}`), fault.Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			must(t, w.Directory.UpdateTrust(t.Context(), one, "app", `{"Version":"2012-10-17","Statement":[`+test.statements+`]}`))
			g, err := w.ForPod(t.Context(), agent, "prod", token)
			wants(t, "ForPod", g, err, test.want)
			if err != nil && fault.Message(err) != "Unauthorized Exception! EKS does not have permissions to assume the associated role." {
				t.Errorf("message: got %q, want EKS's", fault.Message(err))
			}
		})
	}
}

func TestOneRoleServesTwoClusters(t *testing.T) {
	w := fresh(t)
	role := w.role(t, one, "app", "")
	clusters := []cluster{w.practice(t, one, "prod"), w.practice(t, one, "test")}
	for _, c := range clusters {
		w.associate(t, c, "default", "app", role)
	}
	for i, c := range clusters {
		agent := w.agent(t, c, "node")
		g, err := w.ForPod(t.Context(), agent, c.Name, w.podToken(t, c.signer, "node"))
		wants(t, c.Name, g, err, accepted)
		if g.Session.Origin.Cluster != c.ID || g.Session.Tags[1].Value != c.Name || g.Session.RoleID != g.Role.ID {
			t.Errorf("%s: got the session %+v", c.Name, g.Session)
		}
		g, err = w.ForPod(t.Context(), agent, c.Name, w.podToken(t, clusters[1-i].signer, "node"))
		wants(t, "the other's token at "+c.Name, g, err, fault.BadToken)
	}
}

// A joined cluster may have rotated its keys: only a list newer than the question makes a token with an unknown key bad.
func TestAnUnknownKeyOfAJoinedClusterIsWaitedFor(t *testing.T) {
	w := fresh(t)
	first := newSigner(t, "k1")
	c := w.join(t, one, "prod", first, false)
	w.associate(t, c, "default", "app", w.role(t, one, "app", ""))
	agent := w.agent(t, c, "node")
	next := newSigner(t, "k2")
	for _, test := range []struct {
		name   string
		signer signer
		pushed []podtoken.Key // while the call waits
		want   fault.Kind
	}{
		{"nothing comes", next, nil, fault.Unavailable},
		{"the same list comes", next, []podtoken.Key{first.Key}, fault.BadToken},
		{"a list with another key comes", next, []podtoken.Key{first.Key, newSigner(t, "k3").Key}, fault.BadToken},
		{"a list with another key of that name comes", newSigner(t, "k4"), []podtoken.Key{first.Key, newSigner(t, "k4").Key}, fault.BadToken},
		{"the key comes", next, []podtoken.Key{first.Key, next.Key}, accepted},
		{"a known key", first, nil, accepted},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := w.podToken(t, test.signer, "node")
			asked := false
			w.Now = func() time.Time {
				now := w.clock.now()
				if !asked && test.pushed != nil { // the cluster was read by now, with its former list
					asked = true
					w.clock.pass(time.Millisecond)
					_, err := w.Registry.PutClusterKeys(t.Context(), one, "prod", []string{tokenIssuer}, test.pushed)
					must(t, err)
				}
				return now
			}
			g, err := w.ForPod(t.Context(), agent, "prod", token)
			wants(t, "ForPod", g, err, test.want)
			w.clock.pass(keyPause) // a wait in vain does not count in the next case
		})
	}
}

// What is refused for the form of its claims never makes anybody wait for keys.
func TestABadTokenWithAnUnknownKeyIsRefusedAtOnce(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod", newSigner(t, "k1"), false)
	agent := w.agent(t, c, "node")
	g, err := w.ForPod(t.Context(), agent, "prod", w.podToken(t, newSigner(t, "k2"), "node", claims{"aud": "other"}))
	wants(t, "ForPod", g, err, fault.BadToken)
}

func TestADeletedAssociationIsNotIssuedAndANewOneIs(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, one, "prod")
	agent, token, role := w.agent(t, c, "node"), w.podToken(t, c.signer, "node"), w.role(t, one, "app", "")
	ask := func(when string, want fault.Kind) {
		t.Helper()
		g, err := w.ForPod(t.Context(), agent, "prod", token)
		wants(t, when, g, err, want)
	}
	ask("before", fault.NotFound)
	a := w.associate(t, c, "default", "app", role)
	ask("created", accepted)
	_, err := w.Registry.DeleteAssociation(t.Context(), one, "prod", a.ID)
	must(t, err)
	ask("deleted", fault.NotFound)
	w.associate(t, c, "default", "app", role)
	ask("created again", accepted)
	_, err = w.Registry.DeregisterCluster(t.Context(), one, "prod")
	must(t, err)
	ask("its cluster deregistered", fault.NotFound)
}
