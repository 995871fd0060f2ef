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
from mg_middleware.idempotency.claims.nesting import enter, is_held_at, outer_claim
from mg_middleware.idempotency.claims.renewing import RenewingThread
from mg_middleware.idempotency.claims.threads import ThreadedCalls
from mg_middleware.idempotency.claims.waiting import Patience, place_in_line
from mg_middleware.idempotency.decision import HeldClaim, refusal_of
from mg_middleware.idempotency.key import key_to_claim
from mg_middleware.idempotency.store import Claimed, InProgress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from mg_middleware._refusals import Refusal
    from mg_middleware.delivery import Delivery
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
        self._place = facts.place
        self._wait = wait
        # A store that never waits is called directly: two coroutines a step would cost more than the step.
        self._instant: StoreCalls | None = None
        self._calls: EventLoopCalls | EventLoopThreadedCalls
        self._renewing: RenewingThread | EventLoopRenewing | None = None
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
            self._renewing = RenewingThread(self._instant or threaded, facts.lease, facts.max_lease)

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
        outer = outer_claim(key, self)
        if outer is not None and is_held_at(outer, self._place):
            return None
        claim = await self._calls.claim(key) if self._instant is None else self._instant.claim(key)
        if isinstance(claim, InProgress):
            claim = await self._wait_for(key, claim)
        if isinstance(claim, Claimed):
            held = HeldASGIClaim(self, key, claim.token, self._place, outer)
            if self._renewing is not None:
                self._renewing.begin(held)
            enter(held)
            return held
        if claim is None or (outer is not None and isinstance(claim, InProgress)):
            # The second: that claim can be the outer layer's own, if the same place has two names.
            return None
        return refusal_of(claim)

    async def admit(
        self, delivery: Delivery, app: Callable[[Any, Any, Any], Awaitable[Any]], method: str
    ) -> Refusal | Callable[[Any, Any, Any], Awaitable[Any]]:
        """Decide on a verified delivery.

        Args:
            delivery: the delivery.
            app: the application.
            method: the method of the request.

        Returns:
            The response to a delivery that the application is not to see; else the application to run: the given one,
            or under a claim one that calls it and ends the claim.
        """
        claim = await self.claim(delivery, method)
        if claim is None:
            return app
        return ClaimedApplication(app, claim) if isinstance(claim, HeldASGIClaim) else claim

    async def _wait_for(self, key: str, claim: InProgress) -> Claim | None:
        """Wait until another delivery's claim ends, and claim then."""
        latest: Claim | None = claim
        with place_in_line(self._place, key) as alone:
            patience = Patience(self._wait if alone else 0)
            while isinstance(latest, InProgress):
                pause = patience.next_pause(latest.seconds_left)
                if pause is None:
                    break
                await sleep(pause)
                latest = await self._calls.claim(key) if self._instant is None else self._instant.claim(key)
        return latest

    def end(self, claim: HeldClaim, *, successful: bool) -> Awaitable[None] | None:
        """End a claim, the first time; await what is returned, `None` if nothing is left to do."""
        step = claim.finish(successful=successful)
        if step is None:
            return None
        if self._renewing is not None:
            self._renewing.end(claim)
        if self._instant is None:
            return self._calls.end(step, claim.key, claim.token)
        self._instant.end(step, claim.key, claim.token)
        return None

    def drop(self, claim: HeldClaim) -> None:
        """Release a claim where nothing can be awaited."""
        if claim.finish(successful=False) is None:
            return
        if self._renewing is not None:
            self._renewing.end(claim)
        if self._instant is None:
            self._calls.release_later(claim.key, claim.token)
        else:
            self._instant.end("release", claim.key, claim.token)


class HeldASGIClaim(HeldClaim):
    """The claim of one delivery: renewed until it is ended.

    Args:
        once_per_meeting: what claimed.
        key: the key that was claimed.
        token: the claim's token.
        place: where the claim is kept.
        outer: the claim of a layer outside.
    """

    __slots__ = ("_once_per_meeting",)

    def __init__(
        self, once_per_meeting: OncePerMeeting, key: str, token: str, place: Hashable, outer: HeldClaim | None
    ) -> None:
        super().__init__(key, token, place, once_per_meeting, outer)
        self._once_per_meeting = once_per_meeting

    async def end(self, successful: bool) -> None:
        """End the claim; nothing happens the second time.

        Args:
            successful: whether the delivery was processed. If not, its retry is.
        """
        ending = self.begin_end(successful=successful)
        if ending is not None:
            await ending

    def begin_end(self, *, successful: bool) -> Awaitable[None] | None:
        """End the claim; await what is returned, `None` if nothing is left to do."""
        return self._once_per_meeting.end(self, successful=successful)

    def drop(self) -> None:
        """Release the claim where nothing can be awaited."""
        self._once_per_meeting.drop(self)


class ClaimedApplication:
    """An application that runs under a claim, and ends it with its response.

    Args:
        app: the application.
        claim: the claim.
    """

    __slots__ = ("_app", "_claim")

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[Any]], claim: HeldASGIClaim) -> None:
        self._app = app
        self._claim = claim

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application (ASGI specification, "Applications")."""
        claim = self._claim
        successful = False

        async def ending_send(message: Any) -> None:
            nonlocal successful
            kind = message["type"]
            if kind == "http.response.start":
                successful = 200 <= message["status"] < 300  # RFC 9110, 15.3
            elif kind in _CONTENT_MESSAGES and not message.get("more_body", False):
                # Before the sender can see the end of the response, since it may then rely on it.
                ending = claim.begin_end(successful=successful)
                if ending is not None:
                    await ending
            await send(message)

        try:
            await self._app(scope, receive, ending_send)
        except GeneratorExit:
            claim.drop()  # a closed coroutine cannot await
            raise
        finally:
            ending = claim.begin_end(successful=False)
            if ending is not None:
                await ending
