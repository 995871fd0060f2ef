"""Sign and verify one body that is already in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mg_middleware._keys import keys_from
from mg_middleware._verification import parse_signature

if TYPE_CHECKING:
    from mg_middleware._keys import Secrets


def sign(secret: Secrets | None, body: bytes) -> str:
    """Compute the value of `X-MG-Signature` for a body.

    Not for checking a signature: `verify` compares in constant time.

    Args:
        secret: the shared secret, in any form that the middleware takes but a callable; the first one signs.
        body: the exact raw bytes of the request.

    Returns:
        The HMAC-SHA256 of the body as 64 lower-case hexadecimal digits (RFC 2104; MeetGeek's webhook page).

    Raises:
        ConfigurationError: the secret is missing, empty or blank.
        TypeError: the secret or the body is of another type.
    """
    keys = keys_from(secret)
    hashed = keys.begin()
    hashed.update(body)
    return keys.signature(hashed)


def verify(secret: Secrets | None, body: bytes, signature: object) -> bool:
    """Tell whether a signature is genuine, in constant time.

    Not for an ASGI or WSGI application: the middleware does the same before the application runs, on bytes that no
    framework has touched.

    Args:
        secret: the shared secret, in any form that the middleware takes but a callable; any one may match.
        body: the exact raw bytes of the request.
        signature: the value of the header `X-MG-Signature` as received. Anything is answered, nothing raised.

    Returns:
        `True` if the signature is the body's HMAC-SHA256 under one of the secrets.

    Raises:
        ConfigurationError: the secret is missing, empty or blank.
        TypeError: the secret or the body is of another type.
    """
    keys = keys_from(secret)
    hashed = keys.begin()
    hashed.update(body)
    received = parse_signature(_as_bytes(signature))
    return received is not None and keys.matching(hashed, received) is not None


def _as_bytes(signature: object) -> bytes:
    if isinstance(signature, str):
        return str.encode(signature, "ascii", "replace")  # "?" is no hexadecimal digit
    return bytes(signature) if isinstance(signature, bytes | bytearray) else b""
