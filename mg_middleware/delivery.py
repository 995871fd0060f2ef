"""The verified delivery, and how the wrapped application finds it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from types import ModuleType

    from mg_middleware.events import Event

__all__ = ["DELIVERY_KEY", "Delivery", "delivery_of"]

DELIVERY_KEY = "meetgeek.delivery"
_UNREAD = object()

# The delivery that the ASGI guard is handing to its application, in a list that is emptied when the application has
# returned: a thread or a task may keep the context for longer. A WSGI application behind an adapter finds it here.
RUNNING: ContextVar[list[Delivery]] = ContextVar("meetgeek_delivery")

# Where a request object keeps the ASGI scope or the WSGI environ: Quart, Litestar, Django and Falcon on ASGI
# have `scope`; Flask, Django on WSGI, Bottle and Pyramid `environ`; Falcon on WSGI `env`. The requests of Starlette and
# FastAPI are mappings over their scope. Those of Django REST framework pass on the attributes of Django's.
_REQUEST_ATTRIBUTES = ("scope", "environ", "env")
_KEYS_OF_A_REQUEST = ("path", "REQUEST_METHOD", "PATH_INFO")  # one of them is in every ASGI scope and WSGI environ


class Delivery:
    """A verified delivery from MeetGeek.

    Not to be created by applications: `delivery_of` returns the one that the middleware verified, and
    `mg_middleware.testing.make_delivery` creates one for a unit test. It is read-only, and its `repr` shows neither the
    body nor the signature.

    Args:
        chunks: the body, in the pieces in which it came.
        signature: the received signature, which matched: 64 lower-case hexadecimal digits.
        key_id: the name of the secret that matched, if the secrets have names.
        key_fingerprint: distinguishes the keys of unnamed secrets without revealing them.
    """

    __slots__ = ("_chunks", "_event", "_key_fingerprint", "_key_id", "_payload", "_signature")

    def __init__(self, chunks: list[bytes], signature: bytes, key_id: str | None, key_fingerprint: str = "") -> None:
        self._chunks = chunks
        self._signature = signature
        self._key_id = key_id
        self._key_fingerprint = key_fingerprint
        self._payload: Any = _UNREAD
        self._event: Event | None = None

    @property
    def body(self) -> bytes:
        """The exact raw bytes that were verified. They are joined when you first read it."""
        if len(self._chunks) != 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    @property
    def signature(self) -> str:
        """The received signature, 64 lower-case hexadecimal digits."""
        return self._signature.decode()

    @property
    def key_id(self) -> str | None:
        """The name of the secret that matched, or `None` if the secrets have no names."""
        return self._key_id

    @property
    def event(self) -> Event:
        """The event that MeetGeek reports, parsed when you first read it. It never raises (see `UnknownEvent`)."""
        event = self._event
        if event is None:
            event = self._event = _events().event_of(self._contents()[2])
        return event

    def _contents(self) -> tuple[str | None, str, Any]:
        """Return the name and the fingerprint of the key, and the decoded body: what names the delivery in a store."""
        if self._payload is _UNREAD:
            self._payload = _events().decoded(self.body)
        return self._key_id, self._key_fingerprint, self._payload

    def __repr__(self) -> str:
        return f"<Delivery of {sum(map(len, self._chunks))} bytes, key_id={self._key_id!r}>"


@cache  # an import statement costs a fifth of reading the event, each time
def _events() -> ModuleType:
    # Imported here because json and dataclasses are a third of what importing the guard would cost.
    from mg_middleware import events

    return events


def delivery_of(request: Any) -> Delivery:
    """Return the verified delivery of a request. It raises if nothing was verified.

    Args:
        request: an ASGI scope, a WSGI environ, or the request object of Starlette, FastAPI, Flask, Django, Django REST
            framework, Quart, Litestar, Falcon, Bottle or Pyramid.

    Returns:
        The delivery that the middleware attached.

    Raises:
        LookupError: the request was not verified.
        TypeError: the object is not a request of a kind named above.
    """
    for carrier in (request, *(getattr(request, name, None) for name in _REQUEST_ATTRIBUTES)):
        if isinstance(carrier, Mapping):
            found = _delivery_in(cast("Mapping[str, Any]", carrier))
            if found is None:
                raise LookupError(_unverified(cast("Mapping[str, Any]", carrier)))
            return found
    raise TypeError(
        "delivery_of takes an ASGI scope, a WSGI environ or a request that has one, "
        f"not an object of type {type(request).__name__}"
    )


def _delivery_in(carrier: Mapping[str, Any]) -> Delivery | None:
    # a2wsgi puts the ASGI scope into the environ.
    scope: Mapping[str, Any] = carrier.get("asgi.scope") or {}
    for delivery in (carrier.get(DELIVERY_KEY), scope.get(DELIVERY_KEY)):
        if isinstance(delivery, Delivery):
            return delivery
    # asgiref's WsgiToAsgi and Starlette's WSGIMiddleware run the application in a thread with a copy of the context.
    # The signature must be this request's own: on some builds of Python a thread keeps the context it began with.
    running = RUNNING.get(None)
    if running and str(carrier.get("HTTP_X_MG_SIGNATURE", "")).strip(" \t") == running[0].signature:
        return running[0]
    return None


def _unverified(carrier: Mapping[str, Any]) -> str:
    from mg_middleware._reporting import escape  # for the error alone

    if not any(key in carrier for key in _KEYS_OF_A_REQUEST):
        return (
            "there is no delivery in this mapping, which is neither an ASGI scope nor a WSGI environ: pass delivery_of "
            "the request itself, not its headers, its form or its JSON"
        )
    path = str(carrier.get("path") or f"{carrier.get('SCRIPT_NAME', '')}{carrier.get('PATH_INFO', '')}")
    reasons = (
        f"the request for {escape(path, 200)!r} was not verified: no MeetGeek guard saw it. Wrap the application in "
        "MeetGeekASGIMiddleware or MeetGeekWSGIMiddleware, as the server runs it; if you give paths=, name this path, "
        "with the prefix of a router or a mount"
    )
    if "django.core.handlers.base" in sys.modules:
        reasons += (
            ". Django's test clients, live_server and runserver without WSGI_APPLICATION don't run wsgi.py or asgi.py, "
            "so a guard there never sees their requests: decorate the view with mg_middleware.django.meetgeek_webhook "
            "instead"
        )
    return f"{reasons}. In a unit test of a handler, use mg_middleware.testing"
