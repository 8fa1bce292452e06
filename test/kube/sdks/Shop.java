import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;

/** Writes an object with the AWS SDK for Java as any program does, and reads it again: Shop BUCKET KEY. */
final class Shop {
  private Shop() {}

  public static void main(String[] args) {
    String bucket = args[0];
    String key = args[1];
    String text = key.repeat(10_000);
    try (S3Client s3 = S3Client.create()) {
      s3.putObject(r -> r.bucket(bucket).key(key), RequestBody.fromString(text));
      String back = s3.getObjectAsBytes(r -> r.bucket(bucket).key(key)).asUtf8String();
      if (!back.equals(text)) {
        throw new AssertionError("read " + back.length() + " characters, want the " + text.length() + " that were written");
      }
      System.out.println("wrote and read " + back.length() + " bytes");
    }
  }
}
