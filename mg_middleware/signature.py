"""HMAC-SHA256 over the raw body, without I/O: keys in, chunks in, verdict out.

The construction is RFC 2104 with SHA-256 (FIPS 180-4), written as 64 lower-case hexadecimal digits, as MeetGeek's
webhook page documents it.
"""

from __future__ import annotations

import hmac

_HEXADECIMAL = b"0123456789abcdef"
_LENGTH = 64


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
    """One secret, prepared: an HMAC object that has seen the key and no data yet, and is copied for each body.

    Args:
        secret: the shared secret.
        key_id: the name under which the user knows it, or `None`.
    """

    __slots__ = ("code", "key_id")

    def __init__(self, secret: bytes, key_id: str | None = None) -> None:
        self.code = hmac.new(secret, digestmod="sha256")
        self.key_id = key_id


class Verification:
    """The check of one body: fed chunk by chunk while it arrives, asked once at its end.

    Args:
        keys: the secrets of which any may match, prepared.
    """

    __slots__ = ("_codes", "_keys")

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self._codes = [key.code.copy() for key in keys]

    def update(self, chunk: bytes) -> None:
        """Take in the next bytes of the body."""
        for code in self._codes:
            code.update(chunk)

    def matching_key(self, received: bytes) -> Key | None:
        """Compare what was received with what each key expects, in constant time: the only place that compares.

        Every key is tried whichever matches, so that the time tells nothing of which one did.

        Args:
            received: the signature as `parse_signature` gives it, or any other bytes.

        Returns:
            The first key that matches, or `None`.
        """
        matching = None
        for key, code in zip(self._keys, self._codes, strict=True):
            if hmac.compare_digest(code.hexdigest().encode(), received) and matching is None:
                matching = key
        return matching
