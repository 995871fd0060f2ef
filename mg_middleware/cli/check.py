"""The command `check`: the conformance suite of the pytest plugin."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from mg_middleware._keys import SECRET_VARIABLE
from mg_middleware.cli._options import (
    CommandError,
    Number,
    allow_host_option,
    cacert_option,
    check_url,
    complete_file,
    finite,
    interface_option,
    is_url,
    secret_options,
    unreachable,
)
from mg_middleware.cli._output import has_reader_left, print_error
from pytest_meetgeek.drivers.url import connection_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mg_middleware.cli._options import SecretSource

_CONNECT_TIMEOUT = 10.0  # seconds
_PATIENCE = 1.0  # seconds
_TRACEBACK = ("Traceback ", "Exception ignored ")
_DISK_IS_FULL = f"OSError: [Errno {errno.ENOSPC}]"
_RESULTS = (0, 1)  # passed and failed: with any other status, pytest could not run the suite


def _without_prefix(option: str) -> str:
    return option.removeprefix("meetgeek-")


class _Check(click.Command):
    """Names the place of pytest's options, which are easily mistaken for options of `check`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            raise click.UsageError(f"{error.message} (arguments for pytest come after '--')", ctx) from None


# What the suite prints names the plugin's options, so they are taken as well.
@click.command(cls=_Check, context_settings={"token_normalize_func": _without_prefix})
@click.argument("receiver", metavar="MODULE:APP|URL")
@click.argument("pytest_arguments", metavar="[-- PYTEST_ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@click.option("--path", default="/", show_default=True, help="The path of the webhook.")
@click.option("--host", help="The Host field of each request.")
@click.option(
    "--handler", metavar="MODULE:FUNCTION", help="The function that processes an event: its runs are counted."
)
@click.option("--strict", is_flag=True, help="Let checks of level SHOULD fail, too.")
@interface_option
@click.option(
    "--timeout",
    type=Number(0, min_open=True),
    callback=finite,
    metavar="SECONDS",
    help="How long the receiver may take.  [default: 10]",
)
@click.option("--count", metavar="COMMAND", help="At a URL: prints how many events were processed so far.")
@click.option("--break", "break_", metavar="COMMAND", help="At a URL: makes processing fail. Needs --count and --heal.")
@click.option("--heal", metavar="COMMAND", help="Undoes --break.")
@click.option("--seed", metavar="TEXT", help="Chooses the meeting ids, for a receiver that remembers earlier ones.")
@click.option(
    "--report",
    metavar="FILE",
    shell_complete=complete_file,
    help="Write each check's result to this file: .json, .md or .html.",
)
@allow_host_option
@cacert_option
@secret_options
def check(
    receiver: str,
    pytest_arguments: tuple[str, ...],
    *,
    path: str,
    host: str | None,
    handler: str | None,
    strict: bool,
    interface: str,
    timeout: float | None,
    count: str | None,
    break_: str | None,
    heal: str | None,
    seed: str | None,
    report: str | None,
    allow_hosts: tuple[str, ...],
    secret: SecretSource,
) -> int:
    """Test a receiver with the conformance suite of the pytest plugin.

    The receiver may be guarded by this package or written by hand. It is an application, a factory such as
    "shop:create_app()", or the URL of a running receiver. An application is started with the secret in
    MEETGEEK_WEBHOOK_SECRET, or in the variable that --secret-env names. Arguments after "--" are passed to pytest; the
    addopts of your own pytest configuration are not used.

    Exit status 0 if it passes, 1 if a check fails, 2 if the suite cannot run.
    """
    if find_spec("pytest") is None:
        raise CommandError("check needs an extra: pip install 'mg-middleware[pytest]'")
    variable = secret.variable or SECRET_VARIABLE
    # The application gets an environment of its own, with the secret where its guard looks for it.
    environment = {**os.environ, variable: secret.read()}
    # The user's addopts are made for the user's own tests: -x or --cov would change what is tested here.
    environment.pop("PYTEST_ADDOPTS", None)
    if is_url(receiver):
        if path != "/":
            raise CommandError("--path is for an application: at a URL, the path is part of the URL")
        if handler is not None:
            raise CommandError("--handler can't count what another process does: at a URL, give --count")
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
    command = [sys.executable, "-m", "pytest", "-o", "addopts="]
    command += [f"{option}={value}" for option, value in options.items() if value is not None]
    command += [f"--meetgeek-allow-host={host}" for host in allow_hosts]
    command += ["--meetgeek-strict"] if strict else []
    status = _run([*command, *pytest_arguments], environment)
    if status == 1 and has_reader_left():  # pytest, too, exits with 1 then
        raise BrokenPipeError
    return status if status in _RESULTS else 2


def _run(command: list[str], environment: dict[str, str]) -> int:
    # In a process of its own, because pytest rewrites modules as they are imported.
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace") as running:  # noqa: S603 - a list, no shell
        disk_is_full = follows_error = False
        try:
            for lines in _tracebacks_together(running.stderr or ()):
                if disk_is_full or lines[-1].startswith(_DISK_IS_FULL):
                    disk_is_full = True  # pytest could not print its results, and what follows says no more
                elif lines[0].startswith("ERROR: "):
                    message = lines[0].removeprefix("ERROR: ")
                    print_error("mg-middleware check", message.replace("--meetgeek-", "--"))
                    follows_error = True
                elif not follows_error or lines[0].strip():  # pytest prints an empty line after an error
                    click.echo("".join(lines).replace("--meetgeek-", "--"), err=True, nl=False)
        except BaseException:
            # After Ctrl-C, which reaches it as well, pytest ends by itself.
            with suppress(subprocess.TimeoutExpired):
                running.wait(_PATIENCE)
            running.kill()
            raise
    if disk_is_full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return running.returncode


def _tracebacks_together(lines: Iterable[str]) -> Iterator[list[str]]:
    """Give each line by itself, but those of a traceback together with the line that names the error."""
    traceback: list[str] = []
    for line in lines:
        starts = line.startswith(_TRACEBACK)
        if traceback or starts:
            traceback.append(line)
            if starts or line[0].isspace():
                continue
        yield traceback or [line]
        traceback = []
    if traceback:
        yield traceback


def _check_connection(url: str, allow_hosts: tuple[str, ...]) -> None:
    """Find out that no connection can be made before each check finds it out."""
    connection = connection_to(check_url(url, allow_hosts), _CONNECT_TIMEOUT)
    try:
        connection.connect()
    except OSError as error:
        raise unreachable(url, error) from error
    finally:
        connection.close()
