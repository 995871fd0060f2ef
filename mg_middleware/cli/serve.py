"""The command `serve`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from errno import EBADF
from importlib.util import find_spec
from inspect import isawaitable
from multiprocessing import parent_process
from secrets import token_hex
from typing import TYPE_CHECKING, Any, cast

import click

from mg_middleware import (
    AnalysisSucceeded,
    ConfigurationError,
    MeetGeekASGIMiddleware,
    RedisStore,
    SQLAlchemyStore,
    SQLiteStore,
    delivery_of,
)
from mg_middleware.cli._observer import note_verdict, observed
from mg_middleware.cli._options import CommandError, SecretSource, WholeNumber, complete_file, secret_options
from mg_middleware.cli._output import has_reader_left, print_error
from mg_middleware.cli._server import free_port, load_application, run

if TYPE_CHECKING:
    from typing import TypeAlias

    from mg_middleware.asgi import ASGIApplication, Receive, Scope, Send
    from mg_middleware.cli._observer import Observer
    from mg_middleware.events import Event

    Store: TypeAlias = SQLiteStore | RedisStore | SQLAlchemyStore

_INSPECTOR_PORT = 8001
_VARIABLE = "MG_MIDDLEWARE_SERVE"
_LOGGER = logging.getLogger("mg_middleware")
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


class _ServeCommand(click.Command):
    """Lets the port of `--inspect` be left out, before MODULE:APP, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        following = [*args[1:], ""]
        words = [
            f"{word}={_INSPECTOR_PORT}" if word == "--inspect" and not next_word.isdigit() else word
            for word, next_word in zip(args, following, strict=False)
        ]
        return super().parse_args(ctx, words)


@click.command(cls=_ServeCommand)
@click.argument("application", metavar="[MODULE:APP]", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    metavar="PORT",
    type=WholeNumber(0, 65535),
    default=8000,
    show_default=True,
    help="The port; 0 picks a free one.",
)
@click.option(
    "--path",
    "paths",
    multiple=True,
    default=["/"],
    show_default=True,
    help="Guard this path and all below it, and leave other paths unguarded. Repeatable.",
)
@click.option(
    "--store",
    metavar="FILE|URL",
    shell_complete=complete_file,
    envvar="MEETGEEK_WEBHOOK_STORE",
    show_envvar=True,
    help="Process each meeting once, remembered in an SQLite file, at redis://… or at the SQLAlchemy URL of a database "
    "(if the URL holds a password, set the variable instead).",
)
@click.option(
    "--workers", metavar="NUMBER", type=WholeNumber(1), default=1, show_default=True, help="The number of processes."
)
@click.option(
    "--inspect",
    metavar="[PORT]",
    type=WholeNumber(0, 65535),
    help="Show deliveries as they come, on a page on this port of 127.0.0.1; 0 picks a free one.  "
    f"[default port: {_INSPECTOR_PORT}]",
)
@click.option(
    "--record",
    metavar="DIR",
    type=click.Path(),
    help="Write each verified delivery to a file in this folder, without its signature.",
)
@secret_options
def serve(
    application: str | None,
    *,
    host: str,
    port: int,
    paths: tuple[str, ...],
    store: str | None,
    workers: int,
    inspect: int | None,
    record: str | None,
    secret: SecretSource,
) -> None:
    """Run the ASGI or WSGI application MODULE:APP behind the guard.

    MODULE:factory() calls a factory. Without an application, each verified event is printed as a line of JSON on
    standard output.

    Each guarded request is logged on standard error. Ctrl-C and SIGTERM stop the server after the requests in progress.
    """
    if inspect is not None and workers > 1:
        raise CommandError("--inspect shows the deliveries of one process: leave --workers out")
    service = Service(application, paths, store, secret.file, secret.variable, record)
    try:
        with ExitStack() as stack:
            guarded = service.guarded()
            if store is not None:
                warn_if_down(store)
            observers = service.observers()
            if inspect is not None:
                from mg_middleware.cli._inspector import running_inspector  # loaded if it is used

                port = free_port(host, port)
                inspector = running_inspector(
                    stack.enter_context(_listen(inspect)),
                    secret.read(),
                    path=paths[0],
                    remembers=store is not None,
                    address=(host, port),
                )
                observers.append(stack.enter_context(inspector))
            if workers > 1:
                service.leave_for_workers()
            served = observed(guarded, observers)
            interrupted = run(served, f"{__name__}:{guarded_in_worker.__name__}", host=host, port=port, workers=workers)
    except KeyboardInterrupt:  # while it was starting
        return
    if application is None and not interrupted and has_reader_left():
        raise BrokenPipeError


@dataclass(frozen=True)
class Service:
    """What `serve` runs, in this process or in a worker.

    Args:
        application: where it is, as "module:attribute" or "module:factory()"; `None` to print events.
        paths: the paths to guard.
        store: a file or a URL; `None` remembers nothing.
        secret_file: the file that holds the secret, or `None`.
        secret_variable: the variable that holds the secret, or `None`.
        record: the folder to record to, or `None`.
    """

    application: str | None
    paths: tuple[str, ...]
    store: str | None
    secret_file: str | None
    secret_variable: str | None
    record: str | None = None

    def guarded(self) -> MeetGeekASGIMiddleware:
        """Load the application and put the guard in front of it.

        Raises:
            CommandError: the application cannot be loaded, or an option has a wrong value.
        """
        secret = SecretSource(self.secret_file, self.secret_variable).read()
        store = None if self.store is None else open_store(self.store)
        application = EventPrinter() if self.application is None else load_application(self.application)
        try:
            return MeetGeekASGIMiddleware(
                application,
                secret,
                paths=self.paths,
                acknowledge=self.application is None,
                idempotency_store=store,
                on_verdict=note_verdict,
            )
        except ConfigurationError as error:  # the secret and the store are fine
            raise CommandError(f"--path: {error}") from error

    def observers(self) -> list[Observer]:
        """Make what observes the deliveries in this process.

        Raises:
            CommandError: the folder to record to can't be written to.
        """
        if self.record is None:
            return []
        from mg_middleware.cli._recorder import Recorder  # loaded if it is used

        try:
            return [Recorder(self.record)]
        except OSError as error:
            raise CommandError(f"--record: {self.record!r} can't be written to: {error.strerror}") from error

    def leave_for_workers(self) -> None:
        """Put the options where `guarded_in_worker` finds them: workers inherit the environment and nothing else."""
        os.environ[_VARIABLE] = json.dumps(asdict(self))


def guarded_in_worker() -> ASGIApplication:
    """Build what `Service.leave_for_workers` described."""
    service = Service(**json.loads(os.environ[_VARIABLE]))
    return observed(service.guarded(), service.observers())


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # create_server adds the address
        raise CommandError(f"--inspect: cannot listen on port {port}: {reason}") from error


def open_store(place: str) -> Store:
    """Open a store.

    Args:
        place: the URL of a Redis server or of a database, or an SQLite file, which is created if it does not exist.

    Raises:
        CommandError: the file cannot be used, the URL is not valid, or the extra for it is not installed.
    """
    extra = "redis" if place.startswith(_REDIS_SCHEMES) else "sqlalchemy" if "://" in place else None
    if extra is not None and find_spec(extra) is None:
        raise CommandError(f"--store: this URL needs an extra: pip install 'mg-middleware[{extra}]'")
    try:
        if extra is None:
            return SQLiteStore(place)
        return RedisStore(place) if extra == "redis" else SQLAlchemyStore(place)
    except ConfigurationError as error:
        raise CommandError(f"--store: {error}") from error


def warn_if_down(place: str) -> None:
    """Print a warning if the store does not work. A database gets its table, if it has none.

    Args:
        place: as for `open_store`. The store that serves is another one: some belong to one event loop.
    """
    store = open_store(place)
    try:
        asyncio.run(_try(store))
    except Exception as error:  # each store has errors of its own
        print_error(
            "mg-middleware serve",
            f"--store does not work: events are processed without it until it does ({type(error).__name__}: {error})",
        )


async def _try(store: Store) -> None:
    async def result_of(step: Any) -> Any:
        return await step if isawaitable(step) else step

    key = token_hex(32)  # like the key of a meeting, but none that will come
    try:
        if isinstance(store, SQLAlchemyStore):
            await result_of(store.create_table())
        claim = await result_of(store.claim(key))
        await result_of(store.release(key, claim.token))
    finally:
        await result_of(store.close())


class EventPrinter:
    """The receiver for `serve` without an application: prints each verified event as one line of JSON.

    Not for use without the guard. An event that cannot be printed is not acknowledged, so that MeetGeek sends it again.
    """

    def __init__(self) -> None:
        self._is_within_line = False

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Respond to one request.

        Args:
            scope: the connection's scope.
            send: the server's function.
        """
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served here, not {scope['type']}")  # to servers this means "no lifespan"
        try:
            event = delivery_of(scope).event
        except LookupError:
            status = 404  # a path that is not guarded
        else:
            status = 200 if self._print(event) else 500
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def _print(self, event: Event) -> bool:
        """Print an event, or log why that is not possible. If nobody reads what is printed, stop the server."""
        meeting_id = event.meeting_id if isinstance(event, AnalysisSucceeded) else None
        line = json.dumps({"event": type(event).__name__, "meeting_id": meeting_id, "payload": event.payload})
        try:
            self._write(f"{line}\n".encode())
        except OSError as error:
            _LOGGER.error("an event was not printed, so it is not acknowledged: %s", error.strerror)  # noqa: TRY400 - one line
            if isinstance(error, BrokenPipeError):
                supervisor = parent_process()
                os.kill(os.getpid() if supervisor is None else cast("int", supervisor.pid), signal.SIGTERM)
            return False
        return True

    def _write(self, line: bytes) -> None:
        # Past Python's buffer: a line in it might be written later, or never.
        if sys.stdout is None:
            raise OSError(EBADF, "there is no standard output")
        if self._is_within_line:  # the disk was full in the middle of a line
            line = b"\n" + line
        while line:
            line = line[os.write(sys.stdout.fileno(), line) :]
            self._is_within_line = bool(line)
