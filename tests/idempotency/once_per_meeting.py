"""What the tests of this folder and their worker processes share: signed deliveries, and a server for each protocol."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import anyio.lowlevel

SECRET = "made-up secret"
SUCCEEDED = "File analyzed successfully"
FAILED_BODY = b'{"message": "File analyzed failed"}'
UNKNOWN_BODY = b'{"message": "something new", "meeting_id": "m-1"}'


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def succeeded(meeting_id="m-1"):
    return json.dumps({"message": SUCCEEDED, "meeting_id": meeting_id}).encode()


def signature(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def asgi_scope(body, secret=SECRET, method="POST"):
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/webhook",
        "raw_path": b"/webhook",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"x-mg-signature", signature(body, secret).encode())],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }


def wsgi_environ(body, secret=SECRET, method="POST"):
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": "/webhook",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_MG_SIGNATURE": signature(body, secret),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


async def receive_asgi_answer(application, body, secret=SECRET, method="POST"):
    events = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event):
        events.append(event)

    await application(asgi_scope(body, secret, method), receive, send)
    start = events[0]
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(event.get("body", b"") for event in events[1:]))


def wsgi_answer(application, body, secret=SECRET, method="POST"):
    started = []

    def start_response(status, headers, exc_info=None):
        started.append((status, headers))
        return written.append

    written = []
    chunks = application(wsgi_environ(body, secret, method), start_response)
    try:
        written.extend(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[-1]
    return Answer(int(status[:3]), {name.lower(): value for name, value in headers}, b"".join(written))


def asgi_answer(application, body, secret=SECRET, method="POST"):
    return asyncio.run(receive_asgi_answer(application, body, secret, method))


def asgi_application(handle):
    """Make an application of a function of the body that returns a status, and may raise."""

    async def application(scope, receive, send):
        event = await receive()
        status = handle(event["body"])
        if asyncio.iscoroutine(status):
            status = await status
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"done", "more_body": False})

    return application


def wsgi_application(handle):
    """Make an application of a function of the body that returns a status, and may raise."""

    def application(environ, start_response):
        status = handle(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response(f"{status} Status", [("Content-Type", "text/plain")])
        yield b"do"
        yield b"ne"

    return application


def append_line(path, line):
    """Append to a file that several processes write: one short write is one piece."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


class SlowlyHashed(str):
    """A key that lets other threads run between any two looks into a dict."""

    __slots__ = ()

    def __hash__(self):
        time.sleep(0.001)
        return super().__hash__()


def claims_at_once(store, key="key"):
    """Claim one key in sixteen threads at once; the kinds of the answers."""
    barrier = threading.Barrier(16)

    def claim(_number):
        barrier.wait()
        return type(store.claim(key))

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(claim, range(16)))


class CoroutineStore:
    """A user's store: coroutine functions around another store."""

    def __init__(self, store):
        self.store = store

    async def claim(self, key):
        await anyio.lowlevel.checkpoint()
        return self.store.claim(key)

    async def complete(self, key, token):
        await anyio.lowlevel.checkpoint()
        self.store.complete(key, token)

    async def release(self, key, token):
        await anyio.lowlevel.checkpoint()
        self.store.release(key, token)


class BlockingStore:
    """A user's store: plain methods, which may take a while, around another store. It says nothing of its execution."""

    def __init__(self, store, seconds=0.0):
        self.store = store
        self.seconds = seconds
        if hasattr(store, "lease"):
            self.lease = store.lease
            self.max_lease = store.max_lease

    def claim(self, key):
        time.sleep(self.seconds)
        return self.store.claim(key)

    def complete(self, key, token):
        time.sleep(self.seconds)
        self.store.complete(key, token)

    def release(self, key, token):
        time.sleep(self.seconds)
        self.store.release(key, token)


class RenewedBlockingStore(BlockingStore):
    """The same, and its claims are renewed."""

    def renew(self, key, token):
        return self.store.renew(key, token)


class BrokenStore:
    """A store of which one step fails."""

    def __init__(self, store, broken):
        self.store = store
        self.broken = broken

    def _take(self, step, *arguments):
        if step == self.broken:
            raise OSError(28, "No space left on device")
        return getattr(self.store, step)(*arguments)

    def claim(self, key):
        return self._take("claim", key)

    def complete(self, key, token):
        self._take("complete", key, token)

    def release(self, key, token):
        self._take("release", key, token)
