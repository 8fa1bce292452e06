package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/arn"
)

// PrincipalKind is the member of a Principal element under which a caller is named.
type PrincipalKind uint8

// The kinds. The zero value is named by no Allow statement, so a caller that was never filled in gets nothing.
const (
	AWS PrincipalKind = iota + 1
	Service
	Federated
)

// Principal is who asks, as a trust policy may name them.
type Principal struct {
	Kind    PrincipalKind
	Account string   // 12 digits; only for AWS
	Names   []string // AWS: the caller's own ARN, then that of its role if it is a session; else the service's or provider's name
}

// Naming says how closely a statement of a resource's policy names the caller.
type Naming uint8

// The namings. The closer one is the greater.
const (
	Unnamed     Naming = iota // only its account, or everyone
	NamesRole                 // the role of the caller's session
	NamesCaller               // the user, the session, the service or the identity provider itself
)

// makesUpFor reports whether a caller that the resource's policy names so does without an Allow of the layer.
func (n Naming) makesUpFor(l Layer) bool {
	return n == NamesCaller || n == NamesRole && l == OfIdentity
}

// principals is a compiled Principal element.
type principals struct {
	given     []string // every value as written
	anyone    bool
	accounts  []string
	arns      []string
	services  []string
	federated []string
}

// cover reports whether the element covers the caller, and how closely it names the caller.
//
// "*" in a Deny is everyone, as bucket policies that deny "*" except services expect. In an Allow it is every AWS
// principal, no service and no identity provider: a role open to those has to say so by name.
func (p *principals) cover(who *Principal, effect Effect) (covered bool, named Naming) {
	switch who.Kind {
	case AWS:
		named = namingIn(who.Names, p.arns)
		covered = named != Unnamed || p.anyone || slices.Contains(p.accounts, who.Account)
	case Service:
		named = namingIn(who.Names, p.services)
		covered = named != Unnamed
	case Federated:
		named = namingIn(who.Names, p.federated)
		covered = named != Unnamed
	}
	return covered || (p.anyone && effect == Deny), named
}

// namingIn looks for the names in the list, the caller's own first.
func namingIn(names, list []string) Naming {
	for i, n := range names {
		if slices.Contains(list, n) {
			if i == 0 {
				return NamesCaller
			}
			return NamesRole
		}
	}
	return Unnamed
}

func readPrincipals(n *node) (*principals, error) {
	p := &principals{}
	if n.kind == aString && n.text == "*" {
		return p, p.add("AWS", "*")
	}
	if n.kind != anObject || len(n.members) == 0 {
		return nil, errors.New(`"*" and an object with AWS, Service or Federated are accepted`)
	}
	for i := range n.members {
		m := &n.members[i]
		list, err := m.value.strings()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		for _, s := range list {
			if err := p.add(m.name, s); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// add files one principal. Nobody is named by a pattern; only everyone has a star.
func (p *principals) add(kind, s string) error {
	p.given = append(p.given, s)
	exact := !strings.ContainsAny(s, "*?${}")
	name, err := arn.Parse(s)
	isARN := err == nil && exact && name.Account != ""
	switch kind {
	case "AWS":
		switch {
		case s == "*":
			p.anyone = true
		case arn.IsAccount(s):
			p.accounts = append(p.accounts, s)
		case isARN && name == arn.Root(name.Account):
			p.accounts = append(p.accounts, name.Account)
		case isARN && isCaller(name):
			p.arns = append(p.arns, s)
		default:
			return fmt.Errorf("%q under AWS: *, an account of 12 digits, and the ARN of an account's root, a role, a user or a role session "+
				"are accepted", s)
		}
	case "Service":
		if !isService(s) {
			return fmt.Errorf("%q under Service: a service's name such as pods.eks.amazonaws.com is accepted", s)
		}
		p.services = append(p.services, s)
	case "Federated":
		if !isARN {
			return fmt.Errorf("%q under Federated: the ARN of a cluster or of an OIDC provider is accepted", s)
		}
		p.federated = append(p.federated, s)
	default:
		return fmt.Errorf("%s: unknown kind of principal: AWS, Service and Federated are accepted", kind)
	}
	return nil
}

// isCaller reports whether a is the name of something that signs requests.
func isCaller(a arn.ARN) bool {
	kind, rest, _ := strings.Cut(a.Resource, "/")
	switch {
	case a.Region != "" || rest == "" || strings.HasSuffix(rest, "/"):
		return false
	case a.Service == "iam":
		return kind == "role" || kind == "user"
	default:
		return a.Service == "sts" && kind == "assumed-role" && strings.Count(rest, "/") == 1
	}
}

func isService(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' && s[i] != '.' {
			return false
		}
	}
	return strings.Contains(strings.Trim(s, "."), ".")
}
