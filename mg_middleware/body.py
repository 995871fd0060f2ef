"""The body of one request while it arrives: counted, hashed and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mg_middleware.signature import matching_key

if TYPE_CHECKING:
    from _hashlib import HASH

    from mg_middleware.signature import Key

# A stranger may send a body in pieces of a byte or two, each of which would cost an object of its own. Pieces that make
# no more than this together, in bytes, are joined.
_SMALL = 1024


class Body:
    """The bytes of one body, in the pieces in which they came.

    The pieces are not joined, so that one copy of the body is held and not two.

    Args:
        keys: the secrets of which any may match, prepared.
        limit: the number of bytes that the body may grow to, perhaps infinity.
    """

    __slots__ = ("_hashes", "_limit", "chunks", "size")

    def __init__(self, keys: tuple[Key, ...], limit: float) -> None:
        self.chunks: list[bytes] = []
        self.size: int = 0
        self._limit = limit
        self._hashes: list[tuple[Key, HASH]] = []
        for key in keys:  # before Python 3.12 a comprehension is a call of its own, dearer than what it would do here
            self._hashes.append((key, key.inner.copy()))

    def add(self, chunk: bytes) -> bool:
        """Take in the next bytes.

        Args:
            chunk: a piece of the body. A mutable one is copied, since its owner may use it again.

        Returns:
            `False` if the body has grown over its limit; these bytes are then not kept.
        """
        if type(chunk) is not bytes:
            chunk = b"".join((chunk,))  # unlike bytes(), this refuses an int
        self.size += len(chunk)
        if self.size > self._limit:
            return False
        for _, inner in self._hashes:
            inner.update(chunk)
        if self.chunks and len(self.chunks[-1]) + len(chunk) <= _SMALL:
            self.chunks[-1] += chunk
        else:
            self.chunks.append(chunk)
        return True

    def matching_key(self, received: bytes) -> Key | None:
        """Tell which key the received signature was made with, or `None`."""
        return matching_key(self._hashes, received)
