"""Every framework with the same routes, guarded by its line of the README, and driven as servers drive it."""

import asyncio
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from io import BytesIO, StringIO
from typing import Any

import pytest

from mg_middleware import Delivery, delivery_of

SECRET = "whsec_frameworks"
OTHER_ROUTES = ("/", "/health", "/webhooks", "/webhooks/other", "/webhooks/meetgeek-status", "/api/users/7")
PIECES = (b"first ", b"second ", b"third")


def _identifier(*parts):
    return "-".join(part.replace(" ", "-") for part in parts if part)


# The name of a module in applications, a variant if there are several in it, and the protocol.
FRAMEWORKS = {
    _identifier(*framework): framework
    for framework in (
        ("blacksheep", None, "asgi"),
        ("blacksheep", "with a mount", "asgi"),
        ("bottle", None, "wsgi"),
        ("bottle", "with a mount", "wsgi"),
        ("connexion", "on Flask", "asgi"),
        ("connexion", "on Starlette", "asgi"),
        ("django", None, "asgi"),
        ("django", None, "wsgi"),
        ("falcon", None, "asgi"),
        ("falcon", None, "wsgi"),
        ("fastapi", None, "asgi"),
        ("fastapi", "with a mount", "asgi"),
        ("flask", None, "wsgi"),
        ("flask", "mounted", "wsgi"),
        ("litestar", None, "asgi"),
        ("litestar_mounting", "falcon", "asgi"),
        ("litestar_mounting", "flask", "asgi"),
        ("litestar_mounting", "litestar", "asgi"),
        ("litestar_mounting", "pyramid", "asgi"),
        ("litestar_mounting", "quart", "asgi"),
        ("pyramid", "by route and traversal", "wsgi"),
        ("pyramid", "hybrid", "wsgi"),
        ("pyramid", "traverse option", "wsgi"),
        ("pyramid", "under a2wsgi", "asgi"),
        ("pyramid", "under asgiref", "asgi"),
        ("quart", None, "asgi"),
        ("rest_framework", "with a router", "asgi"),
        ("rest_framework", "with a router", "wsgi"),
        ("rest_framework", "with suffix patterns", "wsgi"),
        ("sanic", None, "asgi"),
        ("starlette", None, "asgi"),
    )
}
# They want the lifespan before the first request.
STARTED_BY_LIFESPAN = ("blacksheep", "connexion", "sanic")


@dataclass
class Answer:
    status: int
    body: bytes


class Framework:
    """One framework's application, with and without the guard.

    `handled` holds what each run of the webhook's handler saw: the delivery, or None where nothing was verified, and
    the body as the framework gave it.
    """

    pieces = PIECES

    def __init__(self, name: str, variant: str | None, protocol: str, runner: asyncio.Runner) -> None:
        module = _import_application(name)
        build = getattr(module, f"build_{protocol}")
        build_arguments = () if variant is None else (variant,)
        pieces = _asynchronous_pieces if protocol == "asgi" else _pieces
        self.protocol = protocol
        # A mount has its own opinion of the path where it is.
        mounts = variant in {"mounted", "with a mount"}
        self.other_routes = [route for route in OTHER_ROUTES if not (mounts and route == "/webhooks")]
        self.handled = _HANDLED
        self.bare = build(_record, pieces, OTHER_ROUTES, *build_arguments)
        self.guarded = getattr(module, f"guard_{protocol}")(build(_record, pieces, OTHER_ROUTES, *build_arguments))
        self._runner = runner
        if name in STARTED_BY_LIFESPAN:
            _LIFESPANS.extend(runner.run(_start(application)) for application in (self.bare, self.guarded))

    def ask(
        self,
        path,
        *,
        application=None,
        raw_path=None,
        method="POST",
        mount="",
        headers=(),
        chunks=(b"",),
        has_length=True,
    ) -> Answer:
        """Send one request; path and mount are the strings that a server puts into the scope or environ."""
        self.handled.clear()
        if self.protocol == "wsgi":
            return self._ask_wsgi(application or self.guarded, path, method, mount, headers, chunks, has_length)
        raw_path = path.encode("utf-8", "surrogatepass") if raw_path is None else raw_path
        return self._ask_asgi(application or self.guarded, path, raw_path, method, mount, headers, chunks, has_length)

    def _ask_asgi(self, application, path, raw_path, *request) -> Answer:
        method, mount, headers, chunks, has_length = request
        framing = ("content-length", str(sum(map(len, chunks)))) if has_length else ("transfer-encoding", "chunked")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": raw_path,
            "root_path": mount,
            "query_string": b"",
            "headers": [
                (name.encode(), value.encode("latin-1")) for name, value in (("host", "localhost"), framing, *headers)
            ],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
        }
        return self._runner.run(_run_asgi(application, scope, chunks))

    def _ask_wsgi(self, application, path, method, mount, headers, chunks, has_length) -> Answer:
        body = b"".join(chunks)
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": mount,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "wsgi.errors": StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        if has_length:
            environ["CONTENT_LENGTH"] = str(len(body))
        else:
            environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        statuses = []
        answer = application(environ, lambda status, headers, exc_info=None: statuses.append(int(status[:3])))
        content = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        return Answer(statuses[-1], content)


async def _start(application):
    """Let an application start; the task keeps it running."""
    started = asyncio.Event()
    messages = [{"type": "lifespan.startup"}]

    async def receive():
        return messages.pop() if messages else await asyncio.Future()

    async def send(message):
        if message["type"] == "lifespan.startup.complete":
            started.set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task = asyncio.ensure_future(application(scope, receive, send))
    waiting = asyncio.ensure_future(started.wait())
    await asyncio.wait([task, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED)
    assert started.is_set(), task
    return task


async def _run_asgi(application, scope, chunks) -> Answer:
    events = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    events[-1]["more_body"] = False
    answered = asyncio.Event()
    sent = []

    async def receive():
        if events:
            return events.pop(0)
        await answered.wait()  # the client stays until it has its answer
        return {"type": "http.disconnect"}

    async def send(event):
        sent.append(event)
        if event["type"] == "http.response.body" and not event.get("more_body", False):
            answered.set()

    async with asyncio.timeout(20):  # an application that waits for ever is told from a busy machine
        await application(scope, receive, send)
    return Answer(sent[0]["status"], b"".join(event.get("body", b"") for event in sent[1:]))


_LIFESPANS: list[asyncio.Task[None]] = []  # until the runner ends, which cancels them
_HANDLED: list[tuple[Delivery | None, bytes]] = []


def _record(request: Any, body: bytes) -> None:
    try:
        delivery = delivery_of(request)
    except LookupError:
        delivery = None
    _HANDLED.append((delivery, body))


def _pieces():
    yield from PIECES


async def _asynchronous_pieces():
    for piece in PIECES:
        await asyncio.sleep(0.01)  # time for a listener to see a disconnect that is none
        yield piece


def _import_application(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what frameworks do when they are imported is theirs
        return import_module(f"frameworks.applications.with_{name}")


@pytest.fixture(scope="session")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)  # Starlette builds the guard at the first request
        yield


@pytest.fixture(scope="session")
def build_framework(environment, runner):
    """Build each framework when it is first asked for."""

    @cache
    def build(identifier):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what frameworks do while they are built is theirs
            return Framework(*FRAMEWORKS[identifier], runner)

    return build


@pytest.fixture(scope="session", params=FRAMEWORKS)
def framework(request, build_framework):
    return build_framework(request.param)
