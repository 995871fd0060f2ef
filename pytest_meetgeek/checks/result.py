"""What a check finds: a result, a failure, or the reason why it was skipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pytest_meetgeek.forgeries import Level
    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.response import Response

Outcome = Literal["passed", "failed", "warned", "skipped", "note"]

_CHECKS_PAGE = "https://mg-middleware.readthedocs.io/page/reference/checks.html"


class CheckFailure(Exception):  # noqa: N818  # no error of the program: the receiver did something else
    """The receiver did not do what a check requires.

    Args:
        request: The request that showed it.
        required: What the receiver should have done.
        response: What it did.
        note: What else is known about the cause; empty if nothing is.
        why: Why it matters, if what came back calls for other words than the check's own.
        blocks: Why checks that presuppose this one say nothing now; None if they still do.
    """

    def __init__(  # what a failure is made of
        self,
        request: WebhookRequest,
        required: str,
        response: Response,
        note: str = "",
        *,
        why: str = "",
        blocks: str | None = "",
    ) -> None:
        super().__init__(required)
        self.request = request
        self.required = required
        self.response = response
        self.note = note
        self.why = why
        self.blocks = blocks


class CheckSkipped(Exception):  # noqa: N818  # no error either: the check does not apply here
    """A check cannot be run here.

    Args:
        reason: Why.
        blocked_by: The check whose failure is the reason; empty if there is none.
    """

    def __init__(self, reason: str, blocked_by: str = "") -> None:
        super().__init__(reason)
        self.blocked_by = blocked_by


class CheckNote(Exception):  # noqa: N818  # no error at all: a check of level MAY has something to tell
    """What a check of level MAY found out, and what is neither right nor wrong.

    Args:
        text: What the receiver does, and what follows from it.
    """


@dataclass
class CheckResult:
    """The result of one check.

    Not for building by hand: `run_checks` and the plugin's reports make them.

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
        unproven: A refusal was seen as a status only: nothing counted what was processed.
        blocked_by: The check whose failure is the reason why this one was skipped.
        blocks: Why the checks that presuppose this one are skipped; None if they are not.
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
    blocked_by: str = ""
    blocks: str | None = None

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    @property
    def link(self) -> str:
        """Where the documentation describes the check."""
        return f"{_CHECKS_PAGE}#{self.id.replace('.', '')}"
