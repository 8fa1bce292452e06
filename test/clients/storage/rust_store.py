"""Rust's object_store, which deltalake, polars and many more have inside, by its Python binding obstore."""

import datetime
import urllib.request

import obstore
from obstore.store import S3Store

from ask import LARGE, ODD_KEYS, PARTS, REASON, SMALL, across_expiry, contains, equal, refusal, refused

BUCKET = "pod-object-store"


def s3(bucket=BUCKET):
    """Reads the endpoint and the region from the environment; plain HTTP is refused unless allowed."""
    return S3Store(bucket, client_options={"allow_http": True}, retry_config={"max_retries": 0})


def put(key, text, **kwargs):
    obstore.put(s3(), key, text, **kwargs)


def get(key):
    return bytes(obstore.get(s3(), key).bytes())


def names(prefix):
    return sorted(o["path"] for page in obstore.list(s3(), prefix) for o in page)


def by_default_chain():
    put("who", SMALL)
    equal(get("who"), SMALL)
    obstore.delete(s3(), "who")


def objects():
    put("a/small.txt", SMALL, attributes={"Content-Type": "text/plain", "team": "pay"}, tags={"team": "pay it"})
    put("a/large.bin", LARGE, use_multipart=False)
    equal(get("a/small.txt"), SMALL)
    equal(obstore.get(s3(), "a/small.txt").attributes["team"], "pay", "metadata")
    equal(bytes(obstore.get_range(s3(), "a/large.bin", start=1_000_000, length=100)), LARGE[1_000_000:1_000_100], "range")
    obstore.copy(s3(), "a/small.txt", "b c+d")
    equal(get("b c+d"), SMALL, "the copy")
    refused("already exists", lambda: put("a/small.txt", b"new", mode="create"))
    equal(names("a"), ["a/large.bin", "a/small.txt"], "keys")
    obstore.delete(s3(), "b c+d")
    obstore.delete(s3(), names("a"))  # in one batch
    equal(names("a"), [], "left over")


def odd_keys():
    keys = [k for k in ODD_KEYS if "\n" not in k]
    refused("illegal character", lambda: put("odd/line\nbreak", SMALL))
    for key in keys:
        put("odd/" + key, key.encode())
    equal(names("odd"), sorted("odd/" + k for k in keys), "keys")
    for key in keys:
        equal(get("odd/" + key), key.encode(), key)
    obstore.delete(s3(), names("odd"))
    return "yes; it takes no line break in a key"


def access_denied():
    refused("s3:PutObject", lambda: put("secret/x", SMALL))
    refused("s3:GetObject", lambda: get("secret/x"))
    refused("s3:DeleteObject", lambda: obstore.delete(s3(), ["secret/x", "secret/y"]))
    refused("s3:ListBucket", lambda: list(obstore.list(s3("infra-lower-c65432gh"))))


def stream():
    put("stream", iter([SMALL[:5], SMALL[5:]]))
    equal(get("stream"), SMALL)


def multipart():
    put("parts", PARTS, use_multipart=True, chunk_size=5 << 20)
    equal(get("parts") == PARTS, True, "parts are what they were")


def presigned():
    put("small.txt", SMALL)
    with urllib.request.urlopen(obstore.sign(s3(), "GET", "small.txt", datetime.timedelta(minutes=1))) as answer:
        equal(answer.read(), SMALL)


def expiry():
    store = s3()
    across_expiry(lambda: obstore.put(store, "short", SMALL))


def stranger():
    refused(REASON, lambda: put("x", SMALL))


def own_ca():
    try:
        put("secured", SMALL)
    except obstore.exceptions.GenericError as e:
        contains(str(e), "error sending request")
        return "no: `SSL_CERT_FILE`"


SECTIONS = {
    "version": [("version", lambda: f"{obstore.__version__} (by obstore)")],
    "pod": [
        ("credentials by the default chain", by_default_chain),
        ("objects", objects),
        ("odd keys", odd_keys),
        ("AccessDenied", access_denied),
    ],
    "uploads": [("upload of a stream", stream), ("multipart upload", multipart), ("presigned URL", presigned)],
    "refresh": [("refresh across an expiry", expiry)],
    "stranger": [("the agent's reason", stranger)],
    "plain": [("the reason as AWS's agent tells it", stranger)],
    "tls": [("own CA by the injected variables", own_ca)],
}
