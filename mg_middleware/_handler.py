"""`handler=`: the guard itself is the receiver. These are the applications that it then protects."""

from __future__ import annotations

import sys
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from mg_middleware._options import is_async
from mg_middleware.delivery import DELIVERY_KEY

if TYPE_CHECKING:
    from asyncio import CancelledError
    from collections.abc import Awaitable, Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from mg_middleware.delivery import Delivery

    ASGIApplication = Callable[[Any, Any, Any], Awaitable[None]]


def asgi_receiver(handler: Callable[[Delivery], Any]) -> ASGIApplication:
    """Return an ASGI application that calls the handler with the delivery, then responds 200 with no body."""
    awaited = is_async(handler)

    async def receive_delivery(scope: Any, _receive: Any, send: Any) -> None:
        delivery = scope[DELIVERY_KEY]
        cancelled = None
        if awaited:
            await handler(delivery)
        else:
            cancelled = await _call_in_thread(handler, delivery)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if cancelled is not None:
            raise cancelled

    return receive_delivery


async def _call_in_thread(handler: Callable[[Delivery], Any], delivery: Delivery) -> CancelledError | None:
    """Call a plain function in a thread, so that it may block.

    A thread can't be cancelled, and its work is done once it returns. So a cancelled request waits for it.

    Returns:
        The cancellation that came meanwhile, if any: to be raised once the response is sent.
    """
    trio: Any = sys.modules.get("trio")
    cancelled = None

    def call() -> list[Any]:
        try:
            return [handler(delivery)]  # trio refuses a function that returns a coroutine
        except StopIteration as error:  # no future of asyncio takes it: the request would wait for ever
            raise RuntimeError("handler raised StopIteration") from error

    if trio is not None and trio.lowlevel.in_trio_task():
        [result] = await trio.to_thread.run_sync(call)  # waits for the thread, too
    else:
        import asyncio  # not every event loop needs it

        # Not a task, such as sync_to_async would need: a loop that is shut down cancels every task, not this future.
        thread = asyncio.get_running_loop().run_in_executor(None, copy_context().run, call)
        while not thread.done():
            try:
                await asyncio.wait({thread})
            except asyncio.CancelledError as error:
                cancelled = error
        [result] = thread.result()
    if hasattr(result, "__await__"):  # such as a lambda that calls a coroutine function
        await result
    return cancelled


async def no_application(scope: Any, receive: Any, send: Any) -> None:
    """Stand in for the ASGI application next to a handler: respond to the lifespan.

    Raises:
        ValueError: the scope has another type, as the ASGI specification asks of applications that don't know it.
    """
    if scope["type"] != "lifespan":
        raise ValueError(f"a handler= without an application takes no {scope['type']!r} connections")
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


def wsgi_receiver(handler: Callable[[Delivery], Any]) -> WSGIApplication:
    """Return a WSGI application that calls the handler with the delivery, then responds 200 with no body."""

    def receive_delivery(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        result = handler(environ[DELIVERY_KEY])
        if hasattr(result, "__await__"):
            close_awaitable(result)
            raise TypeError("handler returned an awaitable, which MeetGeekWSGIMiddleware can't await")
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "0")])
        return []

    return receive_delivery


def close_awaitable(awaitable: Any) -> None:
    """Close a coroutine that can't be awaited here. Otherwise Python warns later, somewhere else."""
    if hasattr(awaitable, "close"):
        awaitable.close()
