"""The options of the doors, checked when one is built."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from mg_middleware._keys import keys_from
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from mg_middleware._explaining import Explainer
    from mg_middleware._keys import Key
    from mg_middleware.events import Event

DEFAULT_MAX_BODY_SIZE = 1_048_576  # bytes
DEFAULT_IDEMPOTENCY_WAIT = 12.0  # seconds


def keys_or_callable(secret: Any) -> tuple[tuple[Key, ...] | None, Callable[[Any], Any] | None]:
    """Return the prepared keys; or `None`, and the callable that chooses the secret for each request."""
    if not callable(secret):
        return keys_from(secret), None
    if isinstance(secret, type):
        raise TypeError(f"secret must be a secret or a callable that returns one, not the class {secret.__name__}")
    return None, secret


def check_application(app: object, handler: object, paths: object, protocol: Literal["ASGI", "WSGI"]) -> None:
    """Check that `app` is an application of the protocol, as far as its signature shows.

    Args:
        app: the application, or `None`.
        handler: the handler, or `None`.
        paths: the guarded paths, or `None`.
        protocol: what the door speaks.
    """
    if app is None:
        if handler is None:
            raise TypeError("app is missing: give the application to protect, or a handler=")
        if paths is not None:
            raise ConfigurationError("app is missing: with paths=, the requests for other paths need an application")
        return
    if not callable(app):
        raise TypeError(f"app must be an application, not an object of type {type(app).__name__}")
    # ASGI calls an application with a scope, receive and send; WSGI with an environ and start_response.
    if protocol == "ASGI" and _takes(app, 2) and not _takes(app, 3):
        raise TypeError("app takes two arguments, as WSGI applications do: use MeetGeekWSGIMiddleware")
    if protocol == "WSGI" and (is_async(app) or (_takes(app, 3) and not _takes(app, 2))):
        raise TypeError("app is an ASGI application: use MeetGeekASGIMiddleware")


def _takes(app: Callable[..., object], arguments: int) -> bool:
    from inspect import signature  # importing the guard stays cheap

    try:
        signature(app).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # it has no signature, as some that are written in C
        return True
    return True


def body_limit(max_body_size: object) -> float:
    """Return the limit of the body in bytes."""
    if max_body_size is None:
        return math.inf
    if not isinstance(max_body_size, int) or isinstance(max_body_size, bool):
        raise TypeError(f"max_body_size must be an int or None, not {type(max_body_size).__name__}")
    if max_body_size < 0:
        raise ConfigurationError("max_body_size must not be negative")
    return max_body_size


def event_classes(events: object) -> tuple[type[Event], ...] | None:
    """Return the classes of the events that are wanted; `None` for all."""
    if events is None:
        return None
    from mg_middleware.events import AnalysisFailed, AnalysisSucceeded, UnknownEvent  # stays cheap

    known = (AnalysisSucceeded, AnalysisFailed, UnknownEvent)
    classes = cast("tuple[type[Event], ...]", events if isinstance(events, tuple) else (events,))
    if any(one not in known for one in classes):
        raise TypeError(
            "events must be AnalysisSucceeded, AnalysisFailed, UnknownEvent or a tuple of these classes, "
            f"not {events!r}"
        )
    if not classes:
        raise ConfigurationError("events is empty: no event would ever be handled; to handle all, leave events out")
    return classes


def flag(name: str, value: object) -> bool:
    """Check an option that is true or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value


def explainer(explain: object) -> Explainer | None:
    """Check the option `explain`, and make what explains refusals if it is wanted."""
    if not flag("explain", explain):
        return None
    from mg_middleware._explaining import Explainer  # loaded if it is used

    return Explainer()


def wait_seconds(idempotency_wait: object) -> float:
    """Check `idempotency_wait`, and return it in seconds."""
    if isinstance(idempotency_wait, bool) or not isinstance(idempotency_wait, int | float):
        raise TypeError(f"idempotency_wait must be a number of seconds, not {type(idempotency_wait).__name__}")
    if not 0 <= idempotency_wait < math.inf:
        raise ConfigurationError(f"idempotency_wait must be at least 0 seconds and finite, not {idempotency_wait}")
    return float(idempotency_wait)


def callback(name: str, value: Any, *, door: str, may_be_async: bool) -> Callable[[Any], Any] | None:
    """Check an option that is a callable or `None`.

    Args:
        name: the option.
        value: the callable.
        door: the public name of the class or function that was called.
        may_be_async: whether the door can await a coroutine.
    """
    if value is None:
        return None
    if not callable(value):
        raise TypeError(f"{name} must be callable or None, not {type(value).__name__}")
    if not may_be_async and is_async(value):
        raise TypeError(f"{name} is a coroutine function, which {door} can't await: give a plain function")
    if _is_generator_function(value):
        raise TypeError(f"{name} is a generator function, so that calling it would do nothing: write it without yield")
    checked: Callable[[Any], Any] = value
    return checked


def _is_generator_function(function: Any) -> bool:
    from inspect import isasyncgenfunction, isgeneratorfunction  # importing the guard stays cheap

    return any(
        is_one(callee)
        for is_one in (isgeneratorfunction, isasyncgenfunction)
        for callee in (function, getattr(function, "__call__", None))  # noqa: B004
    )


def is_async(function: Any) -> bool:
    """Say whether a callable is a coroutine function, or an object that is called as one."""
    from inspect import iscoroutinefunction  # importing the guard stays cheap

    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
