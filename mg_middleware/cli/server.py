"""Running an application under uvicorn until a signal stops it."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from mg_middleware.cli.errors import CommandError
from mg_middleware.cli.service import guarded_in_worker

if TYPE_CHECKING:
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
    config = uvicorn.Config(
        application if workers == 1 else f"{guarded_in_worker.__module__}:{guarded_in_worker.__name__}",
        factory=workers > 1,
        host=host,
        port=_free_port(host, port),
        workers=workers,
        log_config=_LOGGING,
        access_log=False,
    )
    if workers > 1:
        service.leave_for_workers()
    # Not `uvicorn.run`, which ends alike when workers have done their work and when they could not start.
    started = _serve_in_workers(config) if workers > 1 else _serve_alone(config)
    if not started:
        raise CommandError("the server did not start; its log says why")


def _serve_alone(config: uvicorn.Config) -> bool:
    server = uvicorn.Server(config)
    with suppress(SystemExit):  # by `_end`, or because it did not start
        server.run()
    return server.started


def _serve_in_workers(config: uvicorn.Config) -> bool:
    supervisor = Multiprocess(config, [config.bind_socket()])
    supervisor.run()
    return all(worker.process.exitcode != STARTUP_FAILURE for worker in supervisor.processes)


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
