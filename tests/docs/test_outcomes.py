"""The page of outcomes has each of them, with the response that the guard really gives."""

import asyncio
import re
from pathlib import Path

import pytest
from docs.steps import deliver, sign

from mg_middleware import AnalysisSucceeded, MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, MemoryStore, Outcome

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "outcomes.md"
TABLE = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
SECRET = "a secret of the tests"
MEETING = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'
FIELD = (b"x-mg-signature", sign(b"{}", SECRET).encode())


def quiet(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


async def quiet_asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def wsgi(verdicts, body=b"{}", *, options=None, environ=None, signature=None):
    settings = {"secret": SECRET, "max_body_size": 1024, **(options or {})}
    guarded = MeetGeekWSGIMiddleware(quiet, on_verdict=verdicts.append, **settings)
    signature = sign(body, SECRET) if signature is None else signature
    deliver(lambda whole, start: guarded(whole | (environ or {}), start), body=body, signature=signature)


def asgi(verdicts, headers, *, kind="http"):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(event):
        pass

    guarded = MeetGeekASGIMiddleware(quiet_asgi, SECRET, on_verdict=verdicts.append)
    asyncio.run(guarded({"type": kind, "path": "/", "method": "POST", "headers": headers}, receive, send))


def deliver_twice_at_once_and_once_more(verdicts):
    def slow(environ, start_response):
        deliver(once, body=MEETING, signature=sign(MEETING, SECRET))  # while this one is in hand
        return quiet(environ, start_response)

    once = MeetGeekWSGIMiddleware(
        slow, SECRET, on_verdict=verdicts.append, idempotency_store=MemoryStore(), idempotency_wait=0
    )
    deliver(once, body=MEETING, signature=sign(MEETING, SECRET))
    deliver(once, body=MEETING, signature=sign(MEETING, SECRET))


WAYS = {
    "accepted": wsgi,
    "duplicate": deliver_twice_at_once_and_once_more,
    "in_progress": deliver_twice_at_once_and_once_more,
    "ignored": lambda verdicts: wsgi(verdicts, options={"events": AnalysisSucceeded}),
    "missing_signature": lambda verdicts: wsgi(verdicts, signature=""),
    "repeated_signature": lambda verdicts: asgi(verdicts, [FIELD, FIELD]),
    "malformed_signature": lambda verdicts: wsgi(verdicts, signature="sha256=" + sign(b"{}", SECRET)),
    "signature_mismatch": lambda verdicts: wsgi(verdicts, signature="0" * 64),
    "unknown_sender": lambda verdicts: wsgi(verdicts, options={"secret": lambda environ: None}),
    "body_too_large": lambda verdicts: wsgi(verdicts, b" " * 1025),
    "invalid_length": lambda verdicts: wsgi(verdicts, environ={"CONTENT_LENGTH": "two"}),
    "length_required": lambda verdicts: wsgi(verdicts, environ={"HTTP_TRANSFER_ENCODING": "chunked"}),
    "incomplete_body": lambda verdicts: wsgi(verdicts, environ={"CONTENT_LENGTH": "3"}),
    "websocket_refused": lambda verdicts: asgi(verdicts, [], kind="websocket"),
}


def test_the_page_has_every_outcome():
    assert set(TABLE) == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("outcome", WAYS)
def test_the_response_is_the_one_on_the_page(outcome):
    verdicts = []
    WAYS[outcome](verdicts)
    statuses = {verdict.outcome.value: verdict.status for verdict in verdicts}
    status = statuses[outcome]
    assert TABLE[outcome].startswith("the application" if status is None else str(status))


def test_on_asgi_nothing_is_sent_to_a_client_that_left():
    verdicts = []
    asgi(verdicts, [FIELD])
    assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [("incomplete_body", None)]


def test_on_wsgi_a_repeated_field_is_malformed():
    verdicts = []
    wsgi(verdicts, signature=sign(b"{}", SECRET) + "," + sign(b"{}", SECRET))
    assert [verdict.outcome for verdict in verdicts] == ["malformed_signature"]
