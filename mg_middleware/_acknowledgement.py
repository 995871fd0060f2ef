"""Turning an application's 2xx response into the acknowledgement that MeetGeek expects: 200 and no body.

The response is held back until the application has finished it: if the application fails half-way, nothing has been
acknowledged, and MeetGeek sends the event again.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    Message = MutableMapping[str, Any]

# The fields that describe bytes which are no longer sent (RFC 9110, sections 8.4, 8.6, 8.8.3, 14.4, 6.6.2; RFC 9112,
# section 6.1; RFC 9530; RFC 3230; RFC 1864).
CONTENT_FIELDS = frozenset(
    {
        "content-digest",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "digest",
        "etag",
        "repr-digest",
        "trailer",
        "transfer-encoding",
    }
)
_CONTENT_FIELD_NAMES = frozenset(name.encode() for name in CONTENT_FIELDS)
_CONTENT_MESSAGES = frozenset(
    {
        "http.response.body",
        "http.response.pathsend",
        "http.response.trailers",
        "http.response.zerocopysend",
    }
)


def acknowledging_send(send: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
    """Wrap an ASGI `send` so that a 2xx response becomes an acknowledgement.

    Args:
        send: the server's own.

    Returns:
        A `send` for the application.
    """
    held: Message | None = None
    started = acknowledged = False

    async def acknowledging(message: Message) -> None:
        nonlocal held, started, acknowledged
        if message["type"] == "http.response.start" and not started and not acknowledged:
            # Some handlers of errors start a response of their own, whatever was started before.
            started = not 200 <= message["status"] < 300  # RFC 9110, 15.3
            held = None if started else message
            if started:
                await send(message)
        elif held is None or message["type"] not in _CONTENT_MESSAGES:
            await send(message)  # also an early hint, which isn't part of the response that is held back
        elif not acknowledged and not message.get("more_body", False):
            acknowledged = True
            headers = [
                (name, value) for name, value in held.get("headers", ()) if name.lower() not in _CONTENT_FIELD_NAMES
            ]
            headers.append((b"content-length", b"0"))
            await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": False})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return acknowledging


def acknowledging_response(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Run a WSGI application so that a 2xx response becomes an acknowledgement.

    Args:
        app: the application.
        environ: what to call it with.
        start_response: the server's own.

    Returns:
        The iterable for the server.
    """
    held: list[tuple[str, str]] | None = None
    started = False

    def holding(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        nonlocal held, started
        if status.startswith("2") and not started:
            held = headers
            return _discard
        held, started = None, True
        return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

    iterable = app(environ, holding)
    if started:
        return iterable
    close = getattr(iterable, "close", _nothing)
    iterator = iter(iterable)
    try:
        # An application may start its response late, or replace the one held back with an error (PEP 3333, exc_info).
        first = next((chunk for chunk in iterator if started), None)
    except BaseException:
        close()
        raise
    if first is not None:
        from werkzeug.wsgi import ClosingIterator  # werkzeug is loaded where it is needed

        return ClosingIterator(chain((first,), iterator), close)
    close()
    if held is not None:
        headers = [(name, value) for name, value in held if name.lower() not in CONTENT_FIELDS]
        if not any(name.lower() == "content-type" for name, _ in headers):
            # A 204 may have come without one, but wsgiref.validate demands it with 200.
            headers.append(("Content-Type", "text/plain; charset=utf-8"))
        headers.append(("Content-Length", "0"))
        start_response("200 OK", headers)
    return []


def _discard(_chunk: bytes) -> None:
    """Stand in for the `write` callable of PEP 3333 while a response is held back."""


def _nothing() -> None:
    """Stand in for the `close` method that an iterable doesn't need to have."""
