package api_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
)

// TestAnAccountWaitsAtNobodysCost: connectors of an account follow and never answer, and it asks them as much as it can.
func TestAnAccountWaitsAtNobodysCost(t *testing.T) {
	w := newWorld(t)
	tenant, other := w.account(t, ours), w.account(t, "444455556666")
	server := w.serve(t, w.config()) // whose gate has 48 places for this
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	var asking sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprintf("silent-%d", i)
		cluster, err := w.registry.RegisterCluster(t.Context(), registry.NewCluster{
			Account: ours, Name: name, Provider: "OTHER", RoleARN: "arn:aws:iam::" + ours + ":role/connector",
		})
		if err != nil {
			t.Fatal(err)
		}
		key := newClusterKey(t, name)
		joined, err := w.registry.ActivateCluster(t.Context(), cluster.Activation.ID, registry.Joining{
			Issuers: []string{"https://" + name}, Keys: []podtoken.Key{key.key}, Practice: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		follower := w.registry.Follow(joined)
		defer follower.Close()
		asked := make(chan struct{}, 100)
		for range 8 {
			asking.Go(func() {
				r := w.build(t, server.URL, request{as: tenant, service: "lanyard", method: http.MethodPost, path: "/lanyard/v1/clusters/" + name + "/service-accounts", body: `{}`})
				if got, err := server.Client().Do(r.WithContext(ctx)); err == nil {
					_ = got.Body.Close()
				}
				asked <- struct{}{}
			})
		}
		select { // they wait, or are refused
		case <-follower.Woken:
		case <-asked:
		}
	}
	for range 20 {
		if got := w.send(t, server, request{as: other, service: "eks", method: http.MethodGet, path: "/clusters"}); got.status != http.StatusOK {
			t.Errorf("another account is refused: %d %s", got.status, got.body)
		}
	}
	giveUp()
	asking.Wait()
}

// TestWhoCanAnswersNoMoreThanItHolds: policies of an account's making, of which each statement depends on conditions, are told of
// for every role.
func TestWhoCanAnswersNoMoreThanItHolds(t *testing.T) {
	const roles, most = 60, 3 << 20
	w := newWorld(t)
	admin := w.account(t, ours)
	var statements []string
	for i := range 28 {
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/a%d":%q}}}`, i, strings.Repeat("x", 100)))
	}
	text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	var policies []string
	for i := range 10 {
		made, err := w.directory.CreateManagedPolicy(t.Context(), directory.NewManagedPolicy{Account: ours, Name: fmt.Sprintf("long-%d", i), Text: text})
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, made.ARN().String())
	}
	for i := range roles {
		name := fmt.Sprintf("long-%d", i)
		if _, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: ours, Name: name, Trust: trust}); err != nil {
			t.Fatal(err)
		}
		for _, name := range policies {
			if err := w.directory.Attach(t.Context(), directory.Roles.Named(ours, fmt.Sprintf("long-%d", i)), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range roles {
		if _, err := w.registry.CreateAssociation(t.Context(), registry.NewAssociation{
			Account: ours, Cluster: "dev", Namespace: "default", ServiceAccount: fmt.Sprintf("app-%d", i), Role: fmt.Sprintf("arn:aws:iam::%s:role/long-%d", ours, i),
		}); err != nil {
			t.Fatal(err)
		}
	}
	server := w.serve(t, w.config())
	seen := map[string]int{}
	answers := asked(t, w, server, admin, "/lanyard/v1/who-can", `"action":"s3:GetObject",`, func(body []byte) string {
		if len(body) > most {
			t.Errorf("an answer of %d bytes, want at most %d", len(body), most)
		}
		var out struct {
			Principals []struct{ ARN, ServiceAccount string }
			Next       string
		}
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
		for _, p := range out.Principals {
			seen[p.ARN+" "+p.ServiceAccount]++
		}
		return out.Next
	})
	if answers < 3 || len(seen) != 1+2*roles {
		t.Errorf("%d principals in %d answers, want the administrator, and %d roles and service accounts", len(seen), answers, roles)
	}
	for who, n := range seen {
		if n != 1 {
			t.Errorf("%s is told of %d times", who, n)
		}
	}
}

// TestASimulationAnswersNoMoreThanItHolds: each of many statements of the caller's making decides each of many questions.
func TestASimulationAnswersNoMoreThanItHolds(t *testing.T) {
	const actions, most = 40, 3 << 20
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	statement := `{"Effect":"Allow","Action":"*","Resource":"*"}`
	form := url.Values{"Action": {"SimulateCustomPolicy"}, "Version": {"2010-05-08"}, "PolicyInputList.member.1": {
		`{"Version":"2012-10-17","Statement":[` + strings.Repeat(statement+",", 299) + statement + `]}`,
	}}
	for i := range actions {
		form.Set(fmt.Sprintf("ActionNames.member.%d", i+1), fmt.Sprintf("s3:Action%d", i))
	}
	for i := range 10 {
		form.Set(fmt.Sprintf("ResourceArns.member.%d", i+1), fmt.Sprintf("arn:aws:s3:::b/%d", i))
	}
	seen := map[string]int{}
	for page := 0; page <= actions; page++ {
		got := w.send(t, server, request{as: admin, service: "iam", method: "POST", path: "/", body: form.Encode()})
		var out struct {
			Actions   []string `xml:"SimulateCustomPolicyResult>EvaluationResults>member>EvalActionName"`
			Truncated bool     `xml:"SimulateCustomPolicyResult>IsTruncated"`
			Marker    string   `xml:"SimulateCustomPolicyResult>Marker"`
		}
		if err := xml.Unmarshal([]byte(got.body), &out); got.status != http.StatusOK || err != nil {
			t.Fatalf("page %d: %d %.300s %v", page, got.status, got.body, err)
		}
		if len(got.body) > most {
			t.Errorf("page %d has %d bytes, want at most %d", page, len(got.body), most)
		}
		for _, a := range out.Actions {
			seen[a]++
		}
		if !out.Truncated {
			break
		}
		form.Set("Marker", out.Marker)
	}
	if len(seen) != actions {
		t.Errorf("%d actions are told of, want %d", len(seen), actions)
	}
	for action, n := range seen {
		if n != 1 {
			t.Errorf("%s is told of %d times", action, n)
		}
	}
}

// TestSlowPoliciesKeepNobodyLong: the caller has policies, and asks about resources, that take as long as can be to compare.
func TestSlowPoliciesKeepNobodyLong(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	slow := func(patterns int) string {
		var resources []string
		for i := range patterns {
			resources = append(resources, fmt.Sprintf("%q", fmt.Sprintf("arn:aws:s3:::*?a?a?a?a?a?a?a?a?a?a?a?a?b%d*", i)))
		}
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":[` + strings.Join(resources, ",") + `]},{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`
	}
	for i := range 10 {
		made, err := w.directory.CreateManagedPolicy(t.Context(), directory.NewManagedPolicy{
			Account: ours, Name: fmt.Sprintf("slow-%d", i), Text: slow(100),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.directory.Attach(t.Context(), directory.Roles.Named(ours, "nobody"), made.ARN().String()); err != nil {
			t.Fatal(err)
		}
	}
	server := w.serve(t, w.config())
	as, resource := w.role(t, ours, "nobody"), "arn:aws:s3:::"+strings.Repeat("a", 2030)
	var checks []map[string]string
	form := url.Values{"Action": {"SimulatePrincipalPolicy"}, "Version": {"2010-05-08"}, "PolicySourceArn": {"arn:aws:iam::" + ours + ":role/nobody"}, "PolicyInputList.member.1": {slow(1500)}}
	for i := range 100 {
		checks = append(checks, map[string]string{"action": "s3:GetObject", "resource": resource})
		form.Set(fmt.Sprintf("ResourceArns.member.%d", i+1), resource)
		form.Set(fmt.Sprintf("ActionNames.member.%d", i+1), fmt.Sprintf("s3:Action%d", i))
	}
	body, err := json.Marshal(map[string]any{"checks": checks})
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]request{
		"CheckMyAccess":           {service: "lanyard", method: "POST", path: "/lanyard/v1/my-access", body: string(body)},
		"SimulatePrincipalPolicy": {service: "iam", method: "POST", path: "/", body: form.Encode()},
	} {
		in.as = as
		if got := w.send(t, server, in); got.status != http.StatusBadRequest || !strings.Contains(got.body, "too long") { // and not after minutes
			t.Errorf("%s: %d %.300s", name, got.status, got.body)
		}
	}
}
