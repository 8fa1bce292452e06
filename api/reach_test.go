package api_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/registry"
)

// crowd gives an account roles that may read by their tags, and as many associations with them.
func crowd(tb testing.TB, w *world, account string, roles, associations int) {
	tb.Helper()
	ctx := tb.Context()
	const read = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::data/${aws:PrincipalTag/kubernetes-namespace}/*","arn:aws:s3:::data"]},
		{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::data/*","Condition":{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"team-1"}}},
		{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`
	for i := range roles {
		name := fmt.Sprintf("reader-%d", i)
		if _, err := w.directory.CreateRole(ctx, directory.NewRole{Account: account, Name: name, Trust: trust}); err != nil {
			tb.Fatal(err)
		}
		if err := w.directory.PutPolicy(ctx, directory.Roles.Named(account, name), "read", read); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range associations {
		if _, err := w.registry.CreateAssociation(ctx, registry.NewAssociation{
			Account: account, Cluster: "dev", Namespace: fmt.Sprintf("team-%d", i%50), ServiceAccount: fmt.Sprintf("app-%d", i),
			Role: fmt.Sprintf("arn:aws:iam::%s:role/reader-%d", account, i%roles),
		}); err != nil {
			tb.Fatal(err)
		}
	}
}

// asked puts a question until there is no next, and returns how many answers came.
func asked(tb testing.TB, w *world, server *httptest.Server, as signer, path, question string, count func(body []byte) (next string)) (answers int) {
	tb.Helper()
	for next := ""; ; answers++ {
		body := `{` + question + `"after":"` + next + `"}`
		got := w.send(tb, server, request{as: as, service: "lanyard", method: "POST", path: path, body: body})
		if got.status != 200 {
			tb.Fatalf("%s %s: %d %s", path, body, got.status, got.body)
		}
		if next = count([]byte(got.body)); next == "" {
			return answers + 1
		}
	}
}

// Every association is told of once, however many answers that takes.
func TestReachesAreToldInParts(t *testing.T) {
	const roles, associations = 7, 40
	w := newWorld(t)
	admin := w.account(t, ours)
	crowd(t, w, ours, roles, associations)
	server := w.serve(t, w.config())

	seen := map[string]int{}
	answers := asked(t, w, server, admin, "/lanyard/v1/who-can", `"action":"s3:ListBucket","resource":"arn:aws:s3:::data","maxResults":9,`, func(body []byte) string {
		var out struct {
			Principals []struct{ Type, ARN, Namespace, ServiceAccount, Decision string }
			Next       string
		}
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Principals) > 9 {
			t.Errorf("%d principals in an answer", len(out.Principals))
		}
		for _, p := range out.Principals {
			if p.Decision != "allowed" {
				t.Errorf("%+v: want allowed", p)
			}
			seen[p.Type]++
			if p.Type == "serviceAccount" {
				seen[p.Namespace+"/"+p.ServiceAccount]++
			}
		}
		return out.Next
	})
	if answers < 6 || seen["user"] != 1 || seen["role"] != roles || seen["serviceAccount"] != associations || len(seen) != associations+3 {
		t.Errorf("WhoCan: %d answers with %d users, %d roles and %d service accounts, %d in all", answers, seen["user"], seen["role"], seen["serviceAccount"], len(seen))
	}

	seen = map[string]int{}
	answers = asked(t, w, server, admin, "/lanyard/v1/can-reach", `"maxResults":9,`, func(body []byte) string {
		var out struct {
			Associations []struct {
				Namespace, ServiceAccount string
				Session                   int
			}
			Sessions []struct {
				Statements []struct{ Resources []string }
			}
			Next string
		}
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
		for _, a := range out.Associations {
			seen[a.Namespace+"/"+a.ServiceAccount]++
			if own := "arn:aws:s3:::data/" + a.Namespace + "/*"; out.Sessions[a.Session].Statements[0].Resources[0] != own {
				t.Errorf("%s/%s reaches %v, want %s", a.Namespace, a.ServiceAccount, out.Sessions[a.Session], own)
			}
		}
		return out.Next
	})
	if answers != 5 || len(seen) != associations {
		t.Errorf("CanReach: %d answers with %d service accounts", answers, len(seen))
	}
}

// BenchmarkWhoCan asks about an account of 200 roles and 5,000 associations, all answers of it: where nobody may, and where
// all may.
func BenchmarkWhoCan(b *testing.B) {
	w := newWorld(b)
	admin := w.account(b, ours)
	crowd(b, w, ours, 200, 5000)
	server := w.serve(b, w.config())
	for _, bench := range []struct{ name, path, question string }{
		{"WhoCan/nobody", "/lanyard/v1/who-can", `"action":"s3:DeleteBucket","resource":"arn:aws:s3:::data",`},
		{"WhoCan/everybody", "/lanyard/v1/who-can", `"action":"s3:ListBucket","resource":"arn:aws:s3:::data",`},
		{"CanReach/one", "/lanyard/v1/can-reach", `"clusterName":"dev","namespace":"team-7","serviceAccount":"app-57",`},
		{"CanReach/all", "/lanyard/v1/can-reach", ``},
	} {
		b.Run(bench.name, func(b *testing.B) {
			answers := 0
			for b.Loop() {
				answers = asked(b, w, server, admin, bench.path, bench.question, func(body []byte) string {
					var out struct{ Next string }
					if err := json.Unmarshal(body, &out); err != nil {
						b.Fatal(err)
					}
					return out.Next
				})
			}
			b.ReportMetric(float64(answers), "answers/op")
		})
	}
}
