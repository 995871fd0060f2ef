"""The bytes of a file that is named on the command line."""

from __future__ import annotations

import click

from mg_middleware.cli.errors import CommandError


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
