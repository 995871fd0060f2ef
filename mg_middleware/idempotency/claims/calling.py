"""Calling a store's steps, so that whatever a store raises is logged and no event is lost."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from mg_middleware._reporting import escape, logger, text_of
from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.decision import checked
from mg_middleware.idempotency.store import Claimed

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mg_middleware.idempotency.decision import Ending
    from mg_middleware.idempotency.store import Claim, Execution


# Seconds after which a step that has not returned is abandoned. The stores of this package bound theirs to less.
STEP_SECONDS = 10.0
_MAX_LEASE = 3600.0
_LONGEST_SHOWN = 500  # characters of a store's error


class StoreFacts(NamedTuple):
    """What a store says about itself.

    Attributes:
        execution: how its steps are to be called.
        bounded: whether each step returns in time by itself.
        lease: how long a claim lives in seconds, or `None` if the store cannot renew.
        max_lease: for how many seconds a claim is renewed.
        place: equal for two stores that keep the same keys.
    """

    execution: Execution
    bounded: bool
    lease: float | None
    max_lease: float
    place: Hashable


def facts_of(store: object) -> StoreFacts:
    """Check that an object is a store, and read what it says about itself.

    Args:
        store: the store argument.

    Returns:
        The facts. `execution` is "asynchronous" if a step is a coroutine function; else what the store says, "blocking"
        if nothing.

    Raises:
        ConfigurationError: it is the class of a store, or it says something unknown of itself.
        TypeError: a step is missing.
    """
    if isinstance(store, type):
        raise ConfigurationError(f"idempotency_store takes a store, not its class: write {store.__name__}(...)")
    steps = [getattr(store, step, None) for step in ("claim", "complete", "release")]
    if not all(map(callable, steps)):
        raise TypeError(f"idempotency_store takes an object that can claim, complete and release, not {type(store)}")
    says: Execution = getattr(store, "execution", "blocking")
    name = type(store).__name__
    if says not in {"instant", "blocking", "asynchronous"}:
        raise ConfigurationError(f"{name}.execution must be instant, blocking or asynchronous")
    renew = getattr(store, "renew", None)
    lease = getattr(store, "lease", None)
    if renew is not None and not _is_duration(lease):
        raise ConfigurationError(f"{name} has renew(), so {name}.lease must be its lease in seconds")
    max_lease = getattr(store, "max_lease", _MAX_LEASE)
    if not _is_duration(max_lease):
        raise ConfigurationError(f"{name}.max_lease must be a number of seconds")
    place = getattr(store, "place", id(store))
    try:
        hash(place)
    except TypeError:
        raise ConfigurationError(f"{name}.place must be hashable, such as a tuple of strings") from None
    # A class derived from MemoryStore inherits its `execution`, so coroutine functions take precedence.
    return StoreFacts(
        execution="asynchronous" if any(map(inspect.iscoroutinefunction, [*steps, renew])) else says,
        bounded=getattr(store, "bounded", False) is True,
        lease=None if renew is None else lease,
        max_lease=max_lease,
        place=place,
    )


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


class StoreCalls:
    """The steps of a store whose methods are plain functions.

    Args:
        store: the store.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.name: str = type(store).__name__

    def claim(self, key: str) -> Claim | None:
        """Claim a delivery; `None` if the store failed.

        Args:
            key: the key of the delivery.
        """
        try:
            claim = self._store.claim(key)
            return claim if isinstance(claim, Claimed) else checked(claim)
        except Exception as error:  # whatever it is, no event is lost
            log_failure(self.name, "claim", error)
            return None

    def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim.

        Args:
            step: how it ends.
            key: the key that was claimed.
            token: the token of the claim.
        """
        try:
            if step == "complete":
                self._store.complete(key, token)
            else:
                self._store.release(key, token)
        except Exception as error:  # whatever it is, the application's response stands
            log_failure(self.name, step, error)

    def renew(self, key: str, token: str) -> bool | None:
        """Renew a claim; `None` if the store failed.

        Args:
            key: the key that was claimed.
            token: the token of the claim.
        """
        try:
            return bool(self._store.renew(key, token))
        except BaseException as error:  # whatever it is, the next renewal is tried, and the thread goes on
            log_failure(self.name, "renew", error)
            return None


class AsynchronousStoreCalls:
    """The steps of a store of which at least one method returns an awaitable.

    Args:
        store: the store.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.name: str = type(store).__name__

    async def claim(self, key: str) -> Claim | None:
        """Claim a delivery; see `StoreCalls.claim`."""
        try:
            claim = self._store.claim(key)
            return checked(await claim if inspect.isawaitable(claim) else claim)
        except Exception as error:  # whatever it is, no event is lost
            log_failure(self.name, "claim", error)
            return None

    async def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim; see `StoreCalls.end`."""
        try:
            ending = getattr(self._store, step)(key, token)
            if inspect.isawaitable(ending):
                await ending
        except Exception as error:  # whatever it is, the application's response stands
            log_failure(self.name, step, error)

    async def renew(self, key: str, token: str) -> bool | None:
        """Renew a claim; see `StoreCalls.renew`."""
        try:
            renewal = self._store.renew(key, token)
            return bool(await renewal if inspect.isawaitable(renewal) else renewal)
        except Exception as error:  # whatever it is, the next renewal is tried
            log_failure(self.name, "renew", error)
            return None


def log_failure(store: str, step: str, error: BaseException) -> None:
    """Log that a step failed, and what follows from it.

    The traceback is not logged: a step may fail while an application's error is handled, which would be logged with it,
    and whose text can hold what the sender sent.

    Args:
        store: the name of the store's class.
        step: the step that failed.
        error: what the store raised.
    """
    _log(store, step, f"{type(error).__name__}: {escape(text_of(error), _LONGEST_SHOWN)}")


def log_given_up(store: str, step: str) -> None:
    """Log that a step did not return in time; see `log_failure`."""
    _log(store, step, f"it took more than {STEP_SECONDS:g} seconds and was given up")


def _log(store: str, step: str, reason: str) -> None:
    logger().error(
        "the idempotency store %s failed to %s: %s; the event is processed, perhaps more than once", store, step, reason
    )
