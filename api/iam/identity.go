package iam

import (
	"context"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// subject is a kind of identity, for the operations that users, groups and roles have alike: PutUserPolicy, PutGroupPolicy
// and PutRolePolicy are one.
type subject struct {
	*door
	kind directory.Kind
}

// parameter is AWS's name of what names an identity of the kind.
func (s subject) parameter() string {
	return [...]string{directory.Users: "UserName", directory.Groups: "GroupName", directory.Roles: "RoleName"}[s.kind]
}

// named names an identity in an answer, by the one element that its kind has.
type named struct {
	UserName  string `xml:"UserName,omitempty"`
	GroupName string `xml:"GroupName,omitempty"`
	RoleName  string `xml:"RoleName,omitempty"`
}

func fromName(i *directory.Identity, kind directory.Kind) (n named) {
	*[...]*string{directory.Users: &n.UserName, directory.Groups: &n.GroupName, directory.Roles: &n.RoleName}[kind] = i.Name
	return n
}

// authorize asks for the call's action on the identity that it names, with what the action knows besides. One that does
// not exist is named without a path: who may not ask does not learn whether it is there.
func (s subject) authorize(c *api.Call, extra ...policy.Entry) (directory.Who, error) {
	noteParameters(c)
	who := s.kind.Named(c.Caller.Account, c.Form.Get(s.parameter()))
	if err := c.Authorize("iam:"+c.Operation.Name, s.resource(who), extra...); err != nil {
		return directory.Who{}, err
	}
	if s.kind == directory.Roles {
		return who, s.directory.CheckManaged(who.Account, who.Name)
	}
	return who, nil
}

// resource is the ARN of an identity, also of one that does not exist.
func (s subject) resource(who directory.Who) string {
	if found, err := s.directory.Identity(who); err == nil {
		return found.ARN().String()
	}
	return s.resourceAt(who.Account, "/", who.Name)
}

func (s subject) resourceAt(account, path, name string) string {
	return arn.ARN{Service: "iam", Account: account, Resource: s.kind.String() + path + name}.String()
}

func resourceTags(tags []directory.Tag) []policy.Entry {
	entries := make([]policy.Entry, 0, 2*len(tags))
	for _, t := range tags {
		for _, key := range [...]string{"aws:ResourceTag/", "iam:ResourceTag/"} {
			entries = append(entries, policy.Entry{Key: key + t.Key, Values: []string{t.Value}})
		}
	}
	return entries
}

// find authorizes a call that reads an identity, and returns the identity.
func (s subject) find(c *api.Call) (*directory.Identity, error) {
	who, err := s.authorize(c)
	if err != nil {
		return nil, err
	}
	return s.directory.Identity(who)
}

func (s subject) putPolicy(ctx context.Context, c *api.Call) (any, error) {
	who, err := s.authorizeBounded(c)
	if err != nil {
		return nil, err
	}
	return nil, s.directory.PutPolicy(ctx, who, c.Form.Get("PolicyName"), c.Form.Get("PolicyDocument"))
}

type inlinePolicyResult struct {
	named
	PolicyName     string `xml:"PolicyName"`
	PolicyDocument string `xml:"PolicyDocument"`
}

func (s subject) getPolicy(_ context.Context, c *api.Call) (any, error) {
	who, err := s.authorize(c)
	if err != nil {
		return nil, err
	}
	name := c.Form.Get("PolicyName")
	found, err := s.directory.Identity(who)
	if err != nil {
		return nil, err
	}
	p, err := found.Policy(name)
	if err != nil {
		return nil, err
	}
	return inlinePolicyResult{fromName(found, s.kind), p.Name, escaped(p.Document.Text())}, nil
}

type policyNamesResult struct {
	PolicyNames names `xml:"PolicyNames"`
	api.Page
}

func (s subject) listPolicies(_ context.Context, c *api.Call) (any, error) {
	found, err := s.find(c)
	if err != nil {
		return nil, err
	}
	shown, page := paged(c, found.Inline, func(p directory.InlinePolicy) string { return p.Name })
	out := policyNamesResult{Page: page}
	for _, p := range shown {
		out.PolicyNames.Members = append(out.PolicyNames.Members, p.Name)
	}
	return out, nil
}

func (s subject) deletePolicy(ctx context.Context, c *api.Call) (any, error) {
	who, err := s.authorizeBounded(c)
	if err != nil {
		return nil, err
	}
	return nil, s.directory.DeletePolicy(ctx, who, c.Form.Get("PolicyName"))
}

func (s subject) attach(ctx context.Context, c *api.Call) (any, error) {
	return s.attachment(ctx, c, s.directory.Attach)
}

func (s subject) detach(ctx context.Context, c *api.Call) (any, error) {
	return s.attachment(ctx, c, s.directory.Detach)
}

// attachment changes whether an identity is attached to the policy that the call names.
func (s subject) attachment(ctx context.Context, c *api.Call, change func(context.Context, directory.Who, string) error) (any, error) {
	who, err := s.authorizeBounded(c, policy.Entry{Key: "iam:PolicyARN", Values: []string{c.Form.Get("PolicyArn")}})
	if err != nil {
		return nil, err
	}
	name, err := policyARN(c, "PolicyArn")
	if err != nil {
		return nil, err
	}
	return nil, change(ctx, who, name)
}

type attachedPolicy struct {
	PolicyName string `xml:"PolicyName"`
	PolicyARN  string `xml:"PolicyArn"`
}

type attachedPolicies struct {
	Members []attachedPolicy `xml:"member"`
}

func fromAttached(in []*directory.ManagedPolicy) (out attachedPolicies) {
	for _, p := range in {
		out.Members = append(out.Members, attachedPolicy{p.Name, p.ARN().String()})
	}
	return out
}

type attachedPoliciesResult struct {
	AttachedPolicies attachedPolicies `xml:"AttachedPolicies"`
	api.Page
}

func (s subject) listAttached(_ context.Context, c *api.Call) (any, error) {
	found, err := s.find(c)
	if err != nil {
		return nil, err
	}
	prefix := c.Form.Get("PathPrefix")
	all, err := s.directory.Attached(found.Attached)
	if err != nil {
		return nil, err
	}
	var under []*directory.ManagedPolicy
	for _, p := range all {
		if strings.HasPrefix(p.Path, prefix) {
			under = append(under, p)
		}
	}
	shown, page := paged(c, under, func(p *directory.ManagedPolicy) string { return p.Name })
	return attachedPoliciesResult{fromAttached(shown), page}, nil
}

func (s subject) tag(ctx context.Context, c *api.Call) (any, error) {
	return nil, tagging(c, func(about ...policy.Entry) (func([]directory.Tag) error, error) {
		who, err := s.authorize(c, about...)
		return func(tags []directory.Tag) error { return s.directory.Tag(ctx, who, tags) }, err
	})
}

func (s subject) untag(ctx context.Context, c *api.Call) (any, error) {
	return nil, untagging(c, func(about ...policy.Entry) (func([]string) error, error) {
		who, err := s.authorize(c, about...)
		return func(keys []string) error { return s.directory.Untag(ctx, who, keys) }, err
	})
}

func (s subject) listTags(_ context.Context, c *api.Call) (any, error) {
	found, err := s.find(c)
	if err != nil {
		return nil, err
	}
	return pageOfTags(c, found.Tags), nil
}

// missing is what IAM says of a member that is required and absent.
func missing(member string) error {
	return fault.New(fault.Invalid, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}
