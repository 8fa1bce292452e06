import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.securitytoken.AWSSecurityTokenServiceClientBuilder;
import com.amazonaws.services.securitytoken.model.GetCallerIdentityRequest;
import java.net.URI;
import software.amazon.awssdk.services.sts.StsClient;

/** A pod of the oldest AWS SDKs for Java, 1 or 2, that know Pod Identity: who am I, by the default chain? */
class Oldest {
    public static void main(String[] args) {
        String endpoint = System.getenv("AWS_ENDPOINT_URL_STS");
        System.out.println(args[0].equals("1") ? first(endpoint) : second(endpoint));
    }

    private static String first(String endpoint) {
        return AWSSecurityTokenServiceClientBuilder.standard()
                .withEndpointConfiguration(new EndpointConfiguration(endpoint, System.getenv("AWS_REGION")))
                .build()
                .getCallerIdentity(new GetCallerIdentityRequest())
                .getArn();
    }

    private static String second(String endpoint) {
        try (StsClient sts = StsClient.builder().endpointOverride(URI.create(endpoint)).build()) {
            return sts.getCallerIdentity().arn();
        }
    }
}
