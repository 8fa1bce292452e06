"""AWS's common runtime, as Mountpoint for S3 has it, by the client of S3's connector for PyTorch."""

from importlib.metadata import version

from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client

from ask import ENDPOINT, LARGE, ODD_KEYS, PARTS, REASON, SMALL, across_expiry, contains, equal, refusal, refused

BUCKET = "pod-mountpoint"


def s3():
    return MountpointS3Client(region="us-east-1", endpoint=ENDPOINT, force_path_style=True, max_attempts=1)


def put(key, *pieces):
    stream = s3().put_object(BUCKET, key)
    for piece in pieces:
        stream.write(piece)
    stream.close()


def get(key, **kwargs):
    return b"".join(s3().get_object(BUCKET, key, **kwargs))


def names(prefix, bucket=BUCKET):
    return sorted(o.key for page in s3().list_objects(bucket, prefix=prefix) for o in page.object_info)


def by_default_chain():
    put("who", SMALL)
    equal(get("who"), SMALL)
    s3().delete_object(BUCKET, "who")
    return "yes; the endpoint has to be given"


def objects():
    put("a/small.txt", SMALL)
    put("a/large.bin", LARGE)
    equal(get("a/small.txt"), SMALL)
    equal(get("a/large.bin", start=1_000_000, end=1_000_100), LARGE[1_000_000:1_000_100], "range")
    equal(s3().head_object(BUCKET, "a/large.bin").size, len(LARGE), "size")
    s3().copy_object(BUCKET, "a/small.txt", BUCKET, "b c+d")
    equal(get("b c+d"), SMALL, "the copy")
    equal(names("a/"), ["a/large.bin", "a/small.txt"], "keys")
    for key in ("b c+d", *names("a/")):
        s3().delete_object(BUCKET, key)
    equal(names("a/"), [], "left over")


def odd_keys():
    for key in ODD_KEYS:
        put("odd/" + key, key.encode())
    equal(names("odd/"), sorted("odd/" + k for k in ODD_KEYS), "keys")
    for key in ODD_KEYS:
        equal(get("odd/" + key), key.encode(), key)
        s3().delete_object(BUCKET, "odd/" + key)


def access_denied():
    refused("s3:PutObject", lambda: put("secret/x", SMALL))
    refused("s3:GetObject", lambda: get("secret/x"))
    refused("s3:ListBucket", lambda: names("", "infra-lower-c65432gh"))


def stream():
    put("stream", SMALL[:5], SMALL[5:])
    equal(get("stream"), SMALL)


def multipart():
    put("parts", PARTS)
    equal(get("parts") == PARTS, True, "parts are what they were")


def expiry():
    client = s3()
    across_expiry(lambda: client.put_object(BUCKET, "short").close())


def stranger():
    got = refusal(lambda: get("x"))
    if REASON in got:
        return "shown"
    contains(got, "No signing credentials available")
    return "lost by the library"


def own_ca():
    put("secured", SMALL)


SECTIONS = {
    "version": [("version", lambda: f"{version('s3torchconnectorclient')} (by s3torchconnectorclient)")],
    "pod": [
        ("credentials by the default chain", by_default_chain),
        ("objects", objects),
        ("odd keys", odd_keys),
        ("AccessDenied", access_denied),
    ],
    "uploads": [("upload of a stream", stream), ("multipart upload", multipart)],
    "refresh": [("refresh across an expiry", expiry)],
    "stranger": [("the agent's reason", stranger)],
    "plain": [("the reason as AWS's agent tells it", stranger)],
    "tls": [("own CA by the injected variables", own_ca)],
}
