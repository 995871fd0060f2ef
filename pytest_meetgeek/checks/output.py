"""Sees what an app prints and logs, without keeping it from the terminal."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class _Records(logging.Handler):
    """Keeps the text of each record, its traceback included."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record) + "\n"


@contextmanager
def captured_output() -> Generator[Callable[[], str]]:
    """Give a function that returns what was printed and logged in the meantime.

    Not for what a process beside this one writes.
    """
    printed, records = (io.StringIO(), io.StringIO()), _Records()
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    # A record gets no further than a logger that does not propagate.
    ends = [logging.root, *(logger for logger in loggers if not logger.propagate)]
    for logger in ends:
        logger.addHandler(records)
    try:
        with redirect_stdout(printed[0]), redirect_stderr(printed[1]):
            yield lambda: "".join([records.text, *(stream.getvalue() for stream in printed)])
    finally:
        for logger in ends:
            logger.removeHandler(records)
        for stream, text in ((sys.stdout, printed[0]), (sys.stderr, printed[1])):
            stream.write(text.getvalue())
