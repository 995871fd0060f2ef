"""What the servers run: the smallest receiver for each protocol, bare, guarded, and with the documented snippet."""

from __future__ import annotations

import hashlib
import hmac

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware

SECRET = "whsec-0123456789abcdef"
PATH = "/webhooks/meetgeek"


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def wsgi(environ, start_response):
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Length", "0")])
    return []


def is_genuine(body, received):
    """Do what MeetGeek's documentation shows."""
    return hmac.compare_digest(hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(), received)


async def asgi_with_snippet(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body, more_body = b"", True
    while more_body:
        event = await receive()
        body += event["body"]
        more_body = event["more_body"]
    assert is_genuine(body, dict(scope["headers"])[b"x-mg-signature"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def wsgi_with_snippet(environ, start_response):
    assert is_genuine(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])), environ["HTTP_X_MG_SIGNATURE"])
    start_response("200 OK", [("Content-Length", "0")])
    return []


guarded_asgi = MeetGeekASGIMiddleware(asgi, SECRET, paths=PATH)
guarded_wsgi = MeetGeekWSGIMiddleware(wsgi, SECRET, paths=PATH)
