"""Every response that the guard itself sends, rendered once for both protocols."""

from __future__ import annotations

from http import HTTPStatus

from mg_middleware.verdict import VERIFIED, Outcome


class Refusal:
    """One reason why a request does not reach the application, with the response rendered for ASGI and for WSGI.

    Args:
        outcome: the reason, which is logged and passed to `on_verdict`, never sent.
        status: the HTTP status of the response.
        text: the body of the response.
        header: one more header field of the response, if the status needs it.
    """

    __slots__ = ("asgi_headers", "body", "log_level", "outcome", "status", "wsgi_headers", "wsgi_status")

    def __init__(self, outcome: Outcome, status: HTTPStatus, text: str, *header: tuple[str, str]) -> None:
        self.outcome: Outcome = outcome
        self.log_level: int = 10 if outcome in VERIFIED else 30  # DEBUG and WARNING, without importing logging
        self.status: int = int(status)
        self.body: bytes = text.encode()
        # No Connection field: PEP 3333 forbids it to applications, HTTP/2 has none, and closing early makes servers
        # reset the connection before the response is read.
        self.wsgi_headers: list[tuple[str, str]] = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(self.body))),
            *header,
        ]
        self.wsgi_status: str = f"{self.status} {status.phrase}"
        self.asgi_headers: list[tuple[bytes, bytes]] = [
            (name.lower().encode(), value.encode()) for name, value in self.wsgi_headers
        ]


def _unauthorized(outcome: Outcome) -> Refusal:
    # One response whatever the cause, so that it is no oracle. RFC 9110, section 15.5.2, asks for a challenge.
    return Refusal(
        outcome,
        HTTPStatus.UNAUTHORIZED,
        "The request carries no valid signature.\n",
        ("WWW-Authenticate", 'MeetGeek-Signature realm="webhook"'),
    )


MISSING_SIGNATURE = _unauthorized(Outcome.MISSING_SIGNATURE)
REPEATED_SIGNATURE = _unauthorized(Outcome.REPEATED_SIGNATURE)
MALFORMED_SIGNATURE = _unauthorized(Outcome.MALFORMED_SIGNATURE)
SIGNATURE_MISMATCH = _unauthorized(Outcome.SIGNATURE_MISMATCH)
UNKNOWN_SENDER = _unauthorized(Outcome.UNKNOWN_SENDER)
INVALID_LENGTH = Refusal(Outcome.INVALID_LENGTH, HTTPStatus.BAD_REQUEST, "The Content-Length is not a number.\n")
INCOMPLETE_BODY = Refusal(
    Outcome.INCOMPLETE_BODY, HTTPStatus.BAD_REQUEST, "The body does not have its declared length.\n"
)
BODY_TOO_LARGE = Refusal(Outcome.BODY_TOO_LARGE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.\n")
LENGTH_REQUIRED = Refusal(Outcome.LENGTH_REQUIRED, HTTPStatus.LENGTH_REQUIRED, "A Content-Length is required.\n")

# Verified, and still not for the application: the guard responds itself.
IGNORED = Refusal(Outcome.IGNORED, HTTPStatus.OK, "")
METHOD_NOT_ALLOWED = Refusal(
    Outcome.ACCEPTED, HTTPStatus.METHOD_NOT_ALLOWED, "The webhook takes POST.\n", ("Allow", "POST")
)
