// Package iam is the door that speaks IAM's wire: roles with their inline policies and tags, managed policies, and users as
// far as administrators' tools ask for them (https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html).
package iam

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// Errors is IAM's table of codes.
var Errors = api.QueryErrors(api.Errors{
	fault.NotFound:     {Name: "NoSuchEntity", Status: http.StatusNotFound},
	fault.Exists:       {Name: "EntityAlreadyExists", Status: http.StatusConflict},
	fault.InUse:        {Name: "DeleteConflict", Status: http.StatusConflict},
	fault.BadState:     {Name: "InvalidInput", Status: http.StatusBadRequest},
	fault.Limit:        {Name: "LimitExceeded", Status: http.StatusConflict},
	fault.Unmodifiable: {Name: "UnmodifiableEntity", Status: http.StatusBadRequest},
	fault.BadToken:     {Name: "InvalidInput", Status: http.StatusBadRequest},
	fault.ExpiredToken: {Name: "InvalidInput", Status: http.StatusBadRequest},
	fault.Unsupported:  {Name: "InvalidInput", Status: http.StatusBadRequest},
})

type door struct {
	directory *directory.Directory
}

// New returns the door.
func New(dir *directory.Directory) *api.Door {
	d := &door{directory: dir}
	return api.Query("iam", "iam.amazonaws.com", "2010-05-08", Errors, append(d.providerRows(), []api.Operation{
		{Name: "CreateRole", Serve: d.createRole},
		{Name: "GetRole", ReadOnly: true, Serve: d.getRole},
		{Name: "ListRoles", ReadOnly: true, Serve: d.listRoles},
		{Name: "UpdateRole", Serve: d.updateRole},
		{Name: "UpdateRoleDescription", Serve: d.updateRoleDescription},
		{Name: "UpdateAssumeRolePolicy", Serve: d.updateTrust},
		{Name: "DeleteRole", Serve: d.deleteRole},
		{Name: "PutRolePolicy", Serve: d.putRolePolicy},
		{Name: "GetRolePolicy", ReadOnly: true, Serve: d.getRolePolicy},
		{Name: "ListRolePolicies", ReadOnly: true, Serve: d.listRolePolicies},
		{Name: "DeleteRolePolicy", Serve: d.deleteRolePolicy},
		{Name: "ListAttachedRolePolicies", ReadOnly: true, Serve: d.listAttachedRolePolicies},
		{Name: "AttachRolePolicy", Serve: d.attachRolePolicy},
		{Name: "DetachRolePolicy", Serve: d.detachRolePolicy},
		{Name: "ListInstanceProfilesForRole", ReadOnly: true, Serve: d.listInstanceProfilesForRole},
		{Name: "TagRole", Serve: d.tagRole},
		{Name: "UntagRole", Serve: d.untagRole},
		{Name: "ListRoleTags", ReadOnly: true, Serve: d.listRoleTags},
		{Name: "GetUser", ReadOnly: true, Serve: d.getUser},
		{Name: "PutUserPolicy", Serve: d.putUserPolicy},
		{Name: "GetUserPolicy", ReadOnly: true, Serve: d.getUserPolicy},
		{Name: "ListUserPolicies", ReadOnly: true, Serve: d.listUserPolicies},
		{Name: "DeleteUserPolicy", Serve: d.deleteUserPolicy},
		{Name: "ListAttachedUserPolicies", ReadOnly: true, Serve: d.listAttachedUserPolicies},
		{Name: "AttachUserPolicy", Serve: d.attachUserPolicy},
		{Name: "DetachUserPolicy", Serve: d.detachUserPolicy},
		{Name: "CreatePolicy", Serve: d.createPolicy},
		{Name: "GetPolicy", ReadOnly: true, Serve: d.getPolicy},
		{Name: "ListPolicies", ReadOnly: true, Serve: d.listPolicies},
		{Name: "DeletePolicy", Serve: d.deletePolicy},
		{Name: "CreatePolicyVersion", Serve: d.createPolicyVersion},
		{Name: "GetPolicyVersion", ReadOnly: true, Serve: d.getPolicyVersion},
		{Name: "ListPolicyVersions", ReadOnly: true, Serve: d.listPolicyVersions},
		{Name: "DeletePolicyVersion", Serve: d.deletePolicyVersion},
		{Name: "SetDefaultPolicyVersion", Serve: d.setDefaultPolicyVersion},
		{Name: "TagPolicy", Serve: d.tagPolicy},
		{Name: "UntagPolicy", Serve: d.untagPolicy},
		{Name: "ListPolicyTags", ReadOnly: true, Serve: d.listPolicyTags},
		{Name: "ListEntitiesForPolicy", ReadOnly: true, Serve: d.listEntitiesForPolicy},
		{Name: "SimulateCustomPolicy", ReadOnly: true, Serve: d.simulateCustomPolicy},
		{Name: "SimulatePrincipalPolicy", ReadOnly: true, Serve: d.simulatePrincipalPolicy},
		{Name: "GetContextKeysForCustomPolicy", ReadOnly: true, Serve: d.contextKeysForCustomPolicy},
		{Name: "GetContextKeysForPrincipalPolicy", ReadOnly: true, Serve: d.contextKeysForPrincipalPolicy},
	}...))
}

// The wire's shapes, spelt as AWS spells them.

type tag struct {
	Key   string `xml:"Key"`
	Value string `xml:"Value"`
}

type tags struct {
	Members []tag `xml:"member"`
}

func fromTags(in []directory.Tag) *tags {
	if len(in) == 0 {
		return nil
	}
	out := &tags{}
	for _, t := range in {
		out.Members = append(out.Members, tag(t))
	}
	return out
}

// maxTags is how many one call may bring. The directory counts those that a role then has; this bounds the work before.
const maxTags = 50

func toTags(c *api.Call) ([]directory.Tag, error) {
	members := c.Members("Tags", "Key", "Value")
	if len(members) > maxTags {
		return nil, tooMany("tags", len(members))
	}
	out := make([]directory.Tag, len(members))
	for i, m := range members {
		out[i] = directory.Tag{Key: m["Key"], Value: m["Value"]}
	}
	return out, nil
}

func tooMany(member string, n int) error {
	return fault.New(fault.Invalid, "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d, got %d", member, maxTags, n)
}

type names struct {
	Members []string `xml:"member"`
}

// escaped is a policy document as IAM answers it: everything percent-encoded that RFC 3986 does not call unreserved. A
// plus sign must be, since half of the clients decode it as a space.
func escaped(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

// noted are the parameters that a record shows, as it spells them.
var noted = map[string]string{
	"AssumeRolePolicyDocument": "assumeRolePolicyDocument", "Description": "description", "MaxSessionDuration": "maxSessionDuration",
	"Path": "path", "PathPrefix": "pathPrefix", "PolicyArn": "policyArn", "PolicyDocument": "policyDocument", "PolicyName": "policyName",
	"RoleName": "roleName", "SetAsDefault": "setAsDefault", "UserName": "userName", "VersionId": "versionId",
	"EntityFilter": "entityFilter", "OnlyAttached": "onlyAttached", "PolicyUsageFilter": "policyUsageFilter", "Scope": "scope",
}

// noteParameters puts what a call asks for into its record. It comes before the decision: the record of a denial has to
// say what was denied.
func noteParameters(c *api.Call) {
	parameters := map[string]any{}
	for name, as := range noted {
		if c.Form.Has(name) {
			parameters[as] = c.Form.Get(name)
		}
	}
	if n, given, err := c.Number("MaxSessionDuration"); given && err == nil {
		parameters["maxSessionDuration"] = n
	}
	if given, err := toTags(c); len(given) > 0 && err == nil {
		parameters["tags"] = record(given)
	}
	if keys := tagKeys(c); len(keys) > 0 {
		parameters["tagKeys"] = keys
	}
	c.Event.RequestParameters = parameters
}

// authorizeRole asks for an action on the role that the call names, with what the action knows besides. A role that does
// not exist is named without a path: who may not ask does not learn whether it is there.
func (d *door) authorizeRole(c *api.Call, action string, extra ...policy.Entry) (name string, err error) {
	noteParameters(c)
	if name, err = c.Text("RoleName"); err != nil {
		return "", err
	}
	resource := arn.Role(c.Caller.Account, "/", name)
	if role, err := d.directory.Role(c.Caller.Account, name); err == nil {
		resource = role.ARN()
	}
	return name, c.Authorize(action, resource.String(), extra...)
}
