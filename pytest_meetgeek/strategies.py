"""Hypothesis strategies for the tests of a receiver; importing this module imports Hypothesis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import strategies as some

from pytest_meetgeek.forgeries import FORGERIES
from pytest_meetgeek.meetgeek import FAILED, SUCCEEDED, MeetGeek

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from pytest_meetgeek.request import WebhookRequest

__all__ = ["deliveries", "forgeries", "meeting_ids", "raw_bodies"]


def meeting_ids() -> SearchStrategy[str]:
    """Draw meeting ids as MeetGeek documents them: UUIDs."""
    return some.uuids().map(str)


def _succeeded(meeting_id: str) -> dict[str, str]:
    return {"message": SUCCEEDED, "meeting_id": meeting_id}


def _spell(event: object, indent: int | None, ascii_only: bool) -> bytes:  # noqa: FBT001  # drawn by Hypothesis
    return json.dumps(event, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")


def raw_bodies() -> SearchStrategy[bytes]:
    """Draw bodies: the documented events in any spacing and escaping, other JSON, and any bytes."""
    plain = some.none() | some.booleans() | some.integers() | some.text()
    anything = some.recursive(
        plain, lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner), max_leaves=5
    )
    events = meeting_ids().map(_succeeded) | some.just({"message": FAILED}) | anything
    indents = some.none() | some.integers(min_value=0, max_value=4)
    spelled = some.builds(_spell, events, indents, some.booleans())
    return spelled | some.binary()


def deliveries(secret: str | bytes) -> SearchStrategy[WebhookRequest]:
    """Draw genuine requests: both documented events, and any body, truly signed.

    Args:
        secret: The shared secret.

    Raises:
        TypeError: The secret is neither `str` nor `bytes`.
        ValueError: The secret is empty.
    """
    __tracebackhide__ = True
    meetgeek = MeetGeek(secret)
    return meeting_ids().map(meetgeek.analyzed) | some.builds(meetgeek.failed) | raw_bodies().map(meetgeek.raw)


def forgeries() -> SearchStrategy[str]:
    """Draw the ids of forgeries that must be refused."""
    return some.sampled_from([forgery.id for forgery in FORGERIES.values() if forgery.level == "MUST"])
