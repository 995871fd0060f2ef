"""Reading a body from a file, as WSGI and Django hand it over, into its verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mg_middleware._refusals import INCOMPLETE_BODY

if TYPE_CHECKING:
    from wsgiref.types import InputStream

    from mg_middleware._refusals import Refusal
    from mg_middleware._verification import Verification

# How much to ask the server for at once, in bytes, if neither the limit nor the declared length is less: it may reserve
# that much memory.
_READ_SIZE = 16_777_216


def bounds_of(length: int | None, limit: float, *, chunked: bool, terminated: bool) -> tuple[int | None, float]:
    """Say how long a body must be, and how far to read it.

    Args:
        length: the declared length in bytes, if there is one.
        limit: the largest body in bytes.
        chunked: whether the request has a `Transfer-Encoding`.
        terminated: whether the file ends where the body does.

    Returns:
        The length that the body must have, `None` if its framing says where it ends; and how many bytes to read at
        most.
    """
    # A declared length is void beside Transfer-Encoding (RFC 9112, section 6.3).
    expected = None if chunked else length
    # A file that ends with the body is read one byte further than allowed, which shows that the body is too long. Any
    # other is never read past the declared length.
    allowed = limit if expected is None else expected
    return expected, allowed + 1 if terminated else expected or 0


def read_body(stream: InputStream, verification: Verification, end: float) -> Refusal | None:
    """Feed the body to the verification, until it ends or is refused.

    `read(size)` is the only call that every server's stream has: without a size it may wait forever.

    Args:
        stream: the server's.
        verification: what takes in the body.
        end: how many bytes to read at most.
    """
    while verification.size < end:
        try:
            wanted = end - verification.size
            chunk = stream.read(_READ_SIZE if wanted > _READ_SIZE else int(wanted))
            refusal = verification.update(chunk) if chunk else None
        except Exception:  # servers have many classes for a client that left and for broken framing
            return INCOMPLETE_BODY
        if refusal is not None or not chunk:
            return refusal
    return None
