"""Counts what a receiver processed: by a spy in this process, or by a command at a URL."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pytest_meetgeek.spy import Spy

_COMMAND_PATIENCE = 30.0
_SHOWN_OUTPUT = 300
# Readings, and seconds between them, until a count no longer changes.
_SETTLING = 10
_BETWEEN_READINGS = 0.05


class CommandError(RuntimeError):
    """A command that the user gave failed; the message says which, and what it printed."""


class SpyCounter:
    """Counts the runs of a function in this process.

    Not for a receiver behind a URL: see `CommandCounter`.

    Args:
        spy: It counts, and makes the function fail.
    """

    # Seconds to wait before each reading, for what a receiver does right after its response: one second in all.
    pauses: Sequence[float] = (0.0, *(0.01,) * 100)

    def __init__(self, spy: Spy) -> None:
        self._spy = spy

    @property
    def given(self) -> bool:
        """Whether there is something to count."""
        return self._spy.watching

    @property
    def can_fail(self) -> bool:
        """Whether the function can be made to fail."""
        return True

    @property
    def spy(self) -> Spy | None:
        """What the function can be slowed down with; None at a URL."""
        return self._spy

    @property
    def counts_failures(self) -> bool:
        """Whether a run that fails is counted, too."""
        return True

    def read(self) -> int:
        """Read how many events were processed so far."""
        return self._spy.count

    def forget(self) -> None:
        """Take note that something was sent."""

    @contextmanager
    def failing(self) -> Generator[None]:
        """Make the next run fail."""
        self._spy.fail_next = 1
        try:
            yield
        finally:
            self._spy.fail_next = 0


@dataclass
class CommandCounter:
    """Counts by a command that prints how many events were processed so far, such as a `SELECT count(*)`.

    One for each check: its first reading waits until what was sent before is processed.

    Not for an app in this process: a spy counts there, and is faster.

    Args:
        count: A shell command that prints a number.
        break_: A shell command that makes the receiver fail on the next events; empty if there is none.
        heal: A shell command that undoes `break_`.
    """

    count: str
    break_: str = ""
    heal: str = ""
    _known: int | None = field(default=None, init=False)
    _settled: bool = field(default=False, init=False)

    # Each reading starts a process, so there are only a few.
    pauses: Sequence[float] = field(default=(0.0, 0.1, 0.3, 0.6), init=False)

    @property
    def given(self) -> bool:
        """Whether there is something to count."""
        return True

    @property
    def spy(self) -> Spy | None:
        """What the function can be slowed down with; None at a URL."""
        return None

    @property
    def can_fail(self) -> bool:
        """Whether the receiver can be made to fail."""
        return bool(self.break_)

    @property
    def counts_failures(self) -> bool:
        """Whether an event that failed is counted, too."""
        return False

    def read(self) -> int:
        """Read how many events were processed so far; if nothing was sent since the last reading, from memory.

        Raises:
            CommandError: The command failed, hung or printed no number.
        """
        if self._known is None:
            self._known = self._count()
            if not self._settled:
                self._settled = True
                for _ in range(_SETTLING):
                    time.sleep(_BETWEEN_READINGS)
                    before, self._known = self._known, self._count()
                    if self._known == before:
                        break
        return self._known

    def _count(self) -> int:
        printed = _run("--meetgeek-count", self.count)
        number = re.search(r"\d+", printed)
        if number is None:
            raise CommandError(f"--meetgeek-count: {self.count!r} printed no number, but {_shown(printed)}")
        return int(number[0])

    def forget(self) -> None:
        """Take note that something was sent."""
        self._known = None

    @contextmanager
    def failing(self) -> Generator[None]:
        """Break the receiver for a while.

        Raises:
            CommandError: A command failed or hung.
        """
        _run("--meetgeek-break", self.break_)
        try:
            yield
        finally:
            _run("--meetgeek-heal", self.heal)
            self.forget()


Counter = SpyCounter | CommandCounter


def _run(option: str, command: str) -> str:
    """Run a shell command of the user's, and return what it printed."""
    began = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S602  # the user's own words, pipes included
            command,
            shell=True,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        took = time.monotonic() - began
        output: str | bytes = error.stdout or ""  # bytes on POSIX, whatever was asked for
        printed = _shown(output if isinstance(output, str) else output.decode("utf-8", "replace"))
        raise CommandError(f"{option}: {command!r} did not end within {took:.0f} s, and printed {printed}") from None
    if done.returncode:
        printed = done.stderr or done.stdout
        raise CommandError(f"{option}: {command!r} ended with status {done.returncode}: {_shown(printed)}")
    return done.stdout


def _shown(printed: str) -> str:
    text = " ".join(printed.split())[:_SHOWN_OUTPUT]
    return repr(text) if text else "nothing"
