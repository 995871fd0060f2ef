"""What several commands take from the command line: the secret, a file, a URL."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from mg_middleware._keys import (
    SECRET_FILE_VARIABLE,
    SECRET_VARIABLE,
    keys_from,
    secret_from_environment,
    secret_from_file,
)
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class CommandError(click.UsageError):
    """A command cannot be carried out: shown as one line, with exit status 2.

    Not for an answer in the negative, such as a signature that does not match: that is exit status 1.
    """


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


def read_content(file: str) -> bytes:
    """Read a file to its end.

    Args:
        file: its name; "-" for standard input.

    Raises:
        CommandError: it cannot be read.
    """
    try:
        with click.open_file(file, "rb") as stream:
            content: bytes = stream.read()
            return content
    except OSError as error:
        raise CommandError(f"{file!r} cannot be read: {error.strerror}") from error
    except RuntimeError as error:  # click's word for a process that was started without one
        raise CommandError("there is no standard input") from error


_SENDABLE = re.compile(r"[!-~]+")  # urlsplit drops line breaks, and http.client refuses spaces only when it sends

allow_host_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--allow-host",
    "allow_hosts",
    metavar="HOST",
    multiple=True,
    help="Send to this host though it is not loopback; may be given several times.",
)


def address_of(url: str, allow_hosts: Collection[str]) -> tuple[str, int]:
    """Tell the host and the port of a URL that may be sent to.

    Args:
        url: an http or https URL.
        allow_hosts: the hosts beyond loopback that may be sent to.

    Raises:
        CommandError: it is no such URL, or its host is not allowed.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):  # such as a port that is no number
        host, port = "", 0
    if not host or not _SENDABLE.fullmatch(url):
        raise CommandError(f"{url!r} is no http or https URL in ASCII")
    from pytest_meetgeek.drivers.url import check_url  # noqa: PLC0415 - `sign` and `verify` need not load it

    try:
        check_url(url, allow_hosts)
    except ValueError as error:
        raise CommandError(
            f"{host!r} is not this machine: if what is sent may go there, forgeries and all, give --allow-host {host}"
        ) from error
    return host, port


def unreachable(url: str, error: OSError) -> CommandError:
    """Word the error for a URL where no connection can be had.

    Args:
        url: the URL.
        error: what the connection ended with.
    """
    return CommandError(f"cannot reach {url}: {error.strerror or error}")
