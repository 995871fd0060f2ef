"""What the two adapters share, without I/O: the options, checked once, and the word to the operator."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mg_middleware._keys import keys_from
from mg_middleware._paths import GuardedPaths
from mg_middleware._refusals import (
    BODY_TOO_LARGE,
    INVALID_LENGTH,
    MALFORMED_SIGNATURE,
    MISSING_SIGNATURE,
    REPEATED_SIGNATURE,
    Refusal,
)
from mg_middleware._verification import parse_signature
from mg_middleware.errors import ConfigurationError
from mg_middleware.verdict import ACCEPTED, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mg_middleware._keys import SecretCallable, Secrets
    from mg_middleware.idempotency.store import IdempotencyStore

Application = TypeVar("Application", bound="Callable[..., Any]")

DEFAULT_MAX_BODY_SIZE = 1_048_576
LOGGER = logging.getLogger("mg_middleware")

_NO_REFUSAL = (ACCEPTED, Outcome.DUPLICATE, Outcome.IN_PROGRESS)
_LONGEST_LENGTH = 20  # digits: more bytes than there are
_LONGEST_SHOWN = 200  # characters of a stranger's method, path or address in a log line


class Guard(ABC, Generic[Application]):
    """The options of `MeetGeekASGIMiddleware` and `MeetGeekWSGIMiddleware`, which are the same.

    Not to be used by itself: take one of the two.

    Args:
        app: the application to protect.
        secret: the shared secret (`str` is encoded as UTF-8, `bytes` is used as given); a sequence of secrets, of which
            any may match; a mapping from names to either, whose matching name becomes `Delivery.key_id`; or a callable
            that takes the ASGI scope or the WSGI environ and returns one of these, or `None` where nobody is known (for
            ASGI it may be async). `None` reads the environment variable `MEETGEEK_WEBHOOK_SECRET`, else the file that
            `MEETGEEK_WEBHOOK_SECRET_FILE` names.
        paths: the path, or paths, to guard with all that is below; `None` guards every request.
        max_body_size: the largest body in bytes that is accepted; `None` for no limit.
        acknowledge: turn every 2xx answer of the application into the acknowledgement that MeetGeek knows: status 200
            with an empty body.
        idempotency_store: remembers which meetings were processed, so that each is processed once: a `MemoryStore`,
            `SQLiteStore`, `RedisStore` or one of your own (`IdempotencyStore`). `None` remembers nothing.
        idempotency_wait: for how many seconds a delivery waits while another one of the same meeting is in progress.
            After that the response is 409. In a process, one delivery waits for a meeting. 0 means no waiting.
        on_verdict: called with a `Verdict` for each guarded request, as soon as it is decided. It must be quick, since
            the request waits for it. What it raises is logged and changes nothing.

    Raises:
        ConfigurationError: no secret is configured, a secret is empty or blank, `paths` holds none, a size is negative,
            or the store cannot serve the protocol.
        TypeError: an argument is of another type.
    """

    def __init__(  # noqa: PLR0913 - the options of the guard
        self,
        app: Application,
        secret: Secrets | SecretCallable | None = None,
        *,
        paths: str | Iterable[str] | None = None,
        max_body_size: int | None = DEFAULT_MAX_BODY_SIZE,
        acknowledge: bool = False,
        idempotency_store: IdempotencyStore | None = None,
        idempotency_wait: float = 12,
        on_verdict: Callable[[Verdict], object] | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app must be an application, not an object of type {type(app).__name__}")
        if max_body_size is not None:
            if not isinstance(max_body_size, int) or isinstance(max_body_size, bool):
                raise TypeError(f"max_body_size must be an int or None, not {type(max_body_size).__name__}")
            if max_body_size < 0:
                raise ConfigurationError("max_body_size must not be negative")
        if not isinstance(acknowledge, bool):
            raise TypeError(f"acknowledge must be a bool, not {type(acknowledge).__name__}")
        if on_verdict is not None and not callable(on_verdict):
            raise TypeError(f"on_verdict must be callable or None, not {type(on_verdict).__name__}")
        self.app = app
        self._secret_of: Callable[[Any], Any] | None = secret if callable(secret) else None
        self._keys = None if callable(secret) else keys_from(secret)
        self._paths = None if paths is None else GuardedPaths(paths)
        self._limit = math.inf if max_body_size is None else max_body_size
        self._limit_digits = math.inf if max_body_size is None else len(str(max_body_size))
        self._acknowledge = acknowledge
        self._once_per_meeting = (
            None if idempotency_store is None else self._remember_in(idempotency_store, idempotency_wait)
        )
        self._on_verdict = on_verdict

    def _admit(self, signatures: list[bytes], declared: bytes | None) -> Refusal | bytes:
        """Decide what can be decided before the body is read: most strangers end here, at no cost in memory.

        Args:
            signatures: the value of each field `X-MG-Signature`.
            declared: the declared length; none, or an empty one, is no declaration.

        Returns:
            The received signature, or the reason to refuse the request.
        """
        if len(signatures) != 1:
            return REPEATED_SIGNATURE if signatures else MISSING_SIGNATURE
        received = parse_signature(signatures[0])
        if received is None:
            return MALFORMED_SIGNATURE
        # What has fewer digits than the limit is under it: the usual length need not be read to tell.
        if declared and not (declared.isdigit() and len(declared) < self._limit_digits):
            length = parse_length(declared)
            if length is None:
                return INVALID_LENGTH
            if length > self._limit:
                return BODY_TOO_LARGE
        return received

    @staticmethod
    @abstractmethod
    def _remember_in(store: IdempotencyStore, wait: float) -> Any:  # noqa: ANN401
        """Prepare what decides with a store whether a delivery reaches the application."""

    @staticmethod
    @abstractmethod
    def _describe(request: Any) -> tuple[str, str, str]:  # noqa: ANN401 - an ASGI scope or a WSGI environ
        """Name the request's method, its path and its client."""

    def _report(
        self,
        request: Any,  # noqa: ANN401 - an ASGI scope or a WSGI environ
        outcome: Outcome,
        status: int | None,
        body_size: int = 0,
        key_id: str | None = None,
    ) -> None:
        """Tell the log and `on_verdict` what was decided."""
        level = logging.DEBUG if outcome in _NO_REFUSAL else logging.WARNING
        logs = LOGGER.isEnabledFor(level)
        if not logs and self._on_verdict is None:
            return
        method, path, client = self._describe(request)
        if logs:
            word = "refused" if level == logging.WARNING else "verified"
            LOGGER.log(level, "%s %s %s from %s: %s", word, _shown(method), _shown(path), _shown(client), outcome.value)
        if self._on_verdict is not None:
            try:
                self._on_verdict(Verdict(outcome, status, key_id, body_size, method, path))
            except Exception:
                LOGGER.exception("on_verdict raised; the request goes on as decided")


def parse_length(value: bytes) -> int | None:
    """Read a declared length in bytes: plain ASCII digits (RFC 9110, section 8.6), `None` for anything else.

    `int()` alone would take signs, spaces and underscores, and refuse thousands of digits.
    """
    if not value.isdigit():
        return None
    if len(value) > _LONGEST_LENGTH:
        value = value.lstrip(b"0")[:_LONGEST_LENGTH] or b"0"
    return int(value)


def _shown(text: str) -> str:
    """Make a stranger's text safe to write into a log: control characters escaped, length bounded."""
    shown = text[:_LONGEST_SHOWN].encode("unicode_escape").decode("ascii")
    return shown if len(text) <= _LONGEST_SHOWN else f"{shown}..."
