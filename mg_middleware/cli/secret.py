"""Where a command takes the shared secret from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from mg_middleware._keys import (
    SECRET_FILE_VARIABLE,
    SECRET_VARIABLE,
    keys_from,
    secret_from_environment,
    secret_from_file,
)
from mg_middleware.cli.errors import CommandError
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

_OPTION = "--secret-file"

secret_file_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    _OPTION,
    metavar="FILE",
    help=f"Read the shared secret from this file, not from {SECRET_VARIABLE} or {SECRET_FILE_VARIABLE}.",
)


def is_secret_configured(secret_file: str | None) -> bool:
    """Tell whether there is anything for `read_secret` to read.

    Args:
        secret_file: the file that the option names, or `None` for the environment.
    """
    return secret_file is not None or SECRET_VARIABLE in os.environ or SECRET_FILE_VARIABLE in os.environ


def read_secret(secret_file: str | None) -> str:
    """Read the shared secret.

    Args:
        secret_file: the file that the option names, or `None` for the environment.

    Returns:
        The secret, not blank, without white space around it.

    Raises:
        CommandError: none is configured, it is blank, or the file cannot be read.
    """
    if not is_secret_configured(secret_file):
        raise CommandError(f"no secret: set {SECRET_VARIABLE} or {SECRET_FILE_VARIABLE}, or give {_OPTION}")
    try:
        secret = secret_from_environment() if secret_file is None else secret_from_file(secret_file, _OPTION)
        keys_from(secret)  # refuses a blank one
    except ConfigurationError as error:
        raise CommandError(str(error)) from error
    return secret
