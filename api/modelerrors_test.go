package api_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// untold are errors of the models that no case shows, by service and code. Where no operations are named, it is all that no
// case shows the code of.
var untold = []struct {
	service, code string
	why           string
	operations    []string
}{
	{"iam", "ServiceFailure", "of ours: any operation may answer it, none on purpose, as TestDefectsStayInside makes one do", nil},
	{"eks", "Server", "of ours, as ServiceFailure of IAM", nil},
	{"eks-auth", "InternalServer", "of ours, as ServiceFailure of IAM", nil},
	{"eks", "ServiceUnavailable", "a server that is cut off from its state, which tests of access and broker cut off", nil},
	{"eks-auth", "ServiceUnavailable", "likewise; and an STS of AWS that is away, which TestPodsHearThatSTSIsAway has", nil},
	{"eks-auth", "Throttling", "of the frame, which its tests of limits have", nil},
	{"eks", "Client", "EKS says it of what is wrong with who asks, which the frame answers by name", nil},
	{"iam", "ConcurrentModification", "writes that meet are tried again until one is first", nil},
	{"iam", "InvalidInput", "what is wrong with a member is ValidationError", nil},
	{"sts", "RegionDisabled", "there is one region, and it is on", nil},
	{"cloudtrail", "UnsupportedOperation", "LookupEvents is not refused by kind of account", nil},
	{"cloudtrail", "OperationNotPermitted", "likewise", nil},
	{"eks", "ResourcePropagationDelay", "the roles that a registration makes are there when it is answered", nil},
	{"eks", "ResourceInUse", "a cluster goes with all that is in it", []string{"DeregisterCluster"}},
	{"eks", "ResourceLimitExceeded", "a hundred thousand records: the registry's tests have the bounds", []string{"RegisterCluster", "CreatePodIdentityAssociation"}},
	{"eks", "InvalidParameter", "the path is all there is: what is no name is nobody's, ResourceNotFound", []string{
		"DescribePodIdentityAssociation", "DeletePodIdentityAssociation", "DescribeAddon", "DescribeUpdate",
	}},
	{"eks", "InvalidRequest", "a cluster's state keeps nobody from it, and what an add-on owns is refused where that is told", []string{
		"CreatePodIdentityAssociation", "ListPodIdentityAssociations", "DescribePodIdentityAssociation", "UpdatePodIdentityAssociation",
		"DeletePodIdentityAssociation", "CreateAddon", "ListAddons", "DescribeAddon", "UpdateAddon", "DeleteAddon",
	}},
	{"iam", "LimitExceeded", "nothing is added: AWS counts calls with it", []string{
		"DeleteRole", "DeleteRolePolicy", "DetachRolePolicy", "DeleteUser", "UpdateUser", "UpdateAccessKey", "DeleteAccessKey", "DeleteUserPolicy",
		"DetachUserPolicy", "UpdateGroup", "DeleteGroup", "RemoveUserFromGroup", "DeleteGroupPolicy", "DetachGroupPolicy", "DeletePolicy",
		"DeletePolicyVersion", "SetDefaultPolicyVersion", "CreateAccountAlias", "DeleteAccountAlias",
	}},
	{"iam", "LimitExceeded", "thousands of them: the directory's tests have the bounds", []string{"CreateUser", "CreateGroup"}},
	{"iam", "LimitExceeded", "no service has such roles", []string{"CreateServiceLinkedRole", "DeleteServiceLinkedRole"}},
	{"iam", "NoSuchEntity", "it asks for nothing that is there", []string{"CreateServiceLinkedRole", "CreateGroup"}},
	{"iam", "NoSuchEntity", "what is not there is gone, as IAM's reference says", []string{"DeleteOpenIDConnectProvider"}},
	{"iam", "NotSupportedService", "no service has such credentials, and the list is empty", []string{"ListServiceSpecificCredentials"}},
	{"iam", "OpenIdIdpCommunicationError", "thumbprints are not fetched: issuers are asked when a token comes", []string{"CreateOpenIDConnectProvider"}},
	{"iam", "PolicyEvaluation", "a policy that was parsed can be evaluated", nil},
	{"iam", "PolicyNotAttachable", "AWS's policies for service-linked roles alone are such, and none is here", nil},
	{"iam", "EntityTemporarilyUnmodifiable", "a user who was just deleted may be made again at once", nil},
	{"sts", "ExpiredToken", "of ProvidedContexts, which are refused by name", []string{"AssumeRole"}},
	{"sts", "IDPRejectedClaim", "of a provider's tokens, as of a deleted pod, which the tests of broker have", []string{"AssumeRoleWithWebIdentity"}},
	{"sts", "PackedPolicyTooLarge", "as AssumeRole shows it: the same code packs", []string{"GetFederationToken", "AssumeRoleWithWebIdentity"}},
}

// testModelledErrors holds the golden cases against the errors that the models list for each operation: each has been seen,
// or is one that cannot happen or that another test has.
func testModelledErrors(t *testing.T, w *world, seen map[outcome]bool) {
	folder, set := os.LookupEnv("LANYARD_MODELS")
	if !set {
		t.Log("LANYARD_MODELS names no folder of models: no errors were compared")
		return
	}
	excused := make([]bool, len(untold))
	for _, door := range w.doors() {
		if services[door.Service] == "" {
			continue
		}
		m := readModel(t, folder, door.Service)
		for _, op := range door.Operations {
			for _, ref := range m.Operations[op.Name].Errors {
				code := m.Shapes[ref.Shape].Error.Code
				if code == "" {
					code = ref.Shape
				}
				code = strings.TrimSuffix(code, "Exception")
				if seen[outcome{door.Service, op.Name, code}] {
					continue
				}
				found := false
				for i, row := range untold {
					if row.service == door.Service && row.code == code && (row.operations == nil || slices.Contains(row.operations, op.Name)) {
						found, excused[i] = true, true
					}
				}
				if !found {
					t.Errorf("%s %s: no golden case shows %s", door.Service, op.Name, code)
				}
			}
		}
	}
	for i, row := range untold {
		if !excused[i] {
			t.Errorf("%s %s %q is said to be shown by no case: it is", row.service, row.code, row.operations)
		}
	}
}

// testLimits reaches the bounds that a file of requests would be long for.
func testLimits(t *testing.T, w *world, server *httptest.Server) {
	admin := w.account(t, "100000009001")
	ask := func(want, action string, parameters ...string) {
		t.Helper()
		form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
		for i := 0; i < len(parameters); i += 2 {
			form.Set(parameters[i], parameters[i+1])
		}
		if got := w.send(t, server, request{as: admin, service: "iam", method: "POST", path: "/", body: form.Encode()}); got.code() != want {
			t.Errorf("%s %.200q: %d %s, want %q", action, parameters, got.status, got.code(), want)
		}
	}
	const read = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`
	const limited = "LimitExceeded"
	ask("", "CreateUser", "UserName", "ann")
	ask("", "CreatePolicy", "PolicyName", "read", "PolicyDocument", read)
	ask("", "CreateOpenIDConnectProvider", "Url", "https://ci.example", "ClientIDList.member.1", "c")

	// Tags: fifty, in two calls, since one call may bring no more.
	for of, name := range map[string][2]string{
		"TagRole": {"RoleName", "pod"}, "TagUser": {"UserName", "ann"}, "TagPolicy": {"PolicyArn", "arn:aws:iam::100000009001:policy/read"},
	} {
		var first []string
		for i := range 50 {
			first = append(first, fmt.Sprintf("Tags.member.%d.Key", i+1), fmt.Sprint("k", i), fmt.Sprintf("Tags.member.%d.Value", i+1), "v")
		}
		ask("", of, append(first, name[:]...)...)
		ask(limited, of, name[0], name[1], "Tags.member.1.Key", "one more", "Tags.member.1.Value", "v")
	}
	for i := range 11 {
		group, want := fmt.Sprint("g", i), ""
		if i == 10 {
			want = limited
		}
		ask("", "CreateGroup", "GroupName", group)
		ask(want, "AddUserToGroup", "GroupName", group, "UserName", "ann")
		made := fmt.Sprint("p", i)
		ask("", "CreatePolicy", "PolicyName", made, "PolicyDocument", read)
		ask(want, "AttachUserPolicy", "UserName", "ann", "PolicyArn", "arn:aws:iam::100000009001:policy/"+made)
		ask(want, "AttachGroupPolicy", "GroupName", "g0", "PolicyArn", "arn:aws:iam::100000009001:policy/"+made)
	}
	for i := range 100 {
		want := ""
		if i == 99 {
			want = limited
		}
		ask(want, "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", "arn:aws:iam::100000009001:oidc-provider/ci.example", "ClientID", fmt.Sprint(i))
	}
	long := strings.Replace(trust, `"Action"`, `"Sid":"`+strings.Repeat("x", 5000)+`","Action"`, 1)
	ask(limited, "CreateRole", "RoleName", "long", "AssumeRolePolicyDocument", long)
	ask(limited, "UpdateAssumeRolePolicy", "RoleName", "pod", "PolicyDocument", long)
}
