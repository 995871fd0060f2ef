"""Once per meeting for ASGI: the application runs under a claim, which its response ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mg_middleware.idempotency.claims.calling import AsynchronousStoreCalls, StoreCalls, facts_of
from mg_middleware.idempotency.claims.event_loop import (
    EventLoopCalls,
    EventLoopRenewing,
    EventLoopThreadedCalls,
    sleep,
)
from mg_middleware.idempotency.claims.nesting import current_claim, enter, is_held_at, outer_claim
from mg_middleware.idempotency.claims.renewing import Renewing
from mg_middleware.idempotency.claims.threads import ThreadedCalls
from mg_middleware.idempotency.claims.waiting import Patience, place_in_line
from mg_middleware.idempotency.decision import HeldClaim, refusal_of
from mg_middleware.idempotency.key import key_to_claim
from mg_middleware.idempotency.store import Claimed, InProgress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from mg_middleware._refusals import Refusal
    from mg_middleware.delivery import Delivery
    from mg_middleware.idempotency.decision import Ending
    from mg_middleware.idempotency.store import Claim, IdempotencyStore

# The messages that carry a response's content, and so can be its last (ASGI HTTP specification, and its extensions).
_CONTENT_MESSAGES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})


class OncePerMeeting:
    """Decides with a store whether a delivery reaches an ASGI application or an asynchronous view.

    Args:
        store: the store.
        wait: for how many seconds a delivery waits for another one's claim.

    Raises:
        ConfigurationError: it is the class of a store, or says something unknown of itself.
        TypeError: it is no store.
    """

    def __init__(self, store: IdempotencyStore, wait: float) -> None:
        facts = facts_of(store)
        self.place: Hashable = facts.place
        self._wait = wait
        # A store that never waits is called directly: two coroutines a step would cost more than the step.
        self._instant: StoreCalls | None = None
        self._calls: EventLoopCalls | EventLoopThreadedCalls
        self._renewing: Renewing | EventLoopRenewing | None = None
        if facts.execution == "asynchronous":
            asynchronous = AsynchronousStoreCalls(store)
            self._calls = EventLoopCalls(asynchronous)
            if facts.lease is not None:
                self._renewing = EventLoopRenewing(self._calls, asynchronous.name, facts.lease, facts.max_lease)
            return
        plain = StoreCalls(store)
        threaded = ThreadedCalls(plain)
        self._calls = EventLoopThreadedCalls(threaded)
        self._instant = plain if facts.execution == "instant" else None
        if facts.lease is not None:
            self._renewing = Renewing(self._instant or threaded, facts.lease, facts.max_lease)

    async def claim(self, delivery: Delivery, method: str) -> Refusal | HeldASGIClaim | None:
        """Claim a verified delivery.

        Args:
            delivery: the delivery.
            method: the method of the request.

        Returns:
            The response to a delivery that is not to be processed; or its claim, which must be ended; or `None` if it
            is processed and not remembered.
        """
        key = key_to_claim(delivery, method)
        if key is None:
            return None
        outer = current_claim()
        if outer is not None:
            outer = outer_claim(outer, key, self)
            if outer is not None and is_held_at(outer, self.place):
                return None
        claim = await self._calls.claim(key) if self._instant is None else self._instant.claim(key)
        if isinstance(claim, InProgress):
            claim = await self._wait_for(key, claim)
        if isinstance(claim, Claimed):
            held = HeldASGIClaim(self, key, claim.token, outer)
            if self._renewing is not None:
                self._renewing.begin(held)
            enter(held)
            return held
        if claim is None or (outer is not None and isinstance(claim, InProgress)):
            # The second: that claim can be the outer layer's own, if the same place has two names.
            return None
        return refusal_of(claim)

    async def _wait_for(self, key: str, claim: InProgress) -> Claim | None:
        """Wait until another delivery's claim ends, and claim then."""
        latest: Claim | None = claim
        with place_in_line(self.place, key) as alone:
            patience = Patience(self._wait if alone else 0)
            while isinstance(latest, InProgress):
                pause = patience.next_pause(latest.seconds_left)
                if pause is None:
                    break
                await sleep(pause)
                latest = await self._calls.claim(key) if self._instant is None else self._instant.claim(key)
        return latest

    def end(self, claim: HeldClaim, successful: bool) -> Awaitable[None] | None:
        """End a claim, the first time; await what is returned, `None` if nothing is left to do."""
        if claim.ended:
            return None
        claim.ended = True
        if self._renewing is not None:
            self._renewing.end(claim)
        step: Ending = "complete" if successful else "release"
        if self._instant is None:
            return self._calls.end(step, claim.key, claim.token)
        self._instant.end(step, claim.key, claim.token)
        return None

    def drop(self, claim: HeldClaim) -> None:
        """Release a claim where nothing can be awaited."""
        if claim.ended:
            return
        claim.ended = True
        if self._renewing is not None:
            self._renewing.end(claim)
        if self._instant is None:
            self._calls.release_later(claim.key, claim.token)
        else:
            self._instant.end("release", claim.key, claim.token)


class HeldASGIClaim(HeldClaim):
    """The claim of one delivery to an ASGI application or an asynchronous view: renewed until it is ended."""

    layer: OncePerMeeting

    async def end(self, successful: bool) -> None:
        """End the claim; nothing happens the second time.

        Args:
            successful: whether the delivery was processed. If not, its retry is.
        """
        ending = self.layer.end(self, successful)
        if ending is not None:
            await ending

    def drop(self) -> None:
        """Release the claim where nothing can be awaited."""
        self.layer.drop(self)

    def ending_send(self, send: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        """Make the `send` of an application that runs under the claim: the end of its response ends the claim.

        Args:
            send: the `send` outside.
        """
        successful: bool | None = None

        # A coroutine function, as servers' own are: asgiref's adapter for WSGI warns of anything else.
        async def end_and_send(message: Any) -> None:
            nonlocal successful
            kind = message["type"]
            if kind == "http.response.start":
                # A second start is an error, of which servers make different things: no event is to be lost by it.
                successful = successful is not False and 200 <= message["status"] < 300  # RFC 9110, 15.3
            elif kind in _CONTENT_MESSAGES and not message.get("more_body", False):
                # Before the sender can see the end of the response, since it may then rely on it.
                ending = self.layer.end(self, successful is True)
                if ending is not None:
                    await ending
            await send(message)

        return end_and_send
