"""Finds out why a receiver refuses every genuine delivery."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_meetgeek.checks.context import NO_RESPONSE, SUCCESSES
from pytest_meetgeek.meetgeek import SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_meetgeek.checks.context import CheckContext
    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.response import Response

_REDIRECTS = range(300, 400)
_BAD_REQUEST = 400
NOT_SIGNED_ALIKE = (
    "the genuine signature is refused: does the app have the same secret as the fixture meetgeek_secret, and does "
    "it compare X-MG-Signature with the lower-case hexadecimal HMAC-SHA256 of the raw body?"
)
_USUAL_CAUSES = {
    400: "does the app accept this Host? (--meetgeek-host; Django: ALLOWED_HOSTS)",
    401: NOT_SIGNED_ALIKE,
    403: "is the webhook exempt from CSRF protection and from login?",
    404: "is the webhook at this path? (--meetgeek-path, ini: meetgeek_path)",
    405: "is the webhook at this path? (--meetgeek-path, ini: meetgeek_path)",
    422: "does the app require a header or a field that MeetGeek does not send?",
}
# A receiver that checks a signature refuses with one of these; any other status has another cause.
_REFUSALS = (400, 401, 403, 422, 500)

# How other libraries than Python's json write the documented event: JavaScript leaves no space, Go sorts the fields.
_WRITTEN_AGAIN: tuple[Callable[[dict[str, str]], bytes], ...] = (
    lambda event: json.dumps(event, separators=(",", ":")).encode(),
    lambda event: json.dumps(event, separators=(",", ":"), sort_keys=True).encode(),
    lambda event: json.dumps(event, sort_keys=True).encode(),
)
_RESPELLED: dict[str, Callable[[bytes], bytes]] = {
    "ends in a newline": lambda key: key + b"\n",
    "ends in CR and LF": lambda key: key + b"\r\n",
    "has no white space around it": bytes.strip,
}


def explain_refusal(context: CheckContext, response: Response) -> str:
    """Say what is probably wrong if a genuine delivery was not accepted; empty if nothing is known.

    Where the receiver may have refused the signature, it is sent what other providers send, to name the one it expects.

    Args:
        context: What the check works with.
        response: What came back.
    """
    if response.status == NO_RESPONSE:
        return str(response.error) if isinstance(response.error, TimeoutError) else ""
    if response.status in _REDIRECTS:
        target = next((value for name, value in response.headers if name.lower() == "location"), "nowhere")
        if target.startswith("https:") and not context.receiver.url.startswith("https:"):
            return f"redirected to {target}: the app insists on HTTPS; for this run, let it accept HTTP"
        return f"redirected to {target}: MeetGeek is not known to follow redirects, so give the final path"
    if response.status in _REFUSALS:
        for cause, request in _guesses(context):
            if context.receiver.send(request).status in SUCCESSES:
                return cause
    return _USUAL_CAUSES.get(response.status, "")


def _guesses(context: CheckContext) -> Iterator[tuple[str, WebhookRequest]]:
    meetgeek = context.meetgeek

    def carried(header: str, value: str) -> WebhookRequest:
        return unsigned.with_header(header, value)

    for header in ("X-MeetGeek-Signature", "X-Signature", "X-Hub-Signature-256", "X-Webhook-Signature"):
        for prefix in ("", "sha256="):
            genuine = meetgeek.analyzed()
            unsigned = genuine.with_signature()
            where = f"{header}, prefixed with {prefix!r}" if prefix else header
            yield (
                f"the app reads the signature from {where}; MeetGeek sends it in X-MG-Signature, without a prefix",
                carried(header, f"{prefix}{genuine.signature}"),
            )
    genuine = meetgeek.analyzed()
    yield (
        "the app expects the prefix 'sha256='; MeetGeek sends the hexadecimal digits alone",
        genuine.with_signature(f"sha256={genuine.signature}"),
    )
    for header, prefix in (("X-Webhook-Secret", ""), ("Authorization", "Bearer ")):
        unsigned = meetgeek.forged("secret-itself")
        yield (
            f"the app expects the secret itself in {header}; MeetGeek never sends it, but signs with it",
            unsigned.with_signature().with_header(header, f"{prefix}{unsigned.signature}"),
        )
    for spell in _WRITTEN_AGAIN:
        event = {"message": SUCCEEDED, "meeting_id": meetgeek.new_meeting_id()}
        yield (
            "the app hashes JSON that it parsed and wrote again; hash the raw body, before it is parsed",
            meetgeek.raw(spell(event)),
        )
    for change, respell in _RESPELLED.items():
        yield f"the app's secret {change}, unlike the one that signs here", meetgeek.missigned(respell)
