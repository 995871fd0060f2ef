"""Separate threads for blocking stores: the application's threads don't delay them, and they can be abandoned."""

from __future__ import annotations

import weakref
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from mg_middleware.idempotency.claims import calling
from mg_middleware.idempotency.forking import call_in_forked_child
from mg_middleware.idempotency.store import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mg_middleware.idempotency.claims.calling import StoreCalls
    from mg_middleware.idempotency.decision import Ending
    from mg_middleware.idempotency.store import Claim

_Result = TypeVar("_Result")

# Steps that wait for a server take no processor time; a store that runs one step at a time needs but one thread.
_MOST_THREADS = 16
_IDLE_SECONDS = 10.0


class StepThreads:
    """Daemon threads that run steps: started when needed, and ended when idle.

    Not `concurrent.futures.ThreadPoolExecutor`: the interpreter waits for its threads at exit, so that a store that
    hangs would keep the process alive.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._steps: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._unfinished = 0
        self._threads = 0
        _all_threads.add(self)

    def submit(self, function: Callable[..., _Result], *arguments: Any) -> Future[_Result]:
        """Run a function in a thread, in a copy of this context.

        Args:
            function: the function.
            arguments: its arguments.

        Returns:
            A future of its result. If it is cancelled before a thread is free, the function never runs.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        future: Future[_Result] = Future()
        context = copy_context()
        with self._lock:
            if self._threads < min(self._unfinished + 1, _MOST_THREADS):
                try:
                    Thread(target=self._work, name="mg-middleware store", daemon=True).start()
                except RuntimeError:  # no more threads
                    if self._threads == 0:
                        raise
                else:
                    self._threads += 1
            self._steps.put((future, lambda: context.run(function, *arguments)))
            self._unfinished += 1
        return future

    def forget(self) -> None:
        """Start afresh in a forked process: it has none of the parent's threads."""
        self._lock = Lock()
        self._steps = SimpleQueue()
        self._unfinished = 0
        self._threads = 0

    def _work(self) -> None:
        while True:
            try:
                future, step = self._steps.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._steps.empty():
                        self._threads -= 1
                        return
                continue
            _run(future, step)
            with self._lock:
                self._unfinished -= 1
            del future, step  # an idle thread keeps nothing alive


def _run(future: Future[Any], step: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = step()
    except BaseException as error:  # whoever waits gets it
        future.set_exception(error)
    else:
        future.set_result(result)


_all_threads: weakref.WeakSet[StepThreads] = weakref.WeakSet()


def _forget_all() -> None:
    for threads in _all_threads:
        threads.forget()


call_in_forked_child(_forget_all)


class ThreadedCalls:
    """The steps of a blocking store in threads, so that a step that hangs can be abandoned.

    Args:
        calls: the store's steps.
    """

    def __init__(self, calls: StoreCalls) -> None:
        self.name: str = calls.name
        self._calls = calls
        self._threads = StepThreads()

    def begin_claim(self, key: str) -> Future[Claim | None]:
        """Begin to claim a delivery; see `StoreCalls.claim`."""
        return self._begin("claim", self._calls.claim, key)

    def begin_end(self, step: Ending, key: str, token: str) -> Future[None]:
        """Begin to end a claim; see `StoreCalls.end`."""
        return self._begin(step, self._calls.end, step, key, token)

    def abandon_claim(self, key: str, future: Future[Claim | None]) -> None:
        """Abandon a claim whose request is gone: if it still succeeds, it is released."""
        if not future.cancel():
            future.add_done_callback(partial(self._give_back, key))

    def claim(self, key: str) -> Claim | None:
        """Claim a delivery, and wait for it; see `StoreCalls.claim`."""
        future = self.begin_claim(key)
        try:
            if not _is_done_in_time(future):
                calling.log_given_up(self.name, "claim")
        finally:
            if not future.done():
                self.abandon_claim(key, future)
        return None if future.cancelled() or not future.done() else future.result()

    def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim, and wait for it; see `StoreCalls.end`."""
        if not _is_done_in_time(self.begin_end(step, key, token)):
            calling.log_given_up(self.name, step)

    def begin_renew(self, key: str, token: str) -> Future[bool | None]:
        """Begin to renew a claim; see `StoreCalls.renew`."""
        return self._begin("renew", self._calls.renew, key, token)

    def _begin(self, step: str, function: Callable[..., _Result | None], *arguments: Any) -> Future[Any]:
        try:
            return self._threads.submit(function, *arguments)
        except RuntimeError as error:  # whatever it is, no event is lost
            calling.log_failure(self.name, step, error)
            failed: Future[Any] = Future()
            failed.set_result(None)
            return failed

    def _give_back(self, key: str, future: Future[Claim | None]) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        claim = future.result()
        if isinstance(claim, Claimed):
            self.begin_end("release", key, claim.token)


def _is_done_in_time(future: Future[Any]) -> bool:
    return bool(wait([future], calling.STEP_SECONDS).done)
