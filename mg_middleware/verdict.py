"""The decision about a request, as `on_verdict` gets it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["Outcome", "Verdict"]


class Outcome(StrEnum):
    """Every decision about a guarded request, and its reason."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IN_PROGRESS = "in_progress"
    IGNORED = "ignored"
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


# Before Python 3.12 looking up a member in its class costs more than asking the logger.
ACCEPTED = Outcome.ACCEPTED


# For these outcomes the signature was genuine. They are logged at DEBUG, the others at WARNING.
VERIFIED = frozenset({ACCEPTED, Outcome.DUPLICATE, Outcome.IN_PROGRESS, Outcome.IGNORED})


class Verdict(NamedTuple):
    """The decision about one guarded request.

    Attributes:
        outcome: the decision and its reason.
        status: the HTTP status of the guard's response; `None` if the guard sends none, because the application
            responds (accepted), or because it would reach no one (the client left, or the server failed).
        key_id: the name of the secret that matched, if it has one.
        body_size: how many bytes of the body were read.
        method: the request's method, as received.
        path: the request's path, as received. A stranger chose it: escape it before you show it.
    """

    outcome: Outcome
    status: int | None
    key_id: str | None
    body_size: int
    method: str
    path: str
