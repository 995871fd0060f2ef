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
    from collections.abc import Callable
    from typing import Any, TypeAlias

    # Both are used in the same way: what `begin` gives is updated, and handed back to the same object.
    Keys: TypeAlias = "Key | KeyRing"

_HEXADECIMAL = b"0123456789abcdef"
_LENGTH = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_FINGERPRINT_LABEL = b"mg-middleware: fingerprint of a key"
_FINGERPRINT_LENGTH = 32  # hexadecimal digits


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

    Attributes:
        begin: gives a hash for one body, to be updated with its chunks.
        fingerprint: 32 hexadecimal digits that tell this key from others. They are half of an HMAC of a fixed text, so
            that they reveal no secret and are the signature of no body.
        key_id: the name.
    """

    __slots__ = ("_begin_outer", "begin", "fingerprint", "key_id")

    def __init__(self, secret: bytes, key_id: str | None = None) -> None:
        inner = sha256()
        if len(secret) > inner.block_size:
            secret = sha256(secret).digest()
        padded = secret.ljust(inner.block_size, b"\0")
        inner.update(padded.translate(_INNER_PAD))
        self.begin: Callable[[], HASH] = inner.copy
        self._begin_outer = sha256(padded.translate(_OUTER_PAD)).copy
        self.key_id: str | None = key_id
        fingerprint = inner.copy()
        fingerprint.update(_FINGERPRINT_LABEL)
        self.fingerprint: str = self.signature(fingerprint)[:_FINGERPRINT_LENGTH]

    def signature(self, hashed: Any) -> str:  # noqa: ANN401 - see Keys
        """Finish the HMAC of a body.

        Args:
            hashed: what `begin` gave, updated with the whole body.
        """
        outer = self._begin_outer()
        outer.update(hashed.digest())
        return outer.hexdigest()

    def matching(self, hashed: Any, received: bytes) -> Key | None:  # noqa: ANN401 - see Keys
        """Compare what was received with what this key expects, in constant time: the only place that compares.

        Args:
            hashed: what `begin` gave, updated with the whole body.
            received: the signature as `parse_signature` gives it.

        Returns:
            This key, if it matches.
        """
        return self if compare_digest(self.signature(hashed).encode(), received) else None


class Hashes:
    """The hashes of one body under several keys, updated together."""

    __slots__ = ("each",)

    def __init__(self, each: list[HASH]) -> None:
        self.each: list[HASH] = each

    def update(self, chunk: bytes) -> None:
        """Take in the next bytes of the body."""
        for hashed in self.each:
            hashed.update(chunk)


class KeyRing:
    """Several keys, of which any may match and the first one signs.

    Args:
        keys: the keys, one at least.
    """

    __slots__ = ("keys",)

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.keys: tuple[Key, ...] = keys

    def begin(self) -> Hashes:
        """Begin the hashes of one body, to be updated with its chunks."""
        return Hashes([key.begin() for key in self.keys])

    def signature(self, hashed: Any) -> str:  # noqa: ANN401 - see Keys
        """Finish the HMAC under the first key; see `Key.signature`."""
        return self.keys[0].signature(hashed.each[0])

    def matching(self, hashed: Any, received: bytes) -> Key | None:  # noqa: ANN401 - see Keys
        """Find the first key that matches; see `Key.matching`.

        Every key is tried whichever matches, so that the time tells nothing of which one did.
        """
        matching = None
        for key, of_key in zip(self.keys, hashed.each, strict=True):
            found = key.matching(of_key, received)
            if matching is None:
                matching = found
        return matching
