"""The boto3 half of the suite: `python boto SECTION` tries a section's cases in order and tells each on a line of its own."""

import json
import sys

import management
import s3
import signing
import trail
import uploads

SECTIONS = {
    "pod": s3.POD,
    "stranger": s3.STRANGER,
    "eks": management.EKS,
    "iam": management.IAM,
    "signing": signing.SIGNING,
    "agent": signing.AGENT,
    "uploads": uploads.UPLOADS,
    "refresh": uploads.REFRESH,
    "plain": [("the reason as AWS's agent tells it", s3.agent_says_no)],
    "tls": uploads.TLS,
    "trail": trail.TRAIL,
    "version": uploads.VERSION,
}

for name, case in SECTIONS[sys.argv[1]]:
    reason, note = None, ""
    try:
        note = case() or ""
    except Exception as e:  # whatever a case ends with is what it has to tell
        reason = f"{type(e).__name__}: {e}"
    print(json.dumps({"case": name, "error": reason, "note": note}), flush=True)
