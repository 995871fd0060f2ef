"""HMAC-SHA256 over the raw body, without I/O: keys in, chunks in, verdict out.

The construction is RFC 2104 with SHA-256 (FIPS 180-4), written as 64 lower-case hexadecimal digits, as MeetGeek's
webhook page documents it.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _hashlib import HASH

_HEXADECIMAL = b"0123456789abcdef"
_LENGTH = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def parse_signature(value: bytes) -> bytes | None:
    """Read the value of the header `X-MG-Signature`.

    Only spaces and tabs at the ends are taken off: RFC 9110, section 5.5, allows them round a field value and some
    servers leave them on. `bytes.strip()` without an argument would take more than these.

    Args:
        value: the raw header value.

    Returns:
        The 64 lower-case hexadecimal digits, or `None` for anything else.
    """
    signature = value.strip(b" \t")
    if len(signature) != _LENGTH or signature.translate(None, _HEXADECIMAL):
        return None
    return signature


class Key:
    """One secret, prepared: the two hash states of its HMAC that have seen the key and no data yet.

    RFC 2104, section 4, describes this; each body copies the states. An `hmac.HMAC` that is copied gives the same
    values, but its Python layer was a quarter of what guarding a request cost.

    Args:
        secret: the shared secret.
        key_id: the name under which the user knows it, or `None`.
    """

    __slots__ = ("inner", "key_id", "outer")

    def __init__(self, secret: bytes, key_id: str | None = None) -> None:
        inner = sha256()
        if len(secret) > inner.block_size:
            secret = sha256(secret).digest()
        padded = secret.ljust(inner.block_size, b"\0")
        inner.update(padded.translate(_INNER_PAD))
        self.inner: HASH = inner
        self.outer: HASH = sha256(padded.translate(_OUTER_PAD))
        self.key_id: str | None = key_id

    def signature(self, inner: HASH) -> str:
        """Finish the HMAC of a body that a copy of `inner` has gone through."""
        outer = self.outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


def matching_key(hashes: list[tuple[Key, HASH]], received: bytes) -> Key | None:
    """Compare what was received with what each key expects, in constant time: the only place that compares.

    Every key is tried whichever matches, so that the time tells nothing of which one did.

    Args:
        hashes: each key of which any may match, with a copy of its `inner` that the whole body has gone through.
        received: the signature as `parse_signature` gives it.

    Returns:
        The first key that matches, or `None`.
    """
    matching = None
    for key, inner in hashes:
        if compare_digest(key.signature(inner).encode(), received) and matching is None:
            matching = key
    return matching
