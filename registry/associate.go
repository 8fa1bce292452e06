package registry

import (
	"unicode/utf8"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// roleToAssociate returns the role after EKS's checks: it is of the cluster's account, exists, and trusts the service
// with what it is going to do. Of a role of AWS only AWS knows this: see tryRoles.
func (r *Registry) roleToAssociate(account, name string, untagged bool) (arn.ARN, error) {
	parsed, err := arn.Parse(name)
	if err != nil {
		return arn.ARN{}, fault.New(fault.Invalid, "roleArn: %w", err)
	}
	if _, _, ok := parsed.RoleName(); !ok {
		return arn.ARN{}, fault.New(fault.Invalid, "roleArn %q: the ARN of an IAM role is accepted", name)
	}
	if parsed.Account != account {
		return arn.ARN{}, fault.New(fault.CrossAccount, "Cross-account pass role is not allowed.")
	}
	backing, err := r.directory.Backing(account)
	if err != nil {
		return arn.ARN{}, err
	}
	role, err := r.directory.RoleByARN(parsed)
	switch {
	case backing != nil && err == nil:
		return arn.ARN{}, fault.New(fault.Invalid, "roleArn %q: the role is a cluster's own, and none of the AWS account", name)
	case backing != nil && fault.Is(err, fault.NotFound):
		return parsed, nil
	case fault.Is(err, fault.NotFound):
		return arn.ARN{}, fault.New(fault.Invalid, "Role provided in the request does not exist.")
	case err != nil:
		return arn.ARN{}, err
	}
	service := policy.Principal{Kind: policy.Service, Names: []string{Service}}
	if !role.Trust.Names(service, "sts:AssumeRole") || !untagged && !role.Trust.Names(service, "sts:TagSession") {
		return arn.ARN{}, fault.New(fault.Invalid, "Trust policy of the role provided is invalid.")
	}
	return role.ARN(), nil
}

// targetRole reads the name of a target role, of any account. Whether there is one, and whether the first role may become
// it, is seen when a pod asks: who associates need not know the other account.
func targetRole(name string) (arn.ARN, error) {
	if name == "" {
		return arn.ARN{}, nil
	}
	parsed, err := arn.Parse(name)
	if err != nil {
		return arn.ARN{}, fault.New(fault.Invalid, "targetRoleArn: %w", err)
	}
	if _, _, ok := parsed.RoleName(); !ok {
		return arn.ARN{}, fault.New(fault.Invalid, "targetRoleArn %q: the ARN of an IAM role is accepted", name)
	}
	return parsed, nil
}

const maxPolicy = 2048 // characters

// checkPolicy refuses a session policy that could not be enforced, and one beside tags, which EKS lets it exclude.
func checkPolicy(text string, untagged bool) error {
	if text == "" {
		return nil
	}
	if !untagged {
		return fault.New(fault.Invalid, "When policy is specified, disableSessionTags must be set to true")
	}
	if size := utf8.RuneCountInString(text); size > maxPolicy {
		return fault.New(fault.Invalid, "The parameter policy has %d characters: at most %d are accepted", size, maxPolicy)
	}
	_, err := policy.Parse(policy.Session, text)
	return err
}

// CheckNames refuses what Kubernetes could not call a namespace and a service account.
func CheckNames(namespace, serviceAccount string) error {
	if len(namespace) > 63 || !namespaceName.MatchString(namespace) {
		return fault.New(fault.Invalid, "The parameter namespace contains invalid characters. It should conform to the regular expression %s and have at most 63 characters: %q", namespacePattern, namespace)
	}
	if len(serviceAccount) > 253 || !serviceAccountName.MatchString(serviceAccount) {
		return fault.New(fault.Invalid, "The parameter serviceAccount contains invalid characters. It should conform to the regular expression %s and have at most 253 characters: %q", serviceAccountPattern, serviceAccount)
	}
	return nil
}
