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

func (d *door) fromPolicy(p *directory.ManagedPolicy) managedPolicy {
	return managedPolicy{
		PolicyName: p.Name, PolicyID: p.ID, ARN: p.ARN().String(), Path: p.Path, DefaultVersionID: versionID(p.Default),
		AttachmentCount: d.attachments(p), IsAttachable: true, Description: p.Description, CreateDate: api.Instant(p.Created),
		UpdateDate: api.Instant(p.Updated()), Tags: fromTags(p.Tags),
	}
}

func (d *door) attachments(p *directory.ManagedPolicy) int {
	roles, users := d.directory.AttachedTo(p)
	return len(roles) + len(users)
}

func versionID(number int) string { return fmt.Sprintf("v%d", number) }

var versionPattern = regexp.MustCompile(`^v([1-9][0-9]{0,8})$`)

// versionNumber reads the parameter VersionId.
func versionNumber(c *api.Call) (int, error) {
	text, err := c.Text("VersionId")
	if err != nil {
		return 0, err
	}
	found := versionPattern.FindStringSubmatch(text)
	if found == nil {
		return 0, fault.New(fault.Invalid, "1 validation error detected: Value '%.100s' at 'versionId' failed to satisfy constraint: v and a number from 1 are accepted", text)
	}
	return strconv.Atoi(found[1])
}

// policyARN reads the parameter PolicyArn.
func policyARN(c *api.Call) (string, error) {
	text, err := c.Text("PolicyArn")
	if err != nil || strings.HasPrefix(text, directory.AWSPolicies) {
		return text, err
	}
	if name, err := arn.Parse(text); err == nil {
		if _, _, ok := name.PolicyName(); ok {
			return text, nil
		}
	}
	return "", fault.New(fault.BadState, "ARN %.2048s is not valid.", text)
}

// authorizePolicy asks for an action on the policy that the call names. AWS's own policies, which are not here, count as
// the account's: who may ask for those is told so.
func (d *door) authorizePolicy(c *api.Call, action string, extra ...policy.Entry) (name string, err error) {
	noteParameters(c)
	if name, err = policyARN(c); err != nil {
		return "", err
	}
	resource := name
	if short, ok := strings.CutPrefix(name, directory.AWSPolicies); ok {
		resource = arn.Policy(c.Caller.Account, "/", short).String()
	}
	return name, c.Authorize(action, resource, extra...)
}

// findPolicy authorizes an action that reads a policy, and returns the policy.
func (d *door) findPolicy(c *api.Call, action string) (*directory.ManagedPolicy, error) {
	name, err := d.authorizePolicy(c, action)
	if err != nil {
		return nil, err
	}
	return d.directory.ManagedPolicy(c.Caller.Account, name)
}

func (d *door) createPolicy(ctx context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	in, err := c.Texts("PolicyName", "PolicyDocument")
	if err != nil {
		return nil, err
	}
	tagList, err := toTags(c)
	if err != nil {
		return nil, err
	}
	path := orSlash(c.Form.Get("Path"))
	resource := arn.Policy(c.Caller.Account, path, in[0]).String()
	if err := c.Authorize("iam:CreatePolicy", resource, api.RequestTags(tagList)...); err != nil {
		return nil, err
	}
	if len(tagList) > 0 {
		if err := c.Authorize("iam:TagPolicy", resource, api.RequestTags(tagList)...); err != nil {
			return nil, err
		}
	}
	made, err := d.directory.CreateManagedPolicy(ctx, directory.NewManagedPolicy{
		Account: c.Caller.Account, Path: path, Name: in[0], Text: in[1], Description: c.Form.Get("Description"), Tags: tagList,
	})
	if err != nil {
		return nil, err
	}
	return managedPolicyResult{d.fromPolicy(made)}, nil
}

func (d *door) getPolicy(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c, "iam:GetPolicy")
	if err != nil {
		return nil, err
	}
	return managedPolicyResult{d.fromPolicy(p)}, nil
}

func (d *door) deletePolicy(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizePolicy(c, "iam:DeletePolicy")
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
	prefix, err := pathPrefixOf(c)
	if err != nil {
		return nil, err
	}
	scope, err := oneOf(c, "Scope", "All", "AWS", "Local")
	if err != nil {
		return nil, err
	}
	usage, err := usageFilter(c)
	if err != nil {
		return nil, err
	}
	attached, err := isTrue(c, "OnlyAttached")
	if err != nil {
		return nil, err
	}
	n, err := c.MaxItems()
	if err != nil {
		return nil, err
	}
	found, err := d.directory.ManagedPolicies(c.Caller.Account, c.Form.Get("Marker"), n+1, func(p *directory.ManagedPolicy) bool {
		return scope != "AWS" && usage != boundaries && strings.HasPrefix(p.Path, prefix) && (!attached || d.attachments(p) > 0)
	})
	if err != nil {
		return nil, err
	}
	var out policiesResult
	for i, p := range found {
		if i == n {
			out.Page = api.Page{IsTruncated: true, Marker: found[n-1].Name}
			break
		}
		short := d.fromPolicy(p)
		short.Description, short.Tags = "", nil // as at AWS, only GetPolicy has them
		out.Policies.Members = append(out.Policies.Members, short)
	}
	return out, nil
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
	name, err := d.authorizePolicy(c, "iam:CreatePolicyVersion")
	if err != nil {
		return nil, err
	}
	text, err := c.Text("PolicyDocument")
	if err != nil {
		return nil, err
	}
	inForce, err := isTrue(c, "SetAsDefault")
	if err != nil {
		return nil, err
	}
	made, p, err := d.directory.CreatePolicyVersion(ctx, c.Caller.Account, name, text, inForce)
	if err != nil {
		return nil, err
	}
	return policyVersionResult{fromVersion(p, made)}, nil
}

func (d *door) getPolicyVersion(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c, "iam:GetPolicyVersion")
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
	p, err := d.findPolicy(c, "iam:ListPolicyVersions")
	if err != nil {
		return nil, err
	}
	newest := slices.Clone(p.Versions)
	slices.Reverse(newest)
	var out policyVersionsResult
	countdown := func(v directory.PolicyVersion) string { return fmt.Sprintf("%09d", 999_999_999-v.Number) }
	shown, page, err := paged(c, newest, countdown)
	for _, v := range shown {
		out.Versions.Members = append(out.Versions.Members, fromVersion(p, v))
	}
	out.Page = page
	return out, err
}

func (d *door) deletePolicyVersion(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizePolicy(c, "iam:DeletePolicyVersion")
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
	name, err := d.authorizePolicy(c, "iam:SetDefaultPolicyVersion")
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
	tagList, err := toTags(c)
	if err != nil {
		return nil, err
	}
	name, err := d.authorizePolicy(c, "iam:TagPolicy", api.RequestTags(tagList)...)
	if err != nil {
		return nil, err
	}
	if len(tagList) == 0 {
		return nil, missing("tags")
	}
	return nil, d.directory.TagPolicy(ctx, c.Caller.Account, name, tagList)
}

func (d *door) untagPolicy(ctx context.Context, c *api.Call) (any, error) {
	keys := tagKeys(c)
	name, err := d.authorizePolicy(c, "iam:UntagPolicy", policy.Entry{Key: "aws:TagKeys", Values: keys})
	if err != nil {
		return nil, err
	}
	if err := checkTagKeys(keys); err != nil {
		return nil, err
	}
	return nil, d.directory.UntagPolicy(ctx, c.Caller.Account, name, keys)
}

func (d *door) listPolicyTags(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c, "iam:ListPolicyTags")
	if err != nil {
		return nil, err
	}
	shown, page, err := paged(c, p.Tags, func(t directory.Tag) string { return t.Key })
	out := tagsResult{Page: page}
	if all := fromTags(shown); all != nil {
		out.Tags = *all
	}
	return out, err
}
