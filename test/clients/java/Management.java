import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.eks.EksClient;
import software.amazon.awssdk.services.eks.model.ResourceInUseException;
import software.amazon.awssdk.services.iam.IamClient;
import software.amazon.awssdk.services.iam.model.NoSuchEntityException;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.sts.StsClient;

/** As the administrator: EKS, IAM and signatures. As the node's agent: web identity. As a pod: credentials that expire. */
final class Management {
  private Management() {}

  private static final String ROLE_ARN = "arn:aws:iam::111122223333:role/" + Ask.ROLE;

  static void clustersAndAssociations() throws Exception {
    EksClient eks = Ask.once(EksClient.builder()).build();
    Ask.contains(eks.listClusters().clusters(), "dev", "clusters");
    Ask.equal(eks.describeCluster(r -> r.name("dev")).cluster().statusAsString(), "ACTIVE", "status");
    Ask.refused("ResourceNotFoundException", "No cluster found for name: absent.", () -> eks.describeCluster(r -> r.name("absent")));

    var made =
        eks.createPodIdentityAssociation(r -> r.clusterName("dev").namespace("java").serviceAccount("reporter").roleArn(ROLE_ARN).tags(Map.of("a", "1")))
            .association();
    var again =
        Ask.refused(
            "ResourceInUseException",
            made.associationId(),
            () -> eks.createPodIdentityAssociation(r -> r.clusterName("dev").namespace("java").serviceAccount("reporter").roleArn(ROLE_ARN)));
    Ask.equal(again.getClass(), ResourceInUseException.class, "class");
    var found = eks.listPodIdentityAssociations(r -> r.clusterName("dev").namespace("java")).associations();
    Ask.equal(found.stream().map(a -> a.associationId()).toList(), List.of(made.associationId()), "associations");
    String id = made.associationId();
    Ask.equal(eks.describePodIdentityAssociation(r -> r.clusterName("dev").associationId(id)).association().roleArn(), ROLE_ARN, "role");
    String other = "arn:aws:iam::111122223333:role/ec2-restart-role";
    Ask.equal(eks.updatePodIdentityAssociation(r -> r.clusterName("dev").associationId(id).roleArn(other)).association().roleArn(), other, "role");
    eks.tagResource(r -> r.resourceArn(made.associationArn()).tags(Map.of("b", "2")));
    eks.untagResource(r -> r.resourceArn(made.associationArn()).tagKeys("a"));
    Ask.equal(eks.listTagsForResource(r -> r.resourceArn(made.associationArn())).tags(), Map.of("b", "2"), "tags");
    Ask.refused(
        "InvalidParameterException",
        "Role provided in the request does not exist.",
        () ->
            eks.createPodIdentityAssociation(
                r -> r.clusterName("dev").namespace("java").serviceAccount("bad").roleArn("arn:aws:iam::111122223333:role/absent")));
    eks.deletePodIdentityAssociation(r -> r.clusterName("dev").associationId(id));
    Ask.refused("ResourceNotFoundException", "", () -> eks.deletePodIdentityAssociation(r -> r.clusterName("dev").associationId(id)));
  }

  static void rolesAndPolicies() throws Exception {
    IamClient iam = Ask.once(IamClient.builder()).build();
    String role = "java-role";
    String policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"*\"}]}";
    Ask.equal(iam.createRole(r -> r.roleName(role).assumeRolePolicyDocument(Ask.TRUST)).role().arn(), "arn:aws:iam::111122223333:role/java-role", "arn");
    Ask.refused("EntityAlreadyExists", role, () -> iam.createRole(r -> r.roleName(role).assumeRolePolicyDocument(Ask.TRUST)));
    Ask.equal(decoded(iam.getRole(r -> r.roleName(role)).role().assumeRolePolicyDocument()), Ask.TRUST, "trust");
    iam.putRolePolicy(r -> r.roleName(role).policyName("read").policyDocument(policy));
    Ask.equal(decoded(iam.getRolePolicy(r -> r.roleName(role).policyName("read")).policyDocument()), policy, "policy");
    Ask.refused("MalformedPolicyDocument", "", () -> iam.putRolePolicy(r -> r.roleName(role).policyName("bad").policyDocument("{\"Statement\":[]}")));
    Ask.refused("DeleteConflict", "", () -> iam.deleteRole(r -> r.roleName(role)));
    iam.deleteRolePolicy(r -> r.roleName(role).policyName("read"));
    iam.deleteRole(r -> r.roleName(role));
    var gone = Ask.refused("NoSuchEntity", role, () -> iam.getRole(r -> r.roleName(role)));
    Ask.equal(gone.getClass(), NoSuchEntityException.class, "class");
    Ask.equal(iam.getUser().user().userName(), "administrator", "user");
  }

  private static String decoded(String text) {
    return URLDecoder.decode(text, StandardCharsets.UTF_8);
  }

  static void anyRegion() {
    Ask.once(S3Client.builder()).region(Region.EU_WEST_1).build().listBuckets();
    Ask.once(IamClient.builder()).region(Region.EU_WEST_1).build().getUser();
    Ask.once(EksClient.builder()).region(Region.EU_WEST_1).build().listClusters();
  }

  static void wrongKeys() throws Exception {
    refusedEverywhere(System.getenv("AWS_ACCESS_KEY_ID"), "SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException");
    refusedEverywhere("AKIAIOSFODNN7EXAMPLE", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException");
  }

  private static void refusedEverywhere(String id, String s3Code, String iamCode, String eksCode) throws Exception {
    AwsCredentialsProvider wrong = StaticCredentialsProvider.create(AwsBasicCredentials.create(id, "wrong"));
    Ask.refused(s3Code, "", () -> Ask.once(S3Client.builder()).credentialsProvider(wrong).build().listBuckets());
    Ask.refused(iamCode, "", () -> Ask.once(IamClient.builder()).credentialsProvider(wrong).build().getUser());
    Ask.refused(eksCode, "", () -> Ask.once(EksClient.builder()).credentialsProvider(wrong).build().listClusters());
  }

  static void webIdentity() {
    Ask.contains(Ask.once(StsClient.builder()).build().getCallerIdentity().arn(), ":assumed-role/lanyard-agent-", "arn");
  }

  static void webIdentityRefused() throws Exception {
    StsClient sts = Ask.once(StsClient.builder()).build();
    for (String token : List.of(Ask.POD_TOKEN, "x.y.z")) {
      Ask.refused(
          "InvalidIdentityToken",
          "",
          () -> sts.assumeRoleWithWebIdentity(r -> r.roleArn(System.getenv("AWS_ROLE_ARN")).roleSessionName("java").webIdentityToken(token)));
    }
  }

  /** Waits until the first session is refused as expired, which no client may be caught by. */
  static void expiry() throws Exception {
    var chain = DefaultCredentialsProvider.builder().build();
    StsClient sts = Ask.once(StsClient.builder()).credentialsProvider(chain).build();
    var first = chain.resolveCredentials();
    String before = sts.getCallerIdentity().arn();
    StsClient old = Ask.once(StsClient.builder()).credentialsProvider(StaticCredentialsProvider.create(first)).build();
    for (boolean live = true; live; Thread.sleep(100)) {
      try {
        old.getCallerIdentity();
      } catch (AwsServiceException e) {
        Ask.equal(e.awsErrorDetails().errorCode(), "ExpiredToken", "code of " + e.getMessage());
        live = false;
      }
    }
    String after = sts.getCallerIdentity().arn();
    Ask.contains(after, ":assumed-role/" + Ask.ROLE + "/", "arn");
    Ask.equal(after.equals(before), false, "the session is still the first one");
    Ask.equal(chain.resolveCredentials().accessKeyId().equals(first.accessKeyId()), false, "the expired key is still in use");
  }

  static String ownCA() {
    try {
      Ask.contains(Ask.once(StsClient.builder()).build().getCallerIdentity().arn(), ":user/", "arn");
    } catch (SdkClientException e) {
      Ask.contains(e.getMessage(), "certification path", "error");
      return "no: it needs a trust store";
    }
    return null;
  }
}
