package audit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/audit"
)

// issued is the larger of the two records of a pod's credentials.
func issued() *audit.Event {
	const role = "arn:aws:iam::111122223333:role/pay-api"
	keys := []string{
		"eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-service-account", "kubernetes-pod-name", "kubernetes-pod-uid",
	}
	tags := make([]audit.Tag, 0, len(keys))
	for _, key := range keys {
		tags = append(tags, audit.Tag{Key: key, Value: "7d1f0c2e-9a53-4a52-8a39-3f4d5a6b7c8d"})
	}
	return &audit.Event{
		UserIdentity: audit.UserIdentity{Type: "AWSService", InvokedBy: "pods.eks.amazonaws.com"},
		EventTime:    time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), EventSource: "sts.amazonaws.com", EventName: "AssumeRole",
		AWSRegion: "us-east-1", SourceIPAddress: "pods.eks.amazonaws.com", UserAgent: "pods.eks.amazonaws.com",
		RequestParameters: map[string]any{
			"roleArn": role, "roleSessionName": "eks-demo-api-7c9f4d-1d0c2f9e", "durationSeconds": 21600,
			"tags": tags, "transitiveTagKeys": keys,
		},
		ResponseElements: map[string]any{
			"credentials":      map[string]any{"accessKeyId": "ASIAEXAMPLEEXAMPLE12", "expiration": "Nov 22, 2026, 4:00:00 PM"},
			"assumedRoleUser":  map[string]any{"assumedRoleId": "AROAEXAMPLE:eks-demo", "arn": "arn:aws:sts::111122223333:assumed-role/pay-api/eks-demo"},
			"packedPolicySize": 58,
		},
		AdditionalEventData: map[string]any{"association": "a-0123456789abcdef0", "node": "n1", "statement": "trust[0]"},
		Resources:           []audit.Resource{{AccountID: "111122223333", Type: "AWS::IAM::Role", ARN: role}},
		ReadOnly:            true, ManagementEvent: true, RecipientAccountID: "111122223333",
	}
}

// asked is the smaller one: the call of the node's agent.
func asked() *audit.Event {
	return &audit.Event{
		UserIdentity: audit.UserIdentity{
			Type: "AssumedRole", PrincipalID: "AROAEXAMPLEEXAMPLE123:n1", AccountID: "111122223333", AccessKeyID: "ASIAEXAMPLEEXAMPLE11",
			ARN: "arn:aws:sts::111122223333:assumed-role/lanyard-agent/n1",
			SessionContext: &audit.SessionContext{
				Pod: &audit.Pod{
					Cluster: "c-1", Namespace: "pay", Name: "api-1", UID: "u-1", Node: "n-1", NodeUID: "nu-1", ServiceAccount: "api", Association: "a-1",
				},
				Issuer: audit.SessionIssuer{
					Type: "Role", PrincipalID: "AROAEXAMPLEEXAMPLE123", ARN: "arn:aws:iam::111122223333:role/lanyard-agent",
					AccountID: "111122223333", UserName: "lanyard-agent",
				},
				Attributes: audit.SessionAttributes{CreationDate: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), MFAAuthenticated: "false"},
			},
		},
		EventTime: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), EventSource: "eks-auth.amazonaws.com",
		EventName: "AssumeRoleForPodIdentity", AWSRegion: "us-east-1", SourceIPAddress: "203.0.113.10", UserAgent: "aws-sdk-go-v2/1.47.7",
		RequestParameters: map[string]any{"clusterName": "demo", "token": audit.Hidden},
		RequestID:         "2a0b6c1e-6a53-4f0a-b1de-0f1f2e3d4c5b", ReadOnly: true, ManagementEvent: true, RecipientAccountID: "111122223333",
		TLSDetails: &audit.TLSDetails{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Host: "lanyard.example"},
	}
}

// recorded commits the events and returns what the file holds.
func recorded(t *testing.T, events ...*audit.Event) (text string, back []audit.Event) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	log := start(t, dir, audit.Config{})
	commit(t, log.Log, events...)
	log.stop()
	raw, err := os.ReadFile(chainFiles(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), read(t, dir)
}

// plain is a value as encoding/json reads it back.
func plain(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRecordIsWhatEncodingJSONWrites(t *testing.T) {
	events := []*audit.Event{asked(), issued(), named("least")}
	text, back := recorded(t, events...)
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "chain")
		events[i].EventTime = events[i].EventTime.UTC().Truncate(time.Second)
		if diff := cmp.Diff(plain(t, events[i]), got); diff != "" {
			t.Errorf("%s differs from encoding/json (-want +got):\n%s", events[i].EventName, diff)
		}
		if diff := cmp.Diff(plain(t, events[i]), plain(t, back[i])); diff != "" {
			t.Errorf("%s read back differs (-want +got):\n%s", events[i].EventName, diff)
		}
	}
}

// TestObjectIsWrittenAsItsMapIs: sorted or not, few members or many.
func TestObjectIsWrittenAsItsMapIs(t *testing.T) {
	object, asMap := audit.Object{}, map[string]any{}
	for i, name := range strings.Fields("pod a decision/x association z b y c x d w e") {
		object, asMap[name] = object.Set(name, i).Set(name, name), name
	}
	order := make([]string, len(object))
	for i, m := range object {
		order[i] = m.Name
	}
	from, to := named("E"), named("E")
	from.RequestParameters, from.AdditionalEventData = asMap, map[string]any{"in": asMap, "none": map[string]any{}}
	to.RequestParameters = object
	to.AdditionalEventData = audit.Object{{Name: "none", Value: audit.Object{}}, {Name: "in", Value: object}}
	from.EventID, to.EventID = "same", "same"
	from.EventTime = time.Now() // or a second could end between the two
	to.EventTime = from.EventTime
	text, _ := recorded(t, from)
	again, _ := recorded(t, to)
	if diff := cmp.Diff(text, again); diff != "" {
		t.Errorf("an Object is not written as its map (-map +object):\n%s", diff)
	}
	for i, m := range object {
		if m.Name != order[i] {
			t.Fatalf("writing an Object changed it: %q is now where %q was", m.Name, order[i])
		}
	}
}

func TestNoSecretIsWritten(t *testing.T) {
	const secret = "s3cr3t-AbCdEf"
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
	typed := struct {
		WebIdentityToken string `json:"WebIdentityToken"`
		Shown            string
	}{secret, "shown"}
	tests := []struct {
		name  string
		value any
		shown bool
	}{
		{"token", map[string]any{"token": secret}, false},
		{"any case", map[string]any{"SessionToken": secret, "SECRETACCESSKEY": secret}, false},
		{"nested", map[string]any{"accessKey": map[string]any{"secretAccessKey": secret}}, false},
		{"in our object", audit.Object{{Name: "a", Value: audit.Object{{Name: "SessionToken", Value: secret}}}}, false},
		{"in our object in a struct", struct{ O audit.Object }{audit.Object{{Name: "token", Value: secret}}}, false},
		{"in a list", []any{map[string]string{"activationCode": secret}}, false},
		{"an object", map[string]any{"credentials": map[string]any{"secret": map[string]any{"x": secret}}}, false},
		{"a typed struct", typed, false},
		{"raw JSON", json.RawMessage(`{"password":"` + secret + `"}`), false},
		{"a header", map[string]any{"X-Amz-Security-Token": []string{secret}}, false},
		{"a signed token as a value", map[string]any{"name": "value " + jwt}, false},
		{"a signed token as a name", map[string]any{jwt: 1}, false},
		{"another member", map[string]any{"clientRequestToken": secret}, true},
		{"a dotted name", map[string]any{"key": "eyJ/" + secret + ".a.b"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, e := range []*audit.Event{
				{RequestParameters: tt.value}, {ResponseElements: tt.value}, {AdditionalEventData: tt.value},
			} {
				text, _ := recorded(t, e)
				if got := strings.Contains(text, secret); got != tt.shown {
					t.Errorf("shown = %v, want %v: %s", got, tt.shown, text)
				}
				if strings.Contains(text, "eyJhbGciOi") {
					t.Errorf("the token is shown: %s", text)
				}
			}
		})
	}
	text, _ := recorded(t, &audit.Event{ErrorMessage: `"` + jwt + `" is not a token`, UserAgent: jwt})
	if strings.Contains(text, "eyJhbGciOi") {
		t.Errorf("a text that quotes its input shows the token: %s", text)
	}
}

func TestEventsCannotForgeLines(t *testing.T) {
	evil := "x\"\\\n{\"eventName\":\"Forged\"}\r\n\u2028\u2029\u0085\x00\x1b[31m\x7f\xff\xfe,\"chain\":{\"seq\":9,\"prev\":\"00\"}}"
	e := &audit.Event{
		UserAgent: evil, ErrorMessage: evil, ErrorCode: evil, EventName: evil, UserIdentity: audit.UserIdentity{UserName: evil},
		RequestParameters: map[string]any{evil: evil, "list": []string{evil}, "tags": []audit.Tag{{Key: evil, Value: evil}}},
		Resources:         []audit.Resource{{ARN: evil}},
	}
	text, back := recorded(t, e)
	if len(back) != 1 || back[0].EventName != strings.ToValidUTF8(evil, "\ufffd\ufffd") {
		t.Errorf("read back %q, want one event of that name", names(back))
	}
	for _, bad := range []string{"\r", "\x1b", "\x00", "\x7f", "\u2028", "\u0085"} {
		if strings.Contains(text, bad) {
			t.Errorf("the file holds %q", bad)
		}
	}
	if n := strings.Count(text, "\n"); n != 1 {
		t.Errorf("one event made %d lines", n)
	}
}

// No padding of one text may drive the others out of a record.
func TestLargeEvents(t *testing.T) {
	padded := strings.Repeat("\n", 1<<20)
	many := map[string]any{}
	for i := range 20 {
		many[fmt.Sprint(i)] = padded
	}
	text, back := recorded(t, &audit.Event{
		UserAgent: strings.Repeat("a", 1<<20), RequestParameters: map[string]any{"policyDocument": "{}" + padded, "roleName": "victim"},
	}, &audit.Event{RequestParameters: many, ResponseElements: map[string]any{"n": 1}})
	if len(text) > 200<<10 {
		t.Errorf("two events made %d bytes", len(text))
	}
	parameters := back[0].RequestParameters.(map[string]any)
	document, _ := parameters["policyDocument"].(string)
	if !strings.HasPrefix(document, "{}") || !strings.Contains(document, "(1048578 bytes, SHA-256 ") || parameters["roleName"] != "victim" {
		t.Errorf("role %v and a document of %d bytes, want it cut, with its length and hash, and the rest as it was", parameters["roleName"], len(document))
	}
	if len(back[0].UserAgent) != 1024 {
		t.Errorf("a user agent of %d bytes, want 1024", len(back[0].UserAgent))
	}
	if back[1].RequestParameters.(map[string]any)["omitted"] != true {
		t.Error("parameters of 20 such texts are not omitted")
	}

	log := start(t, t.TempDir()+"/a", audit.Config{})
	place := reserve(t, log.Log)
	defer place.Release()
	place.Record(&audit.Event{Resources: make([]audit.Resource, 200_000)})
	if err := place.Commit(t.Context()); err == nil {
		t.Error("an event that is too large without its parameters was committed")
	}
}

func TestARefusedCallIsRecordedInShort(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	for _, parameters := range []any{
		map[string]any{"roleName": "r", "policyDocument": long, "tags": map[string]string{"k": long}},
		audit.Object{{Name: "roleName", Value: "r"}, {Name: "policyDocument", Value: long}, {Name: "tags", Value: []string{long}}},
	} {
		e := &audit.Event{EventName: "CreateRole", RequestParameters: parameters, ResponseElements: map[string]any{"role": long}}
		e.Fail("Denied", "no")
		text, back := recorded(t, e)
		if len(text) > 3000 || back[0].ErrorCode != "Denied" || back[0].RequestParameters.(map[string]any)["roleName"] != "r" {
			t.Errorf("%d bytes, code %q, parameters %v", len(text), back[0].ErrorCode, back[0].RequestParameters)
		}
	}
}
