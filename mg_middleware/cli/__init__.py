"""The command line: one module for each command, imported when the command is run.

To add a command, write a module that holds a click command of the same name, and add it to `_COMMANDS`.
"""

from __future__ import annotations

import os
import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

import click
from click.shell_completion import shell_complete

from mg_middleware.cli._output import discard_unwritable_output, flush, print_error, write_any_text

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM = "mg-middleware"
_COMPLETION_VARIABLE = "_MG_MIDDLEWARE_COMPLETE"  # the name that click's scripts for shells use
_READER_LEFT = 141  # what shells show for SIGPIPE

_COMMANDS = ("demo", "serve", "send", "sign", "verify", "check", "bench")


class _Commands(click.Group):
    """Imports one command at a time, so that `sign` does not wait for a server to be imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(name, _COMMANDS, n=1, cutoff=0.5)
            suggestion = f"did you mean {close[0]!r}?" if close else f"the commands are {', '.join(_COMMANDS)}"
            raise click.UsageError(f"no such command {name!r}: {suggestion}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=_PROGRAM, prog_name=_PROGRAM)
@click.pass_context
def commands(context: click.Context) -> None:
    """Guard, try out and test receivers of MeetGeek webhooks.

    The shared secret comes from the variable MEETGEEK_WEBHOOK_SECRET, from the file named by
    MEETGEEK_WEBHOOK_SECRET_FILE, or from --secret-env or --secret-file. It is never an argument, because everyone on
    the machine can read arguments in the process list.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Not for use in a program: the functions of the package do the same without exit statuses.

    Args:
        arguments: the words of the command line; `None` takes those of the process.

    Returns:
        The exit status: 0, 1 for a negative result, 2 if the command could not run (one line on standard error says
        why), 141 if the reader of a pipe left.
    """
    instruction = os.environ.get(_COMPLETION_VARIABLE)
    if instruction:
        return shell_complete(commands, {}, _PROGRAM, _COMPLETION_VARIABLE, instruction)
    write_any_text()
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        flush()
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        print_error(_PROGRAM if context is None else context.command_path, error.format_message())
        return 2
    except BrokenPipeError:
        return _READER_LEFT
    except OSError as error:  # such as a full disk; the commands handle what they cannot read or reach
        print_error(_PROGRAM, str(error))
        return 2
    except Exception:  # a fault of ours: Python would exit with 1, which means a negative result
        traceback.print_exc()
        return 2
    else:
        return status
    finally:
        discard_unwritable_output()


def _run(arguments: list[str]) -> int:
    # Not `commands.main()`, which exits with 1 if the reader of a pipe left.
    try:
        with commands.make_context(_PROGRAM, arguments) as context:
            status: int | None = commands.invoke(context)
            return status or 0
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code
