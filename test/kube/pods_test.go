package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// idle is a pod of the demo's image on a node, for commands to be run in; nothing in it is about Lanyard.
func idle(t *testing.T, name, node, account string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  nodeName: %s
  serviceAccountName: %s
  terminationGracePeriodSeconds: 1
  containers:
  - {name: shop, image: %s, command: [sleep, infinity]}
`, name, node, account, image(t, "demo"))
}

// in runs a command in a pod.
func (ns namespace) in(pod string, argv ...string) ran {
	ns.t.Helper()
	return ns.try(append([]string{"exec", pod, "--"}, argv...)...)
}

// tokenOf is the token that a pod was given.
func (ns namespace) tokenOf(pod string) string {
	ns.t.Helper()
	return strings.TrimSpace(ns.in(pod, "sh", "-c", `cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"`).out)
}

// ask fetches from the agent of a node with a token, as a stranger on that node would, and is the status and the answer.
func ask(t *testing.T, node, token string) (status, body string) {
	t.Helper()
	got := onNode(t, node, "curl", "--silent", "--max-time", "10", "--write-out", "\n%{http_code}", "--header", "Authorization: "+token, "http://169.254.170.23/v1/credentials")
	i := strings.LastIndex(got.out, "\n")
	return got.out[i+1:], got.out[:max(i, 0)]
}

// gets waits until a token gets credentials at a node's agent, which gives a call a second and then has who asks ask again.
func gets(t *testing.T, what, node, token string) {
	t.Helper()
	eventually(t, what, func() (bool, string) {
		status, body := ask(t, node, token)
		return status == "200", status + " " + body[:min(len(body), 200)]
	})
}

// isRefused waits until a token is refused for good, and is never served. A key that is not known yet might be a new one: the
// cluster's connector is asked for its keys first.
func isRefused(t *testing.T, what string, ask func() (status, body string)) {
	t.Helper()
	eventually(t, what+": is refused for good", func() (bool, string) {
		status, body := ask()
		if status == "200" || strings.Contains(body, "SecretAccessKey") {
			t.Fatalf("%s: status %s, want it refused", what, status)
		}
		return strings.HasPrefix(status, "4"), status + " " + body
	})
}

// TestPods has running pods of both nodes work with objects by AWS's programs over TLS, and follow what is changed of their
// role; who has no association gets nothing, and a deleted pod's token is worth nothing.
func TestPods(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.bucket(ns.name)
	arn := w.role(ns.name, "s3:*", "arn:aws:s3:::"+ns.name+" arn:aws:s3:::"+ns.name+"/*")
	id := w.associate(ns, "shop", arn)
	ns.kubectl("create", "serviceaccount", "stranger")
	ns.apply(idle(t, "one", "node1", "shop"))
	ns.apply(idle(t, "two", "node2", "shop"))
	ns.apply(idle(t, "stranger", "node2", "stranger"))
	ns.apply(once("long", "node1", "shop", image(t, "demo"), "python3", "-c", fmt.Sprintf("%q", whoAmI)))
	ns.wait("condition=Ready", "pod/one", "pod/two", "pod/stranger", "pod/long")

	cli := `set -e; echo what was written >/tmp/a; aws s3 cp /tmp/a s3://%[1]s/$0; aws s3 cp s3://%[1]s/$0 /tmp/b; cmp /tmp/a /tmp/b`
	boto := `import boto3, os
s3 = boto3.client("s3")
s3.put_object(Bucket=os.sys.argv[1], Key="by/boto", Body=b"x" * 300000)
assert s3.get_object(Bucket=os.sys.argv[1], Key="by/boto")["Body"].read() == b"x" * 300000
assert os.environ["AWS_ENDPOINT_URL_S3"].startswith("https://"), os.environ
print(s3.list_objects_v2(Bucket=os.sys.argv[1])["KeyCount"])`
	works := func(pod string) {
		t.Helper()
		for _, argv := range [][]string{{"sh", "-c", fmt.Sprintf(cli, ns.name), pod}, {"python3", "-c", boto, ns.name}} {
			if got := ns.in(pod, argv...); got.status != 0 {
				t.Errorf("pod %s, %q: status %d\n%s%s", pod, argv, got.status, got.out, got.errors)
			}
		}
	}
	works("one")
	works("two")
	list := []string{"aws", "s3", "ls", "s3://" + ns.name}
	if got := ns.in("stranger", list...); got.status == 0 || !strings.Contains(got.errors, "Unable to locate credentials") {
		t.Errorf("no association: status %d, %s%s, want no credentials", got.status, got.out, got.errors)
	}
	tellsWhy(t, ns, "stranger", "one")

	// A right that is taken away is gone at the next request, and back at the one after it is given again.
	w.permit(ns.name, "s3:PutObject", "arn:aws:s3:::"+ns.name+"/*")
	if got := ns.in("one", list...); got.status == 0 || !strings.Contains(got.errors, "AccessDenied") {
		t.Errorf("the right to list is taken away: status %d, %s%s", got.status, got.out, got.errors)
	}
	w.permit(ns.name, "s3:ListBucket", "arn:aws:s3:::"+ns.name)
	if got := ns.in("one", list...); got.status != 0 {
		t.Errorf("the right to list is given again: status %d, %s%s", got.status, got.out, got.errors)
	}

	w.changesRole(ns, id, "one", "long")

	// A deleted pod's token and session are worth nothing.
	token := ns.tokenOf("two")
	status, body := ask(t, "2", token)
	var session struct{ AccessKeyId, SecretAccessKey, Token string } //nolint:revive // AWS's spelling
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != "200" {
		t.Fatalf("the pod's own token: status %s, %s", status, body)
	}
	stolen := keys{session.AccessKeyId, session.SecretAccessKey, session.Token}.environment("AWS_ENDPOINT_URL_S3="+w.s3, "AWS_CA_BUNDLE="+w.ca)
	if got := run(t, stolen, "", list...); got.status != 0 {
		t.Fatalf("the pod's session before it is deleted: %s%s", got.out, got.errors)
	}
	ns.kubectl("delete", "pod", "two")
	began, audited := time.Now(), w.refusals()
	eventually(t, "the deleted pod's token is refused", func() (bool, string) {
		status, body = ask(t, "2", token)
		return status == "400" || status == "404", status + " " + body
	})
	audited("a deleted pod's token", "AssumeRoleForPodIdentity", "/node2")
	t.Logf("refused %v after the pod was gone: %s", time.Since(began).Round(time.Millisecond), body)
	if got := run(t, stolen, "", list...); got.status == 0 {
		t.Errorf("the deleted pod's session lists: %s", got.out)
	}
	if got := ns.in("one", list...); got.status != 0 {
		t.Errorf("another pod of the association: status %d, %s%s", got.status, got.out, got.errors)
	}
}

// tellsWhy has a pod without an association ask with a token of its own, and wants an Event that gives the reason, and none about
// a pod that was served.
func tellsWhy(t *testing.T, ns namespace, refused, served string) {
	t.Helper()
	token := ns.kubectl("create", "token", refused, "--bound-object-kind=Pod", "--bound-object-name="+refused, "--audience=pods.eks.amazonaws.com")
	if status, body := ask(t, "2", strings.TrimSpace(token)); status == "200" {
		t.Fatalf("no association: the agent answers %s", body)
	}
	uidOf := func(pod string) string { return ns.kubectl("get", "pod", pod, "--output=jsonpath={.metadata.uid}") }
	about := func(pod string) string {
		return ns.kubectl("get", "events", "--field-selector=reason=PodIdentityDenied,type=Warning,involvedObject.uid="+uidOf(pod), "--output=jsonpath={.items[*].message}")
	}
	want := fmt.Sprintf("Lanyard refused this pod's request for credentials: No pod identity association found for service account %s/%s.", ns.name, refused)
	eventually(t, "an Event tells why the pod is refused", func() (bool, string) { got := about(refused); return got == want, got })
	if got := about(served); got != "" {
		t.Errorf("about the pod that was served there is an Event: %s", got)
	}
}

// whoAmI is a program that runs for long with one client of the SDK, and says again and again who it is. SDKs fetch anew when an
// hour has run down; this one is told to each time, so that the test has not to wait for that.
const whoAmI = `import boto3, botocore.credentials as c, time
c.RefreshableCredentials._advisory_refresh_timeout = c.RefreshableCredentials._mandatory_refresh_timeout = 7200
sts = boto3.client("sts")
while True:
    print(sts.get_caller_identity()["Arn"], flush=True)
    time.sleep(0.5)`

// changesRole gives an association another role, and wants running pods to have it: a program that starts in one, and a pod whose
// one program has run all the time.
func (w *world) changesRole(ns namespace, association, pod, long string) {
	w.t.Helper()
	said := func() string {
		lines := strings.Fields(ns.kubectl("logs", long, "--tail=1"))
		if len(lines) == 0 {
			return ""
		}
		return lines[0]
	}
	is := func(role, text string) bool { return strings.Contains(text, ":assumed-role/"+role+"/") }
	if got := said(); !is(ns.name, got) {
		w.t.Errorf("before its role is changed the pod is %q", got)
	}
	other := w.role(ns.name+"-other", "s3:ListBucket", "arn:aws:s3:::"+ns.name)
	w.aws("eks update-pod-identity-association --cluster-name", clusterName, "--association-id", association, "--role-arn", other)
	eventually(w.t, "a program that starts in the pod has the new role", func() (bool, string) {
		got := ns.in(pod, "aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
		return is(ns.name+"-other", got.out), got.out + got.errors
	})
	eventually(w.t, "the program that runs has the new role", func() (bool, string) { return is(ns.name+"-other", said()), said() })
}
