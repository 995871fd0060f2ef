"""Observing deliveries from outside the guard: what came, what the guard decided, what was sent back."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from mg_middleware.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mg_middleware.asgi import ASGIApplication, Receive, Scope, Send
    from mg_middleware.explanation import Explanation
    from mg_middleware.verdict import Verdict

# The default limit of the guard, which reads no larger body.
LARGEST_BODY = 1024 * 1024
_LARGEST_RESPONSE = 64 * 1024
_SUCCESS = range(200, 300)

VERIFIED = frozenset({Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.IN_PROGRESS, Outcome.IGNORED})


@dataclass
class Observation:
    """One delivery, as far as it has come.

    Attributes:
        method: the request's method.
        path: the path as received, percent-encoded, without the query string.
        headers: the header fields, as received.
        client: the address it came from.
        server: the host and port that it came to.
        received: when it came.
        body: what was read of the body; the guard reads nothing if the header field alone decides.
        verdict: what the guard decided; `None` before it has, and for paths that it doesn't guard.
        status: the status of the response; `None` before there is one.
        response_headers: the header fields of the response.
        response: the first 64 KiB of the response's body.
        response_size: the size of the response's body in bytes.
        error: what the application raised, or `None`.
        seconds: how long it took; `None` while it runs.
        explanations: why the signature doesn't fit; `None` if that wasn't asked.
        number: the inspector's number for it.
        revision: when the inspector last saw it change.
    """

    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]]
    client: str
    server: tuple[str, int | None]
    received: datetime = field(default_factory=lambda: datetime.now(UTC))
    body: bytearray = field(default_factory=bytearray)
    verdict: Verdict | None = None
    status: int | None = None
    response_headers: Sequence[tuple[bytes, bytes]] = ()
    response: bytearray = field(default_factory=bytearray)
    response_size: int = 0
    error: str | None = None
    seconds: float | None = None
    explanations: list[Explanation] | None = None
    number: int = 0
    revision: int = 0

    @property
    def is_verified(self) -> bool:
        """Whether the signature is genuine."""
        return self.verdict is not None and self.verdict.outcome in VERIFIED

    @property
    def succeeded(self) -> bool:
        """Whether the response is a 2xx."""
        return self.status in _SUCCESS


class Observer(Protocol):
    """Something that is notified of deliveries."""

    def decided(self, observation: Observation) -> None:
        """Take note that the guard has decided; called on the event loop, so it must be quick."""
        ...

    async def finished(self, observation: Observation) -> None:
        """Take note that the response was sent."""
        ...


_current: ContextVar[tuple[Observation, Sequence[Observer]] | None] = ContextVar("current", default=None)


def note_verdict(verdict: Verdict) -> None:
    """Take note of a verdict; the `on_verdict` of a guard inside `Observed`."""
    current = _current.get()
    if current is not None:
        observation, observers = current
        observation.verdict = verdict
        for observer in observers:
            observer.decided(observation)


class Observed:
    """An ASGI application around the guard, which notifies observers of each guarded request.

    Args:
        app: the guarded application, whose `on_verdict` is `note_verdict`.
        observers: whom to tell.
    """

    def __init__(self, app: ASGIApplication, observers: Sequence[Observer]) -> None:
        self.app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        observation = _observation_of(scope)
        started = time.perf_counter()

        async def observed_receive() -> dict[str, Any]:
            message: dict[str, Any] = await receive()
            chunk = message.get("body", b"")
            if len(observation.body) + len(chunk) <= LARGEST_BODY:
                observation.body += chunk
            return message

        async def observed_send(message: dict[str, Any]) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                observation.status = message["status"]
                observation.response_headers = tuple(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                chunk = message.get("body", b"")
                observation.response += chunk[: _LARGEST_RESPONSE - len(observation.response)]
                observation.response_size += len(chunk)

        token = _current.set((observation, self._observers))
        try:
            await self.app(scope, observed_receive, observed_send)
        except Exception as error:
            observation.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            _current.reset(token)
            observation.seconds = time.perf_counter() - started
            if observation.verdict is not None:
                for observer in self._observers:
                    await observer.finished(observation)


def observed(app: ASGIApplication, observers: Sequence[Observer]) -> ASGIApplication:
    """Put `Observed` around the guarded application, if there are observers.

    Args:
        app: the guarded application.
        observers: whom to tell.
    """
    return Observed(app, observers) if observers else app


def _observation_of(scope: Scope) -> Observation:
    raw_path = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    client, server = scope.get("client"), scope.get("server")
    return Observation(
        method=scope["method"],
        path=raw_path.decode("latin-1"),
        headers=tuple(scope["headers"]),
        client=f"{client[0]}" if client else "",
        server=(server[0], server[1]) if server else ("127.0.0.1", None),
    )
