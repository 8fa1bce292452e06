package clients

import (
	"encoding/json"
	"slices"
	"testing"
)

// tried says, for each section, what every client tries; docs/COMPATIBILITY.md cites these lines. A client that leaves
// one out, or tries another one, fails.
var tried = map[string][]string{
	// As a pod of a service account that has an association.
	"pod": {
		"fetch by the default chain",
		"GetCallerIdentity",
		"ListBuckets",
		"CreateBucket",
		"HeadBucket",
		"PutObject, small",
		"PutObject, 3 MB with 100-continue",
		"GetObject",
		"HeadObject",
		"GetObject, range",
		"GetObject, If-None-Match",
		"PutObject, If-None-Match",
		"odd keys",
		"keys that the store would change",
		"ListObjects",
		"ListObjectsV2",
		"AccessDenied",
		"copies, tags, versions, batches",
		"operations not served",
		"EKS and IAM are denied to a pod",
		"DeleteObject",
		"DeleteBucket",
	},
	// As a pod of a service account that has none.
	"stranger": {"the agent's reason"},
	// As the administrator.
	"eks": {
		"ListClusters, DescribeCluster",
		"RegisterCluster, DeregisterCluster",
		"CreatePodIdentityAssociation",
		"ListPodIdentityAssociations",
		"DescribePodIdentityAssociation",
		"UpdatePodIdentityAssociation",
		"TagResource, UntagResource, ListTagsForResource",
		"associations that are refused",
		"DeletePodIdentityAssociation",
	},
	"iam": {
		"CreateRole",
		"GetRole, ListRoles",
		"UpdateAssumeRolePolicy",
		"PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy", "managed policies: create, attach, versions, detach, delete",
		"TagRole, UntagRole, ListRoleTags",
		"AssumeRole",
		"DeleteRole",
		"GetUser",
		"operations not served",
	},
	"signing": {
		"GetCallerIdentity as administrator",
		"any region",
		"wrong secret",
		"unknown access key",
		"skewed clock",
		"unsigned",
		"signature version 2",
		"presigned URL",
		"AssumeRoleForPodIdentity as administrator",
	},
	// As the node's agent, by its service-account token.
	"agent": {
		"AssumeRoleWithWebIdentity by the default chain",
		"AssumeRoleWithWebIdentity, refused",
		"AssumeRoleForPodIdentity as the agent",
	},
}

// cannot says which lines of a section a client has no way to try.
var cannot = map[string]map[string][]string{
	awsCLI: {"signing": {"skewed clock", "signature version 2"}}, // it takes neither a clock nor a signer
	awsCLI2: { // Debian's is older than two of the refused options, and signs URLs as "uploads" tries it
		"signing": {"skewed clock", "signature version 2", "presigned URL"}, "eks": {"associations that are refused"},
	},
	golang:     {"signing": {"signature version 2"}},                 // the SDK has no such signer
	javaScript: {"agent": {"AssumeRoleForPodIdentity as the agent"}}, // no client for EKS Auth is to be had
	java:       {"agent": {"AssumeRoleForPodIdentity as the agent"}}, // the same
	pyarrow:    {"uploads": {"presigned URL"}},                       // it makes none
	mountpoint: {"uploads": {"presigned URL"}},                       // the same
}

// oddKeys are names that a path, a query, an XML document or a signature writes in more than one way.
var oddKeys = []string{
	"two words.txt", "a+b", "100%", "percent%20literal", "k=v&x=y", "a/b/c/d/e.txt", "ünï/日本語.txt", "emoji-😀",
	`quote'"<>&amp;.xml`, "semi;colon,comma:at@", "tilde~star*(paren)!$", "question?mark#hash", `back\slash`, "[brackets]{braces}|^`",
	" leading and trailing ", "...dots...", "line\nbreak",
}

// badKeys are names that S3 has and a file system takes for another name: they are refused, not changed.
var badKeys = []string{"a//b", "/lead", "a/../b", "./a", "a/."}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// account holds what a client told of a section against the table.
func account(t *testing.T, client, section string, told []string) {
	t.Helper()
	cases := tried[section]
	if slices.Contains(inBrief, client) {
		cases = brief[section]
	}
	if slices.Contains(inStorage, client) {
		cases = storage[section]
	}
	var want []string
	for _, name := range append(slices.Clone(cases), everyone[section]...) {
		if !slices.Contains(cannot[client][section], name) {
			want = append(want, name)
		}
	}
	if !slices.Equal(told, want) {
		t.Errorf("%s tried %q, and the table has %q", section, told, want)
	}
}

// sameNames compares two lists of names without their order.
func sameNames(t *testing.T, what string, got, want []string) {
	t.Helper()
	if got, want := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}
