"""Calling a store's steps, so that whatever a store raises is logged and no event is lost."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.decision import decide

if TYPE_CHECKING:
    from mg_middleware._refusals import Refusal
    from mg_middleware.idempotency.decision import ClaimedDelivery, Ending
    from mg_middleware.idempotency.store import Execution

LOGGER = logging.getLogger("mg_middleware")


def execution_of(store: object) -> Execution:
    """Tell how a store's steps are to be called, and check that it has them.

    Args:
        store: what the user gave as a store.

    Returns:
        "asynchronous" if a step is a coroutine function; else what the store says of itself, "blocking" if nothing.

    Raises:
        ConfigurationError: it is the class of a store, or says something unknown of itself.
        TypeError: a step is missing.
    """
    if isinstance(store, type):
        raise ConfigurationError(f"idempotency_store takes a store, not its class: write {store.__name__}(...)")
    steps = [getattr(store, step, None) for step in ("claim", "complete", "release")]
    if not all(map(callable, steps)):
        raise TypeError(f"idempotency_store takes an object that can claim, complete and release, not {type(store)}")
    says: Execution = getattr(store, "execution", "blocking")
    if says not in {"instant", "blocking", "asynchronous"}:
        raise ConfigurationError(f"{type(store).__name__}.execution must be instant, blocking or asynchronous")
    # Whoever derives from a MemoryStore inherits its word, too.
    return "asynchronous" if any(map(inspect.iscoroutinefunction, steps)) else says


class StoreCalls:
    """The steps of a store whose methods are plain functions.

    Args:
        store: the store.
    """

    def __init__(self, store: Any) -> None:  # noqa: ANN401 - any store
        self._store = store

    def claim(self, key: str) -> Refusal | ClaimedDelivery | None:
        """Claim a delivery, and decide what follows; `None` if the store failed.

        Args:
            key: the key of the delivery.
        """
        try:
            return decide(self._store.claim(key))
        except Exception as error:  # noqa: BLE001 - whatever it is, no event is lost
            log_failure("claim", error)
            return None

    def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim.

        Args:
            step: how it ends.
            key: the key that was claimed.
            token: the token of the claim.
        """
        try:
            getattr(self._store, step)(key, token)
        except Exception as error:  # noqa: BLE001 - whatever it is, the application's answer stands
            log_failure(step, error)


class AsynchronousStoreCalls:
    """The steps of a store of which at least one method returns an awaitable.

    Args:
        store: the store.
    """

    def __init__(self, store: Any) -> None:  # noqa: ANN401 - any store
        self._store = store

    async def claim(self, key: str) -> Refusal | ClaimedDelivery | None:
        """Claim a delivery; see `StoreCalls.claim`."""
        try:
            claim = self._store.claim(key)
            return decide(await claim if inspect.isawaitable(claim) else claim)
        except _step_errors() as error:
            log_failure("claim", error)
            return None

    async def end(self, step: Ending, key: str, token: str) -> None:
        """End a claim; see `StoreCalls.end`."""
        try:
            ending = getattr(self._store, step)(key, token)
            if inspect.isawaitable(ending):
                await ending
        except _step_errors() as error:
            log_failure(step, error)


def _step_errors() -> tuple[type[BaseException], ...]:
    """Name what a step of an asynchronous store may fail with.

    It runs in a task of its own, which nobody cancels but the store, by mistake, or the end of the loop.
    """
    from asyncio import CancelledError  # noqa: PLC0415 - needed only once a step has failed

    return Exception, CancelledError


def log_failure(step: str, error: BaseException) -> None:
    """Tell the operator that a store failed, and what follows from it.

    The traceback is not logged: a step may fail while an application's error is handled, which would be logged with it,
    and whose text can hold what the sender sent.

    Args:
        step: the step that failed.
        error: what the store raised.
    """
    LOGGER.error(
        "the idempotency store failed to %s: %s: %s; the event is processed, perhaps more than once",
        step,
        type(error).__name__,
        error,
    )
