"""The key under which a store remembers a meeting."""

from __future__ import annotations

from hashlib import sha256


def store_key(key_id: str | None, message: str, meeting_id: str) -> str:
    """Compute the key under which a store remembers a delivery, for instance to look it up or to remove it.

    Not for authenticating anything: it is a plain hash.

    Args:
        key_id: the name of the secret that matched (`Delivery.key_id`), or `None`.
        message: MeetGeek's message, "File analyzed successfully".
        meeting_id: the meeting's id, of any length and content.

    Returns:
        64 hexadecimal digits.
    """
    # The lengths keep the parts apart, whatever is in them, and a nameless key apart from one named "". JSON can bring
    # lone surrogates, which have no strict encoding.
    name = "-" if key_id is None else f"{len(key_id)}:{key_id}"
    return sha256(f"{name},{len(message)}:{message},{meeting_id}".encode("utf-8", "surrogatepass")).hexdigest()
