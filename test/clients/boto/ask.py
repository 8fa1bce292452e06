"""What every section needs: clients that take who they are from the environment, and how an answer is judged.

Nothing names credentials, but where a wrong one is the case.
"""

import json
import os

import boto3
import botocore.exceptions
from botocore.config import Config

SMALL = b"hello from a pod\n"
LARGE = bytes(i % 251 for i in range(251)) * 12_000
ODD_KEYS = json.loads(os.environ.get("TRIED_ODD_KEYS", "[]"))
BAD_KEYS = json.loads(os.environ.get("TRIED_BAD_KEYS", "[]"))
TRUST = os.environ.get("TRIED_TRUST")
ROLE = os.environ.get("TRIED_ROLE")
ENDPOINT = os.environ.get("TRIED_ENDPOINT")
BUCKET = "pod-boto3"

# One attempt: what is answered first is what is judged. Deadlines, so that a server that hangs fails a case.
CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=20)


def client(service, **kwargs):
    config = CONFIG.merge(kwargs.pop("config", Config()))
    return boto3.client(service, config=config, **kwargs)


def equal(got, want, what="answer"):
    if got != want:
        raise AssertionError(f"{what}: got {got!r:.300}, want {want!r:.300}")


def contains(got, want):
    if want not in got:
        raise AssertionError(f"got {got!r:.500}, want it to contain {want!r}")


def refused(code, message, call, *args, typed=True, **kwargs):
    """Calls, and wants the error code, as the exception class of the service's model where typed."""
    try:
        got = call(*args, **kwargs)
    except botocore.exceptions.ClientError as e:
        equal(e.response["Error"]["Code"], code, "code of " + str(e))
        contains(str(e), message)
        # By class name: a model has no class for the codes that every service may answer.
        if typed and code.endswith(("Exception", "NoSuchKey", "NoSuchBucket")):
            equal(type(e).__name__, code, "class")
        return e
    raise AssertionError(f"got {got!r:.300}, want to be refused with {code}")
