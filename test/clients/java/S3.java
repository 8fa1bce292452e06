import static software.amazon.awssdk.core.sync.RequestBody.fromString;

import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.eks.EksClient;
import software.amazon.awssdk.services.iam.IamClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.services.sts.StsClient;

/** As a pod: objects and buckets, and what a pod is refused. */
final class S3 {
  private S3() {}

  private static final String BUCKET = "pod-java-sdk";
  private static final String UPLOADS = "pod-uploads-java";
  private static final S3Client S3 = Ask.once(S3Client.builder()).build();

  static void pod(Map<String, Tried.Case> cases) {
    cases.put("credentials by the default chain", Tried.plain(() -> byDefaultChain()));
    cases.put("buckets", Tried.plain(() -> buckets()));
    cases.put("objects", Tried.plain(() -> objects()));
    cases.put("odd keys", Tried.plain(() -> oddKeys()));
    cases.put("listing", Tried.plain(() -> listing()));
    cases.put("AccessDenied", Tried.plain(() -> accessDenied()));
    cases.put("EKS and IAM are denied to a pod", Tried.plain(() -> managementDenied()));
  }

  static void uploads(Map<String, Tried.Case> cases) {
    cases.put("upload of a stream", Tried.plain(() -> stream()));
    cases.put("multipart upload", Tried.plain(() -> multipart()));
    cases.put("presigned URL", Tried.plain(() -> presigned()));
  }

  private static void put(String bucket, String key, String text) {
    S3.putObject(r -> r.bucket(bucket).key(key), fromString(text));
  }

  private static String get(String bucket, String key) {
    return S3.getObjectAsBytes(r -> r.bucket(bucket).key(key)).asUtf8String();
  }

  private static void byDefaultChain() {
    Ask.contains(DefaultCredentialsProvider.builder().build().resolveCredentials().accessKeyId(), "ASIA", "access key id");
    String arn = Ask.once(StsClient.builder()).build().getCallerIdentity().arn();
    Ask.contains(arn, ":assumed-role/" + Ask.ROLE + "/eks-dev-java-sdk-", "arn");
  }

  private static void buckets() throws Exception {
    List<String> names = S3.listBuckets().buckets().stream().map(b -> b.name()).toList();
    Ask.contains(names, "infra-lower-c65432gh", "buckets");
    Ask.contains(names, "eks-charts-manifest-67565rr", "buckets");
    S3.createBucket(r -> r.bucket(BUCKET));
    Ask.refused("BucketAlreadyOwnedByYou", "", () -> S3.createBucket(r -> r.bucket(BUCKET)));
    S3.headBucket(r -> r.bucket(BUCKET));
    try {
      S3.headBucket(r -> r.bucket("pod-missing"));
      throw new AssertionError("a missing bucket is there");
    } catch (AwsServiceException e) {
      Ask.equal(e.statusCode(), 404, "status");
    }
    put(BUCKET, "last", "");
    Ask.refused("BucketNotEmpty", "", () -> S3.deleteBucket(r -> r.bucket(BUCKET)));
    S3.deleteObject(r -> r.bucket(BUCKET).key("last"));
    S3.deleteBucket(r -> r.bucket(BUCKET));
    Ask.refused("NoSuchBucket", "", () -> S3.listObjectsV2(r -> r.bucket(BUCKET)));
    S3.createBucket(r -> r.bucket(BUCKET));
  }

  private static void objects() throws Exception {
    byte[] large = new byte[3_000_000];
    Arrays.fill(large, (byte) 'p');
    S3.putObject(r -> r.bucket(BUCKET).key("small.txt").contentType("text/plain").metadata(Map.of("team", "pay")), fromString(Ask.SMALL));
    S3.putObject(r -> r.bucket(BUCKET).key("large.bin"), RequestBody.fromBytes(large));
    Ask.equal(get(BUCKET, "small.txt"), Ask.SMALL, "small.txt");
    Ask.equal(Arrays.equals(S3.getObjectAsBytes(r -> r.bucket(BUCKET).key("large.bin")).asByteArray(), large), true, "large.bin is what it was");
    var head = S3.headObject(r -> r.bucket(BUCKET).key("small.txt"));
    Ask.equal(head.contentLength(), (long) Ask.SMALL.length(), "length");
    Ask.equal(head.metadata(), Map.of("team", "pay"), "metadata");
    byte[] part = S3.getObjectAsBytes(r -> r.bucket(BUCKET).key("large.bin").range("bytes=1000000-1000099")).asByteArray();
    Ask.equal(part.length, 100, "bytes of a range");
    Ask.refused("PreconditionFailed", "", () -> S3.getObjectAsBytes(r -> r.bucket(BUCKET).key("small.txt").ifMatch("\"other\"")));
    Ask.refused("PreconditionFailed", "", () -> S3.putObject(r -> r.bucket(BUCKET).key("small.txt").ifNoneMatch("*"), fromString("new")));
    S3.deleteObject(r -> r.bucket(BUCKET).key("small.txt"));
    var gone = Ask.refused("NoSuchKey", "", () -> get(BUCKET, "small.txt"));
    Ask.equal(gone.getClass(), NoSuchKeyException.class, "class");
  }

  private static void oddKeys() {
    List<String> want = Ask.strings(System.getenv("TRIED_ODD_KEYS")).stream().map(k -> "odd/" + k).sorted().toList();
    Ask.equal(want.isEmpty(), false, "there is no key to try");
    want.forEach(key -> put(BUCKET, key, key));
    var got = S3.listObjectsV2(r -> r.bucket(BUCKET).prefix("odd/")).contents().stream().map(o -> o.key()).sorted().toList();
    Ask.equal(got, want, "keys");
    for (String key : want) {
      Ask.equal(get(BUCKET, key), key, "object");
      S3.deleteObject(r -> r.bucket(BUCKET).key(key));
    }
  }

  private static void listing() {
    List.of("list/0", "list/1", "list/2", "list/deep/er").forEach(key -> put(BUCKET, key, ""));
    List<String> found = new ArrayList<>();
    S3.listObjectsV2Paginator(r -> r.bucket(BUCKET).prefix("list/").delimiter("/").maxKeys(2))
        .forEach(
            page -> {
              page.contents().forEach(o -> found.add(o.key()));
              page.commonPrefixes().forEach(p -> found.add(p.prefix()));
            });
    Ask.equal(found, List.of("list/0", "list/1", "list/2", "list/deep/"), "keys");
  }

  private static void accessDenied() throws Exception {
    Ask.refused("AccessDenied", "s3:PutObject", () -> S3.putObject(r -> r.bucket(BUCKET).key("secret/x"), fromString("x")));
    Ask.refused("AccessDenied", "s3:GetObject", () -> get(BUCKET, "secret/x"));
    Ask.refused("AccessDenied", "s3:CreateBucket", () -> S3.createBucket(r -> r.bucket("not-ours")));
    Ask.refused("AccessDenied", "s3:ListBucket", () -> S3.listObjectsV2(r -> r.bucket("infra-lower-c65432gh")));
    Ask.refused("NotImplemented", "", () -> S3.putBucketPolicy(r -> r.bucket(BUCKET).policy("{}")));
  }

  private static void managementDenied() throws Exception {
    URI at = URI.create(Ask.ENDPOINT);
    var eks = Ask.once(EksClient.builder()).endpointOverride(at).build();
    Ask.refused("AccessDeniedException", "eks:ListClusters", () -> eks.listClusters());
    var iam = Ask.once(IamClient.builder()).endpointOverride(at).build();
    Ask.refused("AccessDenied", "iam:GetRole", () -> iam.getRole(r -> r.roleName(Ask.ROLE)));
  }

  private static void stream() {
    S3.createBucket(r -> r.bucket(UPLOADS));
    // A source that can be read once, and not be gone back in, as a network's.
    var once = new java.io.SequenceInputStream(bytes("a stream "), bytes("in two parts\n"));
    S3.putObject(r -> r.bucket(UPLOADS).key("stream"), RequestBody.fromInputStream(once, 22));
    Ask.equal(get(UPLOADS, "stream"), "a stream in two parts\n", "stream");
  }

  private static ByteArrayInputStream bytes(String text) {
    return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
  }

  private static void multipart() {
    String id = S3.createMultipartUpload(r -> r.bucket(UPLOADS).key("parts")).uploadId();
    List<String> pieces = List.of("a".repeat(5 << 20), "the end");
    List<CompletedPart> parts = new ArrayList<>();
    for (int i = 0; i < pieces.size(); i++) {
      int number = i + 1;
      var part = S3.uploadPart(r -> r.bucket(UPLOADS).key("parts").uploadId(id).partNumber(number), fromString(pieces.get(i)));
      parts.add(CompletedPart.builder().partNumber(number).eTag(part.eTag()).build());
    }
    S3.completeMultipartUpload(r -> r.bucket(UPLOADS).key("parts").uploadId(id).multipartUpload(m -> m.parts(parts)));
    Ask.equal(get(UPLOADS, "parts").equals(String.join("", pieces)), true, "the object is its parts");
  }

  private static void presigned() throws Exception {
    put(UPLOADS, "small.txt", Ask.SMALL);
    try (S3Presigner presigner = S3Presigner.builder().s3Client(S3).build()) {
      var url = presigner.presignGetObject(p -> p.signatureDuration(Duration.ofMinutes(1)).getObjectRequest(r -> r.bucket(UPLOADS).key("small.txt"))).url();
      var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(url.toURI()).build(), HttpResponse.BodyHandlers.ofString());
      Ask.equal(answer.body(), Ask.SMALL, "answer");
    }
  }

  static String agentSaysNo() {
    try {
      S3.listBuckets();
    } catch (SdkClientException e) {
      return e.getMessage().contains("No pod identity association found") ? "shown" : "lost by the SDK";
    }
    throw new AssertionError("a pod without an association got credentials");
  }
}
