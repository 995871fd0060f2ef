"""The key under which a store remembers a meeting."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mg_middleware._keys import Key
from mg_middleware.events import SUCCEEDED, analyzed_meeting

if TYPE_CHECKING:
    from mg_middleware.delivery import Delivery


def store_key(
    meeting_id: str, *, key_id: str | None = None, secret: str | bytes | None = None, message: str = SUCCEEDED
) -> str:
    """Compute the key under which a store remembers a meeting, for instance to look it up or to remove it.

    Not for authenticating anything: it is a plain hash.

    Args:
        meeting_id: the meeting's id, of any length and content.
        key_id: the name of the secret that matched (`Delivery.key_id`), if your secrets have names.
        secret: the secret that matched, if your secrets have no names.
        message: MeetGeek's message.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: both `key_id` and `secret` are given, or neither.
    """
    if (key_id is None) == (secret is None):
        raise TypeError("store_key takes either key_id= or secret=: the name of the secret, or a secret without a name")
    if secret is None:
        return _hashed(key_id, "", message, meeting_id)
    fingerprint = Key(secret.encode() if isinstance(secret, str) else secret).fingerprint
    return _hashed(None, fingerprint, message, meeting_id)


def key_to_claim(delivery: Delivery, method: str) -> str | None:
    """Return the key under which a delivery is remembered, or `None` if it always reaches the application.

    Only a POST is remembered: that is how MeetGeek sends. A framework responds to OPTIONS by itself with 2xx, so a
    replay with another method would mark a meeting as processed that no handler saw.

    Args:
        delivery: a verified delivery.
        method: the method of the request.
    """
    if method != "POST":
        return None
    # The doors and the stores belong to one package; applications never see the fingerprint.
    key_id, fingerprint, payload = delivery._contents()  # pyright: ignore[reportPrivateUsage]
    meeting_id = analyzed_meeting(payload)
    return None if meeting_id is None else _hashed(key_id, fingerprint, SUCCEEDED, meeting_id)


def _hashed(key_id: str | None, fingerprint: str, message: str, meeting_id: str) -> str:
    hashed = _hash_before_meeting(key_id, fingerprint, message).copy()
    hashed.update(meeting_id.encode("utf-8", "surrogatepass"))  # JSON can bring lone surrogates
    key: str = hashed.hexdigest()
    return key


@lru_cache(maxsize=1000)  # a copy takes half the time
def _hash_before_meeting(key_id: str | None, fingerprint: str, message: str) -> Any:
    # The lengths keep the parts apart, whatever is in them, and a nameless key apart from one named "".
    name = f"-{fingerprint}" if key_id is None else f"{len(key_id)}:{key_id}"
    return sha256(f"{name},{len(message)}:{message},".encode("utf-8", "surrogatepass"))
