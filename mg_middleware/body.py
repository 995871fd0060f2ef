"""The body of one request while it arrives: counted, hashed and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mg_middleware.signature import Verification

if TYPE_CHECKING:
    from mg_middleware.signature import Key

# A stranger may send a body in pieces of a byte or two, each of which would cost its own object and place in the list.
# A run of so many pieces is joined, if they are no larger together than a few reads of a server.
_RUN = 1024
_RUN_SIZE = 1_048_576


class Body:
    """The bytes of one body, in the pieces in which they came.

    The pieces are not joined, so that one copy of the body is held and not two.

    Args:
        keys: the secrets of which any may match, prepared.
        max_size: the number of bytes that it may grow to, or `None` for no limit.
    """

    __slots__ = ("_joined", "_max_size", "_run_size", "_verification", "chunks", "size")

    def __init__(self, keys: tuple[Key, ...], max_size: int | None) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self._max_size = max_size
        self._verification = Verification(keys)
        self._joined = 0
        self._run_size = 0

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
        if self._max_size is not None and self.size > self._max_size:
            return False
        if chunk:
            self._verification.update(chunk)
            self.chunks.append(chunk)
            self._run_size += len(chunk)
            if len(self.chunks) - self._joined == _RUN:
                self._join_run()
        return True

    def matching_key(self, received: bytes) -> Key | None:
        """Tell which key the received signature was made with, or `None`."""
        return self._verification.matching_key(received)

    def _join_run(self) -> None:
        if self._run_size <= _RUN_SIZE:
            self.chunks[self._joined :] = [b"".join(self.chunks[self._joined :])]
        self._joined = len(self.chunks)
        self._run_size = 0
