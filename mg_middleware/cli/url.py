"""The receiver at a URL, as `send` and `check` take it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from mg_middleware.cli.errors import CommandError
from pytest_meetgeek.url_driver import check_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

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
