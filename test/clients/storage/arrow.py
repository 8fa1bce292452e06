"""pyarrow, which has the AWS SDK for C++."""

import pyarrow
from pyarrow import fs

from ask import ENDPOINT, LARGE, ODD_KEYS, PARTS, REASON, SMALL, across_expiry, contains, equal, refusal, refused

BUCKET = "pod-pyarrow"


def s3():
    return fs.S3FileSystem(endpoint_override=ENDPOINT)


def put(key, text):
    with s3().open_output_stream(f"{BUCKET}/{key}") as out:
        out.write(text)


def get(key):
    with s3().open_input_stream(f"{BUCKET}/{key}") as source:
        return source.read()


def names(prefix):
    found = s3().get_file_info(fs.FileSelector(f"{BUCKET}/{prefix}", recursive=True))
    return sorted(f.path.removeprefix(BUCKET + "/") for f in found if f.is_file)


def by_default_chain():
    buckets = [f.path for f in s3().get_file_info(fs.FileSelector(""))]
    equal([b for b in ("infra-lower-c65432gh", "eks-charts-manifest-67565rr") if b not in buckets], [], "missing buckets")
    return "yes; `endpoint_override` has to be given"


def objects():
    put("a/small.txt", SMALL)
    put("a/large.bin", LARGE)
    equal(get("a/small.txt"), SMALL)
    with s3().open_input_file(f"{BUCKET}/a/large.bin") as source:
        source.seek(1_000_000)
        equal(source.read(100), LARGE[1_000_000:1_000_100], "range")
    s3().copy_file(f"{BUCKET}/a/small.txt", f"{BUCKET}/b c+d")
    equal(get("b c+d"), SMALL, "the copy")
    equal(names("a"), ["a/large.bin", "a/small.txt"], "keys")
    s3().delete_file(f"{BUCKET}/b c+d")
    s3().delete_dir(f"{BUCKET}/a")  # in one batch
    equal(s3().get_file_info(f"{BUCKET}/a").type, fs.FileType.NotFound, "what is left over")
    equal(s3().get_file_info(f"{BUCKET}/none").type, fs.FileType.NotFound, "what is missing")


def odd_keys():
    for key in ODD_KEYS:
        put("odd/" + key, key.encode())
    equal(names("odd"), sorted("odd/" + k for k in ODD_KEYS), "keys")
    for key in ODD_KEYS:
        equal(get("odd/" + key), key.encode(), key)
    s3().delete_dir(f"{BUCKET}/odd")


def access_denied():
    refused("s3:PutObject", lambda: put("secret/x", SMALL))
    refused("ACCESS_DENIED", lambda: get("secret/x"))  # it asks for the head, whose refusal has no body
    refused("s3:ListBucket", lambda: s3().get_file_info(fs.FileSelector("infra-lower-c65432gh")))


def stream():
    with s3().open_output_stream(f"{BUCKET}/stream") as out:
        for i in range(0, len(SMALL), 5):
            out.write(SMALL[i : i + 5])
    equal(get("stream"), SMALL)


def multipart():
    put("parts", PARTS)
    equal(get("parts") == PARTS, True, "parts are what they were")


def expiry():
    files = s3()
    across_expiry(lambda: files.open_output_stream(f"{BUCKET}/short").close())


def stranger():
    # It goes on without credentials, and unsigned.
    if REASON in refusal(lambda: s3().get_file_info(fs.FileSelector(""))):
        return "shown"
    refused("some clients ask so when they got no credentials", lambda: s3().get_file_info(fs.FileSelector("")))
    return "lost by the SDK, which asks unsigned"


def own_ca():
    try:
        put("secured", SMALL)
    except OSError as e:
        contains(str(e), "SSL")
        return "no: `SSL_CERT_FILE`"


SECTIONS = {
    "version": [("version", lambda: f"{pyarrow.__version__} (SDK for C++)")],
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
