"""The command line: one module for each command, loaded when the command is asked for.

To add a command, write a module that holds a click command of the same name, and add it to `_COMMANDS`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM = "mg-middleware"
_INTERRUPTED = 130  # what shells give for SIGINT

_COMMANDS = ("demo", "serve", "send", "sign", "verify", "check", "bench")


class _Commands(click.Group):
    """The commands by name; `sign` does not wait for the import of a server."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(package_name=_PROGRAM, prog_name=_PROGRAM)
@click.pass_context
def commands(context: click.Context) -> None:
    """Guard, try out and test the receivers of MeetGeek webhooks.

    The shared secret comes from MEETGEEK_WEBHOOK_SECRET, from the file that MEETGEEK_WEBHOOK_SECRET_FILE names, or from
    --secret-file; never from an argument, which everyone on the machine could read in the process list.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Not for use in a program: the functions of the package do the same without exit statuses.

    Args:
        arguments: the words of the command line; `None` takes those of the process.

    Returns:
        The exit status: 0, 1 for an answer in the negative, 2 where the command could not be carried out (one line on
        standard error says why), 130 after Ctrl-C, except from `serve`.
    """
    try:
        status: int | None = commands.main(arguments, prog_name=_PROGRAM, standalone_mode=False)
        _flush()  # a file or a pipe is buffered: a full disk may show here first
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = _PROGRAM if context is None else context.command_path
        # One line, whatever the message holds: a pipe's or a log's reader gets it whole.
        click.echo(f"{where}: {' '.join(error.format_message().split())}", err=True)
        return 2
    except click.Abort:
        return _INTERRUPTED
    except OSError as error:  # such as a full disk under the output; the commands tell of what they cannot read
        click.echo(f"{_PROGRAM}: {error}", err=True)
        _drop_unwritable_output()
        return 2
    return status or 0


def _drop_unwritable_output() -> None:
    # Python would try to write it once more at exit, print an error of its own, and exit with 120.
    try:
        _flush()
    except OSError:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


def _flush() -> None:
    print(end="", flush=True)  # noqa: T201 - unlike `sys.stdout.flush()`, it copes with a closed standard output
