import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import software.amazon.awssdk.awscore.client.builder.AwsClientBuilder;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.client.config.ClientOverrideConfiguration;
import software.amazon.awssdk.retries.DefaultRetryStrategy;

/** What every section needs: clients that take who they are from the environment, and how an answer is judged. */
final class Ask {
  private Ask() {}

  static final String ROLE = System.getenv("TRIED_ROLE");
  static final String TRUST = System.getenv("TRIED_TRUST");
  static final String ENDPOINT = System.getenv("TRIED_ENDPOINT");
  static final String POD_TOKEN = System.getenv("TRIED_POD_TOKEN");
  static final String SMALL = "hello from a pod\n";

  /** One attempt: what is answered first is what is judged. A deadline, so that a server that hangs fails a case. */
  static <B extends AwsClientBuilder<B, C>, C> B once(B builder) {
    return builder.overrideConfiguration(
        ClientOverrideConfiguration.builder()
            .retryStrategy(DefaultRetryStrategy.doNotRetry())
            .apiCallTimeout(Duration.ofSeconds(20))
            .build());
  }

  static void equal(Object got, Object want, String what) {
    if (!Objects.equals(got, want)) {
      throw new AssertionError(what + ": got " + got + ", want " + want);
    }
  }

  static void contains(String got, String want, String what) {
    if (got == null || !got.contains(want)) {
      throw new AssertionError(what + ": got " + got + ", want it to contain " + want);
    }
  }

  static void contains(List<?> got, Object want, String what) {
    if (!got.contains(want)) {
      throw new AssertionError(what + ": got " + got + ", want it to contain " + want);
    }
  }

  /** Wants the service to answer an error code and a message. */
  static AwsServiceException refused(String code, String message, Callable<?> call) throws Exception {
    Object got;
    try {
      got = call.call();
    } catch (AwsServiceException e) {
      equal(e.awsErrorDetails().errorCode(), code, "code of " + e.getMessage());
      contains(e.getMessage(), message, "message");
      return e;
    }
    throw new AssertionError("got " + got + ", want to be refused with " + code);
  }

  /** The strings of a JSON array that the suite wrote. */
  static List<String> strings(String json) {
    return software.amazon.awssdk.protocols.jsoncore.JsonNode.parser().parse(json).asArray().stream()
        .map(n -> n.asString())
        .toList();
  }
}
