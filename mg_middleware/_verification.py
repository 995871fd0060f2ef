"""The verification of one request, sans I/O: header fields in, chunks in, a `Delivery` or a refusal out.

Every door drives it in the same order: `check_header`, then `Verification` with the keys, `update` for each chunk of
the body, and `finish`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mg_middleware._keys import is_authentic
from mg_middleware._refusals import (
    BODY_TOO_LARGE,
    INCOMPLETE_BODY,
    INVALID_LENGTH,
    MALFORMED_SIGNATURE,
    MISSING_SIGNATURE,
    REPEATED_SIGNATURE,
    SIGNATURE_MISMATCH,
    Refusal,
)
from mg_middleware.delivery import Delivery

if TYPE_CHECKING:
    import hmac

    from mg_middleware._keys import Key

_HEXADECIMAL = b"0123456789abcdef"
_SIGNATURE_LENGTH = 64
_MOST_DIGITS = 20  # more bytes than there are; int() refuses thousands of digits

# A stranger may send a body in pieces of a byte or two, each of which would cost an object of its own. Pieces that make
# up no more than this together, in bytes, are joined.
_SMALL = 1024


def check_header(signatures: list[bytes], declared: bytes | None, limit: float) -> Refusal | tuple[bytes, int | None]:
    """Decide what can be decided before the body is read.

    Args:
        signatures: the value of each field `X-MG-Signature`.
        declared: the declared length; `None` or empty if there is none.
        limit: the largest body in bytes.

    Returns:
        The reason to refuse the request, or the received signature and the declared length in bytes.
    """
    if len(signatures) != 1:
        return REPEATED_SIGNATURE if signatures else MISSING_SIGNATURE
    # RFC 9110, section 5.5, allows spaces and tabs around a field value, and some servers leave them on. strip()
    # without an argument would remove more.
    signature = signatures[0].strip(b" \t")
    if len(signature) != _SIGNATURE_LENGTH or signature.translate(None, _HEXADECIMAL):
        return MALFORMED_SIGNATURE
    if not declared:
        return signature, None
    # Plain ASCII digits (RFC 9110, section 8.6). int() alone would accept signs, spaces and underscores.
    if not declared.isdigit():
        return INVALID_LENGTH
    length = int(declared if len(declared) <= _MOST_DIGITS else declared.lstrip(b"0")[:_MOST_DIGITS] or b"0")
    return BODY_TOO_LARGE if length > limit else (signature, length)


class Verification:
    """The verification of one body.

    Args:
        keys: the keys of which any may match.
        signature: the received signature, as `check_header` gives it.
        length: the declared length in bytes; `None` if the body's framing says where it ends.
        limit: the largest body in bytes.

    Attributes:
        chunks: the bytes that have arrived, in pieces.
        signature: the received signature.
        size: how many bytes have arrived.
    """

    __slots__ = ("_length", "_limit", "_macs", "chunks", "signature", "size")

    def __init__(self, keys: tuple[Key, ...], signature: bytes, length: int | None, limit: float) -> None:
        self._macs: list[tuple[Key, hmac.HMAC]] = []
        for key in keys:  # a comprehension costs more where there is one key
            self._macs.append((key, key.begin()))
        self.signature: bytes = signature
        self._length = length
        self._limit = limit
        self.chunks: list[bytes] = []
        self.size: int = 0

    def update(self, chunk: Any) -> Refusal | None:
        """Take in the next chunk of the body, and hash it.

        Args:
            chunk: the bytes. The specifications say `bytes`; adapters give other objects, which are copied, since their
                owner may change them.

        Returns:
            The reason to refuse the request, if there is one now.

        Raises:
            TypeError: it is not bytes-like.
        """
        if type(chunk) is not bytes:
            chunk = b"".join((chunk,))  # unlike bytes(), this refuses an int
        self.size = size = self.size + len(chunk)
        if size > self._limit:
            return BODY_TOO_LARGE
        if self._length is not None and size > self._length:
            return INCOMPLETE_BODY
        for _, mac in self._macs:
            mac.update(chunk)
        chunks = self.chunks
        if chunks and len(chunks[-1]) + len(chunk) <= _SMALL:
            chunks[-1] += chunk
        else:
            chunks.append(chunk)
        return None

    def finish(self) -> Delivery | Refusal:
        """Decide, once the whole body has arrived."""
        if self._length is not None and self.size < self._length:
            return INCOMPLETE_BODY
        matching = None
        for key, mac in self._macs:  # all of them, whichever matches
            if is_authentic(mac, self.signature) and matching is None:
                matching = key
        if matching is None:
            return SIGNATURE_MISMATCH
        return Delivery(self.chunks, self.signature, matching.key_id, matching.fingerprint)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of which any may match."""
        return tuple(key for key, _ in self._macs)


def verify_whole(keys: tuple[Key, ...], signature: bytes, body: bytes) -> Delivery | None:
    """Verify a body that is in hand: what `Verification` does with one that arrives.

    Args:
        keys: the keys of which any may match.
        signature: the received signature, as `check_header` gives it.
        body: the whole body.

    Returns:
        The delivery, or `None` if no key matches.
    """
    matching = None
    for key in keys:  # all of them, whichever matches
        mac = key.begin()
        mac.update(body)
        if is_authentic(mac, signature) and matching is None:
            matching = key
    if matching is None:
        return None
    return Delivery([body], signature, matching.key_id, matching.fingerprint)
