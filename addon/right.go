package addon

import (
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// A Right is what the agents of a cluster may be configured to use beyond the least. Who joins the cluster gives it, and
// nobody after: a server in wrong hands can configure what is given, and extend nothing.
type Right string

// The rights. VerifyPods is to create TokenReviews, StartupTaint to get and patch nodes.
const (
	VerifyPods   Right = "verify-pods"
	StartupTaint Right = "startup-taint"
)

var rights = []Right{VerifyPods, StartupTaint}

// Rights returns every right.
func Rights() []Right { return slices.Clone(rights) }

// CheckRights refuses, with kind Invalid, a name that is none, and one that is there twice.
func CheckRights(all []Right) error {
	for i, r := range all {
		if !slices.Contains(rights, r) || slices.Contains(all[:i], r) {
			return fault.New(fault.Invalid, "agent right %.100q: each of %q is accepted once", string(r), rights)
		}
	}
	return nil
}

// Needs returns the rights that the values make use of.
func (v *AgentValues) Needs() []Right {
	var all []Right
	for _, use := range []struct {
		of    bool
		right Right
	}{
		{v.Agent.VerifyPods, VerifyPods},
		{v.Agent.RemoveStartupTaint, StartupTaint},
	} {
		if use.of {
			all = append(all, use.right)
		}
	}
	return all
}

// Permit refuses values that need rights which the cluster has not given, with kind Unsupported.
func (v *AgentValues) Permit(given []Right) error {
	var missing []string
	for _, r := range v.Needs() {
		if !slices.Contains(given, r) {
			missing = append(missing, string(r))
		}
	}
	if missing == nil {
		return nil
	}
	return fault.New(fault.Unsupported, "this cluster does not give its agents the right to %s: `lanyard join --agent-rights` does, and the chart's connector.agentRights",
		strings.Join(missing, ", "))
}
