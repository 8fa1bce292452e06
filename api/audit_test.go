package api_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
)

// events reads every record that the log has on disk.
func (w *world) events(tb testing.TB) []map[string]any {
	tb.Helper()
	files, err := filepath.Glob(w.auditDir + "/*.jsonl")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no audit files in %s (%v)", w.auditDir, err)
	}
	var all []map[string]any
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			var event map[string]any
			if line == "" {
				continue // a file that was just begun
			}
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				tb.Fatalf("audit line %q: %v", line, err)
			}
			all = append(all, event)
		}
	}
	return all
}

// eventsOf returns the records of one request.
func (w *world) eventsOf(tb testing.TB, id string) []map[string]any {
	tb.Helper()
	var found []map[string]any
	for _, event := range w.events(tb) {
		if event["requestID"] == id {
			found = append(found, event)
		}
	}
	return found
}

func (w *world) event(tb testing.TB, id string) map[string]any {
	tb.Helper()
	found := w.eventsOf(tb, id)
	if len(found) != 1 {
		tb.Errorf("request %s has %d records, want 1", id, len(found))
		return nil
	}
	return found[0]
}

// pod is the call of an agent for default/app's credentials.
func (w *world) pod(as signer, token string) request {
	return request{as: as, service: "eks-auth", method: "POST", path: "/clusters/dev/assume-role-for-pod-identity", body: `{"token":"` + token + `"}`}
}

func TestAPodsCredentialsAreTwoRecords(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	association := w.associate(t, ours)
	server := w.serve(t, w.config())
	got := w.send(t, server, w.pod(w.agent(t, ours), w.token(t, podToken(w.clock()))))
	if got.status != 200 {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	records := w.eventsOf(t, got.header.Get("X-Amzn-Requestid"))
	if len(records) != 2 {
		t.Fatalf("%d records, want 2", len(records))
	}
	first, second := records[0], records[1]
	if first["sharedEventID"] == nil || first["sharedEventID"] != second["sharedEventID"] {
		t.Errorf("sharedEventID %v and %v, want the same", first["sharedEventID"], second["sharedEventID"])
	}
	for _, tt := range []struct {
		record map[string]any
		path   string
		want   any
	}{
		{first, "eventSource", "eks-auth.amazonaws.com"},
		{first, "eventName", "AssumeRoleForPodIdentity"},
		{first, "userIdentity.type", "AssumedRole"},
		{first, "requestParameters.clusterName", "dev"},
		{first, "requestParameters.token", audit.Hidden},
		{first, "additionalEventData.association", association.ID},
		{first, "additionalEventData.pod.node", "node-1"},
		{first, "sourceIPAddress", "127.0.0.1"},
		{second, "eventSource", "sts.amazonaws.com"},
		{second, "eventName", "AssumeRole"},
		{second, "userIdentity.invokedBy", "pods.eks.amazonaws.com"},
		{second, "requestParameters.roleArn", "arn:aws:iam::" + ours + ":role/pod"},
		{second, "responseElements.credentials.sessionToken", audit.Hidden},
	} {
		if value := member(tt.record, tt.path); value != tt.want {
			t.Errorf("%v of %v is %v, want %v", tt.path, tt.record["eventName"], value, tt.want)
		}
	}
	tags, _ := member(second, "requestParameters.tags").([]any)
	if len(tags) != 6 {
		t.Errorf("the session has tags %v, want six", tags)
	}
}

// member follows a path of dots into a record.
func member(record map[string]any, path string) any {
	var value any = record
	for _, name := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func TestSecretsAreInNoRecordAndNoLog(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	w.associate(t, ours)
	server := w.serve(t, w.config())
	pod, agent := w.token(t, podToken(w.clock())), w.token(t, agentToken(w.clock()))
	answers := []answer{
		w.send(t, server, w.pod(w.agent(t, ours), pod)),
		w.send(t, server, w.pod(w.agent(t, ours), pod[:len(pod)-8])),
		w.send(t, server, request{service: "sts", method: "POST", path: "/", body: "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + w.agentRole(t, ours) + "&RoleSessionName=agent&WebIdentityToken=" + agent}),
		w.send(t, server, request{as: byKey(w.root), service: "lanyard", method: "POST", path: "/lanyard/v1/accounts", body: `{"name":"x"}`}),
		w.send(t, server, request{as: admin, service: "eks", method: "POST", path: "/cluster-registrations", body: `{"name":"x","connectorConfig":{"roleArn":"arn:aws:iam::111122223333:role/x","provider":"OTHER"}}`}),
	}
	secretsOf := map[string]string{"pod's token": pod, "pod's token without its end": pod[:len(pod)-8], "agent's token": agent, "administrator's secret": admin.secret}
	for i, got := range answers {
		for _, found := range secrets.FindAllString(got.body, -1) {
			value := found[strings.LastIndexAny(found, `">`)+1:]
			secretsOf[found] = value
		}
		if i != 1 && got.status != 200 {
			t.Errorf("call %d: %d %s", i, got.status, got.body)
		}
	}
	if len(secretsOf) < 10 {
		t.Fatalf("found %d secrets in the answers, want at least 10", len(secretsOf))
	}
	text, log := w.auditText(t), w.log.String()
	for name, secret := range secretsOf {
		if strings.Contains(text, secret) {
			t.Errorf("the audit has the %.40s", name)
		}
		if strings.Contains(log, secret) {
			t.Errorf("the log has the %.40s", name)
		}
	}
}

func (w *world) auditText(tb testing.TB) string {
	tb.Helper()
	text, err := json.Marshal(w.events(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// TestAFullAuditRefuses holds that nothing is decided, stored or handed out that could not be recorded.
func TestAFullAuditRefuses(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	w.associate(t, ours)
	agent := w.agent(t, ours)
	config := w.config()
	config.Audit = openAudit(t, t.TempDir()+"/small", audit.Config{Capacity: 1})
	server := w.serve(t, config)
	place, err := config.Audit.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	write := request{as: admin, service: "lanyard", method: "PATCH", path: "/lanyard/v1/clusters/dev", body: `{"nodeBinding":false}`}
	credentials := w.pod(agent, w.token(t, podToken(w.clock())))
	before := w.store.Revision()
	for name, in := range map[string]request{"a write": write, "credentials": credentials} {
		got := w.send(t, server, in)
		if got.status != 503 || strings.Contains(got.body, "secretAccessKey") {
			t.Errorf("%s with a full audit: %d %s, want 503", name, got.status, got.body)
		}
	}
	if w.store.Revision() != before {
		t.Error("something was stored while the audit was full")
	}
	place.Release()
	for name, in := range map[string]request{"a write": write, "credentials": credentials} {
		if got := w.send(t, server, in); got.status != 200 {
			t.Errorf("%s with room in the audit: %d %s, want 200", name, got.status, got.body)
		}
	}
}

// TestUnverifiedFailuresCannotFillTheAudit holds that what nobody verified goes beside the durable records.
func TestUnverifiedFailuresCannotFillTheAudit(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	agent := w.agent(t, ours)
	config := w.config()
	config.Audit = openAudit(t, t.TempDir()+"/small", audit.Config{Capacity: 1})
	server := w.serve(t, config)
	wrong := admin
	wrong.secret = "x"
	post := func(body string) request {
		return request{service: "sts", method: "POST", path: "/", body: body}
	}
	ended := w.role(t, ours, "pod")
	if _, err := w.registry.Revoke(t.Context(), ours, "test", registry.Target{Kind: registry.BySession, Value: ours + "/" + ended.id}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		in      request
		records bool // durable ones
	}{
		{"a session that is revoked", request{as: ended, service: "eks", method: "GET", path: "/clusters"}, true},
		{"a session that is revoked, with a wrong signature", request{as: signer{ended.id, "x", ended.token}, service: "eks", method: "GET", path: "/clusters"}, false},
		{"a wrong signature", request{as: wrong, service: "eks", method: "GET", path: "/clusters"}, false},
		{"an unsigned action", post(identity), false},
		{"web identity without a role", post("Action=AssumeRoleWithWebIdentity&Version=2011-06-15"), false},
		{"web identity with a bad token", post("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=xy&WebIdentityToken=x&RoleArn=" + w.agentRole(t, ours)), false},
		{"a bad pod token", w.pod(agent, "x"), false},
		{"a verified caller who may not", request{as: w.role(t, ours, "nobody"), service: "eks", method: "GET", path: "/clusters"}, true},
		{"a verified token that is refused", w.pod(agent, w.token(t, podToken(w.clock()))), true},
	} {
		before := config.Audit.Head()
		if got := w.send(t, server, tt.in); got.status < 400 {
			t.Errorf("%s: status %d, want a refusal", tt.name, got.status)
		}
		if durable := config.Audit.Head() != before; durable != tt.records {
			t.Errorf("%s: a durable record is %v, want %v", tt.name, durable, tt.records)
		}
	}
}

func TestRefusedTokensAreRecordedOnceAMinute(t *testing.T) {
	w := newWorld(t)
	w.setClock(goldenTime)
	w.account(t, ours)
	server := w.serve(t, w.config())
	in := w.pod(w.agent(t, ours), w.token(t, podToken(w.clock())))
	var ids []string
	for range 5 {
		got := w.send(t, server, in)
		if got.code() != "ResourceNotFoundException" {
			t.Fatalf("%d %s, want ResourceNotFoundException", got.status, got.body)
		}
		ids = append(ids, got.header.Get("X-Amzn-Requestid"))
	}
	n := 0
	for _, id := range ids {
		n += len(w.eventsOf(t, id))
	}
	if n != 1 {
		t.Errorf("five refusals of one token made %d records, want 1", n)
	}
	if e := w.event(t, ids[0]); e["errorCode"] != "ResourceNotFoundException" || member(e, "additionalEventData.pod.name") != "app-1" {
		t.Errorf("the record is %v, want ResourceNotFoundException for app-1", e)
	}
}

// TestARecordHasTheCallersCode holds that a record names an error as its service does: who greps for what a client printed
// finds it.
func TestARecordHasTheCallersCode(t *testing.T) {
	w := newWorld(t)
	admin, nobody := w.account(t, ours), w.role(t, ours, "nobody")
	server := w.serve(t, w.config())
	form := func(service, body string) request {
		return request{service: service, method: "POST", path: "/", body: body}
	}
	trail := form("cloudtrail", "{}")
	trail.header = http.Header{"X-Amz-Target": {"CloudTrail_20131101.LookupEvents"}}
	for _, tt := range []struct {
		want string
		as   signer
		in   request
	}{
		{"ResourceNotFoundException", admin, request{service: "eks", method: "GET", path: "/clusters/none"}},
		{"AccessDeniedException", nobody, request{service: "eks", method: "GET", path: "/clusters/dev"}},
		{"ResourceNotFoundException", w.agent(t, ours), w.pod(signer{}, w.token(t, podToken(w.clock())))},
		{"NoSuchEntity", admin, form("iam", "Action=GetRole&Version=2010-05-08&RoleName=none")},
		{"AccessDenied", nobody, form("iam", "Action=GetRole&Version=2010-05-08&RoleName=pod")},
		{"MalformedPolicyDocument", admin, form("iam", "Action=CreateRole&Version=2010-05-08&RoleName=r&AssumeRolePolicyDocument=x")},
		{"AccessDenied", nobody, form("sts", "Action=AssumeRole&Version=2011-06-15&RoleSessionName=me&RoleArn=arn:aws:iam::"+ours+":role/pod")},
		{"AccessDeniedException", nobody, trail},
		{"AccessDeniedException", nobody, request{service: "lanyard", method: "POST", path: "/lanyard/v1/accounts", body: `{"name":"x"}`}},
	} {
		in := tt.in
		in.as = tt.as
		got := w.send(t, server, in)
		e := w.event(t, got.header.Get("X-Amzn-Requestid"))
		if got.code() != tt.want || e["errorCode"] != tt.want {
			t.Errorf("%s %s %s: answered %s, recorded %v, want %s", in.service, in.path, in.body, got.code(), e["errorCode"], tt.want)
		}
	}
}

func TestDecisionsAreInTheRecord(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	for _, tt := range []struct {
		name, want string
		as         signer
	}{
		{"allowed", "Allow by statement 0 Administrator", admin},
		{"denied", "ImplicitDeny", w.role(t, ours, "nobody")},
	} {
		got := w.send(t, server, request{as: tt.as, service: "eks", method: "GET", path: "/clusters/dev"})
		e := w.event(t, got.header.Get("X-Amzn-Requestid"))
		if value := member(e, "additionalEventData.decision/eks:DescribeCluster"); value != tt.want {
			t.Errorf("%s: the decision is recorded as %v, want %q", tt.name, value, tt.want)
		}
		if e["eventTime"] == nil || e["awsRegion"] != region || e["recipientAccountId"] != ours || e["readOnly"] != true {
			t.Errorf("%s: the record is %v", tt.name, e)
		}
	}
}

// TestDenialsTellWhatWasAsked holds that the record of a denial names what it was about, at every operation that has
// something to name. What has parts is left out of a denial's record.
func TestDenialsTellWhatWasAsked(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	association := w.associate(t, ours)
	server := w.serve(t, w.config())
	nobody := w.role(t, ours, "nobody")
	at := "/clusters/dev/pod-identity-associations"
	for _, tt := range []struct{ service, method, path, body, want string }{
		{"eks", "POST", "/cluster-registrations", `{"name":"x","connectorConfig":{"roleArn":"r","provider":"OTHER"},"tags":{"a":"b"}}`, `{"name":"x","tags":"omitted"}`},
		{"eks", "DELETE", "/cluster-registrations/dev", "", `{"name":"dev"}`},
		{"eks", "GET", "/clusters/dev", "", `{"name":"dev"}`},
		{"eks", "POST", at, `{"namespace":"n","serviceAccount":"s","roleArn":"r"}`, `{"name":"dev","namespace":"n","roleArn":"r","serviceAccount":"s","tags":"omitted"}`},
		{"eks", "GET", at, "", `{"name":"dev"}`},
		{"eks", "GET", at + "/" + association.ID, "", `{"associationId":"` + association.ID + `","name":"dev"}`},
		{"eks", "POST", at + "/" + association.ID, `{"roleArn":"r"}`, `{"associationId":"` + association.ID + `","name":"dev","roleArn":"r"}`},
		{"eks", "DELETE", at + "/" + association.ID, "", `{"associationId":"` + association.ID + `","name":"dev"}`},
		{"eks", "POST", "/tags/x", `{"tags":{"a":"b"}}`, `{"resourceArn":"x","tags":"omitted"}`},
		{"eks", "DELETE", "/tags/x?tagKeys=a", "", `{"resourceArn":"x","tagKeys":"omitted"}`},
		{"eks", "GET", "/tags/x", "", `{"resourceArn":"x"}`},
		{"lanyard", "POST", "/lanyard/v1/accounts", `{"accountId":"1","name":"x"}`, `{"accountId":"1","name":"x"}`},
		{"lanyard", "POST", "/lanyard/v1/activations", `{"issuers":["i"]}`, `{"cluster":"arn:aws:sts::111122223333:assumed-role/nobody/test","issuers":"omitted","practice":false}`},
		{"lanyard", "PUT", "/lanyard/v1/clusters/dev/keys", `{"issuers":["i"],"jwks":{}}`, `{"issuers":"omitted","jwks":"{}","name":"dev"}`},
		{"lanyard", "PATCH", "/lanyard/v1/clusters/dev", `{"nodeBinding":false}`, `{"name":"dev","nodeBinding":false}`},
		{"lanyard", "POST", "/lanyard/v1/revocations", `{"kind":"role","value":"pod"}`, `{"cluster":"","kind":"role","value":"pod"}`},
		{"iam", "POST", "CreateRole", "RoleName=r&AssumeRolePolicyDocument=d&Path=/p/&Tags.member.1.Key=k&Tags.member.1.Value=v", `{"assumeRolePolicyDocument":"d","path":"/p/","roleName":"r","tags":"omitted"}`},
		{"iam", "POST", "GetRole", "RoleName=r", `{"roleName":"r"}`},
		{"iam", "POST", "ListRoles", "PathPrefix=/p/", `{"pathPrefix":"/p/"}`},
		{"iam", "POST", "UpdateRole", "RoleName=r&Description=d&MaxSessionDuration=3600", `{"description":"d","maxSessionDuration":3600,"roleName":"r"}`},
		{"iam", "POST", "UpdateRoleDescription", "RoleName=r&Description=d", `{"description":"d","roleName":"r"}`},
		{"iam", "POST", "UpdateAssumeRolePolicy", "RoleName=r&PolicyDocument=d", `{"policyDocument":"d","roleName":"r"}`},
		{"iam", "POST", "DeleteRole", "RoleName=r", `{"roleName":"r"}`},
		{"iam", "POST", "PutRolePolicy", "RoleName=r&PolicyName=p&PolicyDocument=d", `{"policyDocument":"d","policyName":"p","roleName":"r"}`},
		{"iam", "POST", "GetRolePolicy", "RoleName=r&PolicyName=p", `{"policyName":"p","roleName":"r"}`},
		{"iam", "POST", "DeleteRolePolicy", "RoleName=r&PolicyName=p", `{"policyName":"p","roleName":"r"}`},
		{"iam", "POST", "TagRole", "RoleName=r&Tags.member.1.Key=k&Tags.member.1.Value=v", `{"roleName":"r","tags":"omitted"}`},
		{"iam", "POST", "UntagRole", "RoleName=r&TagKeys.member.1=k", `{"roleName":"r","tagKeys":"omitted"}`},
		{"iam", "POST", "PutUserPolicy", "UserName=u&PolicyName=p&PolicyDocument=d", `{"policyDocument":"d","policyName":"p","userName":"u"}`},
		{"iam", "POST", "DeleteUserPolicy", "UserName=u&PolicyName=p", `{"policyName":"p","userName":"u"}`},
	} {
		in := request{as: nobody, service: tt.service, method: tt.method, path: tt.path, body: tt.body}
		if isQuery(tt.service) {
			in.path, in.body = "/", "Version=2010-05-08&Action="+tt.path+"&"+tt.body
		}
		got := w.send(t, server, in)
		if !strings.HasPrefix(got.code(), "AccessDenied") {
			t.Errorf("%s %s %s: %d %s, want to be denied", tt.service, tt.method, tt.path, got.status, got.body)
			continue
		}
		text, err := json.Marshal(w.event(t, got.header.Get("X-Amzn-Requestid"))["requestParameters"])
		if err != nil || string(text) != tt.want {
			t.Errorf("%s %s %s: the record has %s (%v), want %s", tt.service, tt.method, tt.path, text, err, tt.want)
		}
	}
}

func TestReasonNamesTheStatement(t *testing.T) {
	for name, want := range map[string]string{"": "Allow by statement 0", `"Sid":"Mine",`: "Allow by statement 0 Mine"} {
		doc, err := policy.Parse(policy.Identity, `{"Version":"2012-10-17","Statement":{`+name+`"Effect":"Allow","Action":"*","Resource":"*"}}`)
		if err != nil {
			t.Fatal(err)
		}
		decision := policy.Evaluate(&policy.Question{Action: "eks:ListClusters", Resource: "*"}, []*policy.Document{doc})
		if got := api.Reason(decision); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTLSDetails(t *testing.T) {
	plain := httptest.NewRequest("GET", "http://lanyard.example/", nil)
	if got := api.TLSDetails(plain); got != nil {
		t.Errorf("without TLS: %+v, want none", got)
	}
	secure := httptest.NewRequest("GET", "https://lanyard.example/", nil)
	secure.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	want := &audit.TLSDetails{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Host: "lanyard.example"}
	if diff := cmp.Diff(want, api.TLSDetails(secure)); diff != "" {
		t.Errorf("with TLS (-want +got):\n%s", diff)
	}
}
