"""As a pod: uploads that take more than a put, presigned URLs, and credentials that expire."""

import io
import time
import urllib.request

import boto3
import botocore.exceptions
from botocore.config import Config

from ask import CONFIG, ROLE, SMALL, client, contains, equal

BUCKET = "pod-uploads-boto3"


def version():
    return boto3.__version__


class Stream(io.RawIOBase):
    """Can be read and not be gone back in."""

    def __init__(self, text):
        self.rest = io.BytesIO(text)

    def readable(self):
        return True

    def readinto(self, b):
        return self.rest.readinto(b)


def stream():
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.upload_fileobj(Stream(SMALL), BUCKET, "stream")  # what boto3 has for streams: it buffers parts
    equal(s3.get_object(Bucket=BUCKET, Key="stream")["Body"].read(), SMALL)


def multipart():
    s3, at = client("s3"), {"Bucket": BUCKET, "Key": "parts"}
    pieces = [b"a" * (5 << 20), b"the end"]
    upload_id = s3.create_multipart_upload(**at)["UploadId"]
    parts = []
    for n, piece in enumerate(pieces, 1):
        tag = s3.upload_part(**at, UploadId=upload_id, PartNumber=n, Body=piece)["ETag"]
        parts.append({"ETag": tag, "PartNumber": n})
    s3.complete_multipart_upload(**at, UploadId=upload_id, MultipartUpload={"Parts": parts})
    equal(s3.get_object(**at)["Body"].read(), b"".join(pieces), "parts")


def presigned():
    at = {"Bucket": BUCKET, "Key": "small.txt"}
    s3 = client("s3", config=Config(signature_version="s3v4"))
    s3.put_object(**at, Body=SMALL)
    with urllib.request.urlopen(s3.generate_presigned_url("get_object", Params=at)) as answer:
        equal(answer.read(), SMALL)


def expiry():
    """Waits until the first session is refused as expired, which no client may be caught by."""
    session = boto3.Session()
    first = session.get_credentials().get_frozen_credentials()
    sts = session.client("sts", config=CONFIG)
    arn = sts.get_caller_identity()["Arn"]
    old = client("sts", aws_access_key_id=first.access_key, aws_secret_access_key=first.secret_key, aws_session_token=first.token)
    while True:
        try:
            old.get_caller_identity()
        except botocore.exceptions.ClientError as e:
            equal(e.response["Error"]["Code"], "ExpiredToken", "code of " + str(e))
            break
        time.sleep(0.1)
    renewed = sts.get_caller_identity()["Arn"]
    contains(renewed, f":assumed-role/{ROLE}/")
    if renewed == arn:
        raise AssertionError(f"still {arn}, want a session of its own")
    if session.get_credentials().get_frozen_credentials().access_key == first.access_key:
        raise AssertionError("the expired key is still in use")


def own_ca():
    contains(client("sts").get_caller_identity()["Arn"], ":user/")


UPLOADS = [
    ("upload of a stream", stream),
    ("multipart upload", multipart),
    ("presigned URL", presigned),
]

REFRESH = [("refresh across an expiry", expiry)]
TLS = [("own CA by the injected variables", own_ca)]
VERSION = [("version", version)]
