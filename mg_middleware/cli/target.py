"""The application that is named on the command line."""

from __future__ import annotations

import sys

from mg_middleware.cli.errors import CommandError
from pytest_meetgeek.targets import TargetError, load


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
