"""The command `serve`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from mg_middleware.asgi import MeetGeekASGIMiddleware
from mg_middleware.cli._options import CommandError, read_secret, secret_file_option
from mg_middleware.cli._server import load_application, run
from mg_middleware.delivery import delivery_of
from mg_middleware.errors import ConfigurationError
from mg_middleware.events import AnalysisSucceeded

if TYPE_CHECKING:
    from mg_middleware.asgi import Receive, Scope, Send
    from mg_middleware.idempotency import IdempotencyStore

_VARIABLE = "MG_MIDDLEWARE_SERVE"
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


@dataclass(frozen=True)
class Service:
    """What `serve` is to run.

    Args:
        application: where it is, as "module:attribute"; `None` for the printer of events.
        paths: the paths to guard; none to guard all.
        store: a file or a URL, or `None` to remember nothing.
        secret_file: the file that holds the secret, or `None` for the environment.
    """

    application: str | None
    paths: tuple[str, ...]
    store: str | None
    secret_file: str | None

    def guarded(self) -> MeetGeekASGIMiddleware:
        """Load the application and put the guard in front of it.

        Raises:
            CommandError: the application cannot be loaded, or the guard not be built.
        """
        secret = read_secret(self.secret_file)
        store = None if self.store is None else open_store(self.store)
        application = print_events if self.application is None else load_application(self.application)
        try:
            return MeetGeekASGIMiddleware(
                application,
                secret,
                paths=self.paths or None,
                acknowledge=self.application is None,
                idempotency_store=store,
            )
        except ConfigurationError as error:
            raise CommandError(str(error)) from error

    def leave_for_workers(self) -> None:
        """Put the options where `guarded_in_worker` finds them: workers inherit the environment and nothing else."""
        os.environ[_VARIABLE] = json.dumps(asdict(self))


def guarded_in_worker() -> MeetGeekASGIMiddleware:
    """Build what `Service.leave_for_workers` asked for."""
    return Service(**json.loads(os.environ[_VARIABLE])).guarded()


def open_store(place: str) -> IdempotencyStore:
    """Open a store.

    Args:
        place: the URL of a Redis server, or an SQLite file, which is made where there is none.

    Raises:
        CommandError: the file cannot be used, the URL is none, or redis-py is not installed.
    """
    try:
        if not place.startswith(_REDIS_SCHEMES):
            from mg_middleware.idempotency.stores.sqlite import SQLiteStore  # noqa: PLC0415 - sqlite3 only where it is used

            return SQLiteStore(place)
        if find_spec("redis") is None:
            raise CommandError("a store on Redis needs an extra: pip install 'mg-middleware[redis]'")
        from mg_middleware.idempotency.stores.redis import RedisStore  # noqa: PLC0415 - an extra of its own

        return RedisStore(place)
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


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


@click.command()
@click.argument("application", metavar="[MODULE:APP]", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 takes a free one."
)
@click.option(
    "--path",
    "paths",
    multiple=True,
    help="Guard this path and all below it, and let others through; may be given several times.  [default: guard all]",
)
@click.option(
    "--store",
    metavar="FILE|URL",
    envvar="MEETGEEK_WEBHOOK_STORE",
    show_envvar=True,
    help="Process each meeting once, remembered in an SQLite file or at redis://… (set the variable instead where the "
    "URL holds a password).",
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="The number of processes.")
@secret_file_option
def serve(
    application: str | None,
    *,
    host: str,
    port: int,
    paths: tuple[str, ...],
    store: str | None,
    workers: int,
    secret_file: str | None,
) -> None:
    """Run the ASGI or WSGI application MODULE:APP behind the guard.

    Without an application, print each verified event as a line of JSON on standard output.

    Each guarded request is logged on standard error. Ctrl-C and SIGTERM stop the server after the requests in hand.
    """
    service = Service(application, paths, store, secret_file)
    guarded = service.guarded()
    if workers > 1:
        service.leave_for_workers()
    run(guarded, f"{__name__}:{guarded_in_worker.__name__}", host=host, port=port, workers=workers)
