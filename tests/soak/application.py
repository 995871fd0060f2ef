"""What is put under load: the guard with the SQLite store, round an application that notes what it processes."""

import os

from servers.wire import GUARDED_PATH, READY_PATH

from mg_middleware import AnalysisSucceeded, MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, SQLiteStore, delivery_of

_JOURNAL = os.open(os.environ["SERVERS_JOURNAL"], os.O_WRONLY | os.O_APPEND)


def _process(request):
    match delivery_of(request).event:
        case AnalysisSucceeded(meeting_id):
            os.write(_JOURNAL, f"{meeting_id}\n".encode())


async def _asgi_inner(scope, receive, send):
    if scope["path"] != READY_PATH:
        _process(scope)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _wsgi_inner(environ, start_response):
    if environ["PATH_INFO"] != READY_PATH:
        _process(environ)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


def _guarded(middleware_class, inner):
    store = SQLiteStore(os.environ["SOAK_STORE"])
    return middleware_class(inner, paths=GUARDED_PATH, idempotency_store=store)


def asgi_application():
    return _guarded(MeetGeekASGIMiddleware, _asgi_inner)


def wsgi_application():
    return _guarded(MeetGeekWSGIMiddleware, _wsgi_inner)
