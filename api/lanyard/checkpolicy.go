package lanyard

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

type checkPolicyRequest struct {
	Document string `json:"document"`
	Kind     string `json:"kind"`
}

type checkPolicyResponse struct {
	Findings []finding `json:"findings"` // by their place; none: nothing is wrong
}

// finding is what a document's writer should look at. An error keeps the document from being stored, a warning does not.
type finding struct {
	Line     int64  `json:"line"`   // from 1
	Column   int64  `json:"column"` // from 1, in characters
	Severity string `json:"severity"`
	Text     string `json:"text"`
}

// maxChecked is the longest document in bytes: more than any that IAM stores, with its white space. Each statement is held
// against each other one, so what a check costs grows with the square of this.
const maxChecked = 32 << 10

var kinds = map[string]policy.Use{"identity": policy.Identity, "trust": policy.Trust}

// checkPolicy tells what `lanyard policy check` does. It reads nothing but the request, so it needs no permission.
func (d *door) checkPolicy(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[checkPolicyRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"kind": in.Kind} // the document is not in force, and may be large
	if err := openToIdentities(c); err != nil {
		return nil, err
	}
	use, known := kinds[in.Kind]
	if !known {
		return nil, fault.New(fault.Invalid, "kind %.100q: identity and trust are accepted", in.Kind)
	}
	if n := len(in.Document); n == 0 || n > maxChecked {
		return nil, fault.New(fault.Invalid, "document: 1 to %d bytes are accepted, got %d", maxChecked, n)
	}
	done, err := d.checks.Take(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	defer done()
	out := checkPolicyResponse{Findings: []finding{}}
	for _, f := range policy.Check(use, in.Document, d.vocabulary) {
		severity := "warning"
		if f.Error {
			severity = "error"
		}
		out.Findings = append(out.Findings, finding{int64(f.Line), int64(f.Column), severity, f.Text})
	}
	return out, nil
}
