"""Once per meeting for WSGI: the application runs under a claim, which its response ends."""

from __future__ import annotations

from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.claims.calling import StoreCalls, facts_of
from mg_middleware.idempotency.claims.nesting import enter, is_held_at, outer_claim
from mg_middleware.idempotency.claims.renewing import RenewingThread
from mg_middleware.idempotency.claims.threads import ThreadedCalls
from mg_middleware.idempotency.claims.waiting import Patience, place_in_line
from mg_middleware.idempotency.decision import HeldClaim, refusal_of
from mg_middleware.idempotency.key import key_to_claim
from mg_middleware.idempotency.store import Claimed, InProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from mg_middleware._refusals import Refusal
    from mg_middleware.delivery import Delivery
    from mg_middleware.idempotency.store import Claim, IdempotencyStore


class OncePerMeeting:
    """Decides with a store whether a delivery reaches a WSGI application or a plain view.

    Args:
        store: the store; its methods are plain functions.
        wait: for how many seconds a delivery waits for another one's claim.

    Raises:
        ConfigurationError: its methods are asynchronous, it is the class of a store, or it says something unknown of
            itself.
        TypeError: it is no store.
    """

    def __init__(self, store: IdempotencyStore, wait: float) -> None:
        facts = facts_of(store)
        if facts.execution == "asynchronous":
            raise ConfigurationError(
                f"{type(store).__name__} is asynchronous here, which a WSGI application cannot wait for: "
                "give a store with plain methods, such as a RedisStore with a URL or a redis.Redis"
            )
        plain = StoreCalls(store)
        # A step that may hang runs in a thread, so that it can be abandoned.
        self._calls = plain if facts.bounded or facts.execution == "instant" else ThreadedCalls(plain)
        self._place = facts.place
        self._wait = wait
        self._renewing = None if facts.lease is None else RenewingThread(self._calls, facts.lease, facts.max_lease)

    def claim(self, delivery: Delivery, method: str) -> Refusal | HeldWSGIClaim | None:
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
        claim = self._calls.claim(key)
        if isinstance(claim, InProgress):
            claim = self._wait_for(key, claim)
        if isinstance(claim, Claimed):
            held = HeldWSGIClaim(self, key, claim.token, self._place, outer)
            if self._renewing is not None:
                self._renewing.begin(held)
            enter(held)
            return held
        if claim is None or (outer is not None and isinstance(claim, InProgress)):
            # The second: that claim can be the outer layer's own, if the same place has two names.
            return None
        return refusal_of(claim)

    def admit(self, delivery: Delivery, app: WSGIApplication, method: str) -> Refusal | WSGIApplication:
        """Decide on a verified delivery.

        Args:
            delivery: the delivery.
            app: the application.
            method: the method of the request.

        Returns:
            The response to a delivery that the application is not to see; else the application to run: the given one,
            or under a claim one that calls it and ends the claim.
        """
        claim = self.claim(delivery, method)
        if claim is None:
            return app
        return ClaimedApplication(app, claim) if isinstance(claim, HeldWSGIClaim) else claim

    def _wait_for(self, key: str, claim: InProgress) -> Claim | None:
        """Wait until another delivery's claim ends, and claim then."""
        latest: Claim | None = claim
        with place_in_line(self._place, key) as alone:
            patience = Patience(self._wait if alone else 0)
            while isinstance(latest, InProgress):
                pause = patience.next_pause(latest.seconds_left)
                if pause is None:
                    break
                sleep(pause)
                latest = self._calls.claim(key)
        return latest

    def end(self, claim: HeldClaim, *, successful: bool) -> None:
        """End a claim; nothing happens the second time."""
        step = claim.finish(successful=successful)
        if step is None:
            return
        if self._renewing is not None:
            self._renewing.end(claim)
        self._calls.end(step, claim.key, claim.token)


class HeldWSGIClaim(HeldClaim):
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

    def end(self, successful: bool) -> None:
        """End the claim; nothing happens the second time.

        Args:
            successful: whether the delivery was processed. If not, its retry is.
        """
        self._once_per_meeting.end(self, successful=successful)


class ClaimedApplication:
    """An application that runs under a claim, and ends it with its response.

    Args:
        app: the application.
        claim: the claim.
    """

    __slots__ = ("_app", "_claim")

    def __init__(self, app: WSGIApplication, claim: HeldWSGIClaim) -> None:
        self._app = app
        self._claim = claim

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application (PEP 3333)."""
        claim = self._claim
        successful = False

        def noting_start_response(
            status: str,
            headers: list[tuple[str, str]],
            *exc_info: Any,
        ) -> Callable[[bytes], object]:
            nonlocal successful
            successful = status.startswith("2")  # the last one counts: an error may replace the first
            return start_response(status, headers, *exc_info)

        def end(*, whole: bool) -> None:
            claim.end(successful and whole)

        try:
            chunks = self._app(environ, noting_start_response)
        except BaseException:
            end(whole=False)
            raise
        if isinstance(chunks, list | tuple):
            # Nothing is left to run, so that the response is known; and servers take its length from a sequence.
            end(whole=True)
            return chunks
        return ClosingIterator(_one_chunk_late(chunks, end), partial(_close, chunks, end))


def _one_chunk_late(chunks: Iterable[bytes], end: Callable[..., None]) -> Iterator[bytes]:
    """Hand on a response one chunk late, so that the claim is ended before the last one goes out.

    In place of the chunk that is held back, an empty one goes out: PEP 3333 ("Middleware Handling of Block Boundaries")
    wants one for each that the application yields.
    """
    late = b""
    try:
        for chunk in chunks:
            yield late
            late = chunk
        end(whole=True)
    except BaseException:
        end(whole=False)
        raise
    yield late


def _close(chunks: Iterable[bytes], end: Callable[..., None]) -> None:
    try:
        getattr(chunks, "close", tuple)()
    finally:
        end(whole=False)
