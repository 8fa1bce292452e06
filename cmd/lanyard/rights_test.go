package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/eks"
	"github.com/openlanyard/lanyard/api/iam"
	"github.com/openlanyard/lanyard/api/lanyard"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/dev"
)

// rest is a call of a REST protocol.
func rest(service, method, path, body string) request {
	return request{service: service, method: method, path: path, body: body}
}

// role is a call of IAM about a role that may or may not be there.
func role(action string, more ...string) request { return iamCall(action, "RoleName", more) }

func user(action string, more ...string) request { return iamCall(action, "UserName", more) }

func managed(action string, more ...string) request {
	return iamCall(action, "PolicyArn", append([]string{"PolicyArn", policyNone}, more...))
}

func iamCall(action, member string, more []string) request {
	values := url.Values{member: {"administrator"}} // as a role: none
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return form("iam", action, values)
}

// assume is a call for the role `open`, which trusts its account.
func assume(more ...string) request {
	values := url.Values{"RoleArn": {"arn:aws:iam::" + dev.Account + ":role/open"}, "RoleSessionName": {"me"}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return form("sts", "AssumeRole", values)
}

const (
	trustsAccount = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + dev.Account + `"},` +
		`"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}`

	associations = "/clusters/dev/pod-identity-associations"
	anything     = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
	revocations  = "/lanyard/v1/revocations"
	policyNone   = "arn:aws:iam::" + dev.Account + ":policy/none"
)

var (
	clusterTags = "/tags/" + url.PathEscape("arn:aws:eks:us-east-1:"+dev.Account+":cluster/dev")
	connector   = `"connectorConfig":{"provider":"OTHER","roleArn":"arn:aws:iam::` + dev.Account + `:role/connector"}`
	bareRole    = `"roleArn":"arn:aws:iam::` + dev.Account + `:role/bare"`
)

// managementCalls are all calls that change or show what operators have told, each with the actions that it needs, in the
// order in which they are asked for.
var managementCalls = []struct {
	operation string
	request   request
	rights    []string
}{
	{"RegisterCluster", rest("eks", "POST", "/cluster-registrations", `{"name":"new",`+connector+`}`), []string{"eks:RegisterCluster"}},
	{"RegisterCluster", rest("eks", "POST", "/cluster-registrations", `{"name":"tagged","tags":{"a":"b"},`+connector+`}`), []string{"eks:RegisterCluster", "eks:TagResource"}},
	{"DeregisterCluster", rest("eks", "DELETE", "/cluster-registrations/none", ""), []string{"eks:DeregisterCluster"}},
	{"ListClusters", rest("eks", "GET", "/clusters", ""), []string{"eks:ListClusters"}},
	{"DescribeCluster", rest("eks", "GET", "/clusters/dev", ""), []string{"eks:DescribeCluster"}},
	{"CreatePodIdentityAssociation", rest("eks", "POST", associations, `{"namespace":"a","serviceAccount":"b",`+bareRole+`}`), []string{"eks:CreatePodIdentityAssociation", "iam:PassRole"}},
	{"CreatePodIdentityAssociation", rest("eks", "POST", associations, `{"namespace":"a","serviceAccount":"c","tags":{"a":"b"},`+bareRole+`}`), []string{"eks:CreatePodIdentityAssociation", "eks:TagResource", "iam:PassRole"}},
	{"ListPodIdentityAssociations", rest("eks", "GET", associations, ""), []string{"eks:ListPodIdentityAssociations"}},
	{"DescribePodIdentityAssociation", rest("eks", "GET", associations+"/a-none", ""), []string{"eks:DescribePodIdentityAssociation"}},
	{"UpdatePodIdentityAssociation", rest("eks", "POST", associations+"/a-none", `{`+bareRole+`}`), []string{"eks:UpdatePodIdentityAssociation", "iam:PassRole"}},
	{"UpdatePodIdentityAssociation", rest("eks", "POST", associations+"/ASSOCIATION", `{"targetRoleArn":""}`), []string{"eks:UpdatePodIdentityAssociation", "iam:PassRole"}},
	{"DeletePodIdentityAssociation", rest("eks", "DELETE", associations+"/a-none", ""), []string{"eks:DeletePodIdentityAssociation"}},
	{"CreateAddon", rest("eks", "POST", "/clusters/none/addons", `{"addonName":"none"}`), []string{"eks:CreateAddon"}},
	{"CreateAddon", rest("eks", "POST", "/clusters/none/addons", `{"addonName":"none","tags":{"a":"b"},"podIdentityAssociations":[{"serviceAccount":"a",`+bareRole+`}]}`), []string{"eks:CreateAddon", "eks:TagResource", "eks:CreatePodIdentityAssociation", "iam:PassRole"}},
	{"ListAddons", rest("eks", "GET", "/clusters/dev/addons", ""), []string{"eks:ListAddons"}},
	{"DescribeAddon", rest("eks", "GET", "/clusters/dev/addons/none", ""), []string{"eks:DescribeAddon"}},
	{"UpdateAddon", rest("eks", "POST", "/clusters/dev/addons/none/update", `{}`), []string{"eks:UpdateAddon"}},
	{"UpdateAddon", rest("eks", "POST", "/clusters/dev/addons/none/update", `{"podIdentityAssociations":[{"serviceAccount":"a",`+bareRole+`}]}`), []string{"eks:UpdateAddon", "eks:CreatePodIdentityAssociation", "iam:PassRole"}},
	{"DeleteAddon", rest("eks", "DELETE", "/clusters/dev/addons/none", ""), []string{"eks:DeleteAddon"}},
	{"DescribeAddonVersions", rest("eks", "GET", "/addons/supported-versions", ""), []string{"eks:DescribeAddonVersions"}},
	{"DescribeAddonConfiguration", rest("eks", "GET", "/addons/configuration-schemas?addonName=none&addonVersion=none", ""), []string{"eks:DescribeAddonConfiguration"}},
	{"ListUpdates", rest("eks", "GET", "/clusters/dev/updates", ""), []string{"eks:ListUpdates"}},
	{"DescribeUpdate", rest("eks", "GET", "/clusters/dev/updates/none", ""), []string{"eks:DescribeUpdate"}},
	{"TagResource", rest("eks", "POST", clusterTags, `{"tags":{"a":"b"}}`), []string{"eks:TagResource"}},
	{"UntagResource", rest("eks", "DELETE", clusterTags+"?tagKeys=a", ""), []string{"eks:UntagResource"}},
	{"ListTagsForResource", rest("eks", "GET", clusterTags, ""), []string{"eks:ListTagsForResource"}},

	{"CreateRole", form("iam", "CreateRole", url.Values{"RoleName": {"new"}, "AssumeRolePolicyDocument": {trustsPods}}), []string{"iam:CreateRole"}},
	{"CreateRole", form("iam", "CreateRole", url.Values{
		"RoleName": {"tagged"}, "AssumeRolePolicyDocument": {trustsPods}, "Tags.member.1.Key": {"a"}, "Tags.member.1.Value": {"b"},
	}), []string{"iam:CreateRole", "iam:TagRole"}},
	{"GetRole", role("GetRole"), []string{"iam:GetRole"}},
	{"ListRoles", form("iam", "ListRoles", url.Values{}), []string{"iam:ListRoles"}},
	{"UpdateRole", role("UpdateRole"), []string{"iam:UpdateRole"}},
	{"UpdateRoleDescription", role("UpdateRoleDescription", "Description", "x"), []string{"iam:UpdateRoleDescription"}},
	{"UpdateAssumeRolePolicy", role("UpdateAssumeRolePolicy", "PolicyDocument", trustsPods), []string{"iam:UpdateAssumeRolePolicy"}},
	{"DeleteRole", role("DeleteRole"), []string{"iam:DeleteRole"}},
	{"PutRolePolicy", role("PutRolePolicy", "PolicyName", "p", "PolicyDocument", anything), []string{"iam:PutRolePolicy"}},
	{"GetRolePolicy", role("GetRolePolicy", "PolicyName", "p"), []string{"iam:GetRolePolicy"}},
	{"ListRolePolicies", role("ListRolePolicies"), []string{"iam:ListRolePolicies"}},
	{"DeleteRolePolicy", role("DeleteRolePolicy", "PolicyName", "p"), []string{"iam:DeleteRolePolicy"}},
	{"ListAttachedRolePolicies", role("ListAttachedRolePolicies"), []string{"iam:ListAttachedRolePolicies"}},
	{"AttachRolePolicy", role("AttachRolePolicy", "PolicyArn", policyNone), []string{"iam:AttachRolePolicy"}},
	{"DetachRolePolicy", role("DetachRolePolicy", "PolicyArn", policyNone), []string{"iam:DetachRolePolicy"}},
	{"ListInstanceProfilesForRole", role("ListInstanceProfilesForRole"), []string{"iam:ListInstanceProfilesForRole"}},
	{"TagRole", role("TagRole", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"), []string{"iam:TagRole"}},
	{"UntagRole", role("UntagRole", "TagKeys.member.1", "a"), []string{"iam:UntagRole"}},
	{"ListRoleTags", role("ListRoleTags"), []string{"iam:ListRoleTags"}},
	{"GetUser", user("GetUser"), []string{"iam:GetUser"}},
	{"PutUserPolicy", user("PutUserPolicy", "PolicyName", "p", "PolicyDocument", trustsPods), []string{"iam:PutUserPolicy"}}, // not stored: malformed
	{"GetUserPolicy", user("GetUserPolicy", "PolicyName", "p"), []string{"iam:GetUserPolicy"}},
	{"ListUserPolicies", user("ListUserPolicies"), []string{"iam:ListUserPolicies"}},
	{"DeleteUserPolicy", user("DeleteUserPolicy", "PolicyName", "p"), []string{"iam:DeleteUserPolicy"}},
	{"ListAttachedUserPolicies", user("ListAttachedUserPolicies"), []string{"iam:ListAttachedUserPolicies"}},
	{"AttachUserPolicy", user("AttachUserPolicy", "PolicyArn", policyNone), []string{"iam:AttachUserPolicy"}},
	{"DetachUserPolicy", user("DetachUserPolicy", "PolicyArn", policyNone), []string{"iam:DetachUserPolicy"}},
	{"CreatePolicy", form("iam", "CreatePolicy", url.Values{"PolicyName": {"new"}, "PolicyDocument": {anything}}), []string{"iam:CreatePolicy"}},
	{"CreatePolicy", form("iam", "CreatePolicy", url.Values{
		"PolicyName": {"tagged"}, "PolicyDocument": {anything}, "Tags.member.1.Key": {"a"}, "Tags.member.1.Value": {"b"},
	}), []string{"iam:CreatePolicy", "iam:TagPolicy"}},
	{"GetPolicy", managed("GetPolicy"), []string{"iam:GetPolicy"}},
	{"ListPolicies", form("iam", "ListPolicies", url.Values{}), []string{"iam:ListPolicies"}},
	{"DeletePolicy", managed("DeletePolicy"), []string{"iam:DeletePolicy"}},
	{"CreatePolicyVersion", managed("CreatePolicyVersion", "PolicyDocument", anything), []string{"iam:CreatePolicyVersion"}},
	{"GetPolicyVersion", managed("GetPolicyVersion", "VersionId", "v1"), []string{"iam:GetPolicyVersion"}},
	{"ListPolicyVersions", managed("ListPolicyVersions"), []string{"iam:ListPolicyVersions"}},
	{"DeletePolicyVersion", managed("DeletePolicyVersion", "VersionId", "v1"), []string{"iam:DeletePolicyVersion"}},
	{"SetDefaultPolicyVersion", managed("SetDefaultPolicyVersion", "VersionId", "v1"), []string{"iam:SetDefaultPolicyVersion"}},
	{"TagPolicy", managed("TagPolicy", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"), []string{"iam:TagPolicy"}},
	{"UntagPolicy", managed("UntagPolicy", "TagKeys.member.1", "a"), []string{"iam:UntagPolicy"}},
	{"ListPolicyTags", managed("ListPolicyTags"), []string{"iam:ListPolicyTags"}},
	{"ListEntitiesForPolicy", managed("ListEntitiesForPolicy"), []string{"iam:ListEntitiesForPolicy"}},

	// A pod's session hands on its tags.
	{"AssumeRole", assume(), []string{"sts:AssumeRole", "sts:TagSession"}},
	{"AssumeRole", assume("SourceIdentity", "me"), []string{"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}},

	{"LookupEvents", request{service: "cloudtrail", method: "POST", path: "/", body: "{}", header: http.Header{
		"X-Amz-Target": {"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"},
	}}, []string{"cloudtrail:LookupEvents"}},

	{"CreateAccount", rest("lanyard", "POST", "/lanyard/v1/accounts", `{"name":"new"}`), []string{"lanyard:CreateAccount"}},
	{"DescribeAccount", rest("lanyard", "GET", "/lanyard/v1/account", ""), []string{"lanyard:DescribeAccount"}},
	{"VerifyAccount", rest("lanyard", "POST", "/lanyard/v1/account/verification", `{}`), []string{"lanyard:VerifyAccount"}},
	{"PutClusterKeys", rest("lanyard", "PUT", "/lanyard/v1/clusters/dev/keys", `{"issuers":[],"jwks":{"keys":[]}}`), []string{"lanyard:PutClusterKeys"}},
	{"UpdateCluster", rest("lanyard", "PATCH", "/lanyard/v1/clusters/dev", `{"nodeBinding":true}`), []string{"lanyard:UpdateCluster"}},
	{"WatchFeed", rest("lanyard", "POST", "/lanyard/v1/feed", `{"account":"`+dev.Account+`","gateway":"gw-1","region":"elsewhere"}`), []string{"lanyard:WatchFeed"}},
	{"ListGateways", rest("lanyard", "GET", "/lanyard/v1/gateways", ""), []string{"lanyard:ListGateways"}},
	{"ReportGateway", rest("lanyard", "PUT", "/lanyard/v1/gateways/gw-1", `{"instance":"none","revision":0}`), []string{"lanyard:WatchFeed"}},
	{"GetSigningKey", rest("lanyard", "POST", "/lanyard/v1/signing-keys", `{"accessKeyId":"AKIANONENONENONENONE"}`), []string{"lanyard:GetSigningKey"}},
	{"DescribeAuditHeads", rest("lanyard", "GET", "/lanyard/v1/audit/heads", ""), []string{"lanyard:DescribeAudit"}},
	{"WatchInvalidations", rest("lanyard", "POST", "/lanyard/v1/clusters/dev/invalidations", `{"once":true}`), []string{"lanyard:WatchInvalidations"}},
	{"ReactivateCluster", rest("lanyard", "POST", "/lanyard/v1/clusters/none/activation", ""), []string{"lanyard:ReactivateCluster"}},
	{"WatchConnector", rest("lanyard", "POST", "/lanyard/v1/clusters/dev/connector", `{"instance":"c","once":true}`), []string{"lanyard:WatchConnector"}},
	{"ReportConnector", rest("lanyard", "PUT", "/lanyard/v1/clusters/dev/connector", `{"instance":"c"}`), []string{"lanyard:ReportConnector"}},
	{"DescribeConnector", rest("lanyard", "GET", "/lanyard/v1/clusters/dev/connector", ""), []string{"lanyard:DescribeConnector"}},
	{"ReportDeletedPods", rest("lanyard", "POST", "/lanyard/v1/clusters/dev/deleted-pods", `{"pods":[{"uid":"none"}]}`), []string{"lanyard:ReportDeletedPods"}},
	{"ListServiceAccounts", rest("lanyard", "POST", "/lanyard/v1/clusters/dev/service-accounts", `{}`), []string{"lanyard:ListServiceAccounts"}},
	{"ReportServiceAccounts", rest("lanyard", "PUT", "/lanyard/v1/clusters/dev/service-accounts", `{"id":"none","namespaces":[],"serviceAccounts":[],"truncated":false}`), []string{"lanyard:ReportServiceAccounts"}},
	{"WhoCan", rest("lanyard", "POST", "/lanyard/v1/who-can", `{"action":"s3:GetObject","resource":"*"}`), []string{"lanyard:WhoCan"}},
	{"CanReach", rest("lanyard", "POST", "/lanyard/v1/can-reach", `{"clusterName":"dev"}`), []string{"lanyard:CanReach"}},
	{"Revoke", rest("lanyard", "POST", revocations, `{"kind":"cluster","cluster":"none"}`), []string{"lanyard:Revoke"}},
	{"Revoke", rest("lanyard", "POST", revocations, `{"kind":"role","value":"none"}`), []string{"lanyard:Revoke"}},
	{"Revoke", rest("lanyard", "POST", revocations, `{"kind":"session","value":"ASIANONENONENONENONE"}`), []string{"lanyard:Revoke"}},
}

// TestEveryCallNeedsItsRights makes each call as a pod whose role may do nothing; everything but one of the rights; the
// rights and nothing else. Only the last is not denied.
func TestEveryCallNeedsItsRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t.TempDir() + "/dev")
	restart(t, &w)
	if err := w.makeRole("bare", ""); err != nil {
		t.Fatal(err)
	}
	association, err := w.makeAssociation("dev", "shop/bare", "bare")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.send("administrator", role("CreateRole", "RoleName", "open", "AssumeRolePolicyDocument", trustsAccount)); err != nil {
		t.Fatal(err)
	}
	if err := w.become("pod", "shop/bare", nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range slices.Concat(managementCalls, identityCalls, providerCalls) {
		t.Run(c.request.service+"/"+strings.ReplaceAll(strings.Join(c.rights, "+"), ":", "."), func(t *testing.T) {
			c.request.path = strings.Replace(c.request.path, "ASSOCIATION", association, 1)
			w.refused(t, c.request, c.rights[0])
			for _, missing := range c.rights {
				w.allowPod(t, fmt.Sprintf(`"NotAction":%q`, missing))
				w.refused(t, c.request, missing)
			}
			w.allowPod(t, `"Action":["`+strings.Join(c.rights, `","`)+`"]`)
			_, err := w.send("pod", c.request)
			if code := codeOf(err); strings.HasPrefix(code, "AccessDenied") || (code == "" && err != nil) {
				t.Errorf("with exactly %q: got %v, want no denial", c.rights, err)
			}
			if _, err := w.send("administrator", role("DeleteRolePolicy", "RoleName", "bare", "PolicyName", "it")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestEveryCallIsInTheTable holds the table against the doors' own.
func TestEveryCallIsInTheTable(t *testing.T) {
	listed := map[string]bool{
		"lanyard ActivateCluster":       true, // signed with a cluster's activation pair alone: no policy allows it
		"sts GetCallerIdentity":         true, // needs no right
		"lanyard CheckMyAccess":         true, // likewise
		"lanyard CheckPolicy":           true, // likewise
		"sts AssumeRoleWithWebIdentity": true, // unsigned
		"sts GetSessionToken":           true, // denied to every session: the door's golden story has it
		"sts GetFederationToken":        true, // likewise
		"iam GetAccessKeyLastUsed":      true, // denied for every key but the account's: the door's golden story has it
	}
	for _, c := range slices.Concat(managementCalls, identityCalls, providerCalls) {
		listed[c.request.service+" "+c.operation] = true
	}
	for _, door := range []*api.Door{eks.New(nil), iam.New(nil), lanyard.New(nil, nil, nil, nil, nil, nil), sts.New(nil)} {
		if len(door.Operations) == 0 {
			t.Errorf("%s has no operations", door.Service)
		}
		for _, op := range door.Operations {
			if !listed[door.Service+" "+op.Name] {
				t.Errorf("%s %s is not in the table", door.Service, op.Name)
			}
		}
	}
}

// refused makes the call and wants a denial that names the action.
func (w *world) refused(t *testing.T, r request, action string) {
	t.Helper()
	body, err := w.send("pod", r)
	if !strings.HasPrefix(codeOf(err), "AccessDenied") || !strings.Contains(err.Error(), "not authorized to perform: "+action+" on resource: ") {
		t.Errorf("without %s: got answer %q and error %v, want AccessDenied for it", action, body, err)
	}
}

// allowPod replaces the policy of the pod's role.
func (w *world) allowPod(t *testing.T, actions string) {
	t.Helper()
	if err := w.putPolicy("bare", `{"Version":"2012-10-17","Statement":{"Effect":"Allow",`+actions+`,"Resource":"*"}}`); err != nil {
		t.Fatal(err)
	}
}

// codeOf returns the code of a service's refusal, and nothing for any other error.
func codeOf(err error) string {
	var refused *dev.Answer
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}
