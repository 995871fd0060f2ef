"""What several commands take: the secret, a file, a URL, and the options that are the same everywhere."""

from __future__ import annotations

import math
import os
import re
import ssl
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import click
from click.shell_completion import CompletionItem

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
    from typing import TypeAlias

    Command: TypeAlias = Callable[..., Any]

_SENDABLE = re.compile(r"[!-~]+")  # urlsplit drops line breaks, and http.client refuses spaces only when it sends
_HOST_AND_PORT = re.compile(r"[^/]*:\d+(/.*)?")  # no module has an attribute that is a number

# OpenSSL reads the certificates that it trusts from the file that this names.
_TRUSTED_VARIABLE = "SSL_CERT_FILE"


class CommandError(click.UsageError):
    """A command cannot run: shown as one line, with exit status 2.

    Not for a negative result, such as a signature that does not match: that is exit status 1.
    """


class WholeNumber(click.IntRange):
    """A whole number within bounds, under a name that people use: click's is "integer range"."""

    name = "whole number"


class Number(click.FloatRange):
    """A number within bounds, under a name that people use: click's is "float range"."""

    name = "number"


def complete_file(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file."""
    return [CompletionItem(incomplete, type="file")]


def finite(_context: click.Context, _parameter: click.Parameter, seconds: float | None) -> float | None:
    """Refuse "nan" and "inf", which are numbers to Python."""
    if seconds is not None and not math.isfinite(seconds):
        raise click.BadParameter(f"{seconds} is not a number of seconds.")
    return seconds


@dataclass(frozen=True)
class SecretSource:
    """Where the shared secret comes from. It holds the secret itself nowhere.

    Args:
        file: the argument of `--secret-file`, or `None`.
        variable: the argument of `--secret-env`, or `None`.
    """

    file: str | None
    variable: str | None

    @property
    def is_configured(self) -> bool:
        """Whether there is anything for `read` to read."""
        names = (SECRET_VARIABLE, SECRET_FILE_VARIABLE)
        return self.file is not None or self.variable is not None or any(name in os.environ for name in names)

    def read(self) -> str:
        """Read the secret.

        Returns:
            The secret, not blank, without white space around it.

        Raises:
            CommandError: no secret is configured, it is blank, or the file cannot be read.
        """
        if self.file is not None and self.variable is not None:
            raise CommandError("--secret-file and --secret-env exclude each other")
        if not self.is_configured:
            raise CommandError(
                f"no secret: set {SECRET_VARIABLE} or {SECRET_FILE_VARIABLE}, or give --secret-env or --secret-file"
            )
        try:
            source, secret = self._read()
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        try:
            keys_from(secret)
        except ConfigurationError as error:  # it is blank
            raise CommandError(f"{source}: {error}") from error
        return secret

    def _read(self) -> tuple[str, str]:
        if self.file is not None:
            return "--secret-file", secret_from_file(self.file, "--secret-file")
        if self.variable is None:
            source = SECRET_VARIABLE if SECRET_VARIABLE in os.environ else SECRET_FILE_VARIABLE
            return source, secret_from_environment()
        secret = os.environ.get(self.variable)
        if secret is None:
            # Without the name: the secret itself may have been given in its place.
            raise CommandError("--secret-env: the environment variable that it names is not set")
        return "--secret-env", secret.strip()


def secret_options(command: Command) -> Command:
    """Add the options `--secret-env` and `--secret-file`, which reach the command as one `SecretSource`, `secret`."""

    @click.option(
        "--secret-env", metavar="NAME", help=f"Read the shared secret from this variable, not from {SECRET_VARIABLE}."
    )
    @click.option(
        "--secret-file",
        metavar="FILE",
        shell_complete=complete_file,
        help="Read the shared secret from this file.",
    )
    @wraps(command)
    def with_source(*arguments: Any, secret_env: str | None, secret_file: str | None, **options: Any) -> Any:
        return command(*arguments, secret=SecretSource(secret_file, secret_env), **options)

    return with_source


allow_host_option: Callable[[Command], Command] = click.option(
    "--allow-host",
    "allow_hosts",
    metavar="HOST",
    multiple=True,
    help="Allow sending to this host, which is not this machine. Repeatable.",
)

interface_option: Callable[[Command], Command] = click.option(
    "--interface",
    type=click.Choice(["auto", "asgi", "wsgi"]),
    default="auto",
    show_default=True,
    help="What kind of application it is.",
)


def _trust(_context: click.Context, _parameter: click.Parameter, file: str | None) -> str | None:
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except ssl.SSLError as error:
            raise CommandError(f"--cacert: {file!r} is not a file of PEM certificates") from error
        except OSError as error:
            raise CommandError(f"--cacert: {file!r} cannot be read: {error.strerror}") from error
        os.environ[_TRUSTED_VARIABLE] = str(Path(file).absolute())
    return file


cacert_option: Callable[[Command], Command] = click.option(
    "--cacert",
    metavar="FILE",
    shell_complete=complete_file,
    callback=_trust,
    expose_value=False,
    help="Trust the certificates in this PEM file, in place of the system's, for https URLs.",
)


def read_content(file: str, argument: str = "FILE") -> bytes:
    """Read a file to its end.

    Args:
        file: its name; "-" for standard input.
        argument: what names the file on the command line.

    Raises:
        CommandError: it cannot be read.
    """
    try:
        with click.open_file(file, "rb") as stream:
            content: bytes = stream.read()
            return content
    except OSError as error:
        raise CommandError(f"{argument}: {file!r} cannot be read: {error.strerror}") from error
    except RuntimeError as error:  # from click, if the process was started without one
        raise CommandError(f"{argument}: there is no standard input") from error


def is_url(receiver: str) -> bool:
    """Tell a URL, also one that lacks its "http://", from MODULE:APP."""
    return "://" in receiver or _HOST_AND_PORT.fullmatch(receiver) is not None


def check_url(url: str, allow_hosts: Collection[str]) -> SplitResult:
    """Take a URL apart if it may be sent to.

    Args:
        url: an http or https URL.
        allow_hosts: the hosts that may be sent to besides this machine.

    Raises:
        CommandError: it is not such a URL, or its host is not allowed.
    """
    if "://" not in url:
        shown = url.rpartition("@")[2]
        raise CommandError(f"{shown!r} is not a URL: write http://{shown}")
    try:
        parts = urlsplit(url)
    except ValueError:  # such as half a pair of brackets
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _SENDABLE.fullmatch(url):
        raise CommandError(f"{url!r} is not an http or https URL in ASCII")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise CommandError(f"{url!r} cannot be sent to: its port must be a number from 1 to 65535")
    if "@" in parts.netloc:
        raise CommandError("a user name and a password in a URL are not sent: leave them out")
    from pytest_meetgeek import Receiver  # `sign` and `verify` do not need it

    try:
        Receiver(url, allow_hosts=allow_hosts)
    except ValueError as error:
        raise CommandError(
            f"{parts.hostname!r} is not this machine: if requests, forged ones too, may be sent there, give "
            f"--allow-host {parts.hostname}"
        ) from error
    return parts


def unreachable(url: str, error: OSError) -> CommandError:
    """Word the error for a URL to which no connection can be made.

    Args:
        url: the URL.
        error: the error of the connection.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "" if "ismatch" in error.verify_message else "; if you trust it, give it as --cacert FILE"
        return CommandError(f"the certificate of {url} is not trusted: {error.verify_message.rstrip('.')}{remedy}")
    if isinstance(error, ssl.SSLError):
        return CommandError(f"no TLS connection to {url}: does it speak plain http? ({error.reason or error})")
    return CommandError(f"cannot reach {url}: {error.strerror or error}")
