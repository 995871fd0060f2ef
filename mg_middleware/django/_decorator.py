"""`meetgeek_webhook`, the decorator."""

from __future__ import annotations

from functools import lru_cache, partial, wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse

from mg_middleware._arguments import forgets_arguments
from mg_middleware._handler import close_awaitable
from mg_middleware._options import (
    DEFAULT_IDEMPOTENCY_WAIT,
    DEFAULT_MAX_BODY_SIZE,
    body_limit,
    callback,
    event_classes,
    explainer,
    flag,
    is_async,
    keys_or_callable,
    wait_seconds,
)
from mg_middleware.delivery import delivery_of
from mg_middleware.django._guard import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from django.http import HttpRequest

    from mg_middleware._keys import SecretCallable, Secrets
    from mg_middleware.delivery import Delivery
    from mg_middleware.events import Event
    from mg_middleware.idempotency.store import IdempotencyStore
    from mg_middleware.verdict import Verdict

_NAME = "meetgeek_webhook"

_View = TypeVar("_View", bound="Callable[..., Any]")


@overload
def meetgeek_webhook(view: _View, /) -> _View: ...
@overload
def meetgeek_webhook(
    *,
    secret: Secrets | SecretCallable | None = None,
    max_body_size: int | None = DEFAULT_MAX_BODY_SIZE,
    acknowledge: bool = False,
    handler: None = None,
    events: type[Event] | tuple[type[Event], ...] | None = None,
    idempotency_store: IdempotencyStore | None = None,
    idempotency_wait: float = DEFAULT_IDEMPOTENCY_WAIT,
    on_verdict: Callable[[Verdict], object] | None = None,
    explain: bool = False,
) -> Callable[[_View], _View]: ...
@overload
def meetgeek_webhook(
    *,
    secret: Secrets | SecretCallable | None = None,
    max_body_size: int | None = DEFAULT_MAX_BODY_SIZE,
    acknowledge: bool = False,
    handler: Callable[[Delivery], object],
    events: type[Event] | tuple[type[Event], ...] | None = None,
    idempotency_store: IdempotencyStore | None = None,
    idempotency_wait: float = DEFAULT_IDEMPOTENCY_WAIT,
    on_verdict: Callable[[Verdict], object] | None = None,
    explain: bool = False,
) -> Callable[..., Any]: ...
@forgets_arguments
def meetgeek_webhook(
    view: Callable[..., Any] | None = None,
    /,
    *,
    secret: Secrets | SecretCallable | None = None,
    max_body_size: int | None = DEFAULT_MAX_BODY_SIZE,
    acknowledge: bool = False,
    handler: Callable[[Delivery], object] | None = None,
    events: type[Event] | tuple[type[Event], ...] | None = None,
    idempotency_store: IdempotencyStore | None = None,
    idempotency_wait: float = DEFAULT_IDEMPOTENCY_WAIT,
    on_verdict: Callable[[Verdict], object] | None = None,
    explain: bool = False,
) -> Any:
    """Let only genuine MeetGeek webhooks reach a Django view.

    A request is genuine if its header `X-MG-Signature` is the HMAC-SHA256 of its exact raw body under the secret. All
    others get 401 (or 400, 411 or 413) and never reach the view. The view gets the verified delivery with
    `delivery_of(request)`.

    Use it with or without options. It takes plain views, `async def` views and, as
    `@method_decorator(meetgeek_webhook, name="dispatch")`, class-based views, those of Django REST framework included.
    With `handler=`, what it returns is the view itself. It exempts the view from the CSRF check and from
    `LoginRequiredMiddleware`: MeetGeek has no token and no session, and the signature takes their place. With
    `ATOMIC_REQUESTS` it opens the transaction itself, around the view alone: a refused request opens none, and the
    delivery is remembered and acknowledged only after the commit. An async view gets no transaction.

    Not behind a middleware that reads the request as a stream, or changes its body: the bytes must be there as MeetGeek
    signed them.

    Sources: RFC 9110; Django's documentation of view decorators; MeetGeek's webhook page.

    Args:
        view: the view, if there are no options.
        secret: the shared secret, in any form that the middlewares take. A callable gets the WSGI environ or the ASGI
            scope, and may be async for an async view. `None` reads, when a request comes, the setting
            `MEETGEEK_WEBHOOK_SECRET`, else the environment variable of that name, else the file named by
            `MEETGEEK_WEBHOOK_SECRET_FILE`.
        max_body_size: the largest body in bytes; `None` means no limit. Django's `DATA_UPLOAD_MAX_MEMORY_SIZE` doesn't
            apply.
        acknowledge: turn every 2xx response of the view into the acknowledgement that MeetGeek expects: status 200 with
            an empty body.
        handler: called with the `Delivery`, instead of a view; an async view awaits a coroutine function. If it
            returns, the response is 200 with an empty body; what it raises goes to Django, and MeetGeek sends the event
            again. A verified request with another method than POST gets 405.
        events: the class of the events that you handle, or a tuple of classes. Other verified events are acknowledged
            and go no further. `None` means all.
        idempotency_store: remembers which meetings were processed, so that each is processed once.
        idempotency_wait: how many seconds at most a delivery waits while another one of the same meeting is in
            progress; 0 means not at all.
        on_verdict: called with a `Verdict` for each request, as soon as it is decided; may be a coroutine function if
            the view is one. What it raises is logged and changes nothing.
        explain: after a mismatch or a malformed signature was refused, find out what went wrong and log it, for at most
            ten requests a second and bodies up to 64 KiB.

    Returns:
        The guarded view; or a decorator, if there are options but no view and no `handler`.

    Raises:
        ConfigurationError: a secret is empty or blank, `events` is empty, an option is out of its range, or the store
            is asynchronous and the view isn't. A missing or blank setting raises when a request comes.
        TypeError: an argument has another type or an unknown name, the view is a class, or `on_verdict` is a coroutine
            function and the view isn't.

    Example:
        @meetgeek_webhook
        def receive(request):
            process(delivery_of(request).event)
            return HttpResponse()
    """
    keys, secret_of = (None, None) if secret is None else keys_or_callable(secret)
    handler = callback("handler", handler, door=_NAME, may_be_async=True)
    options = Options(
        keys=keys,
        secret_of=secret_of,
        limit=body_limit(max_body_size),
        acknowledge=flag("acknowledge", acknowledge),
        posts_only=handler is not None,
        events=event_classes(events),
        store=idempotency_store,
        wait=wait_seconds(idempotency_wait),
        on_verdict=callback("on_verdict", on_verdict, door=_NAME, may_be_async=True),
        explainer=explainer(explain),
    )
    if handler is not None:
        if view is not None:
            raise TypeError(f"{_NAME} takes a view or a handler=, not both")
        return _guarded(_view_of(handler), options)
    return partial(_guarded, options=options) if view is None else _guarded(view, options)


def _guarded(view: Any, options: Options) -> Any:
    """Wrap a view in its guard."""
    if isinstance(view, type):
        raise TypeError(
            f'{_NAME} takes views, not the class {view.__name__}: write @method_decorator({_NAME}, name="dispatch")'
        )
    if not callable(view):
        raise TypeError(f"{_NAME} takes a view, not an object of type {type(view).__name__}; options need their names")
    exempt = _EveryDatabase(getattr(view, "_non_atomic_requests", ()))
    guarded: Any = _guarded_async(view, options) if _is_async_view(view) else _guarded_plain(view, options, exempt)
    # What csrf_exempt, login_not_required and non_atomic_requests set.
    guarded.csrf_exempt = True
    guarded.login_required = False
    guarded._non_atomic_requests = exempt
    return guarded


def _guarded_async(view: Any, options: Options) -> Any:
    guard = options.async_guard

    @wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return await guard.respond(view, request, *args, **kwargs)

    return guarded


def _guarded_plain(view: Any, options: Options, exempt: _EveryDatabase) -> Any:
    # method_decorator tries the decorator on a function of its own, to see which attributes it sets. The view may be
    # async all the same, and take what a plain one doesn't.
    is_trial = getattr(view, "__module__", None) == "django.utils.decorators"
    guard = None if is_trial else options.plain_guard

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return (guard or options.plain_guard).respond(view, exempt, request, *args, **kwargs)

    return guarded


def _is_async_view(view: Any) -> bool:
    """Say whether a view is async, or the `dispatch` of a class-based view that is."""
    while isinstance(view, partial):  # method_decorator hands over a partial of the bound method, for each request
        view = view.func
    if isinstance(view, MethodType):
        kind: Any = type(view.__self__)
        return _is_async_method(kind, view.__func__)
    return _is_coroutine_function(view) or (hasattr(view, "__wrapped__") and _is_async_view(view.__wrapped__))


@lru_cache
def _is_async_method(kind: Hashable, method: Hashable) -> bool:
    return _is_coroutine_function(method) or bool(getattr(kind, "view_is_async", False))


def _is_coroutine_function(function: Any) -> bool:
    # Before Python 3.12 asgiref has a mark of its own, which Django's as_view sets.
    return iscoroutinefunction(function)  # pyright: ignore[reportDeprecated] - from Python 3.14 it is inspect's


def _view_of(handler: Callable[[Delivery], Any]) -> Callable[..., Any]:
    """Return a view that calls the handler with the delivery, then responds 200 with no body."""
    if is_async(handler):

        async def receive_asynchronously(request: HttpRequest, *_args: object, **_kwargs: object) -> HttpResponse:
            await handler(delivery_of(request))
            return _acknowledgement()

        return receive_asynchronously

    def receive(request: HttpRequest, *_args: object, **_kwargs: object) -> HttpResponse:
        result = handler(delivery_of(request))
        if hasattr(result, "__await__"):
            close_awaitable(result)
            raise TypeError("handler returned an awaitable, but isn't a coroutine function: declare it async def")
        return _acknowledgement()

    return receive


def _acknowledgement() -> HttpResponse:
    return HttpResponse(content_type="text/plain; charset=utf-8", headers={"Content-Length": "0"})


class _EveryDatabase(set[str]):
    """The databases without a transaction around a view: for Django all, as a set those that others have named."""

    def __contains__(self, alias: object) -> bool:
        return True
