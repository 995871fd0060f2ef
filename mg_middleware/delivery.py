"""The verified delivery, and how the wrapped application finds it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from mg_middleware.events import Event

DELIVERY_KEY = "meetgeek.delivery"

# Where a request object keeps the ASGI scope or the WSGI environ: Quart, Litestar, Django and Falcon on ASGI
# have `scope`; Flask, Django on WSGI, Bottle and Pyramid `environ`; Falcon on WSGI `env`. The requests of Starlette and
# FastAPI are mappings over their scope.
_REQUEST_ATTRIBUTES = ("scope", "environ", "env")


class Delivery:
    """One verified delivery of MeetGeek, as the wrapped application gets it.

    Not to be made by applications: `delivery_of` gives the one that the middleware verified. It is read-only, and its
    `repr` shows neither the body nor the signature.

    Args:
        chunks: the body, in the pieces in which it came.
        signature: the received signature, which matched: 64 lower-case hexadecimal digits.
        key_id: the name of the secret that matched, where the secrets have names.
        key_fingerprint: tells the secret that matched from others, without revealing it.
    """

    __slots__ = ("_chunks", "_event", "_key_fingerprint", "_key_id", "_signature")

    def __init__(self, chunks: list[bytes], signature: bytes, key_id: str | None, key_fingerprint: str = "") -> None:
        self._chunks = chunks
        self._signature = signature
        self._key_id = key_id
        self._key_fingerprint = key_fingerprint
        self._event: Event | None = None

    @property
    def body(self) -> bytes:
        """The exact raw bytes that were verified. They are joined when first asked for."""
        if len(self._chunks) != 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    @property
    def signature(self) -> str:
        """The received signature, 64 lower-case hexadecimal digits."""
        return self._signature.decode()

    @property
    def key_id(self) -> str | None:
        """The name of the secret that matched, or `None` where the secrets have no names."""
        return self._key_id

    @property
    def event(self) -> Event:
        """What MeetGeek says, parsed when first asked for. It never raises (see `UnknownEvent`)."""
        if self._event is None:
            self._event = _event_parser()(self.body)
        return self._event

    def __repr__(self) -> str:
        return f"<Delivery of {sum(map(len, self._chunks))} bytes, key_id={self._key_id!r}>"


@cache  # since an import statement takes a fifth of the time that reading the event does, each time
def _event_parser() -> Callable[[bytes], Event]:
    # Imported here because json and dataclasses are a third of what importing the guard would cost.
    from mg_middleware.events import parse_event  # noqa: PLC0415

    return parse_event


def delivery_of(request: Any) -> Delivery:  # noqa: ANN401 - the request objects of nine frameworks
    """Find the verified delivery of a request: the second lock, which does not open where nothing was verified.

    Args:
        request: an ASGI scope, a WSGI environ, or the request object of Starlette, FastAPI, Flask, Django, Quart,
            Litestar, Falcon, Bottle or Pyramid.

    Returns:
        The delivery that the middleware attached.

    Raises:
        LookupError: the request was not verified, because no middleware guards its path.
        TypeError: the object is no request of a kind named above.
    """
    for carrier in (request, *(getattr(request, name, None) for name in _REQUEST_ATTRIBUTES)):
        if isinstance(carrier, Mapping):
            return _delivery_in(cast("Mapping[str, object]", carrier))
    raise TypeError(
        "delivery_of takes an ASGI scope, a WSGI environ or a request that has one, "
        f"not an object of type {type(request).__name__}"
    )


def _delivery_in(carrier: Mapping[str, object]) -> Delivery:
    delivery = carrier.get(DELIVERY_KEY)
    if isinstance(delivery, Delivery):
        return delivery
    raise LookupError(
        "this request was not verified: no MeetGeek middleware guards its path. Wrap the application in "
        "MeetGeekASGIMiddleware or MeetGeekWSGIMiddleware, and name this route's path in paths= if you give that"
    )
