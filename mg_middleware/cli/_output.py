"""What the commands print: results on standard output, one line of error on standard error."""

from __future__ import annotations

import os
import re
import select
import sys
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

_UP_TO_HOST = re.compile(r"(?<=://).*@", re.DOTALL)


def standard_output() -> Console:
    """Open standard output for tables and lines, in colour if it is a terminal.

    The output includes what receivers respond, so nothing in a text is taken for markup.
    """
    from rich.console import Console  # `sign` and `verify`, which shells may call in a loop, do without

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            # Rich would exit with 1, which means a negative result.
            raise BrokenPipeError

    return PlainConsole(markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_error(where: str, message: str) -> None:
    """Print one line on standard error.

    Args:
        where: the command that it comes from.
        message: what is wrong. Line breaks become spaces, and the user names and passwords of URLs are redacted.
    """
    line = redact(f"{where}: {' '.join(message.split())}")
    with suppress(OSError):  # there is no other place to print it
        click.echo(line, err=True)


def redact(text: str) -> str:
    """Hide the user names and passwords of URLs.

    A password may hold any character, so all up to the last "@" is hidden.
    """
    return _UP_TO_HOST.sub("***@", text)


def write_any_text() -> None:
    """Escape the characters that the terminal's encoding lacks, which would otherwise raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what is buffered. A full disk or a closed pipe may show here first.

    Raises:
        OSError: it cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def has_reader_left() -> bool:
    """Whether standard output is a pipe that is not read any more. It cannot be told on Windows."""
    if sys.stdout is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are reported in any case
    return bool(poll.poll(0))


@contextmanager
def discarding_output() -> Generator[None]:
    """Discard what is written to standard output meanwhile.

    This redirects the descriptor, because a logging handler may hold the stream.

    Raises:
        OSError: what was buffered before cannot be written.
    """
    stream = sys.stdout
    if stream is None:
        yield
        return
    stream.flush()
    descriptor = stream.fileno()
    kept = os.dup(descriptor)
    try:
        _discard(descriptor)
        yield
    finally:
        stream.flush()
        os.dup2(kept, descriptor)
        os.close(kept)


def _discard(descriptor: int) -> None:
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), descriptor)


def discard_unwritable_output() -> None:
    """Drop what cannot be written.

    Python would try once more at exit, print an error of its own, and exit with 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            print(end="", file=stream, flush=True)
        except OSError:
            _discard(stream.fileno())
