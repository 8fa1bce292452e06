"""What every library is asked with: who it is, it takes from the environment; how an answer is judged."""

import json
import os
import time

SMALL = b"hello from a pod\n"
LARGE = bytes(i % 251 for i in range(251)) * 12_000
PARTS = LARGE * 7  # 20 MiB
ODD_KEYS = json.loads(os.environ.get("TRIED_ODD_KEYS", "[]"))
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL_S3")
SESSION = int(os.environ.get("TRIED_SESSION_SECONDS", "0"))
REASON = "No pod identity association found for service account default/stranger."


def equal(got, want, what="answer"):
    if got != want:
        raise AssertionError(f"{what}: got {got!r:.300}, want {want!r:.300}")


def contains(got, want):
    if want not in got:
        raise AssertionError(f"got {got!r:.600}, want it to contain {want!r}")


def refusal(call):
    """Calls, and returns the words in which the library tells that it was refused."""
    try:
        got = call()
    except Exception as e:  # each library has its own
        return str(e)
    raise AssertionError(f"got {got!r:.300}, want to be refused")


def refused(want, call):
    contains(refusal(call), want)


def across_expiry(call):
    """Calls for longer than a session lasts, and none of the calls may be refused."""
    until = time.monotonic() + SESSION + 5
    while time.monotonic() < until:
        call()
        time.sleep(0.2)
