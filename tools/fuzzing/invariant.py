"""The invariant, and a judge of it that shares no code with the guard.

A verdict or a documented error, never another exception; accepted if, and only if, an independent HMAC agrees and the
request keeps the documented bounds.
"""

import json
import re

from cases import signature_of
from exchange import (
    Connection,
    StartResponse,
    Stream,
    asgi_answer,
    body_from,
    http_scope,
    run,
    websocket_scope,
    wsgi_environ,
)
from hostile_requests import GUARDED_PATHS, SECRETS, is_surely_elsewhere, is_surely_guarded

from mg_middleware import (
    AnalysisFailed,
    AnalysisSucceeded,
    ConfigurationError,
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    UnknownEvent,
)

# The documented answer to each outcome that is no acceptance.
STATUSES = {
    "missing_signature": 401,
    "repeated_signature": 401,
    "malformed_signature": 401,
    "signature_mismatch": 401,
    "unknown_sender": 401,
    "invalid_length": 400,
    "body_too_large": 413,
    "length_required": 411,
    "incomplete_body": 400,
    "duplicate": 200,
}


def check_asgi(request):
    """Send the request to a guarded ASGI application."""
    reached = []

    async def application(scope, receive, send):
        guarded = "meetgeek.delivery" in scope
        reached.append(
            (scope, receive, send) if not guarded else (scope["meetgeek.delivery"], await body_from(receive))
        )
        await asgi_answer(send)

    guard, verdicts = _guard_of(MeetGeekASGIMiddleware, application, request)
    fields = [(b"X-Mg-Signature", value) for value in request.signatures]
    if request.declared is not None:
        fields.append((b"content-length", request.declared))
    changes = {"method": request.method, "path": request.path, "root_path": request.mount}
    expected = _outcome_before_the_body(request, request.signatures)
    left = False
    if expected is None:
        expected = _too_much(request, _number(request.declared) if request.declared else None)
        left = expected is None and request.leaves
        if left or (expected is None and request.declared and len(request.body) < _number(request.declared)):
            expected = "incomplete_body"
        expected = expected or _outcome_of(request.signatures[0], request.body)

    def ask(seen, expected):
        scope, connection = http_scope(fields, **changes), _OddConnection(request)
        receive, send = connection.receive, connection.send
        if not _runs(lambda: run(guard(scope, receive, send)), request, verdicts, expected, scope["path"]):
            return
        if not verdicts:
            assert reached.pop() == (scope, receive, send)
            return
        _check_verdict(verdicts.pop(), reached, seen, expected, request)
        if left:
            assert connection.sent == []
        elif expected != "accepted":
            assert connection.answer.status == STATUSES[expected]

    ask(request.body, expected)
    if request.remembers and expected == "accepted":
        ask(request.body, "duplicate" if request.method == "POST" and _is_success(request.body) else "accepted")
    if request.sender != "blank":
        _check_websocket(guard, request, verdicts, reached)


def check_wsgi(request):
    """Send the request to a guarded WSGI application."""
    reached = []

    def application(environ, start_response):
        guarded = "meetgeek.delivery" in environ
        reached.append(
            (environ, start_response) if not guarded else (environ["meetgeek.delivery"], environ["wsgi.input"].read())
        )
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"processed"]

    guard, verdicts = _guard_of(MeetGeekWSGIMiddleware, application, request)
    joined = (b",".join(request.signatures),) if request.signatures else ()
    expected, seen = _outcome_before_the_body(request, joined), b""
    if expected is None:
        expected, seen = _outcome_of_the_wsgi_body(request, joined[0])
    if expected == "unknown_sender" and request.chunked and not request.terminated:
        expected = "length_required"

    def ask(expected):
        pieces = [bytes(piece) if memoryview(piece).itemsize > 1 else piece for piece in request.pieces if len(piece)]
        environ = wsgi_environ(
            stream=Stream(*pieces, *([OSError("gone")] if request.leaves else [])),
            REQUEST_METHOD=request.method,
            PATH_INFO=request.path,
            SCRIPT_NAME=request.mount,
        )
        if joined:
            environ["HTTP_X_MG_SIGNATURE"] = joined[0].decode("latin-1")
        if request.declared is not None:
            environ["CONTENT_LENGTH"] = request.declared.decode("latin-1")
        if request.terminated:
            environ["wsgi.input_terminated"] = True
        if request.chunked:
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        start_response = StartResponse()
        answers = []
        if not _runs(lambda: answers.append(guard(environ, start_response)), request, verdicts, expected, request.path):
            return
        answer = start_response.answer(answers[0])
        if not verdicts:
            assert reached.pop() == (environ, start_response)
            return
        _check_verdict(verdicts.pop(), reached, seen, expected, request)
        if expected != "accepted":
            assert answer.status == STATUSES[expected]

    ask(expected)
    if request.remembers and expected == "accepted":
        ask("duplicate" if request.method == "POST" and _is_success(seen) else "accepted")


class _OddConnection(Connection):
    """A server that uses the memory of a mutable piece again, and leaves out what it may."""

    def __init__(self, request):
        pieces = [bytearray(piece) if isinstance(piece, bytearray) else piece for piece in request.pieces] or [b""]
        events = []
        for number, piece in enumerate(pieces, start=1):
            last = number == len(pieces) and not request.leaves
            event = {"type": "http.request", "body": piece, "more_body": not last}
            if request.sparse:
                event = {key: value for key, value in event.items() if value}
            events.append(event)
        if request.leaves:
            events.append({"type": "http.disconnect"})
        super().__init__(*events)
        self._handed = None

    async def receive(self):
        if isinstance(self._handed, bytearray):
            self._handed[:] = b"\xff" * len(self._handed)
        event = await super().receive()
        self._handed = event.get("body")
        return event


def _guard_of(middleware, application, request):
    verdicts = []
    known = {"known": {"first": SECRETS[0], "second": SECRETS[1:]}, "unknown": None, "blank": " \n"}[request.sender]
    guard = middleware(
        application,
        lambda _: known,
        paths=None if request.guards_all else GUARDED_PATHS,
        max_body_size=request.limit,
        idempotency_store=MemoryStore() if request.remembers else None,
        on_verdict=verdicts.append,
    )
    return guard, verdicts


def _runs(call, request, verdicts, expected, path):
    """Make the call; False where it ends in the one documented error, as it must."""
    misconfigured = request.sender == "blank" and expected == "unknown_sender"
    try:
        call()
    except ConfigurationError:
        assert misconfigured
        assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [("unknown_sender", None)]
        return False
    # Where the request is let through unverified, its path must not be one that is surely guarded, and the reverse.
    assert not (verdicts == [] and is_surely_guarded(request)), path
    assert not (verdicts and is_surely_elsewhere(request)), path
    assert not (verdicts and misconfigured)
    return True


def _check_verdict(verdict, reached, seen, expected, request):
    assert verdict.outcome == expected
    assert (verdict.method, verdict.path) == (request.method, request.path)
    if expected != "accepted":
        assert reached == []
        return
    [(delivery, body)] = reached
    reached.clear()
    assert body == delivery.body == seen
    assert type(body) is bytes
    assert (
        delivery.key_id
        == verdict.key_id
        == {
            signature_of(seen, secret).decode(): name for secret, name in zip(SECRETS, ("first", "second"), strict=True)
        }[delivery.signature]
    )
    _check_event(delivery.event, seen)


def _check_websocket(guard, request, verdicts, reached):
    scope, connection = websocket_scope(path=request.path, root_path=request.mount), Connection()
    if is_surely_guarded(request):
        run(guard(scope, connection.receive, connection.send))
        assert [event["type"] for event in connection.sent] == ["websocket.close"]
        assert [verdict.outcome for verdict in verdicts] == ["websocket_refused"]
        assert reached == []


def _outcome_before_the_body(request, values):
    """Decide by the documented table; None where the body has to be read."""
    if len(values) != 1:
        return "repeated_signature" if values else "missing_signature"
    if not re.fullmatch(rb"[ \t]*[0-9a-f]{64}[ \t]*", values[0]):
        return "malformed_signature"
    declared = request.declared or b"0"
    if not re.fullmatch(rb"[0-9]+", declared):
        return "invalid_length"
    if request.limit is not None and _number(declared) > request.limit:
        return "body_too_large"
    return None if request.sender == "known" else "unknown_sender"


def _outcome_of_the_wsgi_body(request, value):
    """Decide by the documented table, and by PEP 3333 and RFC 9112 on where the body ends."""
    if request.chunked and not request.terminated:
        return "length_required", b""
    sent = request.body
    declared = 0 if request.chunked else _number(request.declared or b"0")
    if not request.terminated:
        return _outcome_of(value, sent[:declared]) if len(sent) >= declared else "incomplete_body", sent[:declared]
    too_much = _too_much(request, declared if request.declared and not request.chunked else None)
    if too_much or request.leaves or len(sent) < declared:
        return too_much or "incomplete_body", b""
    return _outcome_of(value, sent), sent


def _too_much(request, declared):
    """Decide by the first piece with which the body goes beyond the limit or the declared length."""
    size = 0
    for piece in request.pieces:
        size += memoryview(piece).nbytes
        if request.limit is not None and size > request.limit:
            return "body_too_large"
        if declared is not None and size > declared:
            return "incomplete_body"
    return None


def _outcome_of(value, body):
    agreeing = [secret for secret in SECRETS if signature_of(body, secret) == value.strip(b" \t")]
    return "accepted" if agreeing else "signature_mismatch"


def _number(digits):
    significant = digits.lstrip(b"0")[:30] or b"0"
    return int(significant)


def _decoded(body):
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_success(body):
    payload = _decoded(body)
    if not isinstance(payload, dict) or payload.get("message") != "File analyzed successfully":
        return False
    return isinstance(payload.get("meeting_id"), str) and payload["meeting_id"] != ""


def _check_event(event, body):
    payload = _decoded(body)
    assert repr(event.payload) == repr(payload)  # by their texts, since NaN is not equal to itself
    if _is_success(body):
        assert (type(event), event.meeting_id) == (AnalysisSucceeded, payload["meeting_id"])
    elif isinstance(payload, dict) and payload.get("message") == "File analyzed failed":
        assert type(event) is AnalysisFailed
    else:
        assert type(event) is UnknownEvent
