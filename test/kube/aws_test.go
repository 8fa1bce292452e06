package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// awsAccount is the customer's at AWS, and so at Lanyard; awsRegion is of neither server.
const awsAccount, awsRegion = "444455556666", "eu-central-1"

// joinedAWS is a server whose account has AWS behind it, as whose administrator the cluster has joined. AWS is another server,
// of which that one knows the STS, and has an identity: the administrator's of its management account.
func joinedAWS(t *testing.T, amazon *lanyard) *world {
	t.Helper()
	if shared != nil {
		shared.t = t
		shared.end()
	}
	clear(t)
	env := []string{"AWS_CA_BUNDLE=" + amazon.ca}
	for _, variable := range amazon.administrator() {
		if strings.HasPrefix(variable, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(variable, "AWS_SECRET_ACCESS_KEY=") {
			env = append(env, variable)
		}
	}
	w := &world{lanyard: openLanyard(t, t.TempDir(), env...)}
	t.Cleanup(w.end)
	w.use(t)
	w.who = w.create("prod", "--aws", "--account-id", awsAccount, "--region", awsRegion, "--endpoint", amazon.endpoint)
	w.account = awsAccount
	w.enter()
	w.aws("eks create-addon --addon-name "+agentName+" --cluster-name", clusterName)
	w.active()
	return w
}

// keyID is the access key of an agent's answer.
func keyID(t *testing.T, body string) string {
	t.Helper()
	var c struct{ AccessKeyId string } //nolint:revive // AWS's spelling
	if err := json.Unmarshal([]byte(body), &c); err != nil || c.AccessKeyId == "" {
		t.Fatalf("the agent answers %s", body)
	}
	return c.AccessKeyId
}

// TestAWS has pods of an account with AWS behind it get STS's credentials as they are, by the statements that `lanyard account
// trust-policy` prints; who has no association gets nothing, and another service account no association. They are told AWS's
// region and of no endpoint. While STS is away they go on, even with another agent; what is new waits until it is back.
func TestAWS(t *testing.T) {
	amazon := newLanyard(t)
	customer := amazon.of(awsAccount, amazon.create("customer", "--id", awsAccount))
	w, ns := joinedAWS(t, amazon), newNamespace(t)

	trust := w.as("lanyard", "account", "trust-policy", "--cluster", clusterName, "--namespace", ns.name, "--service-account", "app")
	role := customer.aws("iam create-role --query Role.Arn --output text --role-name", ns.name, "--assume-role-policy-document", trust)
	tagged := func(name string) {
		customer.aws("iam put-role-policy --policy-name may --role-name", ns.name, "--policy-document", fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetRole","Resource":"*","Condition":{"StringEquals":{
			"aws:PrincipalTag/kubernetes-namespace":%q,"aws:PrincipalTag/kubernetes-pod-name":%q,"aws:PrincipalTag/eks-cluster-name":%q}}}}`, ns.name, name, clusterName))
	}
	tagged("one")
	w.associate(ns, "app", role)
	for _, account := range []string{"thief", "stranger"} {
		ns.kubectl("create", "serviceaccount", account)
	}
	w.awsRefused("InvalidParameterException", "Role provided in the request does not exist.", "eks create-pod-identity-association --cluster-name",
		clusterName, "--namespace", ns.name, "--service-account", "thief", "--role-arn", role)
	if got := w.as("lanyard", "account", "verify"); !strings.Contains(got, "ok       "+clusterName+"/"+ns.name+"/app") {
		t.Errorf("verify: %s", got)
	}

	ns.apply(idle(t, "one", "node1", "app"))
	ns.apply(idle(t, "two", "node2", "app"))
	ns.apply(idle(t, "stranger", "node2", "stranger"))
	ns.wait("condition=Ready", "pod/one", "pod/two", "pod/stranger")
	told := strings.Join(strings.Fields(ns.in("one", "sh", "-c", "env | grep ^AWS_ | grep -v ^AWS_CONTAINER_ | sort").out), " ")
	if want := "AWS_DEFAULT_REGION=" + awsRegion + " AWS_REGION=" + awsRegion + " AWS_STS_REGIONAL_ENDPOINTS=regional"; told != want {
		t.Errorf("a pod is told %s\nwant %s, and of no endpoint and no CA", told, want)
	}
	if got := ns.in("stranger", "sh", "-c", "env | grep ^AWS_").out; got != "" {
		t.Errorf("a pod without an association is told %s", got)
	}

	// The pods' programs find AWS by these arguments alone, since no name leads anywhere here.
	at := func(pod, words string) ran {
		t.Helper()
		return ns.in(pod, append([]string{"sh", "-c", `printf %s "$0" >/tmp/aws.pem && exec aws --region ` + awsRegion + ` --ca-bundle /tmp/aws.pem "$@"`, amazon.caText(), "--endpoint-url", amazon.endpoint}, strings.Fields(words)...)...)
	}
	is := func(pod string) {
		t.Helper()
		got := at(pod, "sts get-caller-identity --query Arn --output text")
		if want := "arn:aws:sts::" + awsAccount + ":assumed-role/" + ns.name + "/eks-" + clusterName + "-" + pod + "-"; !strings.HasPrefix(got.out, want) {
			t.Errorf("at AWS pod %s is %s%s, want %s…", pod, got.out, got.errors, want)
		}
	}
	is("one")
	is("two")
	if got := at("stranger", "sts get-caller-identity"); got.status == 0 || !strings.Contains(got.errors, "Unable to locate credentials") {
		t.Errorf("no association: status %d, %s%s, want no credentials", got.status, got.out, got.errors)
	}
	read := "iam get-role --role-name " + ns.name
	if got := at("one", read); got.status != 0 {
		t.Errorf("by its tags pod one may read the role: %s%s", got.out, got.errors)
	}
	if got := at("two", read); got.status == 0 || !strings.Contains(got.errors, "AccessDenied") {
		t.Errorf("pod two has not pod one's tag: status %d, %s%s", got.status, got.out, got.errors)
	}

	token := ns.tokenOf("one")
	status, body := ask(t, "1", token)
	if status != "200" {
		t.Fatalf("the pod's token: status %s, %s", status, body)
	}
	held := keyID(t, body)
	amazon.stop()
	if status, body = ask(t, "1", token); status != "200" || keyID(t, body) != held {
		t.Errorf("STS is away: status %s, %s, want what the agent holds", status, body)
	}
	if got := onNode(t, "1", "sh", "-c", "kill -KILL $(pidof lanyard-agent)"); got.status != 0 {
		t.Fatalf("no agent is killed: %s%s", got.out, got.errors)
	}
	eventually(t, "STS is away, and another agent answers", func() (bool, string) {
		status, body = ask(t, "1", token)
		return status == "200", status + " " + body[:min(len(body), 200)]
	})
	if got := keyID(t, body); got != held {
		t.Errorf("another agent has %s, want the session that the server keeps, %s", got, held)
	}
	ns.apply(idle(t, "late", "node1", "app"))
	ns.wait("condition=Ready", "pod/late")
	if status, body := ask(t, "1", ns.tokenOf("late")); status != "503" {
		t.Errorf("STS is away, and a pod is new: status %s, %s, want 503, which SDKs ask again about", status, body)
	}
	amazon.restart()
	gets(t, "STS is back, and the new pod has credentials", "1", ns.tokenOf("late"))
	is("late")
	is("one")
}
