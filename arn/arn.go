// Package arn parses and builds Amazon Resource Names, the names that policies, doors and records share.
//
// The form is arn:partition:service:region:account:resource
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html). Lanyard has one partition, "aws", so that
// unmodified clients accept what it answers.
package arn

import (
	"regexp"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// Partition is the only partition that Lanyard names things in.
const Partition = "aws"

// ARN is a parsed name. Region and Account may be empty; Resource keeps its own separators.
type ARN struct {
	Service  string // iam, eks, sts, s3
	Region   string
	Account  string // 12 digits
	Resource string // role/team/pay-api
}

// Parse reads an ARN of the partition "aws". The error is of kind Invalid and quotes the value.
func Parse(s string) (ARN, error) {
	if len(s) > 2048 {
		return ARN{}, fault.New(fault.Invalid, "an ARN of %d characters: at most 2048 are accepted", len(s))
	}
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] == "" || parts[5] == "" {
		return ARN{}, fault.New(fault.Invalid, "%q is not an ARN: arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE is accepted", s)
	}
	if parts[1] != Partition {
		return ARN{}, fault.New(fault.Invalid, "%q is of partition %q: only %q is accepted", s, parts[1], Partition)
	}
	if parts[4] != "" && !IsAccount(parts[4]) {
		return ARN{}, fault.New(fault.Invalid, "%q has account %q: 12 digits are accepted", s, parts[4])
	}
	return ARN{Service: parts[2], Region: parts[3], Account: parts[4], Resource: parts[5]}, nil
}

// String returns the canonical form; Parse reads it back.
func (a ARN) String() string {
	return "arn:" + Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// IsAccount reports whether s is an account id: 12 digits.
func IsAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// IsClusterName reports whether s is what EKS accepts as a cluster's name.
func IsClusterName(s string) bool { return clusterName.MatchString(s) }

var clusterName = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9\-_]{0,99}$`)

// Root returns the name of an account as a principal: arn:aws:iam::ACCOUNT:root.
func Root(account string) ARN { return ARN{Service: "iam", Account: account, Resource: "root"} }

// Role returns a role's name; path begins and ends with a slash.
func Role(account, path, name string) ARN {
	return ARN{Service: "iam", Account: account, Resource: "role" + path + name}
}

// User returns a user's name; path begins and ends with a slash.
func User(account, path, name string) ARN {
	return ARN{Service: "iam", Account: account, Resource: "user" + path + name}
}

// Policy returns a managed policy's name; path begins and ends with a slash.
func Policy(account, path, name string) ARN {
	return ARN{Service: "iam", Account: account, Resource: "policy" + path + name}
}

// AssumedRole returns the name of a role session. As at STS, the role's path is not part of it.
func AssumedRole(account, role, session string) ARN {
	return ARN{Service: "sts", Account: account, Resource: "assumed-role/" + role + "/" + session}
}

// FederatedUser returns the name of a guest of a user.
func FederatedUser(account, name string) ARN {
	return ARN{Service: "sts", Account: account, Resource: "federated-user/" + name}
}

// Cluster returns a cluster's name.
func Cluster(region, account, name string) ARN {
	return ARN{Service: "eks", Region: region, Account: account, Resource: "cluster/" + name}
}

// Association returns the name of a pod identity association: three pieces after the account, as clients that split it
// expect.
func Association(region, account, cluster, id string) ARN {
	return ARN{Service: "eks", Region: region, Account: account, Resource: "podidentityassociation/" + cluster + "/" + id}
}

// Addon returns the name of an add-on of a cluster.
func Addon(region, account, cluster, name, uid string) ARN {
	return ARN{Service: "eks", Region: region, Account: account, Resource: "addon/" + cluster + "/" + name + "/" + uid}
}

// OIDCProvider returns the name of an OpenID Connect provider; issuer is its URL without the scheme.
func OIDCProvider(account, issuer string) ARN {
	return ARN{Service: "iam", Account: account, Resource: oidcProvider + issuer}
}

const oidcProvider = "oidc-provider/"

// Issuer returns the issuer of an OpenID Connect provider's ARN, without the scheme; ok is false for an ARN of anything else.
func (a ARN) Issuer() (issuer string, ok bool) {
	issuer, ofKind := strings.CutPrefix(a.Resource, oidcProvider)
	return issuer, ofKind && a.Service == "iam" && a.Region == "" && a.Account != "" && issuer != ""
}

// RoleName splits a role's ARN into its path and name; ok is false for an ARN of anything else.
func (a ARN) RoleName() (path, name string, ok bool) { return a.iamName("role/") }

// PolicyName splits a managed policy's ARN into its path and name; ok is false for an ARN of anything else.
func (a ARN) PolicyName() (path, name string, ok bool) { return a.iamName("policy/") }

func (a ARN) iamName(kind string) (path, name string, ok bool) {
	rest, ofKind := strings.CutPrefix(a.Resource, kind)
	if a.Service != "iam" || a.Region != "" || a.Account == "" || !ofKind {
		return "", "", false
	}
	i := strings.LastIndexByte(rest, '/')
	path, name = "/"+rest[:i+1], rest[i+1:]
	return path, name, name != ""
}
