// Package addon says which add-ons there are, in which versions, and what may be configured about them. Server and
// connector both read it: the server refuses what the connector would refuse, and the connector takes nothing on trust.
package addon

import (
	_ "embed"
	"regexp"
	"strconv"
	"strings"
)

// Addon is an add-on that clusters can have.
type Addon struct {
	Name            string
	Namespace       string   // where it runs
	Type, Publisher string   // as EKS shows them
	Owner           string   // as EKS shows it
	ServiceAccounts []string // those that associations may be made for with the add-on
	Architectures   []string
	Kubernetes      []string // the minor versions it is for
	Schema          string   // JSON schema of its configuration values

	versions []string // by which it is shown, the newest first
	check    func(values string) error
}

// Agent is the name of the add-on that EKS has for Pod Identity, and under which clusters get ours.
const Agent = "eks-pod-identity-agent"

// Build says which build of ours serves every accepted version name of the agent: the names stand for the wire between
// pods and agent, which is one.
const Build = "lanyard-agent"

//go:embed agent.schema.json
var agentSchema string

var all = []*Addon{{
	Name: Agent, Namespace: "kube-system", Type: "security", Publisher: "lanyard", Owner: "lanyard",
	Architectures: []string{"amd64", "arm64"},
	Kubernetes:    []string{"1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36"},
	Schema:        agentSchema,
	versions:      []string{"v1.3.10-eksbuild.2", "v1.3.2-eksbuild.2"},
	check: func(values string) error {
		_, err := ParseAgent(values)
		return err
	},
}}

// All returns every add-on, by name.
func All() []*Addon { return all }

// Names returns the names of all add-ons.
func Names() []string {
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.Name
	}
	return names
}

// Find returns the add-on with the name.
func Find(name string) (*Addon, bool) {
	for _, a := range all {
		if a.Name == name {
			return a, true
		}
	}
	return nil, false
}

// Versions returns the version names that are shown, the newest first.
func (a *Addon) Versions() []string { return a.versions }

// Default is the version of an add-on that is asked for without one.
func (a *Addon) Default() string { return a.versions[0] }

// Oldest is the oldest version name that is accepted.
func (a *Addon) Oldest() string { return a.versions[len(a.versions)-1] }

// Accepts reports whether a version name is one that the wire of this build fulfils: the oldest, or a newer one of the same
// major version.
func (a *Addon) Accepts(version string) bool {
	v, ok := parseVersion(version)
	oldest, _ := parseVersion(a.Oldest())
	if !ok || v[0] != oldest[0] {
		return false
	}
	for i := range v {
		if v[i] != oldest[i] {
			return v[i] > oldest[i]
		}
	}
	return true
}

var versionName = regexp.MustCompile(`^v(\d{1,4})\.(\d{1,4})\.(\d{1,4})-eksbuild\.(\d{1,4})$`)

func parseVersion(text string) (v [4]int, ok bool) {
	parts := versionName.FindStringSubmatch(text)
	if parts == nil {
		return v, false
	}
	for i := range v {
		n, err := strconv.Atoi(parts[i+1])
		if err != nil || strconv.Itoa(n) != parts[i+1] {
			return v, false // a second name for the same version
		}
		v[i] = n
	}
	return v, true
}

// For reports whether the add-on is for the Kubernetes version, as 1.33 or 1.33.4; "" is any.
func (a *Addon) For(kubernetes string) bool {
	if kubernetes == "" {
		return true
	}
	for _, minor := range a.Kubernetes {
		if kubernetes == minor || strings.HasPrefix(kubernetes, minor+".") {
			return true
		}
	}
	return false
}

// Check refuses configuration values that the schema does not have, with kind Invalid. "" is none.
func (a *Addon) Check(values string) error {
	if values == "" {
		return nil
	}
	return a.check(values)
}
