"""Every framework with the same routes, guarded by its line of the README, and driven as servers drive it."""

import asyncio
import sys
import warnings
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from mg_middleware import Delivery, delivery_of

SECRET = "whsec_frameworks"
OTHER_ROUTES = ("/", "/health", "/webhooks", "/webhooks/other", "/webhooks/meetgeek-status", "/api/users/7")
PIECES = (b"first ", b"second ", b"third")
FRAMEWORKS = (
    ("bottle", "wsgi"),
    ("django", "asgi"),
    ("django", "wsgi"),
    ("falcon", "asgi"),
    ("falcon", "wsgi"),
    ("fastapi", "asgi"),
    ("flask", "wsgi"),
    ("litestar", "asgi"),
    ("pyramid", "wsgi"),
    ("quart", "asgi"),
    ("starlette", "asgi"),
)


@dataclass
class Answer:
    status: int
    body: bytes


class Framework:
    """One framework's application, with and without the guard.

    `handled` holds what each run of the webhook's handler saw: the delivery, or None where nothing was verified, and
    the body as the framework gave it.
    """

    other_routes = OTHER_ROUTES
    pieces = PIECES

    def __init__(self, name: str, protocol: str, runner: asyncio.Runner) -> None:
        module = _import_application(name)
        build = getattr(module, f"build_{protocol}")
        pieces = _asynchronous_pieces if protocol == "asgi" else _pieces
        self.name = f"{name} ({protocol})"
        self.protocol = protocol
        self.handled = _HANDLED
        self.bare = build(_record, pieces, OTHER_ROUTES)
        self.guarded = getattr(module, f"guard_{protocol}")(build(_record, pieces, OTHER_ROUTES))
        self._runner = runner

    def ask(
        self, path, *, method="POST", mount="", headers=(), chunks=(b"",), has_length=True, application=None
    ) -> Answer:
        """Send one request; path and mount are the strings that a server puts into the scope or environ."""
        self.handled.clear()
        ask = self._ask_asgi if self.protocol == "asgi" else self._ask_wsgi
        return ask(application or self.guarded, path, method, mount, headers, chunks, has_length)

    def _ask_asgi(self, application, path, method, mount, headers, chunks, has_length) -> Answer:
        framing = ("content-length", str(sum(map(len, chunks)))) if has_length else ("transfer-encoding", "chunked")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "root_path": mount,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in (("host", "localhost"), framing, *headers)],
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
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers}
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
    path = Path(__file__).parent / "applications" / f"with_{name}.py"
    if path.stem in sys.modules:
        return sys.modules[path.stem]
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    sys.modules[path.stem] = module  # where Litestar and FastAPI look for the types that annotations name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what frameworks do when they are imported is theirs
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def all_frameworks(runner):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
        yield {f"{name}-{protocol}": Framework(name, protocol, runner) for name, protocol in FRAMEWORKS}


@pytest.fixture(scope="session", params=[f"{name}-{protocol}" for name, protocol in FRAMEWORKS])
def framework(request, all_frameworks):
    return all_frameworks[request.param]
