"""Who signs, and how; web identity and EKS Auth as the node's agent."""

import datetime
import os
import urllib.error
import urllib.request

import boto3
import botocore
import botocore.auth
from botocore.config import Config

from ask import client, contains, equal, refused


def administrator_identity():
    equal(client("sts").get_caller_identity()["Arn"], "arn:aws:iam::111122223333:user/administrator")


def wrong_secret():
    keys = {"aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": "wrong"}
    refused("SignatureDoesNotMatch", "", client("s3", **keys).list_buckets)
    refused("SignatureDoesNotMatch", "", client("iam", **keys).get_user)
    refused("SignatureDoesNotMatch", "", client("sts", **keys).get_caller_identity)
    refused("InvalidSignatureException", "", client("eks", **keys).list_clusters, typed=False)


def unknown_key():
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "wrong"}
    refused("InvalidAccessKeyId", "", client("s3", **keys).list_buckets)
    refused("InvalidClientTokenId", "", client("iam", **keys).get_user)
    refused("UnrecognizedClientException", "", client("eks", **keys).list_clusters, typed=False)


def skewed_clock():
    now = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *a, **k: now(*a, **k) + datetime.timedelta(hours=1)
    try:
        refused("RequestTimeTooSkewed", "", client("s3").list_buckets)
        refused("SignatureDoesNotMatch", "", client("iam").get_user)
        refused("InvalidSignatureException", "", client("eks").list_clusters, typed=False)
    finally:
        botocore.auth.get_current_datetime = now


def no_sign_request():
    unsigned = Config(signature_version=botocore.UNSIGNED)
    refused("AccessDenied", "not signed", client("s3", config=unsigned).list_buckets)


def sigv2():
    refused("NotImplemented", "version 4", client("s3", config=Config(signature_version="s3")).list_buckets)


def fetched(url):
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def presigned():
    at = {"Bucket": "infra-lower-c65432gh", "Key": "x"}
    url = client("s3", config=Config(signature_version="s3")).generate_presigned_url("get_object", Params=at)
    status, text = fetched(url)
    equal(status, 501, "status")
    contains(text, "s3v4")
    url = client("s3", config=Config(signature_version="s3v4")).generate_presigned_url("get_object", Params=at)
    for link, code in ((url, "NoSuchKey"), (url.replace("/x?", "/y?"), "SignatureDoesNotMatch")):
        contains(fetched(link)[1], f"<Code>{code}</Code>")


def any_region():
    client("s3", region_name="eu-west-1").list_buckets()
    client("iam", region_name="eu-west-1").get_user()
    client("eks", region_name="eu-west-1").list_clusters()


def web_identity():
    found = boto3.Session().get_credentials()
    equal(found.method, "assume-role-with-web-identity", "method")
    contains(client("sts").get_caller_identity()["Arn"], ":assumed-role/lanyard-agent-")


def web_identity_refused():
    sts = client("sts", config=Config(signature_version=botocore.UNSIGNED))
    as_agent = {"RoleArn": os.environ["AWS_ROLE_ARN"], "RoleSessionName": "boto3"}
    refused("InvalidIdentityToken", "", sts.assume_role_with_web_identity, WebIdentityToken=os.environ["TRIED_POD_TOKEN"], **as_agent)
    refused("InvalidIdentityToken", "", sts.assume_role_with_web_identity, WebIdentityToken="x.y.z", **as_agent)


def eks_auth_as_agent():
    auth = client("eks-auth")
    got = auth.assume_role_for_pod_identity(clusterName="dev", token=os.environ["TRIED_POD_TOKEN"])
    equal(got["subject"], {"namespace": "default", "serviceAccount": "boto3"})
    c = got["credentials"]
    pod = client("sts", aws_access_key_id=c["accessKeyId"], aws_secret_access_key=c["secretAccessKey"], aws_session_token=c["sessionToken"])
    equal(pod.get_caller_identity()["Arn"], got["assumedRoleUser"]["arn"])
    refused("InvalidTokenException", "", auth.assume_role_for_pod_identity, clusterName="dev", token="x.y.z")
    refused("AccessDeniedException", "", auth.assume_role_for_pod_identity, clusterName="absent", token=os.environ["TRIED_POD_TOKEN"])


def eks_auth_as_administrator():
    auth = client("eks-auth")
    refused("AccessDeniedException", "Node binding", auth.assume_role_for_pod_identity, clusterName="dev", token=os.environ["TRIED_POD_TOKEN"])


SIGNING = [
    ("GetCallerIdentity as administrator", administrator_identity),
    ("any region", any_region),
    ("wrong secret", wrong_secret),
    ("unknown access key", unknown_key),
    ("skewed clock", skewed_clock),
    ("unsigned", no_sign_request),
    ("signature version 2", sigv2),
    ("presigned URL", presigned),
    ("AssumeRoleForPodIdentity as administrator", eks_auth_as_administrator),
]

AGENT = [
    ("AssumeRoleWithWebIdentity by the default chain", web_identity),
    ("AssumeRoleWithWebIdentity, refused", web_identity_refused),
    ("AssumeRoleForPodIdentity as the agent", eks_auth_as_agent),
]
