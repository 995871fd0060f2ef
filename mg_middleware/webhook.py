"""Sign and verify one body that you have in hand."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from mg_middleware._arguments import forgets_arguments
from mg_middleware._keys import KeyHolder, keys_from
from mg_middleware._refusals import Refusal
from mg_middleware._verification import check_header, verify_whole
from mg_middleware.errors import VerificationError
from mg_middleware.verdict import Outcome

if TYPE_CHECKING:
    from typing import TypeAlias

    from mg_middleware._keys import Secrets
    from mg_middleware.delivery import Delivery

    Body: TypeAlias = bytes | bytearray | memoryview

__all__ = ["Webhook", "sign", "verify"]

_NAMES = ("x-mg-signature", b"x-mg-signature")
_NAME_LENGTH = len("x-mg-signature")  # most other fields have another, and needn't be lower-cased
_TEXT = (str, bytes, bytearray)
_SEVERAL = (list, tuple)


class Webhook(KeyHolder):
    """One receiver's secret or secrets, prepared once: signs and verifies bodies that you have in hand.

    For places without an ASGI or WSGI application: AWS Lambda events, Google Cloud Functions, Azure Functions, aiohttp,
    Tornado, queues. Not for an ASGI or WSGI application: wrap it in `MeetGeekASGIMiddleware` or
    `MeetGeekWSGIMiddleware`, which also bound the body and can process each meeting once.

    Create it at import: a missing secret then stops every server at its start. You can pass it as `secret=` to
    everything that takes a secret.

    Args:
        secret: the shared secret, in any form that the middlewares take, except a callable. `None` reads the
            environment variable `MEETGEEK_WEBHOOK_SECRET`, else the file named by `MEETGEEK_WEBHOOK_SECRET_FILE`.

    Raises:
        ConfigurationError: no secret is configured, or a secret is empty or blank.
        TypeError: the secret has another type.

    Example:
        webhook = Webhook()
        delivery = webhook.verify(event["body"].encode(), event["headers"])
    """

    __slots__ = ()

    @forgets_arguments
    def __init__(self, secret: Secrets | None = None) -> None:
        super().__init__(keys_from(secret))

    def sign(self, body: Body) -> str:
        """Compute the value of `X-MG-Signature` for a body, with the first secret.

        Not for checking a signature: `verify` compares in constant time.

        Args:
            body: the exact raw bytes of the request.

        Returns:
            The HMAC-SHA256 of the body as 64 lower-case hexadecimal digits (RFC 2104; MeetGeek's webhook page).

        Raises:
            TypeError: the body is not bytes-like.
        """
        mac = self._keys[0].begin()
        mac.update(bytes(_checked(body)))  # a view may have gaps
        return mac.hexdigest()

    def verify(self, body: Body, headers: Any) -> Delivery:
        """Verify a body against the signature in its header fields.

        Not for a body that was decoded, parsed or serialized again: only the exact raw bytes verify.

        Args:
            body: the exact raw bytes of the request.
            headers: a mapping of header fields (names in any letter case, a value may be a list), an iterable of pairs
                (`str` or `bytes`), the signature itself (`str` or `bytes`), or `None`.

        Returns:
            The verified delivery.

        Raises:
            VerificationError: the delivery is not genuine; its `outcome` says why.
            TypeError: the body is not bytes-like, or `headers` has none of these forms.
        """
        if type(body) is not bytes:
            body = bytes(_checked(body))
        checked = check_header(_signatures_in(headers), None, inf)
        if isinstance(checked, Refusal):
            raise VerificationError(checked.outcome)
        delivery = verify_whole(self._keys, checked[0], body)
        if delivery is None:
            raise VerificationError(Outcome.SIGNATURE_MISMATCH)
        return delivery

    def __repr__(self) -> str:
        return f"<Webhook with {len(self._keys)} {'key' if len(self._keys) == 1 else 'keys'}>"


@forgets_arguments
def sign(secret: Secrets | None, body: Body) -> str:
    """Compute the value of `X-MG-Signature` for a body; see `Webhook.sign`.

    Not for checking a signature: `verify` compares in constant time.

    Args:
        secret: the shared secret, in any form that `Webhook` takes; the first one signs.
        body: the exact raw bytes of the request.

    Returns:
        64 lower-case hexadecimal digits.

    Raises:
        ConfigurationError: the secret is missing, empty or blank.
        TypeError: the secret or the body has another type.
    """
    return Webhook(secret).sign(body)


@forgets_arguments
def verify(secret: Secrets | None, body: Body, signature: object) -> bool:
    """Say whether a signature is genuine, in constant time.

    Not for an ASGI or WSGI application: the middlewares do the same before the application runs, on bytes that no
    framework has touched.

    Args:
        secret: the shared secret, in any form that `Webhook` takes; any one may match.
        body: the exact raw bytes of the request.
        signature: the value of the header `X-MG-Signature`, as received. Any object is accepted, and none raises.

    Returns:
        `True` if the signature is the body's HMAC-SHA256 under one of the secrets.

    Raises:
        ConfigurationError: the secret is missing, empty or blank.
        TypeError: the secret or the body has another type.
    """
    try:
        Webhook(secret).verify(body, _as_bytes(signature))
    except VerificationError:
        return False
    return True


def _checked(body: Any) -> Any:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"body must be the raw bytes of the request, not {type(body).__name__}")
    return body  # pyright: ignore[reportUnknownVariableType] - bytes-like


def _signatures_in(headers: Any) -> list[bytes]:
    """Collect the signatures in any form of header fields."""
    if type(headers) is str:  # the signature itself, as it usually comes
        return [headers.encode("ascii", "replace")]
    if headers is None:
        return []
    if issubclass(type(headers), _TEXT):
        return [_as_bytes(headers)]
    items = getattr(headers, "items", None)
    if items is None and not hasattr(headers, "__iter__"):
        raise TypeError(f"headers must be a mapping, pairs or the signature, not {type(headers).__name__}")
    signatures: list[bytes] = []
    for pair in headers if items is None else items():
        try:
            name, value = pair
        except (TypeError, ValueError):  # a ValueError would pass for a VerificationError, which is one
            raise TypeError(
                f"headers must be a mapping, pairs or the signature, not {type(headers).__name__}"
            ) from None
        if len(name) == _NAME_LENGTH and name.lower() in _NAMES:
            if type(value) is not str and issubclass(type(value), _SEVERAL):
                signatures += map(_as_bytes, value)
            else:
                signatures.append(_as_bytes(value))
    return signatures


def _as_bytes(signature: Any) -> bytes:
    # By type() and by the buffer: an object of a stranger's class may have a __class__ or methods that raise.
    if type(signature) is str or issubclass(type(signature), str):
        return str.encode(signature, "ascii", "replace")  # "?" is no hexadecimal digit
    return bytes.join(b"", (signature,)) if issubclass(type(signature), _TEXT) else b""
