"""What the servers run: the smallest receiver for each protocol, bare and guarded."""

from __future__ import annotations

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


guarded_asgi = MeetGeekASGIMiddleware(asgi, SECRET, paths=PATH)
guarded_wsgi = MeetGeekWSGIMiddleware(wsgi, SECRET, paths=PATH)
