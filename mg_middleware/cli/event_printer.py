"""The receiver that `serve` runs where no application is given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from mg_middleware.delivery import delivery_of
from mg_middleware.events import AnalysisSucceeded

if TYPE_CHECKING:
    from mg_middleware.asgi import Receive, Scope, Send


async def print_events(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the body is verified already
    """Print a verified event as one line of JSON; an ASGI application for behind the guard.

    Not for production: an event that is printed is acknowledged, whatever becomes of the line.

    Args:
        scope: the connection's.
        receive: the server's.
        send: the server's.
    """
    if scope["type"] != "http":
        raise RuntimeError(f"only HTTP is served here, not {scope['type']}")  # servers take it for "no lifespan"
    try:
        event = delivery_of(scope).event
    except LookupError:
        status = 404  # a path beside those that are guarded
    else:
        meeting_id = event.meeting_id if isinstance(event, AnalysisSucceeded) else None
        line = {"event": type(event).__name__, "meeting_id": meeting_id, "payload": event.payload}
        click.echo(json.dumps(line))
        status = 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
