"""Once per meeting for ASGI: the application runs under a claim, which its answer ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mg_middleware.idempotency.calls import StoreCalls, execution_of
from mg_middleware.idempotency.decision import ClaimedDelivery
from mg_middleware.idempotency.event_loop import EventLoopCalls
from mg_middleware.idempotency.key import key_to_claim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mg_middleware._refusals import Refusal
    from mg_middleware.delivery import Delivery
    from mg_middleware.idempotency.store import IdempotencyStore

# The events that carry an answer's content, and so can be its last (ASGI HTTP specification, and its extensions).
_CONTENT_EVENTS = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})


class OncePerMeeting:
    """Decides with a store whether a delivery reaches an ASGI application.

    Args:
        store: the store.

    Raises:
        ConfigurationError: it is the class of a store, or says something unknown of itself.
        TypeError: it is no store.
    """

    def __init__(self, store: IdempotencyStore) -> None:
        execution = execution_of(store)
        # A store that never waits is called directly: two coroutines a step would cost more than the step.
        self._instant = StoreCalls(store) if execution == "instant" else None
        self._waiting = EventLoopCalls(store, execution)

    async def admit(
        self, delivery: Delivery, app: Callable[[Any, Any, Any], Awaitable[Any]], method: str
    ) -> Refusal | Callable[[Any, Any, Any], Awaitable[Any]]:
        """Decide on a verified delivery.

        Args:
            delivery: the delivery.
            app: the application.
            method: the method of the request.

        Returns:
            The answer to a delivery that the application is not to see; else the application to run: the given one, or
            under a claim one that calls it and ends the claim.
        """
        key = key_to_claim(delivery, method)
        if key is None:
            return app
        decision = await self._waiting.claim(key) if self._instant is None else self._instant.claim(key)
        if decision is None:
            return app
        if not isinstance(decision, ClaimedDelivery):
            return decision
        return self._under_claim(app, key, decision)

    def _under_claim(
        self, app: Callable[[Any, Any, Any], Awaitable[Any]], key: str, claimed: ClaimedDelivery
    ) -> Callable[[Any, Any, Any], Awaitable[Any]]:
        async def run(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as every server types them
            async def ending_send(event: Any) -> None:  # noqa: ANN401 - as every framework types it
                kind = event["type"]
                if kind == "http.response.start":
                    claimed.answer_started(successful=200 <= event["status"] < 300)  # noqa: PLR2004 - RFC 9110, 15.3
                elif kind in _CONTENT_EVENTS and not event.get("more_body", False):
                    # Before the sender can see the end of the answer, since it may then rely on it.
                    ending = self._end(key, claimed, answered=True)
                    if ending is not None:
                        await ending
                await send(event)

            try:
                await app(scope, receive, ending_send)
            except GeneratorExit:
                claimed.end(answered=False)  # thrown away, it can await nothing any more: the claim will lapse
                raise
            finally:
                ending = self._end(key, claimed, answered=False)
                if ending is not None:
                    await ending

        return run

    def _end(self, key: str, claimed: ClaimedDelivery, *, answered: bool) -> Awaitable[None] | None:
        """End a claim, the first time; what is given is to be awaited, `None` where nothing is left to do."""
        step = claimed.end(answered=answered)
        if step is not None:
            if self._instant is None:
                return self._waiting.end(step, key, claimed.token)
            self._instant.end(step, key, claimed.token)
        return None
