"""From the options of `serve` to the guarded application, in the command's own process or in a worker's."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mg_middleware.asgi import MeetGeekASGIMiddleware
from mg_middleware.cli.errors import CommandError
from mg_middleware.cli.event_printer import print_events
from mg_middleware.cli.secret import read_secret
from mg_middleware.cli.store import open_store
from mg_middleware.cli.target import load_target
from mg_middleware.cli.wsgi_adapter import as_asgi
from mg_middleware.errors import ConfigurationError
from pytest_meetgeek.receiver import find_interface

if TYPE_CHECKING:
    from mg_middleware.asgi import ASGIApplication

_VARIABLE = "MG_MIDDLEWARE_SERVE"


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
