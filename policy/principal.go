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
	Bounded bool     // it has a permissions boundary, which no NotPrincipal element makes an exception for
}

// Naming says how closely a statement of a resource's policy names the caller.
type Naming uint8

// The namings. The closer one is the greater.
const (
	Unnamed     Naming = iota // only its account, or everyone
	NamesRole                 // the role of the caller's session
	NamesCaller               // the user, the session, the service or the identity provider itself; everyone, unless in a trust policy
)

// makesUpFor reports whether a caller that the resource's policy names so does without an Allow of the layer.
func (n Naming) makesUpFor(l Layer) bool {
	return n == NamesCaller || n == NamesRole && l == OfIdentity
}

// principals is a compiled Principal or NotPrincipal element.
type principals struct {
	not       bool
	open      bool     // a star names who it covers
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
// principal, no service and no identity provider: a role open to those has to say so by name. In the policy of a bucket or
// another resource it gives to each of them as if by name; in a role's trust policy, which says who may ask, it does not.
func (p *principals) cover(who *Principal, effect Effect) (covered bool, named Naming) {
	if p.not {
		return !p.except(who), Unnamed
	}
	switch who.Kind {
	case AWS:
		named = namingIn(who.Names, p.arns)
		if p.anyone && p.open {
			named = NamesCaller
		}
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

// except reports whether a NotPrincipal element, which stands only in a Deny, leaves the caller out. AWS looks at the
// account, then at the role, then at the session, so each has to be named; nobody with a permissions boundary is left out
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html).
func (p *principals) except(who *Principal) bool {
	named := func(list []string) bool {
		return len(who.Names) > 0 && !slices.ContainsFunc(who.Names, func(n string) bool { return !slices.Contains(list, n) })
	}
	switch who.Kind {
	case AWS:
		return !who.Bounded && named(p.arns) && slices.Contains(p.accounts, who.Account)
	case Service:
		return named(p.services)
	case Federated:
		return named(p.federated)
	}
	return false
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

func readPrincipals(n *node, not bool, use Use) (*principals, error) {
	p := &principals{not: not, open: use == Resource}
	if n.kind == aString && n.text == "*" {
		return p, p.add("AWS", "*", use)
	}
	if n.kind != anObject || len(n.members) == 0 {
		return nil, errors.New(`"*" and an object with AWS, Service or Federated are accepted`)
	}
	for i := range n.members {
		m := &n.members[i]
		list, err := m.value.strings()
		if err != nil {
			return nil, within(m.name, m.value.at, err)
		}
		for _, s := range list {
			if err := p.add(m.name, s.text, use); err != nil {
				return nil, at(s.at, err)
			}
		}
	}
	return p, nil
}

// providers are the identity providers that have a name of their own at AWS.
var providers = []string{"accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com"}

// add files one principal. Nobody is named by a pattern; only everyone has a star.
func (p *principals) add(kind, s string, use Use) error {
	p.given = append(p.given, s)
	refused := func(accepted string) error {
		return saying(fmt.Sprintf("Invalid principal in policy: %q:%q", kind, s), "%q under %s: %s", s, kind, accepted)
	}
	exact := !strings.ContainsAny(s, "*?${}")
	name, err := arn.Parse(s)
	isARN := err == nil && exact && name.Account != ""
	switch kind {
	case "AWS":
		switch {
		case s == "*" && p.not:
			return refused("a NotPrincipal of everyone would deny nobody")
		case s == "*":
			p.anyone = true
		case arn.IsAccount(s):
			p.accounts = append(p.accounts, s)
		case isARN && name == arn.Root(name.Account):
			p.accounts = append(p.accounts, name.Account)
		case isARN && isCaller(name):
			p.arns = append(p.arns, s)
		default:
			return refused("*, an account of 12 digits, and the ARN of an account's root, a role, a user, a role session or a federated user " +
				"are accepted")
		}
	case "Service":
		if !isService(s) {
			return refused("a service's name such as pods.eks.amazonaws.com is accepted")
		}
		p.services = append(p.services, s)
	case "Federated":
		if !isARN && !slices.Contains(providers, s) {
			return refused("the ARN of a cluster or of an OIDC provider is accepted, and " + strings.Join(providers, ", "))
		}
		p.federated = append(p.federated, s)
	case "CanonicalUser":
		if use != Resource || len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
			return refused("64 hexadecimal digits are accepted, in the policy of a bucket")
		}
		// Nobody here has such a name: it covers no caller.
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
	case kind == "federated-user":
		return a.Service == "sts" && !strings.Contains(rest, "/")
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
