"""Running an application under uvicorn until a signal stops it."""

from __future__ import annotations

import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from mg_middleware.cli.errors import CommandError
from mg_middleware.cli.service import guarded_in_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from mg_middleware.cli.service import Service

# All on standard error: standard output belongs to the application. The guard says a word for each request, so that the
# server need not.
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "mg_middleware": {"handlers": ["stderr"], "level": "DEBUG", "propagate": False},
    },
}


def run(service: Service, *, host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM; requests in hand are answered first.

    Args:
        service: what to serve.
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        workers: the number of processes.

    Raises:
        CommandError: the port cannot be had, or the application does not load or start.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _end)
    application = service.guarded()
    serve = partial(
        uvicorn.run, host=host, port=_free_port(host, port), workers=workers, log_config=_LOGGING, access_log=False
    )
    try:
        if workers > 1:
            service.leave_for_workers()
            _serve_in_workers(
                partial(serve, f"{guarded_in_worker.__module__}:{guarded_in_worker.__name__}", factory=True)
            )
        else:
            serve(application)
    except SystemExit as end:
        if end.code:
            raise CommandError("the server did not start; its log says why") from end


def _serve_in_workers(serve: Callable[[], None]) -> None:
    """Make `uvicorn.run` end with a status where workers could not start, as it does where it serves alone.

    It returns then as it does after a signal. So this process's signals are noted, whoever handles them.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.settimeout(0)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            serve()
        finally:
            signal.set_wakeup_fd(-1)
        writer.send(b"\0")  # no signal's number, so that there is something to read
        if not {signal.SIGINT, signal.SIGTERM} & set(reader.recv(4096)):
            sys.exit(1)


def _end(_signal: int, _frame: object) -> None:
    # uvicorn stops by itself on a signal and then sends it again, to whoever listened before: this was no failure.
    sys.exit(0)


def _free_port(host: str, port: int) -> int:
    """Find out whether the port is free before a server starts, which would tell in many lines."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with socket.create_server((host, port), family=family) as listener:
            free: int = listener.getsockname()[1]
            return free
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # create_server adds the address, which stands there already
        raise CommandError(f"cannot listen on {host} port {port}: {reason}") from error
