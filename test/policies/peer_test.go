// Package policies asks an evaluator of policies that others have written, cloud-copilot's iam-simulate, the questions that
// policy answers, and holds that both answer alike. `make clients` runs it.
package policies

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/openlanyard/lanyard/policy"
)

const account = "111122223333"

// object is a JSON object that is made by hand.
type object = map[string]any

// question is one for both: documents as JSON, and who asks for what.
type question struct {
	Identity       []object       `json:"identity"`
	Boundary       []object       `json:"boundary,omitempty"`
	Session        object         `json:"session,omitempty"`
	ResourcePolicy object         `json:"resourcePolicy,omitempty"`
	Principal      string         `json:"principal"`
	Action         string         `json:"action"`
	Resource       string         `json:"resource"`
	Owner          string         `json:"owner"` // the account of the resource
	Context        map[string]any `json:"context"`

	names []string // all that the principal goes by
}

// peer is the other evaluator, one process for all questions.
type peer struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func startPeer(t *testing.T) *peer {
	t.Helper()
	tools, err := filepath.Abs("../../.tools/policies")
	if err != nil {
		t.Fatal(err)
	}
	// By the link in .tools and not by where it leads, so that the package that lies beside it is found.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "node", "--preserve-symlinks", "--preserve-symlinks-main", tools+"/client/evaluate.mjs")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the evaluator, which test/setup installs: %v", err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the evaluator ended with %v", err)
		}
	})
	return &peer{in, bufio.NewReader(out)}
}

func (p *peer) ask(t *testing.T, q *question) string {
	t.Helper()
	line, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	text, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the evaluator's answer to %s: %v", line, err)
	}
	var answer string
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("the evaluator answers %s: %v", text, err)
	}
	return answer
}

// answers are the other's words for ours.
var answers = map[policy.Effect]string{
	policy.Allow: "Allowed", policy.Deny: "ExplicitlyDenied", policy.ImplicitDeny: "ImplicitlyDenied",
}

// ours decides with our evaluator, from the same JSON.
func ours(t *testing.T, q *question) string {
	t.Helper()
	layers := policy.Layers{Identity: parse(t, policy.Identity, q.Identity), Boundary: parse(t, policy.Identity, q.Boundary)}
	if q.Session != nil {
		layers.Session = parse(t, policy.Session, []object{q.Session})
	}
	ask := &policy.Question{Action: q.Action, Resource: q.Resource, Principal: policy.Principal{
		Kind: policy.AWS, Account: account, Names: q.names, Bounded: len(q.Boundary) > 0,
	}}
	for key, given := range q.Context {
		switch given := given.(type) {
		case string:
			ask.Context = append(ask.Context, policy.Entry{Key: key, Values: []string{given}})
		case []string:
			ask.Context = append(ask.Context, policy.Entry{Key: key, Values: given})
		}
	}
	if q.ResourcePolicy == nil && q.Owner == account {
		return answers[layers.Evaluate(ask).Effect]
	}
	var resource []object
	if q.ResourcePolicy != nil {
		resource = append(resource, q.ResourcePolicy)
	}
	return answers[layers.EvaluateWith(ask, parse(t, policy.Resource, resource), q.Owner).Effect]
}

func parse(t *testing.T, use policy.Use, documents []object) []*policy.Document {
	t.Helper()
	var all []*policy.Document
	for _, d := range documents {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := policy.Parse(use, string(text))
		if err != nil {
			t.Fatalf("Parse(%s): %v", text, err)
		}
		all = append(all, doc)
	}
	return all
}
