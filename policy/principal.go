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
	Names   []string // AWS: each ARN the caller goes by (session and role, or user); else the service's or provider's name
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

// cover reports whether the element covers the caller, and whether it names the caller itself.
//
// "*" in a Deny is everyone, as bucket policies that deny "*" except services expect. In an Allow it is every AWS
// principal, no service and no identity provider: a role open to those has to say so by name.
func (p *principals) cover(who *Principal, effect Effect) (covered, named bool) {
	switch who.Kind {
	case AWS:
		named = anyIn(who.Names, p.arns)
		covered = named || p.anyone || slices.Contains(p.accounts, who.Account)
	case Service:
		named = anyIn(who.Names, p.services)
		covered = named
	case Federated:
		named = anyIn(who.Names, p.federated)
		covered = named
	}
	return covered || (p.anyone && effect == Deny), named
}

// anyIn reports whether one of the names stands in the list.
func anyIn(names, list []string) bool {
	for _, n := range names {
		if slices.Contains(list, n) {
			return true
		}
	}
	return false
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
