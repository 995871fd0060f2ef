"""Waiting for a claim that another delivery holds."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from mg_middleware.idempotency.forking import call_in_forked_child

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

# Seconds between two looks at the store. The holder may be another process, so only the store knows.
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25

_lock = Lock()
_waiting: set[tuple[Hashable, str]] = set()


@contextmanager
def place_in_line(place: Hashable, key: str) -> Generator[bool]:
    """Take the one place of this process that waits for a key, and give it back at the end.

    Args:
        place: where the claim is kept.
        key: the key.

    Yields:
        Whether the place was free.
    """
    waiter = (place, key)
    with _lock:
        free = waiter not in _waiting
        _waiting.add(waiter)
    try:
        yield free
    finally:
        if free:
            with _lock:
                _waiting.discard(waiter)


class Patience:
    """How long to pause before the next look at the store.

    Args:
        wait: for how many seconds to wait in all.
    """

    def __init__(self, wait: float) -> None:
        self._end = monotonic() + wait
        self._pause = _FIRST_PAUSE

    def next_pause(self, seconds_left: float) -> float | None:
        """Return the seconds to pause, or `None` when the wait is over.

        Args:
            seconds_left: after how many seconds the other claim expires.
        """
        remaining = self._end - monotonic()
        if remaining <= 0:
            return None
        pause = min(self._pause, remaining, max(seconds_left, _FIRST_PAUSE))
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
        return pause


def _forget_waiting() -> None:
    """Start afresh in a forked process: the threads that waited, and perhaps held the lock, are not in it."""
    global _lock  # noqa: PLW0603 - a lock that another thread held cannot be released
    _lock = Lock()
    _waiting.clear()


call_in_forked_child(_forget_waiting)
