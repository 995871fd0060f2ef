"""What every server runs: the guard, an application inside of it and a recorder outside of it.

All three write to one journal, a file that is shared with the test: `seen` for each request that the server made out of
the bytes it got, `verdict` for each decision of the guard, `ran` for each run of the application.
"""

from __future__ import annotations

import hashlib
import json
import os
from http import HTTPStatus

from servers.wire import APPLICATION_HEADER, GUARDED_PATH, READY_PATH

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, delivery_of

_JOURNAL = os.open(os.environ["SERVERS_JOURNAL"], os.O_WRONLY | os.O_APPEND)


def record(kind, *facts):
    """Write one line at once, so that the lines of several processes do not mix."""
    os.write(_JOURNAL, json.dumps([kind, *facts]).encode() + b"\n")


def _record_verdict(verdict):
    record("verdict", verdict.outcome, verdict.status)


def _answer(path, body, request):
    """Tell status and text of the answer; 404 to what the guard let pass as none of its own."""
    if path == READY_PATH:
        return 200, b"ready"
    try:
        delivered = delivery_of(request).body == body
    except LookupError:
        return 404, b"not guarded"
    record("ran", hashlib.sha256(body).hexdigest(), delivered)
    return 200, b"ran"


async def _asgi_inner(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return
    body = b""
    more_body = True
    while more_body:
        event = await receive()
        body += event.get("body", b"")
        more_body = event.get("more_body", False)
    status, answer = _answer(scope["path"], body, scope)
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(answer)).encode()),
        (APPLICATION_HEADER.encode(), b"ran"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    content = b"" if scope["method"] == "HEAD" else answer
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _wsgi_inner(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, answer = _answer(environ["PATH_INFO"], body, environ)
    headers = [("Content-Type", "text/plain"), (APPLICATION_HEADER, "ran"), ("Content-Length", str(len(answer)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer]


_guarded_asgi = MeetGeekASGIMiddleware(_asgi_inner, paths=GUARDED_PATH, on_verdict=_record_verdict)
_guarded_wsgi = MeetGeekWSGIMiddleware(_wsgi_inner, paths=GUARDED_PATH, on_verdict=_record_verdict)


async def asgi_application(scope, receive, send):
    if scope["type"] == "http":
        record("seen", scope["method"], scope["path"])
    await _guarded_asgi(scope, receive, send)


def wsgi_application(environ, start_response):
    record("seen", environ["REQUEST_METHOD"], environ["PATH_INFO"])
    return _guarded_wsgi(environ, start_response)
