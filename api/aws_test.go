package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
)

const customer = "444455556666" // has AWS behind it

// amazon is AWS: another Lanyard, of which only the STS is asked. What differs from AWS's is in docs/AWS.md.
type amazon struct {
	*world
	server *httptest.Server
	broken atomic.Pointer[http.HandlerFunc]
	asked  atomic.Int64
}

func (a *amazon) handler() http.Handler { return api.New(a.config(), "eks", a.doors()...) }

// breaks has something else answer in its place; nil mends it.
func (a *amazon) breaks(by http.HandlerFunc) {
	if by == nil {
		a.broken.Store(nil)
		return
	}
	a.broken.Store(&by)
}

// backed makes a world with an account that has AWS behind it, and the AWS, in which the management account is Lanyard's own.
func backed(t *testing.T) (w *world, cloud *amazon, admin signer, server *httptest.Server) {
	t.Helper()
	w, cloud = newWorld(t), &amazon{world: newWorld(t)}
	inner := cloud.handler()
	cloud.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		cloud.asked.Add(1)
		if by := cloud.broken.Load(); by != nil {
			(*by)(rw, r)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(cloud.server.Close)
	if _, _, err := cloud.directory.CreateAccount(t.Context(), directory.NewAccount{ID: customer, Name: "customer"}); err != nil {
		t.Fatal(err)
	}
	own := credentials.NewStaticCredentialsProvider(cloud.root.ID, string(cloud.root.Secret), "")
	w.broker.AWS = broker.NewAWS(awssts.New(awssts.Config{Load: func(context.Context) (aws.Config, error) {
		return aws.Config{Credentials: own}, nil
	}}), awssts.Pace{}, nil)
	server = w.serve(t, w.config())
	got := w.send(t, server, request{
		as: byKey(w.root), service: "lanyard", method: "POST", path: "/lanyard/v1/accounts",
		body: `{"name":"aws","accountId":"` + customer + `","aws":{"region":"eu-central-1","endpoint":"` + cloud.server.URL + `"}}`,
	})
	var made struct{ AccessKeyID, SecretAccessKey string }
	if err := json.Unmarshal([]byte(got.body), &made); err != nil || got.status != 200 {
		t.Fatal(got.status, got.body)
	}
	cluster, err := w.registry.RegisterCluster(t.Context(), registry.NewCluster{Account: customer, Name: "dev", Provider: "OTHER"})
	if err == nil {
		_, err = w.registry.ActivateCluster(t.Context(), cluster.Activation.ID, registry.Joining{
			Issuers: []string{issuer}, Keys: []podtoken.Key{w.signer.key}, Practice: true,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return w, cloud, signer{id: made.AccessKeyID, secret: made.SecretAccessKey}, server
}

// externalID begins the account's.
func externalID(t *testing.T, w *world) string {
	t.Helper()
	backing, err := w.directory.Backing(customer)
	if err != nil {
		t.Fatal(err)
	}
	return backing.ExternalID
}

// role makes a role of the customer's AWS account, with the two statements of `lanyard account trust-policy` for default/app.
func (a *amazon) customersRole(t *testing.T, name, external string, edits ...string) string {
	t.Helper()
	text := strings.NewReplacer(append(edits, "EXTERNAL", external)...).Replace(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + management + `:user/administrator"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{
			"sts:ExternalId":"EXTERNAL/us-west-2/` + customer + `/dev/default/app",
			"aws:RequestTag/eks-cluster-arn":"arn:aws:eks:us-west-2:` + customer + `:cluster/dev","aws:RequestTag/kubernetes-namespace":"default"}}},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + management + `:user/administrator"},"Action":"sts:TagSession",
		 "Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}}}]}`)
	made, err := a.directory.CreateRole(t.Context(), directory.NewRole{Account: customer, Name: name, Trust: text, MaxSession: 12 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return made.ARN().String()
}

// lift is the call by which the account's administrator associates default/SA with a role.
func associating(as signer, serviceAccount, role string, more ...string) request {
	return request{
		as: as, service: "eks", method: "POST", path: "/clusters/dev/pod-identity-associations",
		body: `{"namespace":"default","serviceAccount":"` + serviceAccount + `","roleArn":"` + role + `"` + strings.Join(more, "") + `}`,
	}
}

type podAnswer struct {
	Credentials struct {
		AccessKeyID, SecretAccessKey, SessionToken string
		Expiration                                 float64
	}
	AssumedRoleUser struct{ ARN, AssumeRoleID string }
	Code, Message   string
}

func (w *world) ask(t *testing.T, server *httptest.Server, agent signer, token string) (podAnswer, answer) {
	t.Helper()
	got := w.send(t, server, w.pod(agent, token))
	var out podAnswer
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		t.Fatalf("%s: %v", got.body, err)
	}
	return out, got
}

// TestAPodOfAWS: from a pod's token to credentials that AWS itself honours, by AWS's rules alone.
func TestAPodOfAWS(t *testing.T) {
	w, cloud, admin, server := backed(t)
	role := cloud.customersRole(t, "pay", externalID(t, w))
	if got := w.send(t, server, associating(admin, "app", role)); got.status != 200 {
		t.Fatal(got.status, got.body)
	}
	agent, token := w.agent(t, customer), w.token(t, podToken(w.clock()))
	first, got := w.ask(t, server, agent, token)
	if got.status != 200 || !strings.HasPrefix(first.AssumedRoleUser.ARN, "arn:aws:sts::"+customer+":assumed-role/pay/eks-dev-app-1-") {
		t.Fatal(got.status, got.body)
	}
	if life := time.Until(time.Unix(int64(first.Credentials.Expiration), 0)); life < 5*time.Hour || life > 6*time.Hour {
		t.Errorf("the session lives for %s, want what STS says, 6 h", life)
	}
	c := first.Credentials
	who := w.send(t, cloud.server, request{as: signer{c.AccessKeyID, c.SecretAccessKey, c.SessionToken}, service: "sts", method: "POST", path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15"})
	if who.status != 200 || !strings.Contains(who.body, first.AssumedRoleUser.ARN) {
		t.Errorf("at AWS: %d %s, want to be the role's session", who.status, who.body)
	}
	here := w.send(t, server, request{as: signer{c.AccessKeyID, c.SecretAccessKey, c.SessionToken}, service: "sts", method: "POST", path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15"})
	if here.status != 403 {
		t.Errorf("at Lanyard's doors: %d %s, want AWS's credentials to be good for nothing", here.status, here.body)
	}

	// STS's records, by STS's own request id, which is in the other trail, too.
	records := w.eventsOf(t, got.header.Get("X-Amzn-Requestid"))
	if len(records) != 1 {
		t.Fatalf("%d records of the request's id, want 1", len(records))
	}
	ids, _ := path(records[0], "additionalEventData.sts.requestIds").([]any)
	if len(ids) != 1 || len(cloud.eventsOf(t, ids[0].(string))) == 0 || len(w.eventsOf(t, ids[0].(string))) != 1 {
		t.Errorf("STS's request ids are %v, want one, of a record here and there", ids)
	} else if made := w.eventsOf(t, ids[0].(string))[0]; path(made, "sharedEventID") != path(records[0], "sharedEventID") ||
		path(made, "responseElements.credentials.accessKeyId") != c.AccessKeyID || path(made, "responseElements.credentials.sessionToken") != audit.Hidden {
		t.Errorf("the record of STS's answer: %v", made)
	}

	// The same pod again, with another token of its: no question to STS, no new session.
	asked := cloud.asked.Load()
	claims := podToken(w.clock())
	claims["exp"] = w.clock().Add(2 * time.Hour).Unix()
	if again, _ := w.ask(t, server, agent, w.token(t, claims)); again.Credentials != c || cloud.asked.Load() != asked {
		t.Error("a second question of the pod went to STS")
	}
	// STS is away: who has something keeps it, also the pod of a new agent. Who has nothing hears so.
	cloud.breaks(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	if again, _ := w.ask(t, server, w.agent(t, customer), token); again.Credentials != c {
		t.Error("with STS away the pod lost what it has")
	}
	other := podToken(w.clock())
	other["kubernetes.io"].(map[string]any)["pod"] = map[string]any{"name": "app-2", "uid": "pod-2"}
	if refused, got := w.ask(t, server, agent, w.token(t, other)); got.status != 503 || refused.Code != "ServiceUnavailableException" || !strings.Contains(got.body, "AWS STS cannot be reached") {
		t.Errorf("a new pod while STS is away: %d %s", got.status, got.body)
	}
	cloud.breaks(nil)

	// A revocation takes it from who asks, at once; AWS gives another.
	revoked := w.send(t, server, request{as: admin, service: "lanyard", method: "POST", path: "/lanyard/v1/revocations", body: `{"kind":"role","value":"` + role + `"}`})
	if revoked.status != 200 || !strings.Contains(revoked.body, `"roleArns":["`+role+`"]`) {
		t.Errorf("revoke: %d %s, want the role to attach a policy to", revoked.status, revoked.body)
	}
	if again, got := w.eventually(t, server, agent, token); got.status != 200 || again.Credentials.AccessKeyID == c.AccessKeyID {
		t.Errorf("after the revocation: %d, want another session", got.status)
	}

	// Nothing of Lanyard's own identity, nor of a pod, is in the log or the audit.
	var all strings.Builder
	all.WriteString(w.log.String())
	files, err := filepath.Glob(w.auditDir + "/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, secret := range []string{string(cloud.root.Secret), c.SecretAccessKey, c.SessionToken, token} {
		if strings.Contains(all.String(), secret) {
			t.Error("a secret is in the log or the audit")
		}
	}
}

// eventually asks until an account's pause after failures is over.
func (w *world) eventually(t *testing.T, server *httptest.Server, agent signer, token string) (podAnswer, answer) {
	t.Helper()
	for {
		out, got := w.ask(t, server, agent, token)
		if got.status != 503 || t.Context().Err() != nil {
			return out, got
		}
	}
}

// path is a member of a record, by its names with dots between.
func path(of any, names string) any {
	for _, name := range strings.Split(names, ".") {
		object, _ := of.(map[string]any)
		of = object[name]
	}
	return of
}

// TestAWSDecidesAboutItsRoles: what AWS's trust policies do not allow, no association gives.
func TestAWSDecidesAboutItsRoles(t *testing.T) {
	w, cloud, admin, server := backed(t)
	external := externalID(t, w)
	good := cloud.customersRole(t, "good", external)
	foreign := cloud.customersRole(t, "foreign", "lanyard-of-somebody-else") // trusts the same identity, for another account of it
	cluster := cloud.customersRole(t, "cluster", external, "cluster/dev", "cluster/other", "/dev/default", "/other/default")
	untaggable := cloud.customersRole(t, "untaggable", external, "sts:TagSession", "sts:SetContext")
	const denied = "Role provided in the request does not exist."
	for _, tt := range []struct {
		name, serviceAccount, role string
		status                     int
		says                       string
	}{
		{"the role that is for it", "app", good, 200, ""},
		{"another service account", "web", good, 400, denied},
		{"a role that does not exist", "a", "arn:aws:iam::" + customer + ":role/none", 400, denied},
		{"a role that trusts another account of Lanyard's identity", "a", foreign, 400, denied},
		{"a role for another cluster's service account of that name", "b", cluster, 400, denied},
		{"a role that may not be tagged", "app2", untaggable, 400, denied}, // the external id is of app
		{"a role of another account", "a", "arn:aws:iam::" + management + ":role/x", 403, "Cross-account pass role is not allowed."},
		{"a role that is the cluster's own", "a", w.agentRole(t, customer), 400, "a cluster's own"},
	} {
		if got := w.send(t, server, associating(admin, tt.serviceAccount, tt.role)); got.status != tt.status || !strings.Contains(got.body, tt.says) {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, got.status, got.body, tt.status, tt.says)
		}
	}
	// TagSession alone is missing: EKS's words for that.
	other := cloud.customersRole(t, "untaggable2", external, "sts:TagSession", "sts:SetContext", "/dev/default/app", "/dev/default/tag")
	if got := w.send(t, server, associating(admin, "tag", other)); got.status != 400 || !strings.Contains(got.body, `"message":"Trust policy of the role provided is invalid.`) {
		t.Errorf("without sts:TagSession: %d %s", got.status, got.body)
	}
	// Tags switched off do not get around a role that asks for them; a chain of both worlds is refused.
	if got := w.send(t, server, associating(admin, "off", good, `,"disableSessionTags":true`)); got.status != 400 {
		t.Errorf("without tags: %d %s", got.status, got.body)
	}
	if got := w.send(t, server, associating(admin, "mixed", good, `,"targetRoleArn":"arn:aws:iam::`+management+`:role/x"`)); got.status != 400 || !strings.Contains(got.body, "a role of Lanyard's cannot become one of AWS") {
		t.Errorf("a chain from AWS to Lanyard: %d %s", got.status, got.body)
	}
	builtIn := w.account(t, ours)
	mixed := associating(builtIn, "mixed", "arn:aws:iam::"+ours+":role/pod", `,"targetRoleArn":"`+good+`"`)
	if got := w.send(t, server, mixed); got.status != 400 || !strings.Contains(got.body, "a role of Lanyard's cannot become one of AWS") {
		t.Errorf("a chain from Lanyard to AWS: %d %s", got.status, got.body)
	}

	// What AWS takes back is refused to pods in words, with AWS's in the audit, and given again when AWS allows it.
	if err := cloud.directory.UpdateTrust(t.Context(), customer, "good", trust); err != nil {
		t.Fatal(err)
	}
	agent, token := w.agent(t, customer), w.token(t, podToken(w.clock()))
	refused, got := w.ask(t, server, agent, token)
	if got.status != 400 || refused.Code != "AccessDeniedException" || !strings.Contains(refused.Message, good) || !strings.Contains(refused.Message, "sts:AssumeRole") || strings.Contains(got.body, management) {
		t.Errorf("a pod whose role trusts Lanyard no more: %d %s", got.status, got.body)
	}
	event := w.event(t, got.header.Get("X-Amzn-Requestid"))
	if text, _ := path(event, "additionalEventData.sts.errorMessage").(string); !strings.Contains(text, management) || path(event, "additionalEventData.sts.errorCode") != "AccessDenied" {
		t.Errorf("the audit does not have STS's words: %v", event)
	}
	found := w.send(t, server, request{as: admin, service: "lanyard", method: "POST", path: "/lanyard/v1/account/verification", body: "{}"})
	if found.status != 200 || !strings.Contains(found.body, `"ok":false`) || !strings.Contains(found.body, `"action":"sts:AssumeRole"`) {
		t.Errorf("verify: %d %s", found.status, found.body)
	}
}

// TestIAMOfAWS: the account's own principals are managed here, its roles are not; its key opens nothing of AWS's.
func TestIAMOfAWS(t *testing.T) {
	w, cloud, admin, server := backed(t)
	call := func(form string) answer {
		return w.send(t, server, request{as: admin, service: "iam", method: "POST", path: "/", body: form + "&Version=2010-05-08"})
	}
	own := strings.TrimPrefix(w.agentRole(t, customer), "arn:aws:iam::"+customer+":role/")
	for form, want := range map[string]string{
		"Action=GetRole&RoleName=app": "aws iam",
		"Action=CreateRole&RoleName=app&AssumeRolePolicyDocument=" + strings.ReplaceAll(trust, "\"", "%22"): "aws iam",
		"Action=AttachRolePolicy&RoleName=app&PolicyArn=arn:aws:iam::" + customer + ":policy/x":             "aws iam",
		"Action=GetRole&RoleName=" + own:        "<RoleName>" + own,
		"Action=GetUser&UserName=administrator": "<UserName>administrator",
		"Action=ListRoles":                      own,
		"Action=DeleteRole&RoleName=" + own:     "UnmodifiableEntity",
		"Action=CreatePolicy&PolicyName=p&PolicyDocument=%7B%22Version%22:%222012-10-17%22,%22Statement%22:%7B%22Effect%22:%22Allow%22,%22Action%22:%22eks:*%22,%22Resource%22:%22*%22%7D%7D": "<PolicyName>p",
	} {
		if got := call(form); !strings.Contains(got.body, want) || want == "aws iam" && (got.status != 400 || !strings.Contains(got.body, "InvalidInput")) {
			t.Errorf("%s: %d %s, want %q", form, got.status, got.body, want)
		}
	}
	if got := w.send(t, cloud.server, request{as: admin, service: "sts", method: "POST", path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15"}); got.status != 403 {
		t.Errorf("the account's key at AWS: %d", got.status)
	}
}

// TestAChainOfAWS: the second hop, of an account that Lanyard does not know, gets its external id, lives an hour, and the
// first hop's credentials go nowhere.
func TestAChainOfAWS(t *testing.T) {
	w, cloud, admin, server := backed(t)
	role := cloud.customersRole(t, "first", externalID(t, w))
	if err := cloud.directory.PutPolicy(t.Context(), directory.Roles.Named(customer, "first"), "onward", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"*"}}`); err != nil {
		t.Fatal(err)
	}
	const far = "777788889999"
	if _, _, err := cloud.directory.CreateAccount(t.Context(), directory.NewAccount{ID: far, Name: "far"}); err != nil {
		t.Fatal(err)
	}
	second, err := cloud.directory.CreateRole(t.Context(), directory.NewRole{Account: far, Name: "second", MaxSession: 12 * time.Hour, Trust: `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"us-west-2/` + customer + `/dev/default/app"}}},
		{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"sts:TagSession"}]}`})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.send(t, server, associating(admin, "app", role, `,"targetRoleArn":"`+second.ARN().String()+`"`)); got.status != 200 {
		t.Fatal(got.status, got.body)
	}
	made, got := w.ask(t, server, w.agent(t, customer), w.token(t, podToken(w.clock())))
	life := time.Until(time.Unix(int64(made.Credentials.Expiration), 0))
	if got.status != 200 || !strings.HasPrefix(made.AssumedRoleUser.ARN, "arn:aws:sts::"+far+":assumed-role/second/") || life > time.Hour || life < 59*time.Minute {
		t.Fatalf("%d %s, for %s", got.status, got.body, life)
	}
	record := w.event(t, got.header.Get("X-Amzn-Requestid"))
	if ids, _ := path(record, "additionalEventData.sts.requestIds").([]any); len(ids) != 2 {
		t.Errorf("STS's request ids: %v, want two", ids)
	}
	// The target does not trust it any more: the first hop alone is nothing to the pod.
	if err := cloud.directory.UpdateTrust(t.Context(), far, "second", trust); err != nil {
		t.Fatal(err)
	}
	other := podToken(w.clock())
	other["kubernetes.io"].(map[string]any)["pod"] = map[string]any{"name": "app-2", "uid": "pod-2"}
	if refused, got := w.ask(t, server, w.agent(t, customer), w.token(t, other)); got.status != 400 || refused.Credentials.AccessKeyID != "" || !strings.Contains(refused.Message, second.ARN().String()) {
		t.Errorf("a target that does not trust: %d %s", got.status, got.body)
	}
}

// TestAPodWaitsForSTSNoLongerThanItsAgent: the answer comes in a second whatever STS does, and STS's late one serves the next.
func TestAPodWaitsForSTSNoLongerThanItsAgent(t *testing.T) {
	w, cloud, admin, server := backed(t)
	if got := w.send(t, server, associating(admin, "app", cloud.customersRole(t, "pay", externalID(t, w)))); got.status != 200 {
		t.Fatal(got.status, got.body)
	}
	waiting, inner := make(chan struct{}), cloud.handler()
	cloud.breaks(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		<-waiting
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		inner.ServeHTTP(rw, r)
	})
	agent, token := w.agent(t, customer), w.token(t, podToken(w.clock()))
	if refused, got := w.ask(t, server, agent, token); got.status != 503 || !strings.Contains(refused.Message, "has not answered yet") {
		t.Errorf("while STS takes its time: %d %s", got.status, got.body)
	}
	asked := cloud.asked.Load()
	close(waiting)
	if _, got := w.eventually(t, server, agent, token); got.status != 200 || cloud.asked.Load() != asked {
		t.Errorf("then: %d %s with %d more questions, want the answer to the first", got.status, got.body, cloud.asked.Load()-asked)
	}
}

// TestPodsOfAWSTalkToAWS: the webhook is told AWS's region and no endpoint, whatever the cluster's settings are.
func TestPodsOfAWSTalkToAWS(t *testing.T) {
	w, _, _, server := backed(t)
	endpoint := "https://10.0.0.1"
	if _, err := w.registry.UpdateCluster(t.Context(), customer, "dev", registry.ClusterChange{S3Endpoint: &endpoint, STSEndpoint: &endpoint}); err != nil {
		t.Fatal(err)
	}
	told := func(account string) string {
		return w.send(t, server, request{
			as: w.connector(t, account), service: "lanyard", method: "POST", path: "/lanyard/v1/clusters/dev/connector",
			body: `{"instance":"one","version":"v1","once":true}`,
		}).body
	}
	if got := told(customer); !strings.Contains(got, `"region":"eu-central-1"`) || !strings.Contains(got, `"regionalSts":true`) || strings.Contains(got, endpoint) {
		t.Errorf("with AWS behind the account: %s", got)
	}
	w.account(t, ours)
	if got := told(ours); !strings.Contains(got, `"region":"`+region+`"`) || strings.Contains(got, "regionalSts") {
		t.Errorf("elsewhere: %s", got)
	}
}

// TestPodsHearThatSTSIsAway holds that who waits for AWS reads why on the pod, and that nobody is told of what passes by
// itself.
func TestPodsHearThatSTSIsAway(t *testing.T) {
	w, cloud, admin, server := backed(t)
	if got := w.send(t, server, associating(admin, "app", cloud.customersRole(t, "pay", externalID(t, w)))); got.status != 200 {
		t.Fatal(got.status, got.body)
	}
	agent, stream := w.agent(t, customer), w.startHearing(t, server, customer)
	cloud.breaks(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	if _, got := w.ask(t, server, agent, w.token(t, podToken(w.clock()))); got.status != 503 {
		t.Fatalf("while STS is away: %d %s", got.status, got.body)
	}
	if heard := stream.refused(); len(heard) != 1 || heard[0].Name != "app-1" || !strings.HasPrefix(heard[0].Reason, "AWS STS cannot be reached") {
		t.Errorf("the connector hears %+v, want that STS is away", heard)
	}
}
