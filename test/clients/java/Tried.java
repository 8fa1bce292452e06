import java.util.LinkedHashMap;
import java.util.Map;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.thirdparty.jackson.core.JsonFactory;

/**
 * The AWS SDK for Java's part of the suite: {@code java Tried SECTION} tries a section's cases in order and tells each on a
 * line of its own. Nothing names credentials, but where a wrong one is the case.
 */
public final class Tried {
  private Tried() {}

  /** A case says what the table is to have beyond yes, or null. */
  interface Case {
    String attempt() throws Exception;
  }

  /** A case that has no more to say than yes. */
  interface Plain {
    void attempt() throws Exception;
  }

  static Case plain(Plain p) {
    return () -> {
      p.attempt();
      return null;
    };
  }

  private static Map<String, Case> section(String name) {
    Map<String, Case> cases = new LinkedHashMap<>();
    switch (name) {
      case "pod" -> S3.pod(cases);
      case "uploads" -> S3.uploads(cases);
      case "stranger" -> cases.put("the agent's reason", S3::agentSaysNo);
      case "plain" -> cases.put("the reason as AWS's agent tells it", S3::agentSaysNo);
      case "refresh" -> cases.put("refresh across an expiry", plain(Management::expiry));
      case "eks" -> cases.put("clusters and associations", plain(Management::clustersAndAssociations));
      case "iam" -> cases.put("roles and policies", plain(Management::rolesAndPolicies));
      case "signing" -> {
        cases.put("any region", plain(Management::anyRegion));
        cases.put("wrong secret, unknown key", plain(Management::wrongKeys));
      }
      case "agent" -> {
        cases.put("AssumeRoleWithWebIdentity by the default chain", plain(Management::webIdentity));
        cases.put("AssumeRoleWithWebIdentity, refused", plain(Management::webIdentityRefused));
      }
      case "tls" -> cases.put("own CA by the injected variables", Management::ownCA);
      case "version" -> cases.put("version", () -> VersionInfo.SDK_VERSION);
      default -> throw new IllegalArgumentException("no section " + name);
    }
    return cases;
  }

  public static void main(String[] args) throws Exception {
    for (Map.Entry<String, Case> c : section(args[0]).entrySet()) {
      String error = null;
      String note = null;
      try {
        note = c.getValue().attempt();
      } catch (Throwable e) { // whatever a case ends with is what it has to tell
        error = e.toString();
      }
      tell(c.getKey(), error, note);
    }
    System.exit(0); // idle connections keep threads alive
  }

  private static void tell(String name, String error, String note) throws Exception {
    var out = new java.io.StringWriter();
    try (var json = new JsonFactory().createGenerator(out)) {
      json.writeStartObject();
      json.writeStringField("case", name);
      json.writeStringField("error", error);
      json.writeStringField("note", note == null ? "" : note);
      json.writeEndObject();
    }
    System.out.println(out);
  }
}
