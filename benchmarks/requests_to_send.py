"""The requests that are sent: the documented event, with the header fields of a plain client."""

from __future__ import annotations

import time
from dataclasses import replace

from slack_sdk.signature import SignatureVerifier
from verifications import BODY_SIZE, SECRET

from pytest_meetgeek import MeetGeek

MEETGEEK = MeetGeek(SECRET)
# Host and Content-Length are added where the request is sent: six fields in all.
GENUINE = MEETGEEK.analyzed().with_header("User-Agent", "MeetGeek").with_header("Accept", "*/*")
assert len(GENUINE.body) == BODY_SIZE
UNSIGNED = GENUINE.with_signature()
UNSIGNED_50_MB = replace(UNSIGNED, body=bytes(50_000_000))
FORGED = GENUINE.with_signature("0" * 64)
ELSEWHERE = "/api/users/42"


def slack_command():
    """Make a request of about the same size as Slack signs it, and as MeetGeek does."""
    body = b"command=%2Fmeeting&team_id=T&user_id=U&channel_id=C&text=analyzed&api_app_id=A&trigger_id=1.2"
    now = str(int(time.time()))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=now, body=body)
    return (
        MEETGEEK.raw(body, content_type="application/x-www-form-urlencoded")
        .with_header("X-Slack-Request-Timestamp", now)
        .with_header("X-Slack-Signature", signature)
    )
