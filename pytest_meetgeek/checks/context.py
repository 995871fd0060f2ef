"""One check of a receiver: what a check is, how it is run, and how its finding reads."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NoReturn

from pytest_meetgeek.forgeries import TAMPERINGS, Level
from pytest_meetgeek.response import ACKNOWLEDGED, Response, blot_out
from pytest_meetgeek.spy import Spy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_meetgeek.checks.unset_secret import UnsetSecret
    from pytest_meetgeek.meetgeek import MeetGeek
    from pytest_meetgeek.receiver import Receiver
    from pytest_meetgeek.request import WebhookRequest

Verdict = Literal["passed", "failed", "skipped"]
NO_ANSWER = 0
NO_HANDLER = "no handler to count: give --meetgeek-handler=module:function"
# Long enough for what an app does right after its answer, in seconds.
AFTERMATH = 0.02

_USUAL = "wrong-secret"
_PATIENCE = 1.0
_POLL = 0.01
_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501
_REFUSALS = range(300, 500)
_SUCCESSES = range(200, 300)


class Violation(Exception):  # noqa: N818  # no error of the program: what a check found
    """The receiver did not do what a check requires."""

    def __init__(self, request: WebhookRequest, required: str, response: Response, note: str = "") -> None:
        super().__init__(required)
        self.request = request
        self.required = required
        self.response = response
        self.note = note


class NotExaminedError(Exception):
    """A check cannot be run here; the message says why."""


@dataclass(frozen=True)
class Check:
    """One check of the conformance suite.

    Args:
        id: The stable name: group, dot, property.
        level: MUST fails, SHOULD warns (fails when strict), MAY only has to not crash.
        title: What is required, in one sentence.
        source: Where that stands.
        why: The mistake it has been seen to catch.
        examine: Sends the requests; raises Violation or NotExaminedError.
        since: The version of the catalogue that brought it.
    """

    id: str
    level: Level
    title: str
    source: str
    why: str
    examine: Callable[[Examination], None]
    since: str = "1.0"

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


@dataclass
class Memory:
    """What one suite has learned about its receiver, over all checks in this process.

    Args:
        accepted: A genuine delivery was once answered 200.
        timed_out: A genuine delivery was once given up before that.
        handler_seen: The spy was once called.
        handler_silent: It was waited for in vain: no need to wait as long again.
        start_failed: The app's start-up failed, and a check was failed for it.
        shutdown_failed: The same of its shutdown.
    """

    accepted: bool = False
    timed_out: bool = False
    handler_seen: bool = False
    handler_silent: bool = False
    start_failed: bool = False
    shutdown_failed: bool = False


@dataclass
class Finding:
    """What a check found.

    Args:
        check: The check.
        verdict: "passed", "failed" or "skipped".
        reason: One line: what was violated, or why it was skipped.
        sent: The request that brought it out.
        received: The answer to that.
        text: The whole message for people.
        seconds: The slowest acknowledgement that was seen.
        unproven: A refusal was seen as a status only, with no handler to count.
    """

    check: Check
    verdict: Verdict = "passed"
    reason: str = ""
    sent: str = ""
    received: str = ""
    text: str = ""
    seconds: float = 0.0
    unproven: bool = False


@dataclass
class Examination:
    """What a check has at hand.

    Args:
        meetgeek: Makes the requests.
        receiver: Gets them.
        spy: Counts what was processed.
        memory: What earlier checks learned.
        unset_secret: Starts the app without its secret, where that is possible.
    """

    meetgeek: MeetGeek
    receiver: Receiver
    spy: Spy = field(default_factory=Spy)
    memory: Memory = field(default_factory=Memory)
    unset_secret: UnsetSecret | None = None
    slowest: float = field(default=0.0, init=False)
    unproven: bool = field(default=False, init=False)

    def send(self, request: WebhookRequest) -> Response:
        """Send one request, and note what its answer tells.

        Args:
            request: What to send.
        """
        if self.memory.timed_out and not self.memory.accepted:
            # Each further request would wait as long.
            raise NotExaminedError("blocked by ack.status: the receiver does not answer")
        return self.note(request, self.receiver.send(request))

    def note(self, request: WebhookRequest, response: Response) -> Response:
        """Note what an answer tells about the receiver.

        Args:
            request: What was sent.
            response: What came back.
        """
        if request.expected == response.status == ACKNOWLEDGED:
            self.memory.accepted = True
            self.slowest = max(self.slowest, response.seconds)
        if request.expected == ACKNOWLEDGED and isinstance(response.error, TimeoutError):
            self.memory.timed_out = True
        if self.spy.count:
            self.memory.handler_seen = True
        return response

    @property
    def counts(self) -> bool:
        """Whether the spy is known to see the receiver's handler."""
        return self.spy.watching or self.memory.handler_seen

    def require_accepted(self, request: WebhookRequest, required: str = "HTTP 200") -> Response:
        """Send a genuine request; anything but 200 is a violation.

        Args:
            request: What to send.
            required: How the requirement reads.
        """
        response = self.send(request)
        if response.status != ACKNOWLEDGED:
            raise Violation(request, required, response)
        return response

    def require_working(self) -> None:
        """Make sure that the receiver accepts genuine deliveries at all: without that, most checks say nothing.

        A receiver that never accepted any is `ack.status`'s finding. One that did, and no longer does, is this check's.
        """
        request = self.meetgeek.analyzed()
        response = self.send(request)
        if response.status == ACKNOWLEDGED:
            return
        if self.memory.accepted:
            raise Violation(request, "HTTP 200, as to earlier deliveries", response)
        raise NotExaminedError("blocked by ack.status: no signed delivery was accepted")

    def require_handler(self) -> None:
        """Make sure that a genuine delivery reaches a handler that the spy sees."""
        self.require_working()
        if self.settled(lambda: self.spy.count > 0):
            self.memory.handler_seen = True
        else:
            raise NotExaminedError("blocked by rep.processed: the handler never ran" if self.counts else NO_HANDLER)

    def settled(self, condition: Callable[[], bool]) -> bool:
        """Wait for what a receiver may do after its answer; for a second at most, and not at all with nothing to count.

        Args:
            condition: What to wait for.
        """
        patience = time.monotonic() + (_PATIENCE if self.counts and not self.memory.handler_silent else 0)
        while not condition():
            if time.monotonic() >= patience:
                self.memory.handler_silent = self.counts
                return False
            self.receiver.pause(_POLL)
        return True

    def require_refused(self, request: WebhookRequest) -> Response:
        """Send a forgery; it is to be refused as this receiver refuses, and not processed.

        Whether the usual refusal is the right one is `rej.status`'s question: one fault, one finding.

        Args:
            request: The forgery.
        """
        before = self.spy.count
        response = self.send(request)
        tampering = TAMPERINGS.get(request.label)
        refused = response.status == request.expected or (
            tampering is not None and tampering.refused_by(response.status)
        )
        if not (refused or self._is_usual_refusal(request, response)):
            raise Violation(
                request, "a 4xx status" if tampering and tampering.any_client_error else "HTTP 401", response
            )
        self.require_unprocessed(request, response, before)
        return response

    def _is_usual_refusal(self, request: WebhookRequest, response: Response) -> bool:
        """Tell whether this is how the receiver answers any forgery.

        With a status that refuses nothing (200, 500, none at all), `wrong-secret` alone is a finding beside
        `rej.status`; and 200 only counts as a refusal where it is seen that nothing was processed.
        """
        before = self.spy.count
        usual = self.send(self.meetgeek.tampered(_USUAL))
        self.require_answer(usual)
        if usual.status != response.status or (request.label == _USUAL and usual.status not in _REFUSALS):
            return False
        if usual.status in _SUCCESSES:
            self.receiver.pause(AFTERMATH)
            return self.counts and self.spy.count == before
        return True

    def require_answer(self, response: Response) -> None:
        """Make sure that the receiver is there, if this is no answer: one that hangs up on forgeries alone is.

        Args:
            response: What came back.
        """
        if response.status == NO_ANSWER or isinstance(response.error, TimeoutError):
            self.require_working()

    def require_unprocessed(self, request: WebhookRequest, response: Response, before: int) -> None:
        """Make sure that the handler did not run; where no handler can be counted, note that it was not proven.

        Args:
            request: What was sent.
            response: What came back.
            before: The spy's count before.
        """
        if self.spy.count > before:
            raise Violation(request, "nothing processed", response, "the handler ran")
        self.unproven = self.unproven or not self.counts

    def require_no_crash(self, request: WebhookRequest) -> Response:
        """Send a request that may be answered in any way but with a server error.

        Args:
            request: What to send.
        """
        response = self.send(request)
        self.require_answer(response)
        # 501 is no crash: http.server answers it to a method that it has no handler for (RFC 9110, 15.6.2).
        crashed = response.status == NO_ANSWER or (
            response.status >= _SERVER_ERROR and response.status != _NOT_IMPLEMENTED
        )
        forged = request.expected != ACKNOWLEDGED
        if crashed and not (forged and self._is_usual_refusal(request, response)):
            raise Violation(request, "no server error", response)
        return response

    def skip(self, reason: str) -> NoReturn:
        """Give the check up.

        Args:
            reason: Why.
        """
        raise NotExaminedError(reason)


def examine(check: Check, examination: Examination) -> Finding:
    """Run one check.

    Not in async code: checks send synchronously.

    Args:
        check: The check.
        examination: What it works on.

    Raises:
        LifespanError: The app's start-up failed.
    """
    finding = Finding(check)
    try:
        check.examine(examination)
    except NotExaminedError as skipped:
        finding.verdict, finding.reason = "skipped", str(skipped)
    except Violation as violation:
        _describe(finding, violation, examination)
    finally:
        examination.spy.fail_next = 0
    finding.seconds, finding.unproven = examination.slowest, examination.unproven
    return finding


def _describe(finding: Finding, violation: Violation, examination: Examination) -> None:
    check, receiver = finding.check, examination.receiver
    confidential = examination.meetgeek.confidential
    finding.verdict = "failed"
    finding.reason = f"required {violation.required}" + (f": {violation.note}" if violation.note else "")
    finding.sent = violation.request.describe(receiver.path)
    finding.received = violation.response.describe(confidential)
    lines = [
        f"[{check.id}] {check.title}",
        f"  level:    {check.level}   source: {check.source}",
        f"  sent:     {finding.sent}",
        f"  required: {violation.required}",
        f"  received: {finding.received}",
        *([f"  note:     {violation.note}"] if violation.note else []),
        f"  why:      {check.why}",
        *([f"  again:    {violation.request.curl(receiver.url)}"] if receiver.interface == "url" else []),
    ]
    finding.text = blot_out("\n".join(lines).encode(), confidential).decode()
