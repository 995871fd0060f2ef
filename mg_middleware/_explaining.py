"""Explaining refusals in the log, after their responses were sent: the option `explain` of the middlewares."""

from __future__ import annotations

import time
from collections import deque
from queue import Full, Queue
from threading import Lock, Thread
from typing import TYPE_CHECKING, NamedTuple

from mg_middleware._reporting import escape, logger

if TYPE_CHECKING:
    from mg_middleware._keys import Key
    from mg_middleware._verification import Verification

# A stranger decides how many refusals there are, and their sizes.
_MOST_PER_SECOND = 10
_LARGEST_BODY = 64 * 1024
_MOST_HASHED = 64 * 1024 * 1024
_LONGEST_SHOWN = 200


class _Task(NamedTuple):
    """What is to be explained."""

    method: str
    path: str
    signature: bytes
    keys: tuple[Key, ...]
    chunks: list[bytes] | None


class Explainer:
    """Explains refusals in a thread of its own, so that no response waits for it.

    The thread starts with the first refusal, in the process that serves it: a server may fork before.
    """

    def __init__(self) -> None:
        self._tasks: Queue[_Task] = Queue(_MOST_PER_SECOND)
        self._started: deque[float] = deque(maxlen=_MOST_PER_SECOND)
        self._lock = Lock()
        self._thread: Thread | None = None

    def explain_mismatch(self, method: str, path: str, verification: Verification) -> None:
        """Log why a signature doesn't match, soon. Call it after the response was sent.

        Args:
            method: the request's method.
            path: the request's path.
            verification: the failed verification.
        """
        if verification.size <= _LARGEST_BODY:
            self._submit(_Task(method, path, verification.signature, verification.keys, verification.chunks))

    def explain_header(self, method: str, path: str, signature: bytes) -> None:
        """Log what a malformed signature alone shows, soon. Call it after the response was sent.

        Args:
            method: the request's method.
            path: the request's path.
            signature: the value of the header field.
        """
        self._submit(_Task(method, path, signature, (), None))

    def _submit(self, task: _Task) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._started) == _MOST_PER_SECOND and now - self._started[0] < 1:
                return
            try:
                self._tasks.put_nowait(task)
            except Full:
                return
            self._started.append(now)
            if self._thread is None or not self._thread.is_alive():
                thread = Thread(target=self._run, daemon=True, name="mg_middleware explain")
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads; the next refusal tries again
                    logger().error("a refusal can't be explained yet: %s", error)
                else:
                    self._thread = thread

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                _log(task)
            except Exception as error:  # nothing catches it further out; no traceback, since that would hold secrets
                logger().error("a refusal can't be explained: %s", type(error).__name__)
            del task  # not kept while there is nothing to do


def _log(task: _Task) -> None:
    from mg_middleware.explanation import (  # loaded if it is used
        NOTHING_FITS,
        explain_header,
        find_explanations,
        named_secrets,
    )

    if task.chunks is None:
        found = explain_header(task.signature)
    else:
        secrets = named_secrets(task.keys)
        found = find_explanations(secrets, b"".join(task.chunks), task.signature, most_for_one_change=_MOST_HASHED)
        found = found or [NOTHING_FITS]
    for explanation in found:
        logger().warning(
            "%s %s: %s",
            escape(task.method, _LONGEST_SHOWN),
            escape(task.path, _LONGEST_SHOWN),
            f"{explanation.sentence} {explanation.remedy}",
            extra={"meetgeek_cause": explanation.cause},
        )
