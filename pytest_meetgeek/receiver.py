"""A receiver under test: an ASGI app, a WSGI app or a live URL, all driven in the same way."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from pytest_meetgeek._django import django_settings
from pytest_meetgeek.drivers.asgi import AsgiSession
from pytest_meetgeek.drivers.event_loop import inside_trio
from pytest_meetgeek.drivers.url import check_url, send_url
from pytest_meetgeek.drivers.wsgi import send_wsgi

if TYPE_CHECKING:
    from types import TracebackType

    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.response import Response

__all__ = ["Receiver"]

Result = TypeVar("Result")
Send = Callable[["WebhookRequest", str | None], Awaitable["Response"]]
Interface = Literal["auto", "asgi", "wsgi"]
INTERFACES: tuple[Interface, ...] = ("auto", "asgi", "wsgi")


def _accepts(app: Callable[..., object], arguments: int) -> bool:
    try:
        inspect.signature(app).bind(*range(arguments))
    except (TypeError, ValueError):
        return False
    return True


def find_interface(app: object) -> Literal["asgi", "wsgi"]:
    """Detect whether an app is ASGI or WSGI: by a coroutine function, else by the number of arguments (3 or 2).

    Args:
        app: The app.

    Raises:
        TypeError: It is not callable, or neither or both could be.
    """
    if not callable(app):
        raise TypeError(f"not an ASGI app, a WSGI app or a URL: {type(app).__name__}")
    called = getattr(type(app), "__call__", None)  # noqa: B004  # the function is wanted, not whether there is one
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(called):
        return "asgi"
    takes_three, takes_two = _accepts(app, 3), _accepts(app, 2)
    if takes_three == takes_two:
        factory = "; if it is a factory, write module:factory()" if not takes_two and _accepts(app, 0) else ""
        raise TypeError(
            f"cannot tell whether {type(app).__name__} is an ASGI or a WSGI app: "
            f"say it with --meetgeek-interface=asgi or wsgi (interface=...){factory}"
        )
    return "asgi" if takes_three else "wsgi"


class Receiver:
    """The receiver under test, called in this process or over HTTP.

    Use it as a context manager, or call `close`. Not for load tests: a live URL gets one connection for each request.

    In async code use `async with` and `asend`: the app then runs on the caller's own event loop (asyncio or trio), with
    one lifespan for the whole block. `asend` outside such a block runs a lifespan around that one request.

    Args:
        app: An ASGI app, a WSGI app, or a URL; a URL's own path comes before `path`.
        path: Where the webhook is, percent-encoded.
        interface: "asgi" or "wsgi", if "auto" can't find out.
        lifespan: Whether to run the lifespan of an ASGI app.
        allow_hosts: Hosts beyond loopback that a URL may name.
        timeout: Seconds after which a request without a response is abandoned (not for a WSGI app on Windows).
        host: The Host field. None: the URL's own; "testserver" for an app in this process, or for a Django project that
            does not serve that, the first host that it does serve.

    Raises:
        TypeError: The app is none of these.
        ValueError: The URL is not valid, or not on loopback and not allowed; or there is no such interface.
    """

    def __init__(
        self,
        app: object,
        *,
        path: str = "/",
        interface: Interface = "auto",
        lifespan: bool = True,
        allow_hosts: Collection[str] = (),
        timeout: float = 10.0,
        host: str | None = None,
    ) -> None:
        if interface not in INTERFACES:
            raise ValueError(f"interface is one of {', '.join(INTERFACES)}, not {interface!r}")
        self.app: object = app
        self.path: str = path
        self.interface: Literal["asgi", "wsgi", "url"]
        self._timeout = timeout
        self._host = host
        self._lifespan = lifespan
        self._sessions: dict[object, list[AsgiSession]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        if isinstance(app, str):
            self._url = check_url(app, allow_hosts)
            self.interface = "url"
            if self._url.path not in {"", "/"}:
                self.path = self._url.path + (f"?{self._url.query}" if self._url.query else "")
        else:
            self.interface = find_interface(app) if interface == "auto" else interface

    def __repr__(self) -> str:
        return f"<Receiver {self.interface} {self.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        open_here = self._sessions.setdefault(_current_loop(), [])
        # A block within a block uses the session of the outer one.
        open_here.append(open_here[-1] if open_here else await self._open_session())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The error is not passed on: it is the caller's, and the session has no use for it.
        loop = _current_loop()
        session = self._sessions[loop].pop()
        if not self._sessions[loop]:
            del self._sessions[loop]
            await session.stop()

    @property
    def url(self) -> str:
        """The full URL of a live receiver; for one in this process, the path on the host "testserver"."""
        origin = f"{self._url.scheme}://{self._url.netloc}" if self.interface == "url" else "http://testserver"
        return origin + self.path

    def send(self, request: WebhookRequest, *, path: str | None = None) -> Response:
        """Send one request, once.

        Not in async code, where it would block the event loop: use `asend`.

        Args:
            request: What to send.
            path: Where to send it, if not to the receiver's own path.

        Raises:
            RuntimeError: An event loop runs in this thread.
            LifespanError: The app's start-up failed.
        """
        refuse_in_async_code("send", "asend")
        if self.interface == "asgi":
            return self.run(lambda: self.asend(request, path=path))
        return self._send_blocking(request, path or self.path)

    async def asend(self, request: WebhookRequest, *, path: str | None = None) -> Response:
        """Send one request, once, from async code.

        Args:
            request: What to send.
            path: Where to send it, if not to the receiver's own path.

        Raises:
            LifespanError: The app's start-up failed.
        """
        async with self.sending() as send:
            return await send(request, path)

    @asynccontextmanager
    async def sending(self) -> AsyncGenerator[Send]:
        """Send several requests within one lifespan: return the function that sends them.

        Inside `async with receiver` the app of that block gets them; elsewhere the app runs as long as this block.
        """
        if self.interface != "asgi":
            yield self._send_in_thread
            return
        open_here = self._sessions.get(_current_loop())
        session = open_here[-1] if open_here else await self._open_session()

        async def send(request: WebhookRequest, path: str | None) -> Response:
            return await session.send(self._addressed(request), path or self.path)

        try:
            yield send
        finally:
            if not open_here:
                await session.stop()

    def run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run async work on this receiver's private event loop, with the app's lifespan around it.

        Not in async code: await the work there.

        Args:
            work: What to run; `asend` in it goes to the same running app as `send`.

        Raises:
            RuntimeError: An event loop runs in this thread.
        """
        refuse_in_async_code("run", "asend")
        if self._loop is None:
            # Never made current: a test suite's own event loop stays what it was.
            self._loop = asyncio.new_event_loop()
            self._loop.run_until_complete(self.__aenter__())

        async def run() -> Result:
            return await work()

        return self._loop.run_until_complete(run())

    def pause(self, seconds: float) -> None:
        """Let work that the app left behind go on for a while.

        Args:
            seconds: How long.
        """
        if self.interface == "asgi":
            self.run(lambda: asyncio.sleep(seconds))
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """Stop the app that `send` started: its lifespan, its loop and what it left running. It may be called twice.

        Raises:
            LifespanError: The app's shutdown failed.
        """
        loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            loop.run_until_complete(self.__aexit__(None, None, None))
        finally:
            loop.run_until_complete(_cancel_what_is_left())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def _send_blocking(self, request: WebhookRequest, path: str) -> Response:
        if self.interface == "url":
            return send_url(self._url, self._addressed(request), path, self._timeout)
        return send_wsgi(cast("Any", self.app), self._addressed(request), path, self._timeout)

    def _addressed(self, request: WebhookRequest) -> WebhookRequest:
        """Put the Host field in, if the request has none of its own."""
        host = self._host or (None if self.interface == "url" else _host_of_django())
        if host is None or any(name.lower() == "host" for name, _ in request.headers):
            return request
        return request.with_header("Host", host)

    async def _send_in_thread(self, request: WebhookRequest, path: str | None) -> Response:
        trio = inside_trio()
        in_thread = asyncio.to_thread if trio is None else trio.to_thread.run_sync
        response: Response = await in_thread(self._send_blocking, request, path or self.path)
        return response

    async def _open_session(self) -> AsgiSession:
        lifespan = self._lifespan and self.interface == "asgi"
        session = AsgiSession(cast("Any", self.app), lifespan=lifespan, timeout=self._timeout)
        await session.open()
        return session


def _host_of_django() -> str | None:
    """Find a host that the Django project in this process serves; None if there is none, or if "testserver" does.

    A fresh project serves "localhost" (DEBUG, and no ALLOWED_HOSTS); one under pytest-django serves "testserver".
    """
    settings = django_settings()
    if settings is None:
        return None
    allowed: list[str] = list(settings.ALLOWED_HOSTS)
    if not allowed:
        return "localhost" if settings.DEBUG else None
    return None if {"*", "testserver"} & set(allowed) else allowed[0].removeprefix(".")


def _current_loop() -> object:
    trio = inside_trio()
    return asyncio.get_running_loop() if trio is None else trio.lowlevel.current_trio_token()


def refuse_in_async_code(name: str, twin: str) -> None:
    """Raise where an event loop runs in this thread, which a sync call would block.

    Args:
        name: The sync call.
        twin: Its async twin.

    Raises:
        RuntimeError: One runs, asyncio's or trio's.
    """
    if inside_trio() is None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
    raise RuntimeError(f"{name}() blocks the event loop that runs here: use 'await …{twin}(…)'")


async def _cancel_what_is_left() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
