package iam

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

type managedPolicy struct {
	PolicyName                    string      `xml:"PolicyName"`
	PolicyID                      string      `xml:"PolicyId"`
	ARN                           string      `xml:"Arn"`
	Path                          string      `xml:"Path"`
	DefaultVersionID              string      `xml:"DefaultVersionId"`
	AttachmentCount               int         `xml:"AttachmentCount"`
	PermissionsBoundaryUsageCount int         `xml:"PermissionsBoundaryUsageCount"`
	IsAttachable                  bool        `xml:"IsAttachable"`
	Description                   string      `xml:"Description,omitempty"`
	CreateDate                    api.Instant `xml:"CreateDate"`
	UpdateDate                    api.Instant `xml:"UpdateDate"`
	Tags                          *tags       `xml:"Tags"`
}

type managedPolicyResult struct {
	Policy managedPolicy `xml:"Policy"`
}

// fromPolicy tells a policy as the account sees it, which may be one that every account has.
func (d *door) fromPolicy(account string, p *directory.ManagedPolicy) managedPolicy {
	return managedPolicy{
		PolicyName: p.Name, PolicyID: p.ID, ARN: p.ARN().String(), Path: p.Path, DefaultVersionID: versionID(p.Default),
		AttachmentCount:               d.directory.UseCount(account, p, directory.Permissions),
		PermissionsBoundaryUsageCount: d.directory.UseCount(account, p, directory.Boundary),
		IsAttachable:                  true, Description: p.Description, CreateDate: api.Instant(p.Created),
		UpdateDate: api.Instant(p.Updated()), Tags: fromTags(p.Tags),
	}
}

func versionID(number int) string { return fmt.Sprintf("v%d", number) }

var versionPattern = regexp.MustCompile(`^v([1-9][0-9]{0,8})$`)

// versionNumber reads the parameter VersionId.
func versionNumber(c *api.Call) (int, error) {
	text := c.Form.Get("VersionId")
	found := versionPattern.FindStringSubmatch(text)
	if found == nil {
		return 0, fault.New(fault.Invalid, "1 validation error detected: Value '%.100s' at 'versionId' failed to satisfy constraint: v and a number from 1 are accepted", text)
	}
	return strconv.Atoi(found[1])
}

// policyARN reads a parameter that names a policy.
func policyARN(c *api.Call, parameter string) (string, error) {
	text := c.Form.Get(parameter)
	if strings.HasPrefix(text, directory.AWSPolicies) {
		return text, nil
	}
	if name, err := arn.Parse(text); err == nil {
		if _, _, ok := name.PolicyName(); ok {
			return text, nil
		}
	}
	return "", fault.New(fault.BadState, "ARN %.2048s is not valid.", text)
}

// authorizePolicy asks for the call's action on the policy that it names.
func (d *door) authorizePolicy(c *api.Call, extra ...policy.Entry) (name string, err error) {
	noteParameters(c)
	if name, err = policyARN(c, "PolicyArn"); err != nil {
		return "", err
	}
	return name, c.Authorize("iam:"+c.Operation.Name, name, extra...)
}

// findPolicy authorizes an action that reads a policy, and returns the policy.
func (d *door) findPolicy(c *api.Call) (*directory.ManagedPolicy, error) {
	name, err := d.authorizePolicy(c)
	if err != nil {
		return nil, err
	}
	return d.directory.ManagedPolicy(c.Caller.Account, name)
}

func (d *door) createPolicy(ctx context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	tagList := toTags(c)
	path := orSlash(c.Form.Get("Path"))
	resource := arn.Policy(c.Caller.Account, path, c.Form.Get("PolicyName")).String()
	if err := authorizeWithTags(c, resource, "TagPolicy", tagList); err != nil {
		return nil, err
	}
	made, err := d.directory.CreateManagedPolicy(ctx, directory.NewManagedPolicy{
		Account: c.Caller.Account, Path: path, Name: c.Form.Get("PolicyName"), Text: c.Form.Get("PolicyDocument"), Description: c.Form.Get("Description"), Tags: tagList,
	})
	if err != nil {
		return nil, err
	}
	return managedPolicyResult{d.fromPolicy(made.Account, made)}, nil
}

func (d *door) getPolicy(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c)
	if err != nil {
		return nil, err
	}
	return managedPolicyResult{d.fromPolicy(c.Caller.Account, p)}, nil
}

func (d *door) deletePolicy(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizePolicy(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteManagedPolicy(ctx, c.Caller.Account, name)
}

type policiesResult struct {
	Policies struct {
		Members []managedPolicy `xml:"member"`
	} `xml:"Policies"`
	api.Page
}

func (d *door) listPolicies(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	if err := c.Authorize("iam:ListPolicies", "*"); err != nil {
		return nil, err
	}
	prefix, usage, attached := c.Form.Get("PathPrefix"), c.Form.Get("PolicyUsageFilter"), isTrue(c, "OnlyAttached")
	account, n := c.Caller.Account, c.MaxItems()
	found, err := d.policies(account, c.Form.Get("Scope"), c.Form.Get("Marker"), n+1, func(p *directory.ManagedPolicy) bool {
		permits, bounds := d.directory.UseCount(account, p, directory.Permissions), d.directory.UseCount(account, p, directory.Boundary)
		return strings.HasPrefix(p.Path, prefix) && (!attached || permits+bounds > 0) && (usage != boundaries || bounds > 0)
	})
	if err != nil {
		return nil, err
	}
	var out policiesResult
	found, out.Page = cut(found, n, policyMarker)
	for _, p := range found {
		short := d.fromPolicy(account, p)
		short.Description, short.Tags = "", nil // as at AWS, only GetPolicy has them
		out.Policies.Members = append(out.Policies.Members, short)
	}
	return out, nil
}

// everywhere begins the markers of policies that every account has. No name has a slash.
const everywhere = "aws/"

func policyMarker(p *directory.ManagedPolicy) string {
	if p.IsAWS() {
		return everywhere + p.Name
	}
	return p.Name
}

// policies are the account's own, by name, and behind them those that every account has.
func (d *door) policies(account, scope, marker string, limit int, keep func(*directory.ManagedPolicy) bool) (found []*directory.ManagedPolicy, err error) {
	after, past := strings.CutPrefix(marker, everywhere)
	if scope != "AWS" && !past {
		if found, err = d.directory.ManagedPolicies(account, marker, limit, keep); err != nil {
			return nil, err
		}
		after = ""
	}
	if rest := limit - len(found); scope != "Local" && rest > 0 {
		found = append(found, d.directory.AWSManagedPolicies(after, rest, keep)...)
	}
	return found, nil
}

type policyVersion struct {
	Document         string      `xml:"Document,omitempty"`
	VersionID        string      `xml:"VersionId"`
	IsDefaultVersion bool        `xml:"IsDefaultVersion"`
	CreateDate       api.Instant `xml:"CreateDate"`
}

type policyVersionResult struct {
	PolicyVersion policyVersion `xml:"PolicyVersion"`
}

// fromVersion leaves the document out, which only GetPolicyVersion answers.
func fromVersion(p *directory.ManagedPolicy, v directory.PolicyVersion) policyVersion {
	return policyVersion{VersionID: versionID(v.Number), IsDefaultVersion: v.Number == p.Default, CreateDate: api.Instant(v.Created)}
}

func (d *door) createPolicyVersion(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizePolicy(c)
	if err != nil {
		return nil, err
	}
	text := c.Form.Get("PolicyDocument")
	inForce := isTrue(c, "SetAsDefault")
	made, p, err := d.directory.CreatePolicyVersion(ctx, c.Caller.Account, name, text, inForce)
	if err != nil {
		return nil, err
	}
	return policyVersionResult{fromVersion(p, made)}, nil
}

func (d *door) getPolicyVersion(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c)
	if err != nil {
		return nil, err
	}
	number, err := versionNumber(c)
	if err != nil {
		return nil, err
	}
	v, err := p.Version(number)
	if err != nil {
		return nil, err
	}
	out := fromVersion(p, v)
	out.Document = escaped(v.Document.Text())
	return policyVersionResult{out}, nil
}

type policyVersionsResult struct {
	Versions struct {
		Members []policyVersion `xml:"member"`
	} `xml:"Versions"`
	api.Page
}

func (d *door) listPolicyVersions(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c)
	if err != nil {
		return nil, err
	}
	newest := slices.Clone(p.Versions)
	slices.Reverse(newest)
	var out policyVersionsResult
	countdown := func(v directory.PolicyVersion) string { return fmt.Sprintf("%09d", 999_999_999-v.Number) }
	shown, page := paged(c, newest, countdown)
	for _, v := range shown {
		out.Versions.Members = append(out.Versions.Members, fromVersion(p, v))
	}
	out.Page = page
	return out, nil
}

func (d *door) deletePolicyVersion(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizePolicy(c)
	if err != nil {
		return nil, err
	}
	number, err := versionNumber(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeletePolicyVersion(ctx, c.Caller.Account, name, number)
}

func (d *door) setDefaultPolicyVersion(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizePolicy(c)
	if err != nil {
		return nil, err
	}
	number, err := versionNumber(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.SetDefaultPolicyVersion(ctx, c.Caller.Account, name, number)
}

func (d *door) tagPolicy(ctx context.Context, c *api.Call) (any, error) {
	return nil, tagging(c, func(about ...policy.Entry) (func([]directory.Tag) error, error) {
		name, err := d.authorizePolicy(c, about...)
		return func(tags []directory.Tag) error { return d.directory.TagPolicy(ctx, c.Caller.Account, name, tags) }, err
	})
}

func (d *door) untagPolicy(ctx context.Context, c *api.Call) (any, error) {
	return nil, untagging(c, func(about ...policy.Entry) (func([]string) error, error) {
		name, err := d.authorizePolicy(c, about...)
		return func(keys []string) error { return d.directory.UntagPolicy(ctx, c.Caller.Account, name, keys) }, err
	})
}

func (d *door) listPolicyTags(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c)
	if err != nil {
		return nil, err
	}
	return pageOfTags(c, p.Tags), nil
}
