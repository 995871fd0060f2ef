"""Gives up on a blocking call that takes too long."""

from __future__ import annotations

import signal
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from pytest_meetgeek.response import NoResponseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

Result = TypeVar("Result")

_DEBUGGERS = {"bdb", "pdb", "pydevd", "_pydevd_bundle"}


class _LateError(BaseException):
    """Raised in what takes too long; no app catches it, as it would an Exception."""


def limited(seconds: float, work: Callable[[], Result]) -> Result:
    """Call something in this thread, and give up when it takes too long.

    Not on Windows: there a main thread can't be interrupted, so the call takes as long as it takes.

    Args:
        seconds: How long it may take.
        work: What to call.

    Raises:
        NoResponseError: It took longer.
    """
    # Django's test database, for one, is there for one thread alone: so the app runs in the caller's, if that can be
    # interrupted.
    if threading.current_thread() is not threading.main_thread():
        return _in_a_thread(seconds, work)
    return _until_an_alarm(seconds, work) if hasattr(signal, "setitimer") else work()


def _until_an_alarm(seconds: float, work: Callable[[], Result]) -> Result:
    remaining, interval = signal.getitimer(signal.ITIMER_REAL)
    if 0 < remaining < seconds:
        return work()  # somebody else's alarm (pytest-timeout's) comes first

    def give_up(_: int, frame: FrameType | None) -> None:
        # Who looks round in a debugger has time.
        while frame is not None:
            if str(frame.f_globals.get("__name__")).partition(".")[0] in _DEBUGGERS:
                return
            frame = frame.f_back
        raise _LateError

    began = time.monotonic()
    previous = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _LateError:
        raise NoResponseError(seconds) from None
    finally:
        signal.signal(signal.SIGALRM, previous)
        if remaining:
            signal.setitimer(signal.ITIMER_REAL, max(remaining - (time.monotonic() - began), 0.001), interval)


def _in_a_thread(seconds: float, work: Callable[[], Result]) -> Result:
    results: list[Result] = []
    errors: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            results.append(context.run(work))
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    for error in errors:
        raise error
    if not results:
        raise NoResponseError(seconds)
    return results[0]
