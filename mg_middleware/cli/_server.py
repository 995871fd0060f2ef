"""Loading the application that is named on the command line, and running it under uvicorn until a signal stops it."""

from __future__ import annotations

import signal
import socket
import sys
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from a2wsgi import WSGIMiddleware

from mg_middleware.cli._options import CommandError
from mg_middleware.delivery import DELIVERY_KEY
from pytest_meetgeek.receiver import find_interface
from pytest_meetgeek.targets import TargetError, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from mg_middleware.asgi import ASGIApplication
    from mg_middleware.delivery import Delivery

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


def run(application: ASGIApplication, factory: str, *, host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM; requests in hand are answered first.

    Args:
        application: what to serve.
        factory: the function that builds the same in a worker, as "module:function".
        host: the address to listen on.
        port: the port to listen on; 0 for a free one.
        workers: the number of processes.

    Raises:
        CommandError: the port cannot be had, or the application does not start.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _end)
    serve = partial(
        uvicorn.run, host=host, port=_free_port(host, port), workers=workers, log_config=_LOGGING, access_log=False
    )
    try:
        if workers > 1:
            _serve_in_workers(partial(serve, factory, factory=True))
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


def load_target(target: str) -> object:
    """Import an application, or whatever else it is.

    Args:
        target: where it is, as "module:attribute"; the working directory is searched first.

    Raises:
        CommandError: the import fails, or there is no such attribute.
    """
    sys.path.insert(0, "")
    try:
        return load(target)
    except TargetError as error:
        raise CommandError(str(error)) from error


def load_application(target: str) -> ASGIApplication:
    """Import an ASGI or WSGI application.

    Args:
        target: where it is, as "module:attribute"; the working directory is searched first.

    Returns:
        An ASGI application; a WSGI application is adapted.

    Raises:
        CommandError: the import fails, or what it finds is no application.
    """
    application: Any = load_target(target)
    try:
        interface = find_interface(application)
    except TypeError as error:
        raise CommandError(f"{target!r} is no ASGI or WSGI application") from error
    guardable: ASGIApplication = as_asgi(application) if interface == "wsgi" else application
    return guardable


def as_asgi(application: WSGIApplication) -> ASGIApplication:
    """Turn a WSGI application into one for behind `MeetGeekASGIMiddleware`, which finds its delivery as under WSGI.

    Not for in front of the guard, which judges the request before a thread is taken for it.

    Args:
        application: the application; it is called in threads.
    """

    def with_delivery(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # a2wsgi reads to the end of the body and not of a length, whatever the framing was.
        environ["wsgi.input_terminated"] = True
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        delivery: Delivery | None = environ["asgi.scope"].get(DELIVERY_KEY)
        if delivery is not None:
            environ[DELIVERY_KEY] = delivery
            environ["wsgi.input"] = BytesIO(delivery.body)
            environ["CONTENT_LENGTH"] = str(len(delivery.body))
        return application(environ, start_response)

    return cast("ASGIApplication", WSGIMiddleware(cast("Any", with_delivery)))
