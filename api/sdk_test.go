package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseks "github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	awseksauth "github.com/aws/aws-sdk-go-v2/service/eksauth"
	authtypes "github.com/aws/aws-sdk-go-v2/service/eksauth/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"
)

// sdk is AWS's own client for Go, pointed at a server and told nothing else.
func sdk(as signer, url string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(url), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(as.id, as.secret, as.token),
	}
}

// expect fails unless the SDK made its own type of the error.
func expect[E error](t *testing.T, what string, err error) {
	t.Helper()
	var typed E
	if !errors.As(err, &typed) {
		t.Errorf("%s: error %v, want %T", what, err, typed)
	}
}

func TestSDKAssociations(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	ctx := t.Context()
	client := awseks.NewFromConfig(sdk(admin, server.URL))
	role := aws.String("arn:aws:iam::" + ours + ":role/pod")
	cluster := aws.String("dev")

	made, err := client.CreatePodIdentityAssociation(ctx, &awseks.CreatePodIdentityAssociationInput{
		ClusterName: cluster, Namespace: aws.String("default"), ServiceAccount: aws.String("app"), RoleArn: role, Tags: map[string]string{"env": "dev"},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := made.Association.AssociationId
	if got := aws.ToTime(made.Association.CreatedAt); time.Since(got) > time.Minute || time.Since(got) < -time.Minute {
		t.Errorf("createdAt %s, want now", got)
	}
	_, err = client.CreatePodIdentityAssociation(ctx, &awseks.CreatePodIdentityAssociationInput{
		ClusterName: cluster, Namespace: aws.String("default"), ServiceAccount: aws.String("app"), RoleArn: role,
	})
	var taken *ekstypes.ResourceInUseException
	if !errors.As(err, &taken) || aws.ToString(taken.Message) != "Association already exists: "+*id {
		t.Errorf("a second association: %v, want ResourceInUseException with the first one's id", err)
	}
	updated, err := client.UpdatePodIdentityAssociation(ctx, &awseks.UpdatePodIdentityAssociationInput{
		ClusterName: cluster, AssociationId: id, RoleArn: aws.String("arn:aws:iam::" + ours + ":role/nobody"),
	})
	if err != nil || aws.ToString(updated.Association.RoleArn) != "arn:aws:iam::"+ours+":role/nobody" {
		t.Errorf("updated: %v %v", updated, err)
	}
	arn := made.Association.AssociationArn
	if _, err := client.TagResource(ctx, &awseks.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"team": "pay & co", "env": "test"}}); err == nil {
		t.Error("a tag with & was accepted")
	} else {
		expect[*ekstypes.BadRequestException](t, "a tag with &", err)
	}
	if _, err := client.TagResource(ctx, &awseks.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"team": "pay/ü +1", "env": "test"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UntagResource(ctx, &awseks.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"env", "none"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := client.ListTagsForResource(ctx, &awseks.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"team": "pay/ü +1"}, tags.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	found, err := client.DescribePodIdentityAssociation(ctx, &awseks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: id})
	if err != nil || aws.ToString(found.Association.AssociationArn) != *arn {
		t.Errorf("described: %v %v", found, err)
	}
	if _, err := client.DeletePodIdentityAssociation(ctx, &awseks.DeletePodIdentityAssociationInput{ClusterName: cluster, AssociationId: id}); err != nil {
		t.Fatal(err)
	}
	_, err = client.DescribePodIdentityAssociation(ctx, &awseks.DescribePodIdentityAssociationInput{ClusterName: cluster, AssociationId: id})
	expect[*ekstypes.ResourceNotFoundException](t, "a deleted association", err)
	_, err = client.ListTagsForResource(ctx, &awseks.ListTagsForResourceInput{ResourceArn: arn})
	expect[*ekstypes.NotFoundException](t, "tags of a deleted association", err)
	_, err = client.CreatePodIdentityAssociation(ctx, &awseks.CreatePodIdentityAssociationInput{
		ClusterName: cluster, Namespace: aws.String("Default"), ServiceAccount: aws.String("app"), RoleArn: role,
	})
	expect[*ekstypes.InvalidParameterException](t, "a bad namespace", err)
	_, err = awseks.NewFromConfig(sdk(w.role(t, ours, "nobody"), server.URL)).DescribeCluster(ctx, &awseks.DescribeClusterInput{Name: cluster})
	if code := codeOf(err); code != "AccessDeniedException" {
		t.Errorf("denied: %q, want AccessDeniedException", code)
	}
}

// codeOf returns the code of an error that has no type of its own.
func codeOf(err error) string {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestSDKPages(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	ctx := t.Context()
	client := awseks.NewFromConfig(sdk(admin, server.URL))
	want := map[string]bool{}
	for i := range 105 {
		made, err := client.CreatePodIdentityAssociation(ctx, &awseks.CreatePodIdentityAssociationInput{
			ClusterName: aws.String("dev"), Namespace: aws.String(fmt.Sprintf("ns-%d", i%7)), ServiceAccount: aws.String(fmt.Sprintf("app-%d", i)),
			RoleArn: aws.String("arn:aws:iam::" + ours + ":role/pod"),
		})
		if err != nil {
			t.Fatal(err)
		}
		want[aws.ToString(made.Association.AssociationId)] = true
	}
	for _, size := range []int32{0, 1, 10, 100} {
		in := &awseks.ListPodIdentityAssociationsInput{ClusterName: aws.String("dev")}
		if size > 0 {
			in.MaxResults = aws.Int32(size)
		}
		seen, pages := map[string]bool{}, 0
		for p := awseks.NewListPodIdentityAssociationsPaginator(client, in); p.HasMorePages(); pages++ {
			page, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range page.Associations {
				if seen[aws.ToString(a.AssociationId)] {
					t.Errorf("pages of %d: %s came twice", size, aws.ToString(a.AssociationId))
				}
				seen[aws.ToString(a.AssociationId)] = true
			}
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", size, diff)
		}
		if min := 105 / max(1, int(size)); size > 0 && pages < min {
			t.Errorf("pages of %d: there were %d of them, want at least %d", size, pages, min)
		}
	}
	names := 0
	for p := awsiam.NewListRolesPaginator(awsiam.NewFromConfig(sdk(admin, server.URL)), &awsiam.ListRolesInput{MaxItems: aws.Int32(1)}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		names += len(page.Roles)
	}
	if names != 4 { // nobody, pod, and the cluster's two
		t.Errorf("pages of one role had %d roles, want 4", names)
	}
}

func TestSDKClusters(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	ctx := t.Context()
	client := awseks.NewFromConfig(sdk(admin, server.URL))
	made, err := client.RegisterCluster(ctx, &awseks.RegisterClusterInput{
		Name: aws.String("other"), ConnectorConfig: &ekstypes.ConnectorConfigRequest{
			Provider: ekstypes.ConnectorConfigProviderOther, RoleArn: aws.String("arn:aws:iam::" + ours + ":role/connector"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := made.Cluster; c.Status != ekstypes.ClusterStatusPending || aws.ToString(c.ConnectorConfig.ActivationCode) == "" {
		t.Errorf("registered: %s, with a code of %d characters", c.Status, len(aws.ToString(c.ConnectorConfig.ActivationCode)))
	}
	quick := func(o *awseks.ClusterActiveWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond
	}
	active, err := awseks.NewClusterActiveWaiter(client).WaitForOutput(ctx, &awseks.DescribeClusterInput{Name: aws.String("dev")}, time.Minute, quick)
	if err != nil || aws.ToString(active.Cluster.Identity.Oidc.Issuer) != issuer {
		t.Errorf("waiting for the active cluster: %v %v", active, err)
	}
	if _, err := client.DeregisterCluster(ctx, &awseks.DeregisterClusterInput{Name: aws.String("other")}); err != nil {
		t.Fatal(err)
	}
	gone := func(o *awseks.ClusterDeletedWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond
	}
	if err := awseks.NewClusterDeletedWaiter(client).Wait(ctx, &awseks.DescribeClusterInput{Name: aws.String("other")}, time.Minute, gone); err != nil {
		t.Errorf("waiting for the cluster to be gone: %v", err)
	}
}

func TestSDKRoles(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	ctx := t.Context()
	client := awsiam.NewFromConfig(sdk(admin, server.URL))
	odd := `{"Version":"2012-10-17","Statement":[{"Sid":"Odd","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},` +
		`"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringLike":{"aws:RequestTag/kubernetes-namespace":"100%25 + é~ÿ &;=?*"}}}]}`
	name := aws.String("odd+role@example,=._-")
	made, err := client.CreateRole(ctx, &awsiam.CreateRoleInput{
		RoleName: name, AssumeRolePolicyDocument: aws.String(odd), Path: aws.String("/team/"), Description: aws.String("a & b <c>"),
		Tags: []iamtypes.Tag{{Key: aws.String("env"), Value: aws.String("a+b =/ü")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	checkDocument(t, "CreateRole", made.Role.AssumeRolePolicyDocument, odd)
	found, err := client.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name})
	if err != nil {
		t.Fatal(err)
	}
	checkDocument(t, "GetRole", found.Role.AssumeRolePolicyDocument, odd)
	if r := found.Role; aws.ToString(r.Description) != "a & b <c>" || aws.ToString(r.Arn) != "arn:aws:iam::"+ours+":role/team/"+*name || aws.ToString(r.Tags[0].Value) != "a+b =/ü" {
		t.Errorf("GetRole: %+v", r)
	}
	inline := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/100%25+é /*"}}`
	if _, err := client.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("p"), PolicyDocument: aws.String(inline)}); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("p")})
	if err != nil {
		t.Fatal(err)
	}
	checkDocument(t, "GetRolePolicy", got.PolicyDocument, inline)
	_, err = client.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: name})
	expect[*iamtypes.DeleteConflictException](t, "a role with a policy", err)
	_, err = client.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(odd)})
	expect[*iamtypes.EntityAlreadyExistsException](t, "a second role of the name", err)
	_, err = client.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("q"), PolicyDocument: aws.String("{}")})
	expect[*iamtypes.MalformedPolicyDocumentException](t, "a policy of nothing", err)
	if _, err := client.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("p")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: name}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name})
	expect[*iamtypes.NoSuchEntityException](t, "a deleted role", err)
	exists := func(o *awsiam.RoleExistsWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond }
	if err := awsiam.NewRoleExistsWaiter(client).Wait(ctx, &awsiam.GetRoleInput{RoleName: aws.String("pod")}, time.Minute, exists); err != nil {
		t.Errorf("waiting for a role that is there: %v", err)
	}
	user, err := client.GetUser(ctx, &awsiam.GetUserInput{})
	if err != nil || aws.ToString(user.User.UserName) != "administrator" {
		t.Errorf("GetUser: %v %v", user, err)
	}
}

// checkDocument decodes a policy document both ways that clients do: RFC 3986's, and the form's where + is a space.
func checkDocument(t *testing.T, what string, got *string, want string) {
	t.Helper()
	for name, decode := range map[string]func(string) (string, error){"path": url.PathUnescape, "form": url.QueryUnescape} {
		text, err := decode(aws.ToString(got))
		if err != nil || text != want {
			t.Errorf("%s, decoded as a %s: %q %v, want %q", what, name, text, err, want)
		}
	}
}

func TestSDKCredentials(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	association := w.associate(t, ours)
	server := w.serve(t, w.config())
	ctx := t.Context()
	agentARN, token := w.agentRole(t, ours), w.token(t, agentToken(w.clock()))
	anonymous := awssts.NewFromConfig(aws.Config{Region: region, BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1})
	web, err := anonymous.AssumeRoleWithWebIdentity(ctx, &awssts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(agentARN), RoleSessionName: aws.String("agent"), WebIdentityToken: aws.String(token),
	})
	if err != nil {
		t.Fatal(err)
	}
	agent := signer{*web.Credentials.AccessKeyId, *web.Credentials.SecretAccessKey, *web.Credentials.SessionToken}
	_, err = anonymous.AssumeRoleWithWebIdentity(ctx, &awssts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(agentARN), RoleSessionName: aws.String("agent"), WebIdentityToken: aws.String(token[:len(token)-4]),
	})
	expect[*ststypes.InvalidIdentityTokenException](t, "a broken token", err)

	client := awseksauth.NewFromConfig(sdk(agent, server.URL))
	pod := func(ctx context.Context, token string) (*awseksauth.AssumeRoleForPodIdentityOutput, error) {
		return client.AssumeRoleForPodIdentity(ctx, &awseksauth.AssumeRoleForPodIdentityInput{ClusterName: aws.String("dev"), Token: aws.String(token)})
	}
	granted, err := pod(ctx, w.token(t, podToken(w.clock())))
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(granted.PodIdentityAssociation.AssociationId); got != association.ID {
		t.Errorf("association %s, want %s", got, association.ID)
	}
	until := time.Until(aws.ToTime(granted.Credentials.Expiration))
	if until < 5*time.Hour || until > 6*time.Hour {
		t.Errorf("credentials for %s, want about six hours", until)
	}
	_, err = pod(ctx, w.token(t, podToken(w.clock().Add(-2*time.Hour))))
	expect[*authtypes.ExpiredTokenException](t, "an expired token", err)
	_, err = pod(ctx, w.token(t, agentToken(w.clock())))
	expect[*authtypes.InvalidTokenException](t, "a token for another audience", err)
	_, err = client.AssumeRoleForPodIdentity(ctx, &awseksauth.AssumeRoleForPodIdentityInput{ClusterName: aws.String("none"), Token: aws.String("x.y.z")})
	expect[*authtypes.AccessDeniedException](t, "another cluster", err)

	self := signer{*granted.Credentials.AccessKeyId, *granted.Credentials.SecretAccessKey, *granted.Credentials.SessionToken}
	who, err := awssts.NewFromConfig(sdk(self, server.URL)).GetCallerIdentity(ctx, &awssts.GetCallerIdentityInput{})
	if err != nil || aws.ToString(who.Arn) != aws.ToString(granted.AssumedRoleUser.Arn) || aws.ToString(who.UserId) != aws.ToString(granted.AssumedRoleUser.AssumeRoleId) {
		t.Errorf("the pod is %v (%v), want %s", who, err, aws.ToString(granted.AssumedRoleUser.Arn))
	}
	if _, err := w.registry.DeleteAssociation(ctx, ours, "dev", association.ID); err != nil {
		t.Fatal(err)
	}
	_, err = pod(ctx, w.token(t, podToken(w.clock())))
	expect[*authtypes.ResourceNotFoundException](t, "a deleted association", err)
	_, err = awssts.NewFromConfig(sdk(self, server.URL)).GetCallerIdentity(ctx, &awssts.GetCallerIdentityInput{})
	if code := codeOf(err); code != "ExpiredToken" {
		t.Errorf("the pod of a deleted association: %q, want ExpiredToken", code)
	}
}

// TestSDKWaitersAndPages is every paginator and waiter that the SDK has for what is built of EKS: each comes to its end.
func TestSDKWaitersAndPages(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	w.associate(t, ours)
	server := w.serve(t, w.config())
	ctx := t.Context()
	client := awseks.NewFromConfig(sdk(admin, server.URL))
	cluster, addon := aws.String("dev"), aws.String("eks-pod-identity-agent")
	for _, name := range []string{"a", "b"} {
		if _, err := client.RegisterCluster(ctx, &awseks.RegisterClusterInput{Name: aws.String(name), ConnectorConfig: &ekstypes.ConnectorConfigRequest{
			Provider: ekstypes.ConnectorConfigProviderOther, RoleArn: aws.String("arn:aws:iam::" + ours + ":role/connector"),
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.CreateAddon(ctx, &awseks.CreateAddonInput{ClusterName: cluster, AddonName: addon}); err != nil {
		t.Fatal(err)
	}
	one := aws.Int32(1)
	clusters := awseks.NewListClustersPaginator(client, &awseks.ListClustersInput{MaxResults: one, Include: []string{"all"}})
	associations := awseks.NewListPodIdentityAssociationsPaginator(client, &awseks.ListPodIdentityAssociationsInput{ClusterName: cluster, MaxResults: one})
	addons := awseks.NewListAddonsPaginator(client, &awseks.ListAddonsInput{ClusterName: cluster, MaxResults: one})
	updates := awseks.NewListUpdatesPaginator(client, &awseks.ListUpdatesInput{Name: cluster, AddonName: addon, MaxResults: one})
	versions := awseks.NewDescribeAddonVersionsPaginator(client, &awseks.DescribeAddonVersionsInput{AddonName: addon, MaxResults: one})
	got := map[string]int{
		"clusters": pages(t, clusters.HasMorePages, func() (int, error) {
			p, err := clusters.NextPage(ctx)
			return sizeOf(p != nil, func() int { return len(p.Clusters) }), err
		}),
		"associations": pages(t, associations.HasMorePages, func() (int, error) {
			p, err := associations.NextPage(ctx)
			return sizeOf(p != nil, func() int { return len(p.Associations) }), err
		}),
		"addons": pages(t, addons.HasMorePages, func() (int, error) {
			p, err := addons.NextPage(ctx)
			return sizeOf(p != nil, func() int { return len(p.Addons) }), err
		}),
		"updates": pages(t, updates.HasMorePages, func() (int, error) {
			p, err := updates.NextPage(ctx)
			return sizeOf(p != nil, func() int { return len(p.UpdateIds) }), err
		}),
		"versions": pages(t, versions.HasMorePages, func() (int, error) {
			p, err := versions.NextPage(ctx)
			return sizeOf(p != nil, func() int { return len(p.Addons) }), err
		}),
	}
	if diff := cmp.Diff(map[string]int{"clusters": 3, "associations": 1, "addons": 1, "updates": 0, "versions": 1}, got); diff != "" {
		t.Errorf("seen by pages of one (-want +got):\n%s", diff)
	}
	gone := func(o *awseks.AddonDeletedWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond }
	if err := awseks.NewAddonDeletedWaiter(client).Wait(ctx, &awseks.DescribeAddonInput{ClusterName: aws.String("a"), AddonName: addon}, time.Minute, gone); err != nil {
		t.Errorf("waiting for an add-on that is not there: %v", err)
	}
}

// pages counts what the pages of one have.
func pages(t *testing.T, more func() bool, next func() (int, error)) (all int) {
	t.Helper()
	for more() {
		n, err := next()
		if err != nil || n > 1 {
			t.Fatalf("a page of %d: %v", n, err)
		}
		all += n
	}
	return all
}

func sizeOf(there bool, size func() int) int {
	if !there {
		return 0
	}
	return size()
}
