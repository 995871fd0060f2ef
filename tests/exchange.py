"""Requests as servers hand them over, written by hand, and guarded applications that remember what reached them."""

from io import BytesIO, StringIO
from typing import NamedTuple

import pytest
from cases import SECRET

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, delivery_of

PATH = "/webhooks/meetgeek"
CLIENT = "203.0.113.7"


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def run(coroutine):
    """Run a coroutine without an event loop: all that it awaits is at hand."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the coroutine waits for something")


def http_scope(fields=(), **changes):
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(fields),
        "client": (CLIENT, 50000),
        "server": ("198.51.100.1", 80),
        **changes,
    }


def websocket_scope(**changes):
    scope = http_scope(type="websocket", scheme="ws", subprotocols=[], **changes)
    del scope["method"]
    return scope


def request_events(*chunks):
    """The events of a body; the last chunk ends it."""
    chunks = chunks or (b"",)
    return [
        {"type": "http.request", "body": chunk, "more_body": position < len(chunks)}
        for position, chunk in enumerate(chunks, start=1)
    ]


class Connection:
    """The server's side of one ASGI connection: the events that it has for the application, and what it was sent."""

    def __init__(self, *events):
        self.events = list(events)
        self.received = 0
        self.sent = []

    async def receive(self):
        self.received += 1
        return self.events.pop(0)

    async def send(self, event):
        self.sent.append(event)

    @property
    def answer(self):
        start, *bodies = self.sent
        assert [event["type"] for event in self.sent] == ["http.response.start"] + ["http.response.body"] * len(bodies)
        assert [event["more_body"] for event in bodies] == [True] * (len(bodies) - 1) + [False]
        headers = [(name.decode(), value.decode()) for name, value in start["headers"]]
        return Answer(start["status"], headers, b"".join(event["body"] for event in bodies))


async def body_from(receive):
    """Read a whole body as an application does."""
    chunks = []
    more_body = True
    while more_body:
        event = await receive()
        assert event["type"] == "http.request"
        chunks.append(event["body"])
        more_body = event["more_body"]
    return b"".join(chunks)


async def asgi_answer(send, status=200, body=b"processed"):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Stream:
    """A `wsgi.input` with nothing but `read`, that hands over a chunk at a time and tells what was asked of it.

    It has no `readline`, `seek` or `close`, needs a size, and an exception among the chunks is raised in its turn.
    """

    def __init__(self, *chunks):
        self.chunks = list(chunks)
        self.sizes = []

    def read(self, size):
        assert size > 0
        self.sizes.append(size)
        if not self.chunks:
            return b""
        chunk = self.chunks.pop(0)
        if isinstance(chunk, BaseException):
            raise chunk
        if len(chunk) > size:
            self.chunks.insert(0, chunk[size:])
        return chunk[:size]


def wsgi_environ(fields=(), stream=None, **changes):
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "SERVER_NAME": "receiver.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": CLIENT,
        "HTTP_HOST": "receiver.test",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO() if stream is None else stream,
        "wsgi.errors": StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in fields:
        key = name.decode().upper().replace("-", "_")
        key = key if key in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ | changes


class StartResponse:
    """A server's `start_response`: it remembers what it was called with, and what was written."""

    def __init__(self):
        self.calls = []
        self.written = []

    def __call__(self, *arguments):
        self.calls.append(arguments)
        return self.written.append

    def answer(self, iterable):
        """Take the answer as a server does, and close it."""
        chunks = list(iterable)
        if hasattr(iterable, "close"):
            iterable.close()
        status, headers, *_ = self.calls[-1]
        return Answer(int(status[:3]), headers, b"".join(self.written + chunks))


class Receiver:
    """A guarded application that remembers what reached it; `is_body_read` speaks of the last request."""

    def __init__(self, secret=SECRET, **options):
        self.deliveries = []
        self.bodies = []
        self.is_body_read = False
        self.middleware = self.middleware_class(self._application, secret, **options)


class ASGIReceiver(Receiver):
    """A guarded ASGI application."""

    protocol = "asgi"
    middleware_class = MeetGeekASGIMiddleware

    async def _application(self, scope, receive, send):
        self.deliveries.append(delivery_of(scope))
        self.bodies.append(await body_from(receive))
        await asgi_answer(send)

    def ask(self, fields, *chunks, **changes):
        connection = Connection(*request_events(*chunks))
        run(self.middleware(http_scope(fields, **changes), connection.receive, connection.send))
        self.is_body_read = connection.received > 0
        return connection.answer


class WSGIReceiver(Receiver):
    """A guarded WSGI application. A body without a declared length comes chunked, and the server ends it."""

    protocol = "wsgi"
    middleware_class = MeetGeekWSGIMiddleware

    def _application(self, environ, start_response):
        self.deliveries.append(delivery_of(environ))
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"processed"]

    def ask(self, fields, *chunks, method="POST", path=PATH, client=(CLIENT, 50000)):
        stream = Stream(*filter(None, chunks))  # to WSGI, an empty piece is the end
        environ = wsgi_environ(fields, stream, REQUEST_METHOD=method, PATH_INFO=path)
        if client is None:
            del environ["REMOTE_ADDR"]
        else:
            environ["REMOTE_ADDR"] = client[0]
        if "CONTENT_LENGTH" not in environ:
            environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        start_response = StartResponse()
        answer = start_response.answer(self.middleware(environ, start_response))
        self.is_body_read = bool(stream.sizes)
        return answer


RECEIVERS = [ASGIReceiver, WSGIReceiver]
on_both_protocols = pytest.mark.parametrize("receiver_class", RECEIVERS, ids=["asgi", "wsgi"])


def each(table):
    """One parameter for each row of a table, with the row's name as its id."""
    return [pytest.param(row, id=name) for name, row in table.items()]
