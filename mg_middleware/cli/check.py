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
@click.option("--path", default="/", show_default=True, help="The path of the webhook.")
@click.option("--host", help="The Host field of each request.")
@click.option("--handler", metavar="MODULE:FUNCTION", help="What processes an event: its runs are counted.")
@click.option("--strict", is_flag=True, help="Let checks of level SHOULD fail, too.")
@click.option("--interface", type=click.Choice(["auto", "asgi", "wsgi"]), help="What the application is.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long the receiver may take.  [default: 10]")
@click.option("--count", metavar="COMMAND", help="At a URL: prints how many events were processed so far.")
@click.option("--break", "break_", metavar="COMMAND", help="At a URL: makes processing fail. Needs --count and --heal.")
@click.option("--heal", metavar="COMMAND", help="Undoes --break.")
@click.option("--seed", metavar="TEXT", help="Chooses the meeting ids, for a receiver that remembers earlier ones.")
@click.option("--secret-env", metavar="NAME", help="The variable in which the application reads its secret.")
@click.option("--report", metavar="FILE", help="Write what each check found to this file, as JSON.")
@allow_host_option
@secret_file_option
def check(
    receiver: str,
    pytest_arguments: tuple[str, ...],
    *,
    path: str,
    host: str | None,
    handler: str | None,
    strict: bool,
    interface: str | None,
    timeout: float | None,
    count: str | None,
    break_: str | None,
    heal: str | None,
    seed: str | None,
    secret_env: str | None,
    report: str | None,
    allow_hosts: tuple[str, ...],
    secret_file: str | None,
) -> int:
    """Test a receiver with the conformance suite of the pytest plugin.

    The receiver may be guarded by this package or written by hand. It is an application, a factory such as
    "shop:create_app()", or the URL of a receiver that runs. An application is started with the secret in
    MEETGEEK_WEBHOOK_SECRET, or in the variable that --secret-env names. Arguments after "--" are passed to pytest;
    the addopts of your own pytest configuration are not used.

    Exit status 0 if it passes, 1 if a check fails, 2 if the suite cannot run.
    """
    if find_spec("pytest") is None:
        raise CommandError("check needs an extra: pip install 'mg-middleware[pytest]'")
    secret = _secret_of(secret_env) if secret_env else read_secret(secret_file)
    variable = secret_env or SECRET_VARIABLE
    if "://" in receiver:
        _check_connection(receiver, allow_hosts)
    options = {
        "--meetgeek-app": receiver,
        "--meetgeek-secret-env": variable,
        "--meetgeek-path": path,
        "--meetgeek-host": host,
        "--meetgeek-handler": handler,
        "--meetgeek-interface": interface,
        "--meetgeek-timeout": timeout,
        "--meetgeek-count": count,
        "--meetgeek-break": break_,
        "--meetgeek-heal": heal,
        "--meetgeek-seed": seed,
        "--meetgeek-report": report,
    }
    # The user's addopts are made for the user's own tests: -x or --cov would change what is tested here.
    command = [sys.executable, "-m", "pytest", "-o", "addopts="]
    command += [f"{option}={value}" for option, value in options.items() if value is not None]
    command += [f"--meetgeek-allow-host={host}" for host in allow_hosts]
    command += ["--meetgeek-strict"] if strict else []
    # A process of its own: pytest wants to rewrite what it finds imported, and the application gets an environment of
    # its own, in which the secret stands where the guard looks for it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    status = subprocess.call([*command, *pytest_arguments], env={**environment, variable: secret})  # noqa: S603 - the words above
    return status if status in _VERDICTS else 2


def _secret_of(variable: str) -> str:
    """Read the secret from the variable in which the application reads it."""
    secret = os.environ.get(variable, "")
    if not secret.strip():
        raise CommandError(f"--secret-env: the environment variable {variable} is not set, or empty")
    return secret


def _check_connection(url: str, allow_hosts: tuple[str, ...]) -> None:
    """Find out whether anyone listens, before every single check finds it out."""
    address = address_of(url, allow_hosts)
    try:
        socket.create_connection(address, _CONNECT_TIMEOUT).close()
    except OSError as error:
        raise unreachable(url, error) from error
