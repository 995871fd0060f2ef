"""Once per meeting for WSGI: the application runs under a claim, which its response ends."""

from __future__ import annotations

from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.claims.calling import StoreCalls, facts_of
from mg_middleware.idempotency.claims.nesting import current_claim, enter, is_held_at, outer_claim
from mg_middleware.idempotency.claims.renewing import Renewing
from mg_middleware.idempotency.claims.threads import ThreadedCalls
from mg_middleware.idempotency.claims.waiting import Patience, place_in_line
from mg_middleware.idempotency.decision import HeldClaim, refusal_of
from mg_middleware.idempotency.key import key_to_claim
from mg_middleware.idempotency.store import Claimed, InProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from wsgiref.types import StartResponse

    from mg_middleware._refusals import Refusal
    from mg_middleware.delivery import Delivery
    from mg_middleware.idempotency.store import Claim, IdempotencyStore

_SEQUENCES = (list, tuple)


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
        instant = facts.execution == "instant"
        threaded = ThreadedCalls(plain)
        self._calls = plain if facts.bounded or instant else threaded
        self.place: Hashable = facts.place
        self._wait = wait
        self._renewing = None
        if facts.lease is not None:
            self._renewing = Renewing(plain if instant else threaded, facts.lease, facts.max_lease)

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
        outer = current_claim()
        if outer is not None:
            outer = outer_claim(outer, key, self)
            if outer is not None and is_held_at(outer, self.place):
                return None
        claim = self._calls.claim(key)
        if isinstance(claim, InProgress):
            claim = self._wait_for(key, claim)
        if isinstance(claim, Claimed):
            held = HeldWSGIClaim(self, key, claim.token, outer)
            if self._renewing is not None:
                self._renewing.begin(held)
            enter(held)
            return held
        if claim is None or (outer is not None and isinstance(claim, InProgress)):
            # The second: that claim can be the outer layer's own, if the same place has two names.
            return None
        return refusal_of(claim)

    def _wait_for(self, key: str, claim: InProgress) -> Claim | None:
        """Wait until another delivery's claim ends, and claim then."""
        latest: Claim | None = claim
        with place_in_line(self.place, key) as alone:
            patience = Patience(self._wait if alone else 0)
            while isinstance(latest, InProgress):
                pause = patience.next_pause(latest.seconds_left)
                if pause is None:
                    break
                sleep(pause)
                latest = self._calls.claim(key)
        return latest

    def end(self, claim: HeldClaim, successful: bool) -> None:
        """End a claim; nothing happens the second time."""
        if claim.ended:
            return
        claim.ended = True
        if self._renewing is not None:
            self._renewing.end(claim)
        self._calls.end("complete" if successful else "release", claim.key, claim.token)


class HeldWSGIClaim(HeldClaim):
    """The claim of one delivery to a WSGI application or a plain view: renewed until it is ended.

    Attributes:
        successful: whether the status of the response is 2xx.
    """

    layer: OncePerMeeting
    successful = False

    def end(self, successful: bool) -> None:
        """End the claim; nothing happens the second time.

        Args:
            successful: whether the delivery was processed. If not, its retry is.
        """
        self.layer.end(self, successful)

    def noting_start_response(self, start_response: StartResponse) -> StartResponse:
        """Make the `start_response` of an application that runs under the claim, which notes the status.

        Args:
            start_response: the `start_response` outside.
        """

        def note_status(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            self.successful = status.startswith("2")  # the last one counts: an error may replace the first
            return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

        return note_status

    def ending(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """End the claim with the response of its application.

        Args:
            chunks: what the application returned.

        Returns:
            The response: the same object if nothing is left to run.
        """
        if isinstance(chunks, _SEQUENCES):  # servers take the length of a response from it
            self.layer.end(self, self.successful)
            return chunks
        return ClosingIterator(_one_chunk_late(chunks, self), partial(_close, chunks, self))


def _one_chunk_late(chunks: Iterable[bytes], claim: HeldWSGIClaim) -> Iterator[bytes]:
    """Hand on a response one chunk late, so that the claim is ended before the last one goes out.

    In place of the chunk that is held back, an empty one goes out: PEP 3333 ("Middleware Handling of Block Boundaries")
    wants one for each that the application yields.
    """
    late = b""
    try:
        for chunk in chunks:
            yield late
            late = chunk
        claim.end(claim.successful)
    except BaseException:
        claim.end(successful=False)
        raise
    yield late


def _close(chunks: Iterable[bytes], claim: HeldWSGIClaim) -> None:
    try:
        getattr(chunks, "close", tuple)()
    finally:
        claim.end(successful=False)
