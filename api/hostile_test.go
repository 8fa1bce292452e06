package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/registry"
)

// TestBodiesWithTwoMeanings sends JSON that two readers could understand in two ways, and what is said to be something else.
// Nothing of it is done.
func TestBodiesWithTwoMeanings(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	const at = "/clusters/dev/pod-identity-associations"
	role := `"roleArn":"arn:aws:iam::` + ours + `:role/pod"`
	good := `"namespace":"default","serviceAccount":"app",` + role
	for _, tt := range []struct{ name, body, kind, code string }{
		{"a member twice", `{` + good + `,"namespace":"kube-system"}`, "", "SerializationException"},
		{"a member twice, spelt with an escape", `{` + good + `,"namesp\u0061ce":"kube-system"}`, "", "SerializationException"},
		{"a member in another case", `{` + good + `,"Namespace":"kube-system"}`, "", "SerializationException"},
		{"a required member in another case alone", `{"NAMESPACE":"default","serviceAccount":"app",` + role + `}`, "", "SerializationException"},
		{"a member with a letter that folds", `{` + good + `,"diſableSessionTags":true}`, "", "SerializationException"},
		{"an unknown member twice", `{` + good + `,"x":1,"x":2}`, "", "SerializationException"},
		{"a tag twice", `{` + good + `,"tags":{"a":"1","a":"2"}}`, "", "SerializationException"},
		{"two documents", `{` + good + `}{` + good + `}`, "", "SerializationException"},
		{"an array around it", `[{` + good + `}]`, "", "SerializationException"},
		{"a text", `"` + strings.Repeat("x", 100) + `"`, "", "SerializationException"},
		{"null for a required member", `{"namespace":null,"serviceAccount":"app",` + role + `}`, "", "InvalidParameterException"},
		{"null for the document", `null`, "", "InvalidParameterException"},
		{"a number for a text", `{"namespace":1,"serviceAccount":"app",` + role + `}`, "", "SerializationException"},
		{"a text for a flag", `{` + good + `,"disableSessionTags":"true"}`, "", "SerializationException"},
		{"an object for a text", `{"namespace":{},"serviceAccount":"app",` + role + `}`, "", "SerializationException"},
		{"a tag without a value", `{` + good + `,"tags":{"a":null}}`, "", "InvalidParameterException"},
		{"33 levels in an unknown member", `{` + good + `,"x":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`, "", "SerializationException"},
		{"a hundred thousand levels", `{` + good + `,"x":` + strings.Repeat("[", 1e5) + strings.Repeat("]", 1e5) + `}`, "", "SerializationException"},
		{"thirty thousand tags", `{` + good + `,"tags":{` + manyTags(30_000) + `}}`, "", "InvalidParameterException"},
		{"a form", `{` + good + `}`, "application/x-www-form-urlencoded", "SerializationException"},
		{"XML", `{` + good + `}`, "text/xml", "SerializationException"},
		{"a type that is none", `{` + good + `}`, "application/json; charset=\"", "SerializationException"},
	} {
		before := w.store.Revision()
		in := request{as: admin, service: "eks", method: "POST", path: at, body: tt.body}
		if tt.kind != "" {
			in.header = http.Header{"Content-Type": {tt.kind}}
		}
		if got := w.send(t, server, in); got.code() != tt.code || len(got.body) > 1<<10 {
			t.Errorf("%s: %d %.300s, want %s in few words", tt.name, got.status, got.body, tt.code)
		}
		if w.store.Revision() != before {
			t.Errorf("%s: something was stored", tt.name)
		}
	}
	for name, kind := range map[string]string{"with a charset": "application/json; charset=utf-8", "of another json": "application/x-amz-json-1.1"} {
		body := fmt.Sprintf(`{"namespace":"default","serviceAccount":%q,"unknown":[{"x":[1,2]}],%s}`, strings.ReplaceAll(name, " ", "-"), role)
		in := request{as: admin, service: "eks", method: "POST", path: at, body: body, header: http.Header{"Content-Type": {kind}}}
		if got := w.send(t, server, in); got.status != 200 {
			t.Errorf("a body %s: %d %s, want 200", name, got.status, got.body)
		}
	}
}

func manyTags(n int) string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	return strings.Join(tags, ",")
}

// TestPathsAndQueriesWithTwoMeanings has a role that may look at one cluster's associations ask for more by the path.
func TestPathsAndQueriesWithTwoMeanings(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	own := w.associate(t, ours)
	if _, err := w.registry.RegisterCluster(t.Context(), registry.NewCluster{
		Account: ours, Name: "other", Provider: "OTHER", RoleARN: "arn:aws:iam::" + ours + ":role/connector",
	}); err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:eks:" + region + ":" + ours
	if err := w.directory.PutPolicy(t.Context(), directory.Roles.Named(ours, "nobody"), "one", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"eks:*","Resource":["`+
		arn+`:cluster/dev","`+arn+`:podidentityassociation/dev/*"]}}`); err != nil {
		t.Fatal(err)
	}
	server := w.serve(t, w.config())
	limited := w.role(t, ours, "nobody")
	for _, tt := range []struct {
		name         string
		as           signer
		method, path string
		code         string // "": allowed
	}{
		{"its own", limited, "GET", "/clusters/dev/pod-identity-associations/" + own.ID, ""},
		{"its cluster", limited, "GET", "/clusters/dev", ""},
		{"another cluster", limited, "GET", "/clusters/other", "AccessDeniedException"},
		{"another cluster behind an encoded slash", limited, "GET", "/clusters/dev%2F..%2Fother", "AccessDeniedException"},
		{"another cluster behind two encodings", limited, "GET", "/clusters/dev%252F..%252Fother", "AccessDeniedException"},
		{"an association whose cluster has a slash", limited, "GET", "/clusters/dev%2Fx/pod-identity-associations/" + own.ID, "ResourceNotFoundException"},
		{"an association id with a slash", limited, "GET", "/clusters/dev/pod-identity-associations/..%2F..%2Fother%2F" + own.ID, "ResourceNotFoundException"},
		{"dots", admin, "GET", "/clusters/../clusters/dev", "UnknownOperationException"},
		{"encoded dots", admin, "GET", "/clusters/%2e%2e/clusters/dev", "UnknownOperationException"},
		{"a slash at the end", admin, "GET", "/clusters/dev/", "UnknownOperationException"},
		{"a parameter of a segment", admin, "GET", "/clusters/dev;x=y", "ResourceNotFoundException"},
		{"a zero byte", admin, "GET", "/clusters/dev%00", "ResourceNotFoundException"},
		{"another case", admin, "GET", "/Clusters/dev", "UnknownOperationException"},
		{"an ARN with its slash as it is", admin, "GET", "/tags/" + arn + ":cluster/dev", "UnknownOperationException"},
		{"an ARN with its slash encoded", admin, "GET", "/tags/" + arn + ":cluster%2Fdev", ""},
		{"an ARN with its slash encoded twice", admin, "GET", "/tags/" + arn + ":cluster%252Fdev", "BadRequestException"},
		{"an ARN that goes back", admin, "GET", "/tags/" + arn + ":cluster%2Fother%2F..%2Fdev", "BadRequestException"},
		{"an ARN of another account", admin, "GET", "/tags/arn:aws:eks:" + region + ":222233334444:cluster%2Fdev", "AccessDeniedException"},
		{"maxResults twice", admin, "GET", "/clusters?maxResults=1&maxResults=2", "SerializationException"},
		{"a namespace twice", admin, "GET", "/clusters/dev/pod-identity-associations?namespace=a&namespace=default", "SerializationException"},
		{"a namespace twice, once encoded", admin, "GET", "/clusters/dev/pod-identity-associations?namespace=a&n%61mespace=default", "SerializationException"},
		{"maxResults with a sign", admin, "GET", "/clusters?maxResults=%2B1", "InvalidParameterException"},
		{"maxResults with a fraction", admin, "GET", "/clusters?maxResults=1.5", "InvalidParameterException"},
		{"maxResults beyond 64 bits", admin, "GET", "/clusters?maxResults=99999999999999999999", "InvalidParameterException"},
		{"nine thousand tag keys", admin, "DELETE", "/tags/" + arn + ":cluster%2Fdev?" + strings.Repeat("tagKeys=a&", 9_000), "BadRequestException"},
		{"more tag keys than a query may have", admin, "DELETE", "/tags/" + arn + ":cluster%2Fdev?" + strings.Repeat("tagKeys=a&", 20_000), "SerializationException"},
		{"a token of another place", admin, "GET", "/clusters/dev/pod-identity-associations?nextToken=Li4vLi4vb3RoZXI", ""},
	} {
		got := w.send(t, server, request{as: tt.as, service: "eks", method: tt.method, path: tt.path})
		if got.code() != tt.code || (tt.code == "") != (got.status == 200) {
			t.Errorf("%s: %d %.300s, want %q", tt.name, got.status, got.body, tt.code)
		}
		if strings.Contains(got.body, `"name":"other"`) {
			t.Errorf("%s: shows the other cluster: %s", tt.name, got.body)
		}
	}
}

// TestFormsWithTwoMeanings does the same to the query protocol.
func TestFormsWithTwoMeanings(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	const create = "Action=CreateRole&Version=2010-05-08&RoleName=x&AssumeRolePolicyDocument=%7B%7D"
	deep := strings.Repeat(".member.1", 20_000)
	for _, tt := range []struct{ name, body, kind, code string }{
		{"a parameter twice", create + "&RoleName=y", "", "MalformedInput"},
		{"a parameter twice, once encoded", create + "&R%6fleName=y", "", "MalformedInput"},
		{"two actions", create + "&Action=DeleteRole", "", "MalformedInput"},
		{"a parameter in another case is none", strings.Replace(create, "RoleName", "rolename", 1), "", "ValidationError"},
		{"a text as a list", strings.Replace(create, "RoleName=x", "RoleName.member.1=x", 1), "", "ValidationError"},
		{"a list as a text", create + "&Tags=x", "", "MalformedInput"},
		{"a list of which two items are one", create + "&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.+1.Key=c", "", "MalformedInput"},
		{"a list beside its members", create + "&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.entry.1.Key=c", "", "MalformedInput"},
		{"an item that is a text", create + "&Tags.member.1=a", "", "MalformedInput"},
		{"twenty thousand levels", create + "&Tags" + deep + "=x", "", "ValidationError"},
		{"four thousand tags", create + manyMembers(4_000), "", "ValidationError"},
		{"more tags than a form may have", create + manyMembers(6_000), "", "MalformedInput"},
		{"a number that is none", create + "&MaxSessionDuration=1e9", "", "ValidationError"},
		{"a number beyond 64 bits", create + "&MaxSessionDuration=99999999999999999999", "", "ValidationError"},
		{"a name that is no UTF-8", strings.Replace(create, "RoleName=x", "RoleName=%ff", 1), "", "ValidationError"},
		{"a form that cannot be read", create + "&x=%zz", "", "MalformedInput"},
		{"JSON", `{"Action":"CreateRole"}`, "application/json", "InvalidAction"},
		{"parts", create, "multipart/form-data; boundary=x", "InvalidAction"},
	} {
		before := w.store.Revision()
		in := request{as: admin, service: "iam", method: "POST", path: "/", body: tt.body}
		if tt.kind != "" {
			in.header = http.Header{"Content-Type": {tt.kind}}
		}
		if got := w.send(t, server, in); got.code() != tt.code || got.status != 400 || len(got.body) > 4<<10 {
			t.Errorf("%s: %d %.400s, want %s in few words", tt.name, got.status, got.body, tt.code)
		}
		if w.store.Revision() != before {
			t.Errorf("%s: something was stored", tt.name)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&Tags.member.%d.Key=k%d&Tags.member.%d.Value=v", i+1, i, i+1)
	}
	return b.String()
}
