"""Runs an ASGI app as a server does: the lifespan, and the requests meanwhile. On asyncio and on trio."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pytest_meetgeek.drivers.event_loop import background
from pytest_meetgeek.response import NoResponseError, Response, origin

if TYPE_CHECKING:
    from pytest_meetgeek.drivers.event_loop import Background, Event
    from pytest_meetgeek.request import WebhookRequest

Scope = dict[str, Any]
AsgiApplication = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[object]]

_SERVER_ERROR = 500
_SERVER_ERROR_BODY = b"Internal Server Error"


class LifespanError(RuntimeError):
    """The app reported that its start-up or shutdown failed, or raised while shutting down."""


class AsgiSession:
    """One life of an ASGI app on one event loop.

    Not for a test: `Receiver` opens and closes it.

    Args:
        app: The app.
        lifespan: Whether to run the lifespan protocol; an app that does not support it is served without.
        timeout: Seconds after which an app that has not responded, started or stopped is abandoned.
    """

    def __init__(self, app: AsgiApplication, *, lifespan: bool, timeout: float) -> None:
        self._app = app
        self._timeout = timeout
        self._background = background()
        self._starting = self._background.lock()
        self._started = not lifespan
        self._up, self._stop, self._down = (self._background.event() for _ in range(3))
        self._state: dict[str, Any] = {}
        self._running = False
        self._failure: LifespanError | None = None

    async def open(self) -> None:
        """Make ready, in the task that will call `stop`."""
        await self._background.open()

    async def start(self) -> None:
        """Run the app's start-up, once.

        Raises:
            LifespanError: The app said that it failed, or did not finish in time.
        """
        async with self._starting:
            if not self._started:
                self._started = True
                await self._background.start(self._run_lifespan)
                await self._wait(self._up, "start-up")
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Run the app's shutdown, if it ran its start-up.

        Raises:
            LifespanError: The app said that it failed, raised, or did not finish in time.
        """
        try:
            if self._running:
                self._running = False
                self._stop.set()
                await self._wait(self._down, "shutdown")
                if self._failure is not None:
                    raise self._failure
        finally:
            await self._background.stop()

    async def _wait(self, event: Event, phase: str) -> None:
        async def wait() -> None:
            await event.wait()

        try:
            await self._background.limited(self._timeout, wait)
        except TimeoutError:
            self._failure = LifespanError(f"the app's {phase} was not over after {self._timeout:g} s")
            raise self._failure from None

    async def _run_lifespan(self) -> None:
        """Follow the lifespan protocol (ASGI specification, Lifespan 2.0) as uvicorn's "auto" does."""
        received = False

        async def receive() -> dict[str, Any]:
            nonlocal received
            if not received:
                received = True
                return {"type": "lifespan.startup"}
            await self._stop.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: dict[str, Any]) -> None:
            kind = message["type"]
            if kind.endswith(".failed"):
                phase = "start-up" if "startup" in kind else "shutdown"
                self._failure = LifespanError(f"the app's {phase} failed: {message.get('message', '')}")
            self._running = kind == "lifespan.startup.complete"
            (self._up if "startup" in kind else self._down).set()

        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001  # whatever an app raises: before start-up it means "not supported"
            if self._up.is_set() and self._failure is None:
                raised = f"{type(error).__name__}: {error}, at {origin(error)}"
                self._failure = LifespanError(f"the app's lifespan raised {raised}")
                self._failure.__cause__ = error
        finally:
            self._up.set()
            self._down.set()

    async def send(self, request: WebhookRequest, path: str) -> Response:
        """Send one request and wait until the app has ended it.

        Args:
            request: What to send.
            path: Where to send it.

        Raises:
            LifespanError: The start-up failed.
        """
        await self.start()
        exchange = _Exchange(request, self._background)
        scope = request.asgi_scope(path) | {"state": dict(self._state)}

        async def run() -> None:
            await self._app(scope, exchange.receive, exchange.send)

        error: BaseException | None = None
        try:
            await self._background.limited(self._timeout, run)
        except TimeoutError as raised:
            error = raised if str(raised) else NoResponseError(self._timeout)
        except Exception as raised:  # noqa: BLE001  # a server turns whatever an app raises into a 500
            error = raised
        finally:
            exchange.over.set()
        return exchange.response(error)


class _Exchange:
    """One request and its response, between an app's receive and send."""

    def __init__(self, request: WebhookRequest, loop: Background) -> None:
        self.over = loop.event()
        self._give_way = loop.give_way
        self._messages = request.asgi_messages()
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._body = bytearray()
        self._began = time.perf_counter()
        self._seconds: float | None = None

    async def receive(self) -> dict[str, Any]:
        # Bytes come from outside: while an app waits for them, other requests get their turn.
        await self._give_way()
        if self._messages:
            return self._messages.pop(0)
        # As servers do: the client stays connected until it has its response.
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._status is None:
            self._status = int(message["status"])
            self._headers = tuple(
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in message.get("headers", ())
            )
        elif kind == "http.response.body" and self._status is not None and self._seconds is None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                self._seconds = time.perf_counter() - self._began
                self.over.set()
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    def response(self, error: BaseException | None) -> Response:
        if self._seconds is None or self._status is None:
            if isinstance(error, NoResponseError):
                return Response(0, error=error, seconds=time.perf_counter() - self._began)
            # Nothing came, or half of it: a server breaks the connection or responds 500, and MeetGeek tries again.
            error = error or RuntimeError("the app returned without a complete response")
            seconds = time.perf_counter() - self._began
            return Response(_SERVER_ERROR, (), _SERVER_ERROR_BODY, error, seconds)
        return Response(self._status, self._headers, bytes(self._body), error, self._seconds)
