"""Once per meeting for WSGI: the application runs under a claim, which its answer ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug.wsgi import ClosingIterator

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.calls import StoreCalls, execution_of
from mg_middleware.idempotency.decision import ClaimedDelivery
from mg_middleware.idempotency.key import key_to_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from mg_middleware._refusals import Refusal
    from mg_middleware.delivery import Delivery
    from mg_middleware.idempotency.store import IdempotencyStore


class OncePerMeeting:
    """Decides with a store whether a delivery reaches a WSGI application.

    Args:
        store: the store; its methods are plain functions.

    Raises:
        ConfigurationError: its methods are asynchronous, it is the class of a store, or it says something unknown of
            itself.
        TypeError: it is no store.
    """

    def __init__(self, store: IdempotencyStore) -> None:
        if execution_of(store) == "asynchronous":
            raise ConfigurationError(
                f"{type(store).__name__} is asynchronous here, which a WSGI application cannot wait for: "
                "give a store with plain methods, a RedisStore with a URL or a redis.Redis"
            )
        self._calls = StoreCalls(store)

    def admit(self, delivery: Delivery, app: WSGIApplication, method: str) -> Refusal | WSGIApplication:
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
        decision = self._calls.claim(key)
        if decision is None:
            return app
        if not isinstance(decision, ClaimedDelivery):
            return decision
        return self._under_claim(app, key, decision)

    def _under_claim(self, app: WSGIApplication, key: str, claimed: ClaimedDelivery) -> WSGIApplication:
        def end(*, answered: bool) -> None:
            step = claimed.end(answered=answered)
            if step is not None:
                self._calls.end(step, key, claimed.token)

        def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            def noting_start_response(
                status: str,
                headers: list[tuple[str, str]],
                *exc_info: Any,  # noqa: ANN401 - handed on as it is
            ) -> Callable[[bytes], object]:
                claimed.answer_started(successful=status.startswith("2"))
                return start_response(status, headers, *exc_info)

            try:
                chunks = app(environ, noting_start_response)
            except BaseException:
                end(answered=False)
                raise
            if isinstance(chunks, list | tuple):
                # Nothing is left to run, so that the answer is known; and servers take its length from a sequence.
                end(answered=True)
                return chunks
            return ClosingIterator(_one_chunk_late(chunks, end), partial(_close, chunks, end))

        return run


def _one_chunk_late(chunks: Iterable[bytes], end: Callable[..., None]) -> Iterator[bytes]:
    """Hand on an answer one chunk late, so that the claim is ended before the last one goes out.

    In place of the chunk that is held back, an empty one goes out: PEP 3333 ("Middleware Handling of Block Boundaries")
    wants one for each that the application yields.
    """
    late = b""
    try:
        for chunk in chunks:
            yield late
            late = chunk
        end(answered=True)
    except BaseException:
        end(answered=False)
        raise
    yield late


def _close(chunks: Iterable[bytes], end: Callable[..., None]) -> None:
    try:
        getattr(chunks, "close", tuple)()
    finally:
        end(answered=False)
