"""Renewing the claims of running handlers, from a thread that no event loop and no handler can block."""

from __future__ import annotations

import os
import weakref
from threading import Lock, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING

from mg_middleware._reporting import logger

if TYPE_CHECKING:
    from mg_middleware.idempotency.claims.calling import StoreCalls
    from mg_middleware.idempotency.claims.threads import ThreadedCalls
    from mg_middleware.idempotency.decision import HeldClaim


def interval_of(lease: float) -> float:
    """Return after how many seconds a claim is renewed: twice before it could expire."""
    return lease / 3


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


class RenewingThread:
    """Renews the claims of one store. One thread serves them all, and runs only while there are claims.

    A store that hangs delays no renewals of another store.

    Args:
        calls: the store's steps.
        lease: how many seconds a claim lives.
        max_lease: for how many seconds a claim is renewed.
    """

    def __init__(self, calls: StoreCalls | ThreadedCalls, lease: float, max_lease: float) -> None:
        self._calls = calls
        self._interval = interval_of(lease)
        self._max_lease = max_lease
        self._lock = Lock()
        # Every claim is due one interval after it came or was renewed last, so the first one is due next. Nobody has to
        # wake the thread: whatever comes while it sleeps is due later than it wakes.
        self._due: dict[HeldClaim, float] = {}
        self._running = False
        _renewing.add(self)

    def begin(self, claim: HeldClaim) -> None:
        """Renew a claim from now on."""
        now = monotonic()
        claim.renewal = now + self._max_lease
        with self._lock:
            self._due[claim] = now + self._interval
            if self._running:
                return
            self._running = True
        Thread(target=self._renew_all, name="mg-middleware renewals", daemon=True).start()

    def end(self, claim: HeldClaim) -> None:
        """Renew a claim no longer."""
        with self._lock:
            self._due.pop(claim, None)

    def forget(self) -> None:
        """Start afresh in a forked process: the claims are the parent's, and so is the thread."""
        self._lock = Lock()
        self._due.clear()
        self._running = False

    def _renew_all(self) -> None:
        while True:
            with self._lock:
                if not self._due:
                    self._running = False
                    return
                claim, due = next(iter(self._due.items()))
                pause = due - monotonic()
                if pause <= 0:
                    del self._due[claim]
                    self._due[claim] = monotonic() + self._interval
            if pause > 0:
                sleep(min(pause, self._interval))
            elif not self._renew(claim):
                self.end(claim)

    def _renew(self, claim: HeldClaim) -> bool:
        if monotonic() >= claim.renewal:
            log_too_long(self._calls.name, self._max_lease)
            return False
        renewed = self._calls.renew(claim.key, claim.token)
        if renewed is False and not claim.ended:
            log_lost(self._calls.name)
        return renewed is not False


_renewing: weakref.WeakSet[RenewingThread] = weakref.WeakSet()


def _forget_all() -> None:
    for renewing in _renewing:
        renewing.forget()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget_all)
