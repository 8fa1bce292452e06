package clients

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

const cliPair = " --namespace " + awsCLI + " --service-account reporter"

// associated finds the association that the first case made.
func (c cli) associated() (id, arn string) {
	c.t.Helper()
	id, arn, _ = strings.Cut(c.ok("eks list-pod-identity-associations --cluster-name dev"+cliPair+
		" --output text --query associations[0].[associationId,associationArn]"), "\t")
	return id, arn
}

var cliEKS = []cliCase{
	{"ListClusters, DescribeCluster", func(c cli) {
		c.contains("clusters", c.ok("eks list-clusters --query clusters"), `"dev"`)
		c.equal("cluster", c.ok("eks describe-cluster --name dev --output text --query cluster.[status,arn]"), "ACTIVE\tarn:aws:eks:us-east-1:111122223333:cluster/dev")
		c.refused("ResourceNotFoundException", "No cluster found for name: absent.", "eks describe-cluster --name absent")
		c.ok("eks wait cluster-active --name dev")
		c.ok("eks wait cluster-deleted --name absent")
		c.refused("InvalidRequestException", "UpdateClusterConfig is not supported", "eks update-cluster-config --name dev --upgrade-policy supportType=STANDARD")
	}},
	{"RegisterCluster, DeregisterCluster", func(c cli) {
		register := "eks register-cluster --name aws-cli-outside --connector-config provider=OTHER,roleArn=arn:aws:iam::111122223333:role/connector --tags env=test"
		c.equal("cluster", c.ok(register+" --output text --query cluster.[status,tags.env]"), "PENDING\ttest")
		c.refused("ResourceInUseException", "aws-cli-outside", register)
		kubeconfig := c.as.run(c.t, c.argv("eks update-kubeconfig --name aws-cli-outside --kubeconfig "+c.file("kubeconfig", ""), nil)...)
		if kubeconfig.status == 0 || !strings.Contains(kubeconfig.errors, "Cluster status is PENDING") {
			c.t.Errorf("the kubeconfig of a cluster that has not joined: status %d, %.300q", kubeconfig.status, kubeconfig.errors)
		}
		c.ok("eks deregister-cluster --name aws-cli-outside")
		c.refused("ResourceNotFoundException", "", "eks deregister-cluster --name aws-cli-outside")
	}},
	{"CreatePodIdentityAssociation", func(c cli) {
		create := "eks create-pod-identity-association --cluster-name dev --role-arn " + roleARN + cliPair + " --tags a=1"
		first := c.ok(create + " --client-request-token cli-1 --query association.associationId")
		c.equal("the same token again", c.ok(create+" --client-request-token cli-1 --query association.associationId"), first)
		c.refused("ResourceInUseException", strings.Trim(first, `"`), create)
	}},
	{"ListPodIdentityAssociations", func(c cli) {
		id, _ := c.associated()
		c.contains("all, by pages of one", c.ok("eks list-pod-identity-associations --cluster-name dev --page-size 1 --query associations[].associationId"), id)
		c.refused("ResourceNotFoundException", "", "eks list-pod-identity-associations --cluster-name absent")
	}},
	{"DescribePodIdentityAssociation", func(c cli) {
		id, arn := c.associated()
		describe := "eks describe-pod-identity-association --cluster-name dev --association-id "
		c.equal("association", c.ok(describe+id+" --output text --query association.[associationArn,roleArn]"), arn+"\t"+roleARN)
		c.refused("ResourceNotFoundException", "a-absent", describe+"a-absent")
	}},
	{"UpdatePodIdentityAssociation", func(c cli) {
		id, _ := c.associated()
		update := "eks update-pod-identity-association --cluster-name dev --association-id " + id + " --role-arn "
		c.equal("role", c.ok(update+otherRoleARN+" --output text --query association.roleArn"), otherRoleARN)
		c.refused("InvalidParameterException", "Role provided in the request does not exist.", update+absentARN)
		granted := " --output text --query association.[targetRoleArn,externalId,policy,disableSessionTags]"
		change := "eks update-pod-identity-association --cluster-name dev --association-id " + id
		target := c.argv(change+" --target-role-arn "+roleARN+granted, nil)
		got := c.as.run(c.t, target...)
		if got.status == 252 && strings.Contains(got.errors, "Unknown options: --target-role-arn") { // Debian's second CLI
			cliNotes.Store(c.t.Name(), "yes; this version has no target roles")
			return
		}
		c.equal("a target role", strings.TrimSuffix(got.out, "\n"),
			roleARN+"\tus-east-1/111122223333/dev/"+awsCLI+"/reporter\tNone\tFalse")
		c.refused("InvalidParameterException", "disableSessionTags must be set to true", change+" --policy", readPolicy)
		c.contains("a policy", c.ok(change+" --disable-session-tags --policy", readPolicy), "s3:GetObject")
		c.equal("all taken away", c.ok(change+" --no-disable-session-tags"+granted+" --target-role-arn= --policy="), "None\tNone\tNone\tFalse")
	}},
	{"TagResource, UntagResource, ListTagsForResource", func(c cli) {
		_, arn := c.associated()
		c.ok("eks tag-resource --tags b=2,c=3 --resource-arn " + arn)
		c.ok("eks untag-resource --tag-keys a c --resource-arn " + arn)
		c.equal("tags", strings.Join(strings.Fields(c.ok("eks list-tags-for-resource --query tags --resource-arn "+arn)), ""), `{"b":"2"}`)
		c.refused("NotFoundException", "", "eks list-tags-for-resource --resource-arn "+absentAssoc)
		c.refused("BadRequestException", "", "eks list-tags-for-resource --resource-arn arn:aws:s3:::bucket")
	}},
	{"associations that are refused", func(c cli) {
		create := "eks create-pod-identity-association --cluster-name dev --service-account bad --namespace "
		for words, message := range map[string]string{
			create + awsCLI + " --role-arn " + absentARN:                          "Role provided in the request does not exist.",
			create + "Not_A_Namespace --role-arn " + roleARN:                      "namespace contains invalid characters",
			create + awsCLI + " --target-role-arn reporter --role-arn " + roleARN: "targetRoleArn",
			create + awsCLI + " --policy {} --role-arn " + roleARN:                "disableSessionTags must be set to true",
		} {
			c.refused("InvalidParameterException", message, words)
		}
	}},
	{"DeletePodIdentityAssociation", func(c cli) {
		id, _ := c.associated()
		remove := "eks delete-pod-identity-association --cluster-name dev --association-id " + id
		c.contains("association", c.ok(remove), id)
		c.refused("ResourceNotFoundException", id, remove)
	}},
}

const cliRole = "aws-cli-role"

var cliIAM = []cliCase{
	{"CreateRole", func(c cli) {
		create := "iam create-role --description test --tags Key=a,Value=1 --role-name " + cliRole + " --assume-role-policy-document"
		c.equal("arn", c.ok(create, trust, "--query", "Role.Arn", "--output", "text"), "arn:aws:iam::111122223333:role/"+cliRole)
		c.refused("EntityAlreadyExists", cliRole, create, trust)
		c.refused("MalformedPolicyDocument", "", "iam create-role --role-name aws-cli-bad --assume-role-policy-document", "{")
	}},
	{"GetRole, ListRoles", func(c cli) {
		c.equal("role", c.ok("iam get-role --output text --role-name "+cliRole+" --query Role.[Description,AssumeRolePolicyDocument.Statement[0].Sid]"),
			"test\tAllowEksAuthToAssumeRoleForPodIdentity")
		c.contains("roles", c.ok("iam list-roles --page-size 1 --query Roles[].RoleName"), cliRole)
		c.refused("NoSuchEntity", "absent", "iam get-role --role-name absent")
	}},
	{"UpdateAssumeRolePolicy", func(c cli) {
		narrow := strings.Replace(trust, `]}]}`, `],"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"pay"}}}]}`, 1)
		update := "iam update-assume-role-policy --role-name " + cliRole + " --policy-document"
		c.ok(update, "file://"+c.file("trust.json", narrow))
		c.contains("trust", c.ok("iam get-role --role-name "+cliRole+" --query Role.AssumeRolePolicyDocument"), "kubernetes-namespace")
		c.refused("MalformedPolicyDocument", "Unheard", update, strings.Replace(narrow, "StringEquals", "Unheard", 1))
	}},
	{"PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy", func(c cli) {
		at := " --role-name " + cliRole + " --policy-name read"
		c.ok("iam put-role-policy"+at+" --policy-document", readPolicy)
		c.equal("action", c.ok("iam get-role-policy --output text --query PolicyDocument.Statement[0].Action"+at), "s3:GetObject")
		c.equal("names", c.ok("iam list-role-policies --output text --query PolicyNames --role-name "+cliRole), "read")
		c.refused("MalformedPolicyDocument", "", "iam put-role-policy"+at+" --policy-document", `{"Statement":[]}`)
		c.refused("DeleteConflict", "", "iam delete-role --role-name "+cliRole)
		c.ok("iam delete-role-policy" + at)
		c.refused("NoSuchEntity", "read", "iam get-role-policy"+at)
	}},
	{"managed policies: create, attach, versions, detach, delete", func(c cli) {
		arn := "arn:aws:iam::111122223333:policy/team/" + cliRole
		create := "iam create-policy --output text --query Policy.[Arn,DefaultVersionId] --path /team/ --tags Key=a,Value=1 --policy-name " + cliRole + " --policy-document"
		c.equal("policy", c.ok(create, readPolicy), arn+"\tv1")
		c.refused("EntityAlreadyExists", cliRole, create, readPolicy)
		c.refused("MalformedPolicyDocument", "", "iam create-policy --policy-name aws-cli-bad --policy-document", "{")
		named, attached := " --policy-arn "+arn, " --role-name "+cliRole+" --policy-arn "+arn
		c.ok("iam attach-role-policy" + attached)
		c.equal("attached", c.ok("iam list-attached-role-policies --output text --query AttachedPolicies[].PolicyArn --role-name "+cliRole), arn)
		c.equal("entities", c.ok("iam list-entities-for-policy --output text --query PolicyRoles[].RoleName"+named), cliRole)
		c.equal("count", c.ok("iam get-policy --output text --query Policy.AttachmentCount"+named), "1")
		c.contains("policies", c.ok("iam list-policies --scope Local --only-attached --page-size 1 --output text --query Policies[].Arn"), arn)
		c.ok("iam create-policy-version --set-as-default"+named+" --policy-document", strings.Replace(readPolicy, "Allow", "Deny", 1))
		c.equal("versions", c.ok("iam list-policy-versions --output text --query Versions[].[VersionId,IsDefaultVersion]"+named), "v2\tTrue\nv1\tFalse")
		c.equal("document", c.ok("iam get-policy-version --version-id v2 --output text --query PolicyVersion.Document.Statement[0].Effect"+named), "Deny")
		c.refused("DeleteConflict", "attached", "iam delete-policy"+named)
		c.refused("DeleteConflict", "detach", "iam delete-role --role-name "+cliRole)
		c.refused("NoSuchEntity", "AmazonEC2FullAccess", "iam attach-role-policy --policy-arn arn:aws:iam::aws:policy/AmazonEC2FullAccess --role-name "+cliRole)
		c.ok("iam detach-role-policy" + attached)
		c.refused("NoSuchEntity", cliRole, "iam detach-role-policy"+attached)
		c.refused("DeleteConflict", "version", "iam delete-policy"+named)
		c.ok("iam delete-policy-version --version-id v1" + named)
		c.ok("iam delete-policy" + named)
		c.refused("NoSuchEntity", cliRole, "iam get-policy"+named)
	}},
	{"TagRole, UntagRole, ListRoleTags", func(c cli) {
		c.ok("iam tag-role --role-name "+cliRole+" --tags", "Key=b,Value=two words: ü")
		c.ok("iam untag-role --tag-keys a --role-name " + cliRole)
		c.equal("tags", c.ok("iam list-role-tags --output text --query Tags[].[Key,Value] --role-name "+cliRole), "b\ttwo words: ü")
	}},
	{"AssumeRole", func(c cli) {
		c.ok("iam update-assume-role-policy --role-name "+cliRole+" --policy-document", trustAccount)
		arn := "arn:aws:iam::111122223333:role/" + cliRole
		assume := "sts assume-role --role-session-name cli --role-arn " + arn + " --output text --query [AssumedRoleUser.Arn,SourceIdentity]"
		c.equal("session", c.ok(assume+" --tags Key=team,Value=blue --transitive-tag-keys team --source-identity ann --duration-seconds 900 --external-id x-7 --policy", readPolicy),
			"arn:aws:sts::111122223333:assumed-role/"+cliRole+"/cli\tann")
		c.refused("MalformedPolicyDocument", "", assume+" --policy {}")
		c.refused("AccessDenied", "not authorized to perform: sts:AssumeRole on resource: "+roleARN, strings.Replace(assume, arn, roleARN, 1))
		c.refused("ValidationError", "MaxSessionDuration", assume+" --duration-seconds 3601")
	}},
	{"DeleteRole", func(c cli) {
		c.ok("iam delete-role --role-name " + cliRole)
		c.refused("NoSuchEntity", cliRole, "iam delete-role --role-name "+cliRole)
	}},
	{"GetUser", func(c cli) {
		c.equal("name", c.ok("iam get-user --output text --query User.UserName"), "administrator")
		c.refused("NoSuchEntity", "absent", "iam get-user --user-name absent")
	}},
	{"operations not served", func(c cli) { c.refused("InvalidAction", "ListSAMLProviders", "iam list-saml-providers") }},
}

var cliSigning = []cliCase{
	{"GetCallerIdentity as administrator", func(c cli) {
		c.equal("arn", c.ok("sts get-caller-identity --output text --query Arn"), "arn:aws:iam::111122223333:user/administrator")
	}},
	{"any region", func(c cli) {
		for _, words := range []string{"s3 ls", "iam get-user", "eks list-clusters", "sts get-caller-identity"} {
			c.ok(words + " --region eu-west-1")
		}
	}},
	{"wrong secret", func(c cli) {
		c.as = c.as.with("AWS_SECRET_ACCESS_KEY=wrong")
		c.refused("SignatureDoesNotMatch", "", "s3 ls")
		c.refused("SignatureDoesNotMatch", "", "iam get-user")
		c.refused("SignatureDoesNotMatch", "", "sts get-caller-identity")
		c.refused("InvalidSignatureException", "", "eks list-clusters")
	}},
	{"unknown access key", func(c cli) {
		c.as = c.as.with("AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE")
		c.refused("InvalidAccessKeyId", "", "s3 ls")
		c.refused("InvalidClientTokenId", "", "iam get-user")
		c.refused("UnrecognizedClientException", "", "eks list-clusters")
	}},
	{"unsigned", func(c cli) { c.refused("AccessDenied", "not signed", "s3 ls --no-sign-request") }},
	{"presigned URL", func(c cli) {
		link := c.ok("s3 presign s3://infra-lower-c65432gh/x")
		c.contains("the link", link, "AWSAccessKeyId=", here.endpoint)
		status, text := fetch(c.t, link)
		if status != http.StatusNotImplemented {
			c.t.Errorf("status %d, want 501", status)
		}
		c.contains("the answer", text, "<Code>NotImplemented</Code>", "aws configure set default.s3.signature_version s3v4")
	}},
	{"AssumeRoleForPodIdentity as administrator", func(c cli) {
		c.refused("AccessDeniedException", "Node binding", "eks-auth assume-role-for-pod-identity --cluster-name dev --token", here.podToken(c.t, awsCLI))
	}},
}

func fetch(t *testing.T, url string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&http.Client{Transport: &http.Transport{}}).Do(request) // no proxy
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(body)
}

var cliAgent = []cliCase{
	{"AssumeRoleWithWebIdentity by the default chain", func(c cli) {
		c.contains("sources", c.ok("configure list"), "assume-role-with-web-identity")
		c.contains("arn", c.ok("sts get-caller-identity --output text --query Arn"), ":assumed-role/lanyard-agent-")
	}},
	{"AssumeRoleWithWebIdentity, refused", func(c cli) {
		role := c.ok("sts get-caller-identity --output text --query Arn")
		_, name, _ := strings.Cut(role, "/")
		name, _, _ = strings.Cut(name, "/")
		assume := "sts assume-role-with-web-identity --role-session-name aws-cli --role-arn arn:aws:iam::111122223333:role/" + name + " --web-identity-token"
		c.refused("InvalidIdentityToken", "", assume, here.podToken(c.t, awsCLI))
		c.refused("InvalidIdentityToken", "", assume, "x.y.z")
	}},
	{"AssumeRoleForPodIdentity as the agent", func(c cli) {
		token := here.podToken(c.t, awsCLI)
		got := c.ok("eks-auth assume-role-for-pod-identity --cluster-name dev --output text --query [subject.serviceAccount,audience,assumedRoleUser.arn] --token", token)
		c.contains("answer", got, awsCLI+"\tpods.eks.amazonaws.com\tarn:aws:sts::111122223333:assumed-role/"+role)
		c.refused("InvalidTokenException", "", "eks-auth assume-role-for-pod-identity --cluster-name dev --token x.y.z")
		c.refused("AccessDeniedException", "", "eks-auth assume-role-for-pod-identity --cluster-name absent --token", token)
	}},
}
