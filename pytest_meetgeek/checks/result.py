"""What a check finds: a result, a failure, or the reason why it was skipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pytest_meetgeek.forgeries import Level
    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.response import Response

Outcome = Literal["passed", "failed", "warned", "skipped", "note"]


class CheckFailure(Exception):  # noqa: N818  # no error of the program: the receiver did something else
    """The receiver did not do what a check requires.

    Args:
        request: The request that showed it.
        required: What the receiver should have done.
        response: What it did.
        note: What else is known about the cause; empty if nothing is.
    """

    def __init__(self, request: WebhookRequest, required: str, response: Response, note: str = "") -> None:
        super().__init__(required)
        self.request = request
        self.required = required
        self.response = response
        self.note = note


class CheckSkipped(Exception):  # noqa: N818  # no error either: the check does not apply here
    """A check cannot be run here; the message says why."""


@dataclass
class CheckResult:
    """The result of one check.

    Not for building by hand: `run_check` and the plugin's reports make them.

    Args:
        id: The id of the check, such as "ack.status".
        level: "MUST", "SHOULD" or "MAY".
        outcome: "passed", "failed", "warned" (a SHOULD that was violated), "skipped" or "note".
        reason: One line: what was violated, or why the check was skipped.
        sent: The request that showed it.
        required: What the receiver should have done.
        received: What it did.
        note: What else is known about the cause.
        why: The mistake that this check has been seen to catch.
        text: The whole message for people.
        seconds: The slowest acknowledgement that was seen, in seconds; 0 if there was none.
        unproven: A refusal was seen as a status only: no handler was counted.
    """

    id: str
    level: Level
    outcome: Outcome = "passed"
    reason: str = ""
    sent: str = ""
    required: str = ""
    received: str = ""
    note: str = ""
    why: str = ""
    text: str = ""
    seconds: float = 0.0
    unproven: bool = False

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]
