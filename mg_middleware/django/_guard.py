"""The guards of a plain and of an async view: they handle a request in the same order as the middlewares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from logging import DEBUG
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from mg_middleware._handler import close_awaitable
from mg_middleware._options import callback
from mg_middleware._refusals import (
    IGNORED,
    MALFORMED_SIGNATURE,
    METHOD_NOT_ALLOWED,
    SIGNATURE_MISMATCH,
    UNKNOWN_SENDER,
    Refusal,
)
from mg_middleware._reporting import level_of, log_callback_failure, log_verdict, logger
from mg_middleware.django._request import attach, carrier_of, check_request, http_request, signatures_of
from mg_middleware.django._response import (
    acknowledgement_of,
    call_at_close,
    completed,
    completed_asynchronously,
    is_successful,
    response_to,
)
from mg_middleware.django._secret import keys_from_setting, prepared_keys
from mg_middleware.verdict import ACCEPTED, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from django.http import HttpRequest, HttpResponse

    from mg_middleware._explaining import Explainer
    from mg_middleware._keys import Key
    from mg_middleware.delivery import Delivery
    from mg_middleware.django._request import UnreadBody
    from mg_middleware.events import Event
    from mg_middleware.idempotency.store import IdempotencyStore

    View: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one `meetgeek_webhook`, checked.

    Attributes:
        keys: the prepared keys, if the secret is given and the same for each request.
        secret_of: returns the secret for a scope or an environ, if the secret is given as a callable.
        limit: the largest body in bytes.
        acknowledge: whether a 2xx response becomes the acknowledgement.
        posts_only: whether a verified request with another method than POST is refused.
        events: the classes of the events that the view gets; `None` means all.
        store: remembers which meetings were processed.
        wait: how many seconds a delivery waits for another one's claim.
        on_verdict: called with each verdict.
        explainer: explains refusals in the log.
    """

    keys: tuple[Key, ...] | None
    secret_of: Callable[[Any], Any] | None
    limit: float
    acknowledge: bool
    posts_only: bool
    events: tuple[type[Event], ...] | None
    store: IdempotencyStore | None
    wait: float
    on_verdict: Callable[[Verdict], object] | None
    explainer: Explainer | None

    # method_decorator decorates a view again for each request.
    @cached_property
    def plain_guard(self) -> PlainGuard:
        """The guard of plain views."""
        return PlainGuard(self)

    @cached_property
    def async_guard(self) -> AsyncGuard:
        """The guard of async views."""
        return AsyncGuard(self)


class Guard:
    """What both guards share.

    Args:
        options: the options.
    """

    def __init__(self, options: Options) -> None:
        self._keys = options.keys
        self._secret_of = options.secret_of
        self._limit = options.limit
        self._acknowledge = options.acknowledge
        self._posts_only = options.posts_only
        self._events = options.events
        self._on_verdict = options.on_verdict
        self._explainer = options.explainer

    def _refusal_of(self, delivery: Delivery, method: str | None) -> Refusal | None:
        """Say whether the guard itself responds to a verified delivery."""
        if self._posts_only and method != "POST":
            return METHOD_NOT_ALLOWED
        if self._events is not None and not isinstance(delivery.event, self._events):
            return IGNORED
        return None

    def _response_to(self, request: HttpRequest, refusal: Refusal, body: UnreadBody | None) -> HttpResponse:
        """Render the guard's own response. If asked to, explain the refusal once that was sent, and is closed."""
        response = response_to(request, refusal)
        if self._explainer is not None:
            line = (request.method or "", request.path)
            if refusal is MALFORMED_SIGNATURE:
                call_at_close(response, partial(self._explainer.explain_header, *line, signatures_of(request)[0]))
            elif refusal is SIGNATURE_MISMATCH and body is not None and body.verification is not None:
                call_at_close(response, partial(self._explainer.explain_mismatch, *line, body.verification))
        return response

    def _log(
        self,
        request: HttpRequest,
        outcome: Outcome,
        status: int | None,
        size: int,
        declared: int | None,
        key_id: str | None,
    ) -> Verdict | None:
        """Log a decision; return the verdict if `on_verdict` is to get it."""
        if self._on_verdict is None and not logger().isEnabledFor(level_of(outcome)):
            return None
        verdict = Verdict(outcome, status, key_id, size, request.method or "", request.path)
        log_verdict(verdict, request.META.get("REMOTE_ADDR") or "an unknown client", declared)
        return verdict if self._on_verdict is not None else None


class PlainGuard(Guard):
    """The guard of a plain view.

    Args:
        options: the options.

    Raises:
        ConfigurationError: the store is asynchronous.
        TypeError: `on_verdict` is a coroutine function, or the store isn't a store.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        callback("on_verdict", options.on_verdict, door="meetgeek_webhook on a plain view", may_be_async=False)
        self._once_per_meeting = None
        if options.store is not None:
            from mg_middleware.idempotency.wsgi import OncePerMeeting  # loaded if it is used

            self._once_per_meeting = OncePerMeeting(options.store, options.wait)

    def respond(self, view: View, exempt: Iterable[str], request: Any, *args: Any, **kwargs: Any) -> Any:
        """Handle one request.

        Args:
            view: the view.
            exempt: the databases without a transaction around the view, whatever their `ATOMIC_REQUESTS` says.
            request: Django's request, or Django REST framework's around it.
            args: more for the view.
            kwargs: more for the view.
        """
        received = http_request(request)
        body = check_request(received, self._limit)
        if isinstance(body, Refusal):
            return self._refuse(received, body)
        keys = self._keys or self._choose_keys(received)
        if keys is None:
            return self._refuse(received, UNKNOWN_SENDER)
        try:
            delivery = body.verify(keys)
        except BaseException:
            self._report(received, Outcome.INCOMPLETE_BODY, None, body.size, declared=body.declared)
            raise
        size = body.size
        if isinstance(delivery, Refusal):
            return self._refuse(received, delivery, size, body=body)
        del body  # error reporters store the local variables of each frame
        attach(received, delivery)

        refusal = self._refusal_of(delivery, received.method)
        claim = None
        if refusal is None and self._once_per_meeting is not None:
            try:
                decision = self._once_per_meeting.claim(delivery, received.method or "")
            except BaseException:  # ended while another delivery of this meeting is in progress
                self._report(received, Outcome.IN_PROGRESS, None, size, key_id=delivery.key_id)
                raise
            if isinstance(decision, Refusal):
                refusal = decision
            else:
                claim = decision
        if refusal is not None:
            return self._refuse(received, refusal, size, key_id=delivery.key_id)

        successful = False
        try:
            if self._on_verdict is not None or logger().isEnabledFor(DEBUG):  # usually disabled
                self._report(received, ACCEPTED, None, size, key_id=delivery.key_id)
            response = _in_transactions(view, exempt)(request, *args, **kwargs)
            if hasattr(response, "__await__"):
                close_awaitable(response)
                raise TypeError("the view returned an awaitable, but isn't a coroutine function: declare it async def")
            if self._acknowledge or claim is not None:
                response = completed(response, can_render=request is received)
            successful = is_successful(response)
        finally:
            if claim is not None:
                claim.end(successful)
        return acknowledgement_of(response) if self._acknowledge and successful else response

    def _refuse(
        self,
        request: HttpRequest,
        refusal: Refusal,
        size: int = 0,
        *,
        body: UnreadBody | None = None,
        key_id: str | None = None,
    ) -> HttpResponse:
        """Return the guard's own response."""
        declared = None if body is None else body.declared
        self._report(request, refusal.outcome, refusal.status, size, declared=declared, key_id=key_id)
        return self._response_to(request, refusal, body)

    def _choose_keys(self, request: HttpRequest) -> tuple[Key, ...] | None:
        """Prepare the keys for the secret of this request; `None` for an unknown sender."""
        secret = None
        try:
            chosen = self._secret_of or keys_from_setting()
            if not callable(chosen):
                return chosen
            secret = chosen(carrier_of(request))
            if hasattr(secret, "__await__"):
                close_awaitable(secret)
                raise TypeError("the callable given as secret is async, which a plain view can't await")
            return None if secret is None else prepared_keys(secret)
        except BaseException:
            self._report(request, Outcome.UNKNOWN_SENDER, None)
            raise
        finally:
            secret = None  # error reporters store the local variables of each frame

    def _report(
        self,
        request: HttpRequest,
        outcome: Outcome,
        status: int | None,
        size: int = 0,
        *,
        declared: int | None = None,
        key_id: str | None = None,
    ) -> None:
        """Log a decision, and pass it to `on_verdict`."""
        verdict = self._log(request, outcome, status, size, declared, key_id)
        if verdict is not None and self._on_verdict is not None:
            try:
                result = self._on_verdict(verdict)
                if hasattr(result, "__await__"):
                    close_awaitable(result)
                    raise TypeError("on_verdict returned an awaitable, which a plain view can't await")
            except Exception as error:  # whatever it is, the decision doesn't change
                log_callback_failure("on_verdict", error)


class AsyncGuard(Guard):
    """The guard of an async view.

    Args:
        options: the options.

    Raises:
        ConfigurationError: the store says something unknown of itself.
        TypeError: the store isn't a store.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._once_per_meeting = None
        if options.store is not None:
            from mg_middleware.idempotency.asgi import OncePerMeeting  # loaded if it is used

            self._once_per_meeting = OncePerMeeting(options.store, options.wait)

    async def respond(self, view: View, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Handle one request.

        Args:
            view: the view. Django has no transactions for async code, so none is around it.
            request: Django's request.
            args: more for the view.
            kwargs: more for the view.
        """
        received = http_request(request)
        body = check_request(received, self._limit)
        if isinstance(body, Refusal):
            return await self._refuse(received, body)
        keys = self._keys or await self._choose_keys(received)
        if keys is None:
            return await self._refuse(received, UNKNOWN_SENDER)
        try:
            delivery = body.verify(keys)
        except BaseException:
            await self._report(received, Outcome.INCOMPLETE_BODY, None, body.size, declared=body.declared)
            raise
        size = body.size
        if isinstance(delivery, Refusal):
            return await self._refuse(received, delivery, size, body=body)
        del body  # error reporters store the local variables of each frame
        attach(received, delivery)

        refusal = self._refusal_of(delivery, received.method)
        claim = None
        if refusal is None and self._once_per_meeting is not None:
            try:
                decision = await self._once_per_meeting.claim(delivery, received.method or "")
            except BaseException as error:  # cancelled while another delivery of this meeting is in progress
                await self._report(received, Outcome.IN_PROGRESS, None, size, key_id=delivery.key_id, ended_by=error)
                raise
            if isinstance(decision, Refusal):
                refusal = decision
            else:
                claim = decision
        if refusal is not None:
            return await self._refuse(received, refusal, size, key_id=delivery.key_id)

        successful = False
        try:
            if self._on_verdict is not None or logger().isEnabledFor(DEBUG):  # usually disabled
                await self._report(received, ACCEPTED, None, size, key_id=delivery.key_id)
            response = view(request, *args, **kwargs)
            if hasattr(response, "__await__"):  # a class-based view may respond at once
                response = await response
            if self._acknowledge or claim is not None:
                response = await completed_asynchronously(response)
            successful = is_successful(response)
        except GeneratorExit:
            if claim is not None:
                claim.drop()
                claim = None
            raise
        finally:
            if claim is not None:
                await claim.end(successful)
        return acknowledgement_of(response) if self._acknowledge and successful else response

    async def _refuse(
        self,
        request: HttpRequest,
        refusal: Refusal,
        size: int = 0,
        *,
        body: UnreadBody | None = None,
        key_id: str | None = None,
    ) -> HttpResponse:
        """Return the guard's own response."""
        declared = None if body is None else body.declared
        await self._report(request, refusal.outcome, refusal.status, size, declared=declared, key_id=key_id)
        return self._response_to(request, refusal, body)

    async def _choose_keys(self, request: HttpRequest) -> tuple[Key, ...] | None:
        """Prepare the keys for the secret of this request; `None` for an unknown sender."""
        secret = None
        try:
            chosen = self._secret_of or keys_from_setting()
            if not callable(chosen):
                return chosen
            secret = chosen(carrier_of(request))
            if hasattr(secret, "__await__"):
                secret = await secret
            return None if secret is None else prepared_keys(secret)
        except BaseException as error:
            await self._report(request, Outcome.UNKNOWN_SENDER, None, ended_by=error)
            raise
        finally:
            secret = None  # error reporters store the local variables of each frame

    async def _report(
        self,
        request: HttpRequest,
        outcome: Outcome,
        status: int | None,
        size: int = 0,
        *,
        declared: int | None = None,
        key_id: str | None = None,
        ended_by: BaseException | None = None,
    ) -> None:
        """Log a decision, and pass it to `on_verdict`."""
        verdict = self._log(request, outcome, status, size, declared, key_id)
        if verdict is not None and self._on_verdict is not None:
            try:
                result: Any = self._on_verdict(verdict)
                if hasattr(result, "__await__"):
                    if isinstance(ended_by, GeneratorExit):  # a coroutine that is being closed can't await
                        close_awaitable(result)
                    else:
                        await result
            except Exception as error:  # whatever it is, the decision doesn't change
                log_callback_failure("on_verdict", error)


def _in_transactions(view: View, exempt: Iterable[str]) -> View:
    """Do for the view what Django would have done: wrap it in a transaction for each database with `ATOMIC_REQUESTS`.

    Django's own would still be open when the claim ends: if it then fails to commit, the event is lost.
    """
    for alias, options in connections.settings.items():
        if options["ATOMIC_REQUESTS"] and alias not in frozenset(exempt):
            view = transaction.atomic(using=alias)(view)
    return view
