"""The conformance test for stores. Offered by `mg_middleware.testing`."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from secrets import token_hex
from threading import Barrier
from typing import TYPE_CHECKING, Any

from mg_middleware.idempotency.claims.calling import facts_of
from mg_middleware.idempotency.decision import is_finite
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from mg_middleware.idempotency.store import IdempotencyStore

_AT_ONCE = 16
_PROCESSES = 4
_ATTEMPTS = 3


def check_store(make_store: Callable[[], IdempotencyStore | Any]) -> None:
    """Check that an idempotency store keeps its promises: claims, fencing, expiry, renewal, races, killed processes.

    For the tests of a store of your own, with pytest or by itself. Not for a store in use: it writes keys with random
    names. It takes about six times the store's `lease`, so give the store a short one, such as half a second.

    Args:
        make_store: makes a store; or a coroutine function that does, or one that returns the same store each time. If
            it makes a new one each time, they must share what they remember, also between processes.

    Raises:
        AssertionError: a promise is broken; the message names it, and says if the steps may have been too slow for the
            `lease` instead.
        ConfigurationError: an attribute of the store, such as `execution`, has a wrong value.
        TypeError: it is not a store.
    """
    with closing(_Steps(make_store)) as store, closing(_Steps(make_store)) as other:
        lease = store.lease
        _unhurried(lease, 0, _check_claims, store, other)
        _unhurried(lease, 0, _check_fencing, store)
        _check_race(store)
        if lease is not None:
            _unhurried(lease, 1.2, _check_expiry, store, lease)
            _unhurried(lease, 0.5, _check_renewal, store, lease)
            _unhurried(lease, 0, _check_late_renewal, store)
        # A store that is one object belongs to one process, and Windows has no fork.
        shares = store.store is not other.store and hasattr(os, "fork")
    if shares:
        _check_processes(make_store, lease)
        if lease is not None:
            _unhurried(lease, 1.2, _check_killed_process, make_store, lease)


class _Steps:
    """The steps of a store as plain functions, on an event loop of their own where they need one."""

    def __init__(self, make_store: Callable[[], Any]) -> None:
        self._runner = asyncio.Runner()
        try:
            self.store: Any = self._runner.run(_result_of(make_store))
            facts = facts_of(self.store)
        except BaseException:
            self._runner.close()
            raise
        self._is_asynchronous = facts.execution == "asynchronous"
        self.lease: float | None = facts.lease

    def claim(self, key: str) -> Any:
        return self._take(self.store.claim, key)

    def complete(self, key: str, token: str) -> None:
        self._take(self.store.complete, key, token)

    def release(self, key: str, token: str) -> None:
        self._take(self.store.release, key, token)

    def renew(self, key: str, token: str) -> Any:
        return self._take(self.store.renew, key, token)

    def claim_at_once(self, key: str) -> list[Any]:
        """Claim one key many times at once: in threads, or in tasks."""
        if self._is_asynchronous:
            return self._runner.run(_gather(self.store.claim, key))
        barrier = Barrier(_AT_ONCE)

        def claim(_number: int) -> Any:
            barrier.wait()
            return self.store.claim(key)

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(claim, range(_AT_ONCE)))

    def close(self) -> None:
        with self._runner:
            if hasattr(self.store, "close"):
                self._take(self.store.close)

    def _take(self, step: Callable[..., Any], *arguments: str) -> Any:
        # A plain step must not run on an event loop, since some drivers refuse to block one.
        return self._runner.run(_result_of(step, *arguments)) if self._is_asynchronous else step(*arguments)


async def _result_of(function: Callable[..., Any], *arguments: str) -> Any:
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


async def _gather(claim: Callable[[str], Any], key: str) -> list[Any]:
    return await asyncio.gather(*(_result_of(claim, key) for _ in range(_AT_ONCE)))


def _unhurried(lease: float | None, pauses: float, check: Callable[..., None], *arguments: Any) -> None:
    """Run a check, and again if it failed where the machine was so slow that a claim may have expired meanwhile.

    Args:
        lease: how many seconds a claim lives, if it expires.
        pauses: for how many leases the check itself sleeps between two steps at most.
        check: the check.
        arguments: its arguments.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        begun = time.monotonic()
        try:
            check(*arguments)
        except AssertionError as error:
            if lease is None or time.monotonic() - begun < (pauses + 0.5) * lease:
                raise
            if attempt == _ATTEMPTS:
                slow = f"or its steps are too slow here for a lease of {lease:g} seconds: try a longer one"
                raise AssertionError(f"{error}; {slow}") from error
        else:
            return


def _require(promise: str, kept: object) -> None:
    if not kept:
        raise AssertionError(f"the store breaks a promise: {promise}")


def _new_key() -> str:
    return token_hex(32)


def _claimed(store: _Steps, key: str, promise: str) -> str:
    claim = store.claim(key)
    _require(f"{promise}, but claim() returned {claim!r}", isinstance(claim, Claimed))
    _require("the token of a claim is a str", isinstance(claim.token, str))
    token: str = claim.token
    return token


def _check_claims(store: _Steps, other: _Steps) -> None:
    key = _new_key()
    token = _claimed(store, key, "a new key is claimed")
    for one in (store, other):
        claim = one.claim(key)
        _require(f"a claimed key is in progress, but claim() returned {claim!r}", isinstance(claim, InProgress))
        _require("seconds_left is a finite number", is_finite(claim.seconds_left))
        _require("seconds_left is not negative", claim.seconds_left >= 0)
        if store.lease is not None:
            _require("seconds_left is not more than the lease", claim.seconds_left <= store.lease + 1)
    _claimed(store, _new_key(), "another key is claimed")
    store.release(key, token)
    again = _claimed(other, key, "a released key is claimed again")
    _require("each claim has a token of its own", again != token)
    other.complete(key, again)
    for one in (store, other):
        claim = one.claim(key)
        _require(
            f"a completed key is already complete, but claim() returned {claim!r}", isinstance(claim, AlreadyComplete)
        )
    store.release(key, again)
    _require("a release changes nothing once the key is complete", isinstance(store.claim(key), AlreadyComplete))


def _check_fencing(store: _Steps) -> None:
    key = _new_key()
    token = _claimed(store, key, "a new key is claimed")
    store.release(key, "of-nobody")
    _require("a release with another token changes nothing", isinstance(store.claim(key), InProgress))
    store.complete(key, "of-nobody")
    _require("a complete with another token changes nothing", isinstance(store.claim(key), InProgress))
    store.complete(key, token)
    _require("the holder completes its key", isinstance(store.claim(key), AlreadyComplete))


def _check_race(store: _Steps) -> None:
    key = _new_key()
    for token in _race(store, key, "the key"):
        store.release(key, token)
    _race(store, key, "a released key")


def _race(store: _Steps, key: str, which: str) -> list[str]:
    """Claim a key many times at once, and return the tokens: one, unless the claims took longer than the lease."""
    begun = time.monotonic()
    tokens = [claim.token for claim in store.claim_at_once(key) if isinstance(claim, Claimed)]
    _require(f"one of {_AT_ONCE} claims at once gets {which}", 1 <= len(tokens) <= _most_claims(begun, store.lease))
    return tokens


def _most_claims(begun: float, lease: float | None) -> int:
    """Return how many claims can get a key, one after the other, if opening connections takes longer than the lease."""
    return 1 if lease is None else 1 + int((time.monotonic() - begun) / lease)


def _check_expiry(store: _Steps, lease: float) -> None:
    key, untaken, contested, completed = (_new_key() for _ in range(4))
    old = _claimed(store, key, "a new key is claimed")
    old_of_untaken = _claimed(store, untaken, "a new key is claimed")
    _claimed(store, contested, "a new key is claimed")
    store.complete(completed, _claimed(store, completed, "a new key is claimed"))
    time.sleep(lease * 1.2)
    _require("a completed key outlives the lease", isinstance(store.claim(completed), AlreadyComplete))
    new = _claimed(store, key, "an expired claim can be taken")
    store.complete(key, old)
    _require("whoever lost its claim cannot complete it", isinstance(store.claim(key), InProgress))
    store.release(key, old)
    _require("whoever lost its claim cannot release it", isinstance(store.claim(key), InProgress))
    _require("whoever lost its claim cannot renew it", store.renew(key, old) is False)
    store.release(key, new)
    store.complete(untaken, old_of_untaken)
    _require("an expired claim that nobody took can be completed", isinstance(store.claim(untaken), AlreadyComplete))
    _race(store, contested, "an expired key")


def _check_renewal(store: _Steps, lease: float) -> None:
    key = _new_key()
    token = _claimed(store, key, "a new key is claimed")
    for _ in range(4):
        time.sleep(lease / 2)
        _require("renew() of the holder returns True", store.renew(key, token) is True)
    _require("a renewed claim does not expire", isinstance(store.claim(key), InProgress))
    _require("renew() with another token returns False", store.renew(key, "of-nobody") is False)
    store.complete(key, token)
    _require("renew() of a completed key returns False", store.renew(key, token) is False)
    _require("a renewal does not undo a completion", isinstance(store.claim(key), AlreadyComplete))


def _check_late_renewal(store: _Steps) -> None:
    """Check a renewal that comes after the end of its claim: it runs in a thread or task of its own."""
    key = _new_key()
    token = _claimed(store, key, "a new key is claimed")
    store.release(key, token)
    _require("renew() of a released key returns False", store.renew(key, token) is False)
    _claimed(store, key, "a renewal does not undo a release")


def _check_processes(make_store: Callable[[], Any], lease: float | None) -> None:
    key = _new_key()
    begin = time.monotonic() + 0.5
    children = [_fork(_claim_in_process, make_store, key, begin) for _ in range(_PROCESSES)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    _require("the store works in a forked process", set(codes) <= {0, 1})
    most = _most_claims(begin, lease)
    _require(f"one of {_PROCESSES} processes gets the key", 1 <= codes.count(0) <= most)


def _check_killed_process(make_store: Callable[[], Any], lease: float) -> None:
    key = _new_key()
    reading, writing = os.pipe()
    child = _fork(_claim_and_wait, make_store, key, writing)
    os.close(writing)
    os.read(reading, 1)  # it has claimed, or ended
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with closing(_Steps(make_store)) as store:
        held = store.claim(key)
        _require("a killed process leaves its claim until it expires", isinstance(held, InProgress))
        time.sleep(lease * 1.2)
        _claimed(store, key, "the claim of a killed process expires")


def _claim_in_process(make_store: Callable[[], Any], key: str, begin: float) -> int:
    store = _Steps(make_store)
    time.sleep(max(0.0, begin - time.monotonic()))
    return {Claimed: 0, InProgress: 1}[type(store.claim(key))]


def _claim_and_wait(make_store: Callable[[], Any], key: str, writing: int) -> int:
    store = _Steps(make_store)
    store.claim(key)
    os.write(writing, b".")
    time.sleep(60)
    return 0


def _fork(function: Callable[..., int], *arguments: Any) -> int:
    with warnings.catch_warnings():
        # Python warns of a fork beside threads. The child only makes a store, takes a step, and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os._exit(function(*arguments))
        finally:
            os._exit(2)
    return child
