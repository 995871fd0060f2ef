"""Runs a WSGI app as a server does (PEP 3333)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pytest_meetgeek.drivers.time_limit import limited
from pytest_meetgeek.response import NoResponseError, Response

if TYPE_CHECKING:
    from pytest_meetgeek.request import WebhookRequest

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def send_wsgi(app: WsgiApplication, request: WebhookRequest, path: str, timeout: float) -> Response:
    """Send one request and collect the whole response; what the app raises is a 500 that carries the exception.

    Args:
        app: The app.
        request: What to send.
        path: Where to send it.
        timeout: Seconds that the app may take; then there is no response.
    """
    began = time.perf_counter()
    try:
        return limited(timeout, lambda: _call(app, request, path, began))
    except NoResponseError as error:
        return Response(0, error=error, seconds=time.perf_counter() - began)


def _call(app: WsgiApplication, request: WebhookRequest, path: str, began: float) -> Response:
    started: list[tuple[int, tuple[tuple[str, str], ...]]] = []
    body = bytearray()

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:  # as PEP 3333 has it
        if exc_info is not None and body:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and started:
            raise RuntimeError("start_response was called twice")
        started[:] = [(int(status.split(" ", 1)[0]), tuple(headers))]
        return body.extend

    try:
        pieces = app(request.wsgi_environ(path), start_response)
        try:
            for piece in pieces:
                body += piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        if not started:
            raise RuntimeError("the app returned without calling start_response")  # handled like what it raises
    except Exception as error:  # noqa: BLE001  # a server turns whatever an app raises into a 500
        return Response(500, (), b"Internal Server Error", error, time.perf_counter() - began)
    status, headers = started[0]
    return Response(status, headers, bytes(body), None, time.perf_counter() - began)
