"""The receiver of the lost-worker test, for uvicorn and gunicorn: its first handler is killed with its worker."""

from __future__ import annotations

import json
import os
import signal
import time

from once_per_meeting import SECRET, append_line
from worker import STORES

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware

LOG = os.environ["RUNS_LOG"]


def handle(body):
    meeting = json.loads(body)["meeting_id"]
    with open(LOG, encoding="utf-8") as log:  # noqa: PTH123
        begun = log.read().split().count(f"begun-{meeting}")
    append_line(LOG, f"begun-{meeting}")
    if not begun:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    append_line(LOG, f"done-{meeting}")


def make_store():
    return STORES[os.environ["STORE"]](os.environ["LOCATION"])


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] != "/health":
        handle((await receive())["body"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def wsgi(environ, start_response):
    if environ["PATH_INFO"] != "/health":
        handle(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]


asgi_app = MeetGeekASGIMiddleware(asgi, SECRET, paths="/webhook", idempotency_store=make_store())
wsgi_app = MeetGeekWSGIMiddleware(wsgi, SECRET, paths="/webhook", idempotency_store=make_store())
