"""As a pod: objects and buckets, and what a pod is refused."""

import logging

import boto3
import botocore.exceptions

from ask import BAD_KEYS, BUCKET, ENDPOINT, LARGE, ODD_KEYS, ROLE, SMALL, client, contains, equal, refused


def by_default_chain():
    found = boto3.Session().get_credentials()
    equal(found.method, "container-role", "method")
    equal(found.get_frozen_credentials().access_key[:4], "ASIA", "access key id")


def pod_identity():
    got = client("sts").get_caller_identity()
    contains(got["Arn"], f":assumed-role/{ROLE}/eks-dev-boto3-")


def list_buckets():
    names = [b["Name"] for b in client("s3").list_buckets()["Buckets"]]
    for want in ("infra-lower-c65432gh", "eks-charts-manifest-67565rr"):
        contains(names, want)


def create_bucket():
    client("s3").create_bucket(Bucket=BUCKET)
    refused("BucketAlreadyOwnedByYou", "", client("s3").create_bucket, Bucket=BUCKET)


def head_bucket():
    client("s3").head_bucket(Bucket=BUCKET)
    refused("404", "", client("s3").head_bucket, Bucket="pod-missing")


def put_small():
    client("s3").put_object(Bucket=BUCKET, Key="small.txt", Body=SMALL, ContentType="text/plain", Metadata={"team": "pay"})


class Seen(logging.Handler):
    """Keeps what botocore logs of one module."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def put_large():
    seen, log = Seen(), logging.getLogger("botocore.awsrequest")
    log.setLevel(logging.DEBUG)
    log.addHandler(seen)
    client("s3").put_object(Bucket=BUCKET, Key="large.bin", Body=LARGE)
    log.removeHandler(seen)
    contains(" ".join(seen.lines), "100 Continue response seen")


def get_object():
    for key, want in (("small.txt", SMALL), ("large.bin", LARGE)):
        equal(client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read(), want, key)


def head_object():
    got = client("s3").head_object(Bucket=BUCKET, Key="small.txt")
    equal((got["ContentLength"], got["ContentType"], got["Metadata"]), (len(SMALL), "text/plain", {"team": "pay"}))
    refused("404", "", client("s3").head_object, Bucket=BUCKET, Key="missing")


def get_range():
    got = client("s3").get_object(Bucket=BUCKET, Key="large.bin", Range="bytes=1000000-1000099")
    equal(got["ResponseMetadata"]["HTTPStatusCode"], 206, "status")
    equal(got["Body"].read(), LARGE[1000000:1000100])
    refused("InvalidRange", "", client("s3").get_object, Bucket=BUCKET, Key="small.txt", Range="bytes=1000-")


def get_if_none_match():
    tag = client("s3").head_object(Bucket=BUCKET, Key="small.txt")["ETag"]
    refused("304", "", client("s3").get_object, Bucket=BUCKET, Key="small.txt", IfNoneMatch=tag)
    refused("PreconditionFailed", "", client("s3").get_object, Bucket=BUCKET, Key="small.txt", IfMatch='"other"')


def put_if_none_match():
    refused("PreconditionFailed", "", client("s3").put_object, Bucket=BUCKET, Key="small.txt", Body=b"new", IfNoneMatch="*")


def odd_keys():
    s3 = client("s3")
    for key in ODD_KEYS:
        s3.put_object(Bucket=BUCKET, Key="odd/" + key, Body=key.encode())
    for version in ("list_objects", "list_objects_v2"):
        got = [o["Key"] for o in getattr(s3, version)(Bucket=BUCKET, Prefix="odd/")["Contents"]]
        equal(sorted(got), sorted("odd/" + k for k in ODD_KEYS), version)
    for key in ODD_KEYS:
        equal(s3.get_object(Bucket=BUCKET, Key="odd/" + key)["Body"].read(), key.encode(), key)
        s3.delete_object(Bucket=BUCKET, Key="odd/" + key)
    equal(s3.list_objects_v2(Bucket=BUCKET, Prefix="odd/").get("Contents"), None, "left over")


def bad_keys():
    s3 = client("s3")
    before = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    for key in BAD_KEYS:
        refused("InvalidURI", "", s3.put_object, Bucket=BUCKET, Key=key, Body=b"x")
    equal([o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]], before, "keys")


def lists(version, result):
    s3 = client("s3")
    for i in range(5):
        s3.put_object(Bucket=BUCKET, Key=f"list/{i}", Body=b"")
    s3.put_object(Bucket=BUCKET, Key="list/deep/er", Body=b"")
    pages = s3.get_paginator(version).paginate(Bucket=BUCKET, Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 2})
    keys, folders, n = [], [], 0
    for page in pages:
        n += 1
        keys += [o["Key"] for o in page.get(result, [])]
        folders += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
    equal((keys, folders, n), ([f"list/{i}" for i in range(5)], ["list/deep/"], 3))


def delete_object():
    s3 = client("s3")
    for key in [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]:
        s3.delete_object(Bucket=BUCKET, Key=key)
    refused("NoSuchKey", "", s3.get_object, Bucket=BUCKET, Key="small.txt")
    s3.delete_object(Bucket=BUCKET, Key="small.txt")  # as S3: deleting what is not there is well


def delete_bucket():
    s3 = client("s3")
    s3.put_object(Bucket=BUCKET, Key="last", Body=b"")
    refused("BucketNotEmpty", "", s3.delete_bucket, Bucket=BUCKET)
    s3.delete_object(Bucket=BUCKET, Key="last")
    s3.delete_bucket(Bucket=BUCKET)
    refused("NoSuchBucket", "", s3.list_objects_v2, Bucket=BUCKET)


def access_denied():
    s3 = client("s3")
    refused("AccessDenied", "s3:PutObject", s3.put_object, Bucket=BUCKET, Key="secret/x", Body=LARGE)
    refused("AccessDenied", "s3:GetObject", s3.get_object, Bucket=BUCKET, Key="secret/x")
    refused("403", "", s3.head_object, Bucket=BUCKET, Key="secret/x")
    refused("AccessDenied", "s3:CreateBucket", s3.create_bucket, Bucket="not-ours")
    refused("AccessDenied", "s3:ListBucket", s3.list_objects_v2, Bucket="infra-lower-c65432gh")
    refused("AccessDenied", "s3:DeleteObject", s3.delete_object, Bucket="infra-lower-c65432gh", Key="x")


def more():
    s3, at = client("s3"), {"Bucket": BUCKET + "-more"}
    s3.create_bucket(**at)
    s3.put_bucket_versioning(**at, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(**at, Key="more/a", Body=b"old", Tagging="team=pay")["VersionId"]
    new = s3.put_object(**at, Key="more/a", Body=b"new")["VersionId"]
    equal(s3.get_object(**at, Key="more/a", VersionId=old)["Body"].read(), b"old", "the old version")
    s3.copy_object(**at, Key="more/b c+d", CopySource={**at, "Key": "more/a", "VersionId": old})
    equal(s3.get_object(**at, Key="more/b c+d")["Body"].read(), b"old", "the copy")
    equal(s3.get_object_tagging(**at, Key="more/b c+d")["TagSet"], [{"Key": "team", "Value": "pay"}], "the copy's tags")
    s3.put_object_tagging(**at, Key="more/b c+d", Tagging={"TagSet": []})
    equal(s3.get_object_tagging(**at, Key="more/b c+d")["TagSet"], [], "no tags")
    kept = [(v["Key"], v["VersionId"]) for v in s3.list_object_versions(**at, Prefix="more/")["Versions"]]
    equal(("more/a", new) in kept and len(kept) == 3, True, "versions")
    names = [{"Key": k, "VersionId": v} for k, v in kept] + [{"Key": "secret/x"}]
    answer = s3.delete_objects(**at, Delete={"Objects": names})
    equal((len(answer["Deleted"]), [(e["Key"], e["Code"]) for e in answer["Errors"]]), (3, [("secret/x", "AccessDenied")]), "the batch")
    theirs = {"Bucket": "infra-lower-c65432gh", "Key": "x"}
    refused("AccessDenied", "s3:GetObject", s3.copy_object, **at, Key="stolen", CopySource=theirs)
    s3.delete_bucket(**at)


def not_served():
    s3, at = client("s3"), {"Bucket": BUCKET}
    for code, call, args in (
        ("NotImplemented", s3.put_bucket_policy, {**at, "Policy": "{}"}),
        ("NotImplemented", s3.get_bucket_policy, at),
        ("NotImplemented", s3.put_bucket_acl, {**at, "ACL": "public-read"}),
        ("NotImplemented", s3.get_object_acl, {**at, "Key": "small.txt"}),
        ("NotImplemented", s3.put_object, {**at, "Key": "small.txt", "Body": b"x", "ACL": "public-read"}),
    ):
        refused(code, "", call, **args)
    equal(s3.get_object(Bucket=BUCKET, Key="small.txt")["Body"].read(), SMALL, "small.txt")


def management_denied():
    refused("AccessDeniedException", "eks:ListClusters", client("eks", endpoint_url=ENDPOINT).list_clusters, typed=False)
    refused("AccessDenied", "iam:GetRole", client("iam", endpoint_url=ENDPOINT).get_role, RoleName=ROLE)


def agent_says_no():
    try:
        client("s3").list_buckets()
    except botocore.exceptions.CredentialRetrievalError as e:
        contains(str(e), "No pod identity association found for service account default/stranger.")
        return
    raise AssertionError("a pod without an association got credentials")


POD = [
    ("fetch by the default chain", by_default_chain),
    ("GetCallerIdentity", pod_identity),
    ("ListBuckets", list_buckets),
    ("CreateBucket", create_bucket),
    ("HeadBucket", head_bucket),
    ("PutObject, small", put_small),
    ("PutObject, 3 MB with 100-continue", put_large),
    ("GetObject", get_object),
    ("HeadObject", head_object),
    ("GetObject, range", get_range),
    ("GetObject, If-None-Match", get_if_none_match),
    ("PutObject, If-None-Match", put_if_none_match),
    ("odd keys", odd_keys),
    ("keys that the store would change", bad_keys),
    ("ListObjects", lambda: lists("list_objects", "Contents")),
    ("ListObjectsV2", lambda: lists("list_objects_v2", "Contents")),
    ("AccessDenied", access_denied),
    ("copies, tags, versions, batches", more),
    ("operations not served", not_served),
    ("EKS and IAM are denied to a pod", management_denied),
    ("DeleteObject", delete_object),
    ("DeleteBucket", delete_bucket),
]

STRANGER = [("the agent's reason", agent_says_no)]
