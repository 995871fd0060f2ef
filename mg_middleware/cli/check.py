"""The command `check`: the conformance suite of the pytest plugin."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.util import find_spec

import click

from mg_middleware._keys import SECRET_VARIABLE
from mg_middleware.cli._options import (
    CommandError,
    address_of,
    allow_host_option,
    read_secret,
    secret_file_option,
    unreachable,
)

_CONNECT_TIMEOUT = 10.0  # seconds
_VERDICTS = (0, 1)  # passed and failed: what else pytest ends with says that it could not run the suite


@click.command()
@click.argument("receiver", metavar="MODULE:APP|URL")
@click.argument("pytest_arguments", metavar="[-- PYTEST_ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@click.option("--path", help="The path of the webhook.  [default: /]")
@click.option("--handler", metavar="MODULE:FUNCTION", help="What processes an event: its runs are counted.")
@click.option("--strict", is_flag=True, help="Let checks of level SHOULD fail, too.")
@click.option("--interface", type=click.Choice(["auto", "asgi", "wsgi"]), help="What the application is.")
@click.option("--report", metavar="FILE", help="Write what each check found to this file, as JSON.")
@allow_host_option
@secret_file_option
def check(
    receiver: str,
    pytest_arguments: tuple[str, ...],
    *,
    path: str | None,
    handler: str | None,
    strict: bool,
    interface: str | None,
    report: str | None,
    allow_hosts: tuple[str, ...],
    secret_file: str | None,
) -> int:
    """Test a receiver with the conformance suite of the pytest plugin.

    The receiver may be guarded by this package or written by hand. It is an application, which is started with the
    secret in MEETGEEK_WEBHOOK_SECRET, or the URL of one that runs. What stands after "--" goes to pytest.

    Exit status 0 if it passes, 1 if a check fails, 2 if the suite cannot run.
    """
    if find_spec("pytest") is None:
        raise CommandError("check needs an extra: pip install 'mg-middleware[pytest]'")
    secret = read_secret(secret_file)
    if "://" in receiver:
        _check_connection(receiver, allow_hosts)
    options = {
        "--meetgeek-app": receiver,
        "--meetgeek-secret-env": SECRET_VARIABLE,
        "--meetgeek-path": path,
        "--meetgeek-handler": handler,
        "--meetgeek-interface": interface,
        "--meetgeek-report": report,
    }
    command = [sys.executable, "-m", "pytest"]
    command += [f"{option}={value}" for option, value in options.items() if value is not None]
    command += [f"--meetgeek-allow-host={host}" for host in allow_hosts]
    command += ["--meetgeek-strict"] if strict else []
    # A process of its own: pytest wants to rewrite what it finds imported, and the application gets an environment of
    # its own, in which the secret stands where the guard looks for it.
    status = subprocess.call([*command, *pytest_arguments], env={**os.environ, SECRET_VARIABLE: secret})  # noqa: S603 - the words above
    return status if status in _VERDICTS else 2


def _check_connection(url: str, allow_hosts: tuple[str, ...]) -> None:
    """Find out whether anyone listens, before every single check finds it out."""
    address = address_of(url, allow_hosts)
    try:
        socket.create_connection(address, _CONNECT_TIMEOUT).close()
    except OSError as error:
        raise unreachable(url, error) from error
