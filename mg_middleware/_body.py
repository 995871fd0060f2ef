"""Keeping a body while it arrives, in the pieces in which it came: one copy of it is held, and not two."""

from __future__ import annotations

from typing import Any

# A stranger may send a body in pieces of a byte or two, each of which would cost an object of its own. Pieces that make
# no more than this together, in bytes, are joined.
_SMALL = 1024


def keep(chunks: list[bytes], chunk: bytes) -> None:
    """Add the next piece of a body to those that came before.

    Args:
        chunks: the pieces so far.
        chunk: the next one.
    """
    if chunks and len(chunks[-1]) + len(chunk) <= _SMALL:
        chunks[-1] += chunk
    else:
        chunks.append(chunk)


def exact_bytes(chunk: Any) -> bytes:  # noqa: ANN401 - the specification has bytes here, adapters have more
    """Copy a piece that may be mutable: its owner may use it again.

    Args:
        chunk: any object with the bytes of the piece.

    Raises:
        TypeError: it is no such object.
    """
    return b"".join((chunk,))  # unlike bytes(), this refuses an int
