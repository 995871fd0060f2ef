"""What was decided about a request, as `on_verdict` is told it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """Every way in which a guarded request can be decided."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IN_PROGRESS = "in_progress"
    MISSING_SIGNATURE = "missing_signature"
    REPEATED_SIGNATURE = "repeated_signature"
    MALFORMED_SIGNATURE = "malformed_signature"
    SIGNATURE_MISMATCH = "signature_mismatch"
    UNKNOWN_SENDER = "unknown_sender"
    BODY_TOO_LARGE = "body_too_large"
    INVALID_LENGTH = "invalid_length"
    LENGTH_REQUIRED = "length_required"
    INCOMPLETE_BODY = "incomplete_body"
    WEBSOCKET_REFUSED = "websocket_refused"


# Before Python 3.12 each look-up of a member in its class costs more than asking the logger does.
ACCEPTED = Outcome.ACCEPTED


class Verdict(NamedTuple):
    """What was decided about one guarded request.

    Attributes:
        outcome: the decision and its reason.
        status: the HTTP status that the guard answers; `None` where it answers nothing, because the application will
            (accepted) or nobody listens any more (a body that ended early, on ASGI).
        key_id: the name of the secret that matched, where one did and has a name.
        body_size: how many bytes of the body were read.
        method: the request's method, as received.
        path: the request's path, as received. A stranger chose it: escape it before it is shown.
    """

    outcome: Outcome
    status: int | None
    key_id: str | None
    body_size: int
    method: str
    path: str
