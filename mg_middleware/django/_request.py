"""A Django request as the verification sees it: header fields and a body in, a delivery out."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from mg_middleware._reading import bounds_of, read_body
from mg_middleware._refusals import INCOMPLETE_BODY, LENGTH_REQUIRED, Refusal
from mg_middleware._verification import Verification, check_header
from mg_middleware.delivery import DELIVERY_KEY, Delivery

if TYPE_CHECKING:
    from django.http import HttpRequest

    from mg_middleware._keys import Key


def http_request(request: Any) -> HttpRequest:
    """Return Django's request, also if Django REST framework has wrapped it.

    Raises:
        TypeError: it is something else, such as the `self` of a class-based view.
    """
    request = getattr(request, "_request", request)
    if not hasattr(request, "META"):
        raise TypeError(
            f"meetgeek_webhook was called with an object of type {type(request).__name__}, not a request: decorate a "
            'class-based view with @method_decorator(meetgeek_webhook, name="dispatch")'
        )
    checked: HttpRequest = request
    return checked


def carrier_of(request: Any) -> Any:
    """Return the ASGI scope or the WSGI environ of a request."""
    return request.scope if hasattr(request, "scope") else request.META


class UnreadBody:
    """The body of a request whose header fields are in order.

    Args:
        stream: where to read it.
        signature: the received signature.
        declared: the declared length in bytes, if there is one.
        expected: the length in bytes that it must have, if that is known.
        end: how many bytes to read at most.
        limit: the largest body in bytes.

    Attributes:
        declared: the declared length in bytes, if there is one.
        size: how many bytes were read.
        verification: the verification, once it has begun.
    """

    __slots__ = ("_end", "_expected", "_limit", "_signature", "_stream", "declared", "size", "verification")

    def __init__(
        self, stream: Any, signature: bytes, declared: int | None, expected: int | None, end: float, limit: float
    ) -> None:
        self._stream = stream
        self._signature = signature
        self._expected = expected
        self._end = end
        self._limit = limit
        self.declared = declared
        self.size = 0
        self.verification: Verification | None = None

    def verify(self, keys: tuple[Key, ...]) -> Delivery | Refusal:
        """Read and verify the body."""
        if self._stream is None:
            return INCOMPLETE_BODY
        verification = self.verification = Verification(keys, self._signature, self._expected, self._limit)
        try:
            refusal = read_body(self._stream, verification, self._end)
        finally:
            self.size = verification.size
        return verification.finish() if refusal is None else refusal


def check_request(request: HttpRequest, limit: float) -> Refusal | UnreadBody:
    """Decide what can be decided before the body is read.

    Args:
        request: Django's request.
        limit: the largest body in bytes.
    """
    meta = request.META
    # Django's test client declares the length as an int.
    given = meta.get("CONTENT_LENGTH")
    declared = b"" if given is None else str(given).encode("latin-1", "replace")
    checked = check_header(signatures_of(request), declared, limit)
    if isinstance(checked, Refusal):
        return checked
    chunked = bool(meta.get("HTTP_TRANSFER_ENCODING"))
    # On ASGI, Django has stored the body in a file of its own.
    terminated = hasattr(request, "scope") or bool(meta.get("wsgi.input_terminated"))
    if chunked and not terminated:
        return LENGTH_REQUIRED
    expected, end = bounds_of(checked[1], limit, chunked=chunked, terminated=terminated)
    stream, is_whole = _stream_of(request)
    return UnreadBody(stream, checked[0], checked[1], expected, limit + 1 if is_whole else end, limit)


def signatures_of(request: HttpRequest) -> list[bytes]:
    """Return the value of the header `X-MG-Signature`, if there is one.

    Django and the servers join repeated fields with a comma, which is not a signature. Nor is "?", for what is not
    Latin-1.
    """
    signature: str | None = request.META.get("HTTP_X_MG_SIGNATURE")
    return [] if signature is None else [signature.encode("latin-1", "replace")]


def _stream_of(request: Any) -> tuple[Any, bool]:
    """Return where to read the body, `None` if a part of it is gone; and whether that holds nothing else."""
    environ = getattr(request, "environ", None)
    body: bytes | None = getattr(request, "_body", None)
    # An empty one says nothing on WSGI: Django reads no body without a length, so a chunked one is still to come.
    if body or (body is not None and environ is None):
        return BytesIO(body), True  # a middleware has asked for request.body
    if body is None and getattr(request, "_read_started", True):
        return None, False  # a middleware has read from the request as from a file
    return (request._stream if environ is None else environ["wsgi.input"]), False  # Django offers no other


def attach(request: Any, delivery: Delivery) -> None:
    """Give a request its verified delivery, and the verified body as if Django had read it."""
    body = delivery.body
    # What HttpRequest.body leaves behind.
    request._body = body
    request._stream = BytesIO(body)
    request._read_started = True
    if hasattr(request, "scope"):
        request.scope = request.scope | {DELIVERY_KEY: delivery}
    else:
        # META is the server's own environ, which stays as it is.
        request.META = request.META | {DELIVERY_KEY: delivery, "wsgi.input": BytesIO(body)}
        request.environ = request.META
    # Django REST framework goes by the length.
    request.META["CONTENT_LENGTH"] = str(len(body))
    request.META.pop("HTTP_TRANSFER_ENCODING", None)
