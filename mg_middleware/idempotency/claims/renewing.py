"""Renewing the claims of running handlers, from a thread that no event loop and no handler can block."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import inf
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

from mg_middleware._reporting import logger
from mg_middleware.idempotency.claims import calling
from mg_middleware.idempotency.forking import call_in_forked_child

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mg_middleware.idempotency.claims.calling import StoreCalls
    from mg_middleware.idempotency.claims.threads import ThreadedCalls
    from mg_middleware.idempotency.decision import HeldClaim


# Seconds. No thread can wait for as long as a lease may be, and one that tried would end, with all renewals.
_LONGEST_INTERVAL = 86_400.0


def interval_of(lease: float) -> float:
    """Return after how many seconds a claim is renewed: twice before it could expire, and at least once a day."""
    return min(lease / 3, _LONGEST_INTERVAL)


def log_lost(store: str) -> None:
    """Log that a claim was lost while its handler ran."""
    logger().warning(
        "the idempotency store %s lost a claim while its handler runs; the meeting may be processed more than once",
        store,
    )


def log_too_long(store: str, max_lease: float) -> None:
    """Log that a handler has run for so long that its claim isn't renewed any more."""
    logger().warning(
        "a handler has run for %g seconds, the max_lease of the idempotency store %s; its claim is no longer renewed",
        max_lease,
        store,
    )


class Renewing:
    """Renews the claims of one store, from the thread that renews the claims of all stores.

    Args:
        calls: the store's steps. Those of a store that may block run in its own threads, so that it delays no renewals
            of another store; plain ones are called directly.
        lease: how many seconds a claim lives.
        max_lease: for how many seconds a claim is renewed.

    Attributes:
        interval: after how many seconds a claim is renewed.
    """

    def __init__(self, calls: StoreCalls | ThreadedCalls, lease: float, max_lease: float) -> None:
        self._calls = calls
        self.interval: float = interval_of(lease)
        self._max_lease = max_lease

    def begin(self, claim: HeldClaim) -> None:
        """Renew a claim from now on."""
        now = monotonic()
        claim.due = now + self.interval
        claim.last = now + self._max_lease
        thread = _thread
        thread.claims[claim] = self
        if self.interval < thread.interval:
            thread.look_every(self.interval)

    def end(self, claim: HeldClaim) -> None:
        """Renew a claim no longer."""
        _thread.claims.pop(claim, None)

    def renew_if_due(self, claim: HeldClaim, now: float) -> float:
        """Renew a claim if it is due, or nearly, and return after how many seconds it is due next."""
        # Claims that are nearly due are renewed with the one that is, so that the thread doesn't wake for each of many.
        if claim.due - now <= self.interval / 8:
            claim.due = now + self.interval
            if now >= claim.last:
                self.end(claim)
                log_too_long(self._calls.name, self._max_lease)
            elif isinstance(self._calls, calling.StoreCalls):
                self._note(claim, self._calls.renew(claim.key, claim.token))
            else:
                self._begin_to_renew(self._calls, claim, now)
        return claim.due - now

    def _begin_to_renew(self, calls: ThreadedCalls, claim: HeldClaim, now: float) -> None:
        if claim.renewal is not None:
            previous, begun = claim.renewal
            if not previous.done():
                if now - begun < calling.STEP_SECONDS:
                    return
                previous.cancel()
                calling.log_given_up(calls.name, "renew")
        renewal = calls.begin_renew(claim.key, claim.token)
        claim.renewal = renewal, now
        renewal.add_done_callback(partial(self._note_end, claim))

    def _note_end(self, claim: HeldClaim, renewal: Future[bool | None]) -> None:
        if not renewal.cancelled():
            self._note(claim, renewal.result())

    def _note(self, claim: HeldClaim, renewed: bool | None) -> None:
        if renewed is False:
            self.end(claim)
            if not claim.ended:
                log_lost(self._calls.name)


class _RenewingThread:
    """The one thread of this process that renews: started with the first claim, it ends with the process.

    Attributes:
        claims: the claims to renew. No lock guards it: each use is a single step of `dict`, which is atomic, and a
            claim that ends while it is renewed isn't missed.
        interval: the shortest interval of all stores, in seconds; infinite while the thread doesn't run. The thread
            looks at the claims at least this often, so nobody has to wake it for a new claim, which is due later.
    """

    def __init__(self) -> None:
        self.claims: dict[HeldClaim, Renewing] = {}
        self.interval: float = inf
        self._lock = Lock()
        self._hurry = Event()

    def look_every(self, interval: float) -> None:
        """Start the thread, or wake it because a store has a shorter interval."""
        with self._lock:
            if self.interval == inf:
                try:
                    Thread(target=self._run, name="mg-middleware renewals", daemon=True).start()
                except RuntimeError as error:  # no more threads; the next claim tries again
                    logger().error("the claims of running handlers aren't renewed: %s", error)
                    return
            self.interval = min(self.interval, interval)
        self._hurry.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                pause = self.interval
            now = monotonic()
            for claim, renewing in self.claims.copy().items():
                with suppress(Exception):  # such as that of a filter of the log; the next claims are renewed
                    pause = min(pause, renewing.renew_if_due(claim, now))
            self._hurry.wait(pause)
            self._hurry.clear()


_thread = _RenewingThread()


def _forget() -> None:
    """Start afresh in a forked process: the claims are the parent's, and so is the thread."""
    global _thread  # noqa: PLW0603 - the parent's thread may have held the lock
    _thread = _RenewingThread()


call_in_forked_child(_forget)
