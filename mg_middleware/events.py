"""The events that MeetGeek's webhooks report, typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from json import JSONDecoder, loads
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Event: TypeAlias = "AnalysisSucceeded | AnalysisFailed | UnknownEvent"

__all__ = ["AnalysisFailed", "AnalysisSucceeded", "UnknownEvent", "parse_event"]

SUCCEEDED = "File analyzed successfully"
FAILED = "File analyzed failed"

_decode = JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class AnalysisSucceeded:
    """A meeting was analyzed: MeetGeek's message "File analyzed successfully" with a meeting id.

    Attributes:
        meeting_id: the meeting's id: a non-empty string, not always a UUID.
        payload: the whole decoded JSON object, unknown fields included. It takes no part in comparisons.
    """

    meeting_id: str
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class AnalysisFailed:
    """An analysis failed: MeetGeek's message "File analyzed failed", which comes without a meeting id.

    Attributes:
        payload: the whole decoded JSON object, unknown fields included. It takes no part in comparisons.
    """

    payload: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A verified body that is neither of the two documented events.

    Attributes:
        payload: the decoded JSON, whatever its type, or `None` if the body is not JSON.
    """

    payload: Any = field(default=None, hash=False, repr=False, kw_only=True)


def parse_event(body: bytes) -> Event:
    """Parse a body into the event that it reports.

    Only for the body of a verified request.

    Args:
        body: the raw bytes of a verified request.

    Returns:
        The event; `UnknownEvent` for anything that is not documented, undecodable and hostile JSON included.
    """
    return event_of(decoded(body))


def event_of(payload: Any) -> Event:
    """Return the event that a decoded body reports.

    Args:
        payload: the decoded JSON, or `None` if the body is not JSON.
    """
    meeting_id = analyzed_meeting(payload)
    if meeting_id is not None:
        return AnalysisSucceeded(meeting_id, payload=payload)
    if isinstance(payload, dict) and cast("dict[str, Any]", payload).get("message") == FAILED:
        return AnalysisFailed(payload=cast("dict[str, Any]", payload))
    return UnknownEvent(payload=payload)


def analyzed_meeting(payload: Any) -> str | None:
    """Return the id of the meeting that was analyzed, or `None` if a decoded body reports anything else.

    Args:
        payload: the decoded JSON, or `None` if the body is not JSON.
    """
    if not isinstance(payload, dict):
        return None
    fields: dict[str, Any] = payload  # pyright: ignore[reportUnknownVariableType] - JSON has no other keys
    meeting_id = fields.get("meeting_id")
    return meeting_id if fields.get("message") == SUCCEEDED and isinstance(meeting_id, str) and meeting_id else None


def decoded(body: bytes) -> Any:
    """Decode a body, as `json.loads` does; `None` if it is not JSON.

    Args:
        body: the raw bytes.
    """
    # json.loads takes four times as long on a short body: it first finds out the encoding, and looks for white space
    # with regular expressions.
    try:
        text = body.decode()
        payload, end = _decode(text)
        if end == len(text):
            return payload
    except (ValueError, RecursionError):
        pass
    try:
        return loads(body)
    except (ValueError, RecursionError):
        # ValueError: no JSON, no Unicode, or a number of too many digits. RecursionError: nested too deeply.
        return None
