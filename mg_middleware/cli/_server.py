"""Loads the application that is named on the command line, and runs it under uvicorn until a signal stops it."""

from __future__ import annotations

import inspect
import logging
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from a2wsgi import WSGIMiddleware

from mg_middleware.cli._options import CommandError
from mg_middleware.delivery import DELIVERY_KEY
from pytest_meetgeek import Receiver
from pytest_meetgeek._targets import TargetError, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from mg_middleware.asgi import ASGIApplication
    from mg_middleware.delivery import Delivery

INSPECTOR_THREAD = "inspector"
_STOPS: set[int] = {signal.SIGINT, signal.SIGTERM}


class _OfTheApplication(logging.Filter):
    """Drops what the inspector's own server logs of its start and stop: all servers of uvicorn share one logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.threadName != INSPECTOR_THREAD or record.levelno >= logging.WARNING


# Everything goes to standard error, because standard output belongs to the application. The guard logs each request, so
# the server needs no access log.
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "filters": {"of the application": {"()": _OfTheApplication}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["of the application"]},
    },
    "loggers": {
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "mg_middleware": {"handlers": ["stderr"], "level": "DEBUG", "propagate": False},
    },
}


def run(application: ASGIApplication, factory: str, *, host: str, port: int, workers: int) -> bool:
    """Serve until SIGINT or SIGTERM, and finish the requests in progress.

    Args:
        application: what to serve.
        factory: the function that builds the same in a worker, as "module:function".
        host: the address to listen on.
        port: the port to listen on; 0 picks a free one.
        workers: the number of processes.

    Returns:
        Whether SIGINT stopped it, that is, a user at a terminal.

    Raises:
        CommandError: the port is not available, or the application does not start.
    """
    stopped_by: set[int] = set()

    def stop(number: int, _frame: object) -> None:
        # uvicorn stops by itself on a signal, and then sends it again to whoever handled it before.
        stopped_by.add(number)
        raise KeyboardInterrupt

    for number in _STOPS:
        signal.signal(number, stop)
    serve = partial(
        uvicorn.run, host=host, port=free_port(host, port), workers=workers, log_config=_LOGGING, access_log=False
    )
    try:
        with suppress(KeyboardInterrupt):  # older versions of uvicorn let it pass
            if workers > 1:
                stopped_by |= _serve_in_workers(partial(serve, factory, factory=True))
            else:
                serve(application)
    except SystemExit as end:
        raise CommandError("the server did not start; its log says why") from end
    return signal.SIGINT in stopped_by


def _serve_in_workers(serve: Callable[[], None]) -> set[int]:
    """Return the signals that stopped the workers; exit with a status if they could not start.

    `uvicorn.run` returns in both cases. So this process's signals are noted, whoever handles them.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.settimeout(0)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            serve()
        finally:
            signal.set_wakeup_fd(-1)
        writer.send(b"\0")  # not the number of a signal: now there is something to read
        stopped_by = _STOPS & set(reader.recv(4096))
    if not stopped_by:
        sys.exit(1)
    return stopped_by


def free_port(host: str, port: int) -> int:
    """Find out whether the port is free before a server starts, which would report it in many lines."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with socket.create_server((host, port), family=family) as listener:
            free: int = listener.getsockname()[1]
            return free
    except OSError as error:
        # Without the address, which create_server adds.
        reason = str(error.strerror).partition(" (")[0]
        raise CommandError(f"cannot listen on {host} port {port}: {reason}") from error


def load_target(target: str) -> object:
    """Import an application, or make it with a factory.

    Args:
        target: where it is, as "module:attribute" or "module:factory()"; the working directory is searched first.

    Raises:
        CommandError: the import fails, there is no such attribute, or the factory raises.
    """
    sys.path.insert(0, "")
    try:
        return load(target)
    except TargetError as error:
        raise CommandError(str(error)) from error


def load_application(target: str) -> ASGIApplication:
    """Import an ASGI or WSGI application.

    Args:
        target: where it is, as for `load_target`.

    Returns:
        An ASGI application; a WSGI application is adapted.

    Raises:
        CommandError: the import fails, or what it finds is not an application.
    """
    application: Any = load_target(target)
    try:
        interface = Receiver(application).interface
    except TypeError as error:
        remedy = f": if it is a factory, write '{target}()'" if _takes_nothing(application) else ""
        raise CommandError(f"{target!r} is not an ASGI or WSGI application{remedy}") from error
    guardable: ASGIApplication = as_asgi(application) if interface == "wsgi" else application
    return guardable


def _takes_nothing(application: object) -> bool:
    try:
        inspect.signature(cast("Any", application)).bind()
    except (TypeError, ValueError):
        return False
    return True


def as_asgi(application: WSGIApplication) -> ASGIApplication:
    """Adapt a WSGI application so that `MeetGeekASGIMiddleware` can guard it, and it finds its delivery as under WSGI.

    Not for use in front of the guard, which decides before a thread is taken.

    Args:
        application: the application; it is called in threads.
    """

    def with_delivery(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # a2wsgi reads to the end of the body, not up to a length, whatever the framing was.
        environ["wsgi.input_terminated"] = True
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        delivery: Delivery | None = environ["asgi.scope"].get(DELIVERY_KEY)
        if delivery is not None:
            environ[DELIVERY_KEY] = delivery
            environ["wsgi.input"] = BytesIO(delivery.body)
            environ["CONTENT_LENGTH"] = str(len(delivery.body))
        return application(environ, start_response)

    return cast("ASGIApplication", WSGIMiddleware(cast("Any", with_delivery)))
