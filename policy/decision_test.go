package policy_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/openlanyard/lanyard/policy"
)

// TestDecisions holds the tables in testdata. A file has documents and questions; a question's name may be another's
// with ", but ..." behind it: then it takes over that one's lines, and lines of a field that it gives itself replace
// them. Each allowed question must have such a twin that is not allowed.
func TestDecisions(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatalf("the tables in testdata: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runTable(t, a)
		})
	}
}

type fields map[string][]string

func runTable(t *testing.T, a *txtar.Archive) {
	var (
		layers  policy.Layers
		names   []string
		asked   = map[string]fields{}
		effects = map[string]policy.Effect{}
	)
	for _, f := range a.Files {
		if name, ok := strings.CutPrefix(f.Name, "ask "); ok {
			asked[name] = inherit(asked, name, readFields(t, string(f.Data)))
			names = append(names, name)
			continue
		}
		use, layer := policy.Identity, &layers.Identity
		switch {
		case strings.HasPrefix(f.Name, "trust"):
			use = policy.Trust
		case strings.HasPrefix(f.Name, "resource"):
			use = policy.Resource
		case strings.HasPrefix(f.Name, "boundary"):
			layer = &layers.Boundary
		case strings.HasPrefix(f.Name, "session"):
			use, layer = policy.Session, &layers.Session
		}
		*layer = append(*layer, mustParse(t, use, string(f.Data)))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			q := question(t, asked[name])
			got := layers.Evaluate(q)
			effects[name] = got.Effect
			if diff := cmp.Diff(describe(got), strings.Join(asked[name]["want"], "")); diff != "" {
				t.Errorf("Evaluate(%+v): (-got +want)\n%s", q, diff)
			}
			if trace := layers.Explain(q); trace.Decision != got {
				t.Errorf("Explain(%+v) decides %+v, Evaluate %+v", q, trace.Decision, got)
			}
		})
	}
	for _, name := range names {
		if effects[name] == policy.Allow && !slices.ContainsFunc(names, func(other string) bool {
			return strings.HasPrefix(other, name+", but ") && effects[other] != policy.Allow
		}) {
			t.Errorf("%q is allowed and has no twin that is not", name)
		}
	}
}

// inherit fills in the fields of the longest-named question that this one is a twin of.
func inherit(asked map[string]fields, name string, own fields) fields {
	base := ""
	for other := range asked {
		if strings.HasPrefix(name, other+", but ") && len(other) > len(base) {
			base = other
		}
	}
	all := maps.Clone(asked[base])
	if all == nil {
		all = fields{}
	}
	maps.Copy(all, own)
	return all
}

func readFields(t *testing.T, text string) fields {
	all := fields{}
	for line := range strings.Lines(text) {
		field, value, found := strings.Cut(strings.TrimSpace(line), ":")
		if !found {
			t.Fatalf("a line without a colon: %q", line)
		}
		all[field] = append(all[field], strings.TrimSpace(value))
	}
	return all
}

func question(t *testing.T, f fields) *policy.Question {
	q := &policy.Question{Action: strings.Join(f["action"], ""), Resource: strings.Join(f["resource"], "")}
	if words := strings.Fields(strings.Join(f["principal"], "")); len(words) > 0 {
		switch words[0] {
		case "AWS":
			q.Principal = policy.Principal{Kind: policy.AWS, Account: words[1], Names: words[2:]}
		case "Service":
			q.Principal = policy.Principal{Kind: policy.Service, Names: words[1:]}
		case "Federated":
			q.Principal = policy.Principal{Kind: policy.Federated, Names: words[1:]}
		default:
			t.Fatalf("unknown kind of principal %q", words[0])
		}
	}
	q.Principal.Bounded = f["bounded"] != nil
	for _, line := range f["context"] {
		if key, values, found := strings.Cut(line, " = "); found {
			q.Context = append(q.Context, policy.Entry{Key: key, Values: strings.Split(values, " | ")})
		}
	}
	return q
}

func describe(d policy.Decision) string {
	s := d.Effect.String()
	if d.Statement != nil {
		s += " " + d.Statement.Sid()
	}
	s += [...]string{"", " names its role", " names the caller"}[d.Named]
	return s + [...]string{"", " of the boundary", " of the session"}[d.Layer]
}

func mustParse(t testing.TB, use policy.Use, text string) *policy.Document {
	t.Helper()
	d, err := policy.Stored(use, text) // random trust policies have any action
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return d
}

func TestExplainNamesTheElementThatDidNotFit(t *testing.T) {
	d := mustParse(t, policy.Identity, `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
		{"Effect": "Allow", "NotAction": "s3:Get*", "Resource": "*"},
		{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::other"},
		{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::b*"},
		{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}},
		{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"BoolIfExists": {"aws:SecureTransport": true}}},
		{"Effect": "Allow", "Action": "*", "Resource": "*"},
		{"Effect": "Deny", "Action": "*", "Resource": "*"}]}`)
	q := &policy.Question{
		Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k",
		Context: policy.Context{{Key: "aws:SecureTransport", Values: []string{"false"}}},
	}
	trace := policy.Explain(q, []*policy.Document{d})
	at := func(i int) *policy.Statement { return &d.Statements()[i] }
	want := []policy.Step{
		{Document: d, Statement: at(0), Element: "Action"},
		{Document: d, Statement: at(1), Element: "NotAction"},
		{Document: d, Statement: at(2), Element: "Resource"},
		{Document: d, Statement: at(3), Element: "NotResource"},
		{Document: d, Statement: at(4), Element: "Condition", Operator: "StringEquals", Key: "aws:PrincipalTag/team", Missing: true},
		{Document: d, Statement: at(5), Element: "Condition", Operator: "BoolIfExists", Key: "aws:SecureTransport"},
		{Document: d, Statement: at(6), Matched: true},
		{Document: d, Statement: at(7), Matched: true},
	}
	if len(trace.Steps) != len(want) {
		t.Fatalf("%d steps, want %d", len(trace.Steps), len(want))
	}
	for i, got := range trace.Steps {
		if got != want[i] {
			t.Errorf("step %d = %+v, want %+v", i, got, want[i])
		}
	}
	if trace.Decision.Statement != at(7) || trace.Decision.Effect != policy.Deny {
		t.Errorf("decision = %+v, want Deny by the last statement", trace.Decision)
	}
}

func TestAStarDeniesEveryone(t *testing.T) {
	d := mustParse(t, policy.Trust, `{"Statement": [
		{"Effect": "Allow", "Action": "sts:*", "Principal": {"Service": "pods.eks.amazonaws.com"}},
		{"Effect": "Deny", "Action": "sts:TagSession", "Principal": {"AWS": "*"}}]}`)
	pods := policy.Principal{Kind: policy.Service, Names: []string{"pods.eks.amazonaws.com"}}
	for action, want := range map[string]policy.Effect{"sts:AssumeRole": policy.Allow, "sts:TagSession": policy.Deny} {
		if got := policy.Evaluate(&policy.Question{Action: action, Principal: pods}, []*policy.Document{d}); got.Effect != want {
			t.Errorf("%s = %v, want %v", action, got.Effect, want)
		}
	}
}

func TestNames(t *testing.T) {
	d := mustParse(t, policy.Trust, `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["sts:AssumeRole"], "Principal": {"Service": ["pods.eks.amazonaws.com"]},
		 "Condition": {"StringEquals": {"aws:SourceAccount": "1"}}},
		{"Effect": "Deny", "Action": "sts:TagSession", "Principal": {"Service": "pods.eks.amazonaws.com"}},
		{"Effect": "Allow", "Action": "sts:*", "Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:role/x", "*"]}},
		{"Effect": "Allow", "Action": "sts:*", "Principal": "*"}]}`)
	pods := policy.Principal{Kind: policy.Service, Names: []string{"pods.eks.amazonaws.com"}}
	for action, want := range map[string]bool{"sts:AssumeRole": true, "sts:TagSession": false} {
		if got := d.Names(pods, action); got != want {
			t.Errorf("Names(pods, %s) = %v, want %v", action, got, want)
		}
	}
	if ec2 := (policy.Principal{Kind: policy.Service, Names: []string{"ec2.amazonaws.com"}}); d.Names(ec2, "sts:AssumeRole") {
		t.Error("Names(ec2) = true: no statement names it")
	}
	want := []string{"pods.eks.amazonaws.com", "111122223333", "arn:aws:iam::111122223333:role/x", "*"}
	if diff := cmp.Diff(d.Principals(), want); diff != "" {
		t.Errorf("Principals: (-got +want)\n%s", diff)
	}
}

func TestASessionPolicyThatDoesNotAllowIsTheReason(t *testing.T) {
	all := `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`
	narrow := mustParse(t, policy.Session, `{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}`)
	l := policy.Layers{Identity: []*policy.Document{mustParse(t, policy.Identity, all)}, Session: []*policy.Document{narrow}}
	if got := l.Evaluate(&policy.Question{Action: "s3:GetObject", Resource: "*"}); got.Effect != policy.Allow {
		t.Errorf("within the session policy = %v, want Allow", got.Effect)
	}
	got := l.Evaluate(&policy.Question{Action: "iam:GetRole", Resource: "*"})
	if want := (policy.Decision{Layer: policy.OfSession}); got != want {
		t.Errorf("outside the session policy = %+v, want %+v", got, want)
	}
	l.Identity = nil
	if got := l.Evaluate(&policy.Question{Action: "s3:GetObject", Resource: "*"}); got.Effect != policy.ImplicitDeny {
		t.Errorf("a session policy alone = %v: it must not give what the identity lacks", got.Effect)
	}
}

// TestWhatANamingMakesUpFor holds which layers have to allow by themselves what the resource's policy has allowed, for
// each way in which it may name the caller.
func TestWhatANamingMakesUpFor(t *testing.T) {
	all := `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`
	other := `{"Statement": {"Effect": "Allow", "Action": "a:Other", "Resource": "*"}}`
	denies := `{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}`
	const allowed, refused, denied = policy.Allow, policy.ImplicitDeny, policy.Deny
	for _, test := range []struct {
		identity, boundary, session       string
		unnamed, itsRole, theCallerItself policy.Effect
	}{
		{all, all, all, allowed, allowed, allowed},
		{other, all, all, refused, allowed, allowed},
		{all, other, all, refused, refused, allowed},
		{all, all, other, refused, refused, allowed},
		{other, other, other, refused, refused, allowed},
		{denies, all, all, denied, denied, denied},
		{other, denies, all, denied, denied, denied},
		{all, other, denies, denied, denied, denied},
	} {
		layers := policy.Layers{
			Identity: []*policy.Document{mustParse(t, policy.Identity, test.identity)},
			Boundary: []*policy.Document{mustParse(t, policy.Identity, test.boundary)},
			Session:  []*policy.Document{mustParse(t, policy.Session, test.session)},
		}
		for named, want := range map[policy.Naming]policy.Effect{
			policy.Unnamed: test.unnamed, policy.NamesRole: test.itsRole, policy.NamesCaller: test.theCallerItself,
		} {
			if got := layers.EvaluateNamed(&policy.Question{Action: "a:B", Resource: "*"}, named); got.Effect != want {
				t.Errorf("%+v, naming %d = %v, want %v", test, named, got.Effect, want)
			}
		}
	}
}

// TestEitherSideWithinAnAccountAndBothBetweenTwo holds what a caller's own policies and those of a resource come to.
func TestEitherSideWithinAnAccountAndBothBetweenTwo(t *testing.T) {
	const session, role = "arn:aws:sts::111122223333:assumed-role/r/s", "arn:aws:iam::111122223333:role/r"
	identity := func(effect string) string {
		return `{"Statement": {"Effect": "` + effect + `", "Action": "*", "Resource": "*"}}`
	}
	resource := func(effect, principal string) string {
		return `{"Statement": {"Effect": "` + effect + `", "Action": "*", "Resource": "*", "Principal": {"AWS": "` + principal + `"}}}`
	}
	const elsewhere = "arn:aws:iam::999999999999:role/r"
	const allowed, refused, denied = policy.Allow, policy.ImplicitDeny, policy.Deny
	for _, test := range []struct {
		name                string
		own, boundary, says string
		within, between     policy.Effect
	}{
		{"both", identity("Allow"), identity("Allow"), resource("Allow", "111122223333"), allowed, allowed},
		{"the caller's alone", identity("Allow"), identity("Allow"), resource("Allow", elsewhere), allowed, refused},
		{"the resource's alone, to the account", "", identity("Allow"), resource("Allow", "111122223333"), refused, refused},
		{"the resource's alone, to the role", "", identity("Allow"), resource("Allow", role), allowed, refused},
		{"the resource's alone, to the role, but for a boundary", "", "{}", resource("Allow", role), refused, refused},
		{"the resource's alone, to the session", "", "{}", resource("Allow", session), allowed, refused},
		{"the resource's alone, to everyone", "", "{}", resource("Allow", "*"), allowed, refused},
		{"neither", "", identity("Allow"), resource("Allow", elsewhere), refused, refused},
		{"the resource's denies", identity("Allow"), identity("Allow"), resource("Deny", role), denied, denied},
		{"the caller's denies", identity("Deny"), identity("Allow"), resource("Allow", session), denied, denied},
		{"the boundary denies", identity("Allow"), identity("Deny"), resource("Allow", session), denied, denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			var layers policy.Layers
			if test.own != "" {
				layers.Identity = append(layers.Identity, mustParse(t, policy.Identity, test.own))
			}
			if test.boundary == "{}" {
				test.boundary = `{"Statement": {"Effect": "Allow", "Action": "a:Other", "Resource": "*"}}`
			}
			layers.Boundary = append(layers.Boundary, mustParse(t, policy.Identity, test.boundary))
			says := []*policy.Document{mustParse(t, policy.Resource, test.says)}
			q := &policy.Question{Action: "a:B", Resource: "*", Principal: policy.Principal{
				Kind: policy.AWS, Account: "111122223333", Names: []string{session, role}, Bounded: true,
			}}
			for owner, want := range map[string]policy.Effect{"111122223333": test.within, "444455556666": test.between} {
				if got := layers.EvaluateWith(q, says, owner); got.Effect != want {
					t.Errorf("asked of account %s = %+v, want %v", owner, got, want)
				}
			}
		})
	}
}
