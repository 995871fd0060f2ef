"""Logging, and calling `on_verdict`: what each door does once a request is decided."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from mg_middleware.verdict import VERIFIED, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mg_middleware.verdict import Verdict

# For these the sizes help the operator: a body that was cut or changed, or a wrong secret?
_SIZES_MATTER = frozenset({Outcome.INCOMPLETE_BODY, Outcome.SIGNATURE_MISMATCH})
_MOST_ERRORS = 50  # of those that an error came from, or groups
_LONGEST_SHOWN = 200  # characters of a method, path or address that a stranger chose


@cache
def logger() -> logging.Logger:
    """Return the logger `mg_middleware`.

    It is fetched with the first request, since `logging.config.dictConfig` disables the loggers that exist when it runs
    (`disable_existing_loggers`), and Django calls it after wsgi.py has imported the guard.
    """
    return logging.getLogger("mg_middleware")


def level_of(outcome: Outcome) -> int:
    """Return the level at which an outcome is logged: DEBUG for what was verified, WARNING for what was refused."""
    return logging.DEBUG if outcome in VERIFIED else logging.WARNING


def log_verdict(verdict: Verdict, client: str, declared: int | None) -> None:
    """Log one line for a decided request, with its facts as attributes of the record.

    Args:
        verdict: the decision.
        client: the address of the client.
        declared: the declared length of the body in bytes, if it is known.
    """
    level = level_of(verdict.outcome)
    if not logger().isEnabledFor(level):
        return
    method, path, client = (escape(text, _LONGEST_SHOWN) for text in (verdict.method, verdict.path, client))
    sizes = ""
    if verdict.outcome in _SIZES_MATTER:
        sizes = f" ({verdict.body_size} bytes received, {'no length' if declared is None else declared} declared)"
    logger().log(
        level,
        "%s %s %s from %s: %s%s",
        "verified" if level == logging.DEBUG else "refused",
        method,
        path,
        client,
        verdict.outcome.value,
        sizes,
        extra={
            "meetgeek_outcome": verdict.outcome.value,
            "meetgeek_status": verdict.status,
            "meetgeek_method": method,
            "meetgeek_path": path,
            "meetgeek_client": client,
            "meetgeek_body_size": verdict.body_size,
            "meetgeek_key_id": verdict.key_id,
        },
    )


def log_callback_failure(callback: str, error: BaseException) -> None:
    """Log what a callback raised, with its traceback as text.

    Not `exc_info`: handlers that store the local variables of each frame would store those of the application, too.

    Args:
        callback: the name of the option that gave the callback.
        error: what it raised.
    """
    logger().error("%s raised; the response stays as decided\n%s", callback, "\n".join(_traceback_lines(error, set())))


def escape(text: str, longest: int | None = None) -> str:
    """Make text that a stranger chose safe to log: control characters escaped, length bounded.

    Args:
        text: the text.
        longest: the most characters to keep; `None` keeps all.
    """
    shown = text[:longest].encode("unicode_escape").decode("ascii")
    return shown if longest is None or len(text) <= longest else f"{shown}..."


def text_of(error: BaseException) -> str:
    """Return what an exception says; its class may have a `__str__` that fails.

    Args:
        error: the exception, of any class.
    """
    try:
        return str(error)
    except Exception:
        return "its text can't be read"


def _traceback_lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Format an exception, those it came from and those it groups, with every message escaped."""
    from traceback import format_tb  # only needed once something has failed

    seen.add(id(error))
    if len(seen) > _MOST_ERRORS:
        yield "and more"
        return
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _traceback_lines(cause, seen)
        yield "which led to:"
    yield "Traceback (most recent call last):"
    yield from (line.rstrip("\n") for line in format_tb(error.__traceback__))
    yield escape(f"{type(error).__qualname__}: {text_of(error)}")
    notes: object = getattr(error, "__notes__", None)
    for note in cast("list[object]", notes) if isinstance(notes, list) else ():
        yield escape(note if isinstance(note, str) else type(note).__qualname__)
    group: Any = error  # its members have no known type
    members: tuple[BaseException, ...] = group.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for member in members:
        yield "one of the group:"
        yield from _traceback_lines(member, seen)
