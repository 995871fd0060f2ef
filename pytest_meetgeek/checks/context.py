"""What a check works with: it sends requests, and states what their responses must be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from pytest_meetgeek.checks.counter import Counter, SpyCounter
from pytest_meetgeek.checks.result import CheckFailure, CheckResult, CheckSkipped
from pytest_meetgeek.forgeries import FORGERIES
from pytest_meetgeek.response import ACKNOWLEDGED, Response
from pytest_meetgeek.spy import Spy

if TYPE_CHECKING:
    from pytest_meetgeek.checks.apart import StartedApart
    from pytest_meetgeek.meetgeek import MeetGeek
    from pytest_meetgeek.receiver import Receiver
    from pytest_meetgeek.request import WebhookRequest

NO_RESPONSE = 0
SERVER_ERROR = 500
SUCCESSES = range(200, 300)
NO_HANDLER = (
    "nothing counts what is processed: give --meetgeek-handler=module:function (at a URL: --meetgeek-count=COMMAND)"
)
TEST_DATABASE = "one request at a time: a test database of Django serves one thread; run this check at a URL"
# Long enough for what an app does right after its response, in seconds.
AFTERMATH = 0.02

_USUAL = "wrong-secret"
_NOT_IMPLEMENTED = 501


@dataclass
class Memory:
    """What one suite has learned about its receiver, over all checks in this process.

    Args:
        results: The last result of each check.
        accepted: A genuine delivery once got a 2xx.
        timed_out: A genuine delivery once got no response in time before that.
        handler_seen: A genuine delivery was once counted.
        handler_silent: One was waited for, and not counted: no need to wait as long again.
        delay: How long after its response a genuine delivery was counted, at most, in seconds.
        settled: How many events were processed when those that had been sent were.
        pending: How many genuine deliveries were accepted since, and may not be counted yet.
        start_failed: The app's start-up failed, and a check was failed for it.
        shutdown_failed: The same of its shutdown.
        gone_at: The check that failed because the receiver can't be reached any more; empty if none did.
        reported: The checks that will be reported: those of this run, and the known deviations; None if all are.
        stood_in_for: The checks that won't be, whose failure another check has reported.
    """

    results: dict[str, CheckResult] = field(default_factory=dict[str, CheckResult])
    accepted: bool = False
    timed_out: bool = False
    handler_seen: bool = False
    handler_silent: bool = False
    delay: float = 0.0
    settled: int = 0
    pending: int = 0
    start_failed: bool = False
    shutdown_failed: bool = False
    gone_at: str = ""
    reported: frozenset[str] | None = None
    stood_in_for: set[str] = field(default_factory=set[str])


@dataclass
class CheckContext:
    """What one check works with.

    Args:
        meetgeek: Makes the requests.
        receiver: Gets them.
        spy: Counts what was processed in this process.
        memory: What earlier checks learned.
        apart: Starts the app in a process of its own, if that is possible.
        strict: Whether checks of level SHOULD fail.
        command: Counts what was processed at a URL, in place of the spy.
        one_thread: Why requests cannot be sent at once; empty if they can.
        is_aside: Whether the check only runs because others presuppose it.
        secret_variable: The environment variable that holds the secret, for texts; None if there is none.
    """

    meetgeek: MeetGeek
    receiver: Receiver
    spy: Spy = field(default_factory=Spy)
    memory: Memory = field(default_factory=Memory)
    apart: StartedApart | None = None
    strict: bool = False
    command: Counter | None = None
    secret_variable: str | None = None
    one_thread: str = ""
    is_aside: bool = False
    slowest: float = field(default=0.0, init=False)
    unproven: bool = field(default=False, init=False)
    usual_success: int = field(default=ACKNOWLEDGED, init=False)
    counter: Counter = field(init=False)

    def __post_init__(self) -> None:
        self.counter = self.command or SpyCounter(self.spy)

    def aside(self, check_id: str) -> CheckContext:
        """Make a context for another check that has to run first; its meetings are others.

        Args:
            check_id: The other check.
        """
        return replace(self, meetgeek=self.meetgeek.derive(check_id), is_aside=True)

    def send(self, request: WebhookRequest) -> Response:
        """Send one request, and note what its response says.

        Args:
            request: What to send.
        """
        if self.memory.timed_out and not self.memory.accepted:
            # Each further request would wait as long.
            raise CheckSkipped("blocked by ack.status: the receiver does not respond", blocked_by="ack.status")
        return self.note(request, self.receiver.send(request))

    def note(self, request: WebhookRequest, response: Response) -> Response:
        """Note what a response says about the receiver.

        Args:
            request: What was sent.
            response: What came back.
        """
        genuine = request.expected == ACKNOWLEDGED
        # Any 2xx: a receiver may send 202 for a success and 200 for a failure.
        if genuine and response.status in SUCCESSES:
            self.memory.accepted = True
            self.memory.pending += 1
            self.slowest = max(self.slowest, response.seconds)
        if genuine and isinstance(response.error, TimeoutError):
            self.memory.timed_out = True
        if self.spy.count:
            self.memory.handler_seen = True
        self.counter.forget()
        return response

    @property
    def counts(self) -> bool:
        """Whether what the receiver processes is counted, as far as is known."""
        return self.counter.given or self.memory.handler_seen

    def processed(self) -> int:
        """Read how many events were processed so far; 0 if nothing counts them."""
        return self.counter.read()

    def processed_before(self) -> int:
        """Read how many events were processed, once those that were sent are: a receiver may do so after its response.

        Some are never counted, such as duplicates, so the wait is twice as long as the longest one so far at most.
        """
        memory = self.memory
        deadline = time.monotonic() + 2 * memory.delay
        while memory.delay and self.processed() < memory.settled + memory.pending and time.monotonic() < deadline:
            self.receiver.pause(self.counter.pauses[1])
            self.counter.forget()
        memory.settled, memory.pending = self.processed(), 0
        return memory.settled

    def is_accepted(self, response: Response) -> bool:
        """Tell whether a genuine delivery was accepted: by 200, or as this receiver always does.

        A receiver that always sends 202 is the finding of `ack.status`, and of no other check.

        Args:
            response: What came back.
        """
        return response.status in {ACKNOWLEDGED, self.usual_success}

    def require_accepted(
        self, request: WebhookRequest, required: str = "HTTP 200", *, crashed: str = "", refused: str = ""
    ) -> Response:
        """Send a genuine request; it must be accepted.

        Args:
            request: What to send.
            required: How the requirement reads.
            crashed: What a server error probably means.
            refused: What a status of the 4xx class probably means.
        """
        response = self.send(request)
        if not self.is_accepted(response):
            raise CheckFailure(request, required, response, _cause(response, crashed, refused))
        return response

    def require_working(self) -> Response:
        """Make sure that the receiver accepts genuine deliveries at all: without that, most checks say nothing.

        A receiver that never accepted any is `ack.status`'s finding. One that did, and no longer does, is this check's.
        """
        request = self.meetgeek.analyzed()
        response = self.send(request)
        if response.status in SUCCESSES:
            self.usual_success = response.status
            return response
        if self.memory.accepted:
            raise CheckFailure(request, "HTTP 200, as to earlier deliveries", response, blocks=None)
        raise CheckSkipped("blocked by ack.status: no signed delivery was accepted", blocked_by="ack.status")

    def require_handler(self) -> None:
        """Make sure that a genuine delivery is seen to be processed."""
        if not self.sees_handler():
            if self.counts:
                raise CheckSkipped(
                    "blocked by rep.processed: no genuine delivery was processed", blocked_by="rep.processed"
                )
            raise CheckSkipped(NO_HANDLER)

    def sees_handler(self) -> bool:
        """Find out whether a genuine delivery is seen to be processed."""
        before = self.processed_before()
        self.require_working()
        return self.memory.handler_seen or self.wait_processed(before + 1)

    def wait_processed(self, count: int) -> bool:
        """Wait for what a receiver may do after its response: at most a second, not at all with nothing to count.

        Args:
            count: How many events must have been processed by then.
        """
        pauses = self.counter.pauses if self.counts and not self.memory.handler_silent else self.counter.pauses[:1]
        begun = time.monotonic()
        for seconds in pauses:
            if seconds:
                self.receiver.pause(seconds)
                self.counter.forget()
            if self.processed() >= count:
                self.memory.handler_seen = True
                if seconds:
                    self.memory.delay = max(self.memory.delay, time.monotonic() - begun)
                return True
        self.memory.handler_silent = self.counts and not self.memory.handler_seen
        return False

    def is_unprocessed(self, before: int) -> bool:
        """Tell whether it is proven that nothing was processed since.

        Args:
            before: What was counted before.
        """
        self.receiver.pause(AFTERMATH)
        return self.memory.handler_seen and self.processed() == before

    def require_refused(self, request: WebhookRequest, *, accepted: str = "", crashed: str = "") -> Response:
        """Send a forgery; it must be refused as this receiver refuses, and not processed.

        Whether the usual refusal is the right one is up to `rej.status`: one fault, one finding.

        Args:
            request: The forgery.
            accepted: Why this matters if it was accepted.
            crashed: Why this matters if the receiver crashed.
        """
        before = self.processed_before()
        response = self.send(request)
        forgery = FORGERIES.get(request.label)
        refused = response.status == request.expected or (forgery is not None and forgery.refused_by(response.status))
        if not (refused or self._is_usual_refusal(request, response, before)):
            required = "a 4xx status" if forgery and forgery.any_client_error else "HTTP 401"
            raise CheckFailure(request, required, response, why=_reason(response, accepted, crashed))
        self.require_unprocessed(request, response, before)
        return response

    def _is_usual_refusal(self, request: WebhookRequest, response: Response, before: int) -> bool:
        """Tell whether this is how the receiver responds to any forgery.

        A success counts as a refusal only if it is proven that nothing was processed.
        """
        if response.status in SUCCESSES and not self.is_unprocessed(before):
            return False
        usual = response if request.label == _USUAL else self.send(self.meetgeek.forged(_USUAL))
        self.require_response(usual)
        return usual.status == response.status

    def require_response(self, response: Response) -> None:
        """Make sure that the receiver is there, if nothing came back: one that hangs up on forgeries alone is.

        Args:
            response: What came back.
        """
        if response.status == NO_RESPONSE or isinstance(response.error, TimeoutError):
            self.require_working()

    def require_unprocessed(self, request: WebhookRequest, response: Response, before: int) -> None:
        """Make sure that nothing was processed; if nothing counts that, note that it was not proven.

        Args:
            request: What was sent.
            response: What came back.
            before: What was counted before.
        """
        if self.processed() > before:
            raise CheckFailure(request, "nothing processed", response, "the handler ran")
        self.unproven = self.unproven or not self.counts

    def require_no_crash(self, request: WebhookRequest, *, crashed: str = "") -> Response:
        """Send a request that may get any response but a server error.

        Args:
            request: What to send.
            crashed: Why a server error matters here.
        """
        before = self.processed_before()
        response = self.send(request)
        self.require_response(response)
        # 501 is no crash: http.server sends it for a method that it has no handler for (RFC 9110, 15.6.2).
        failed = response.status == NO_RESPONSE or (
            response.status >= SERVER_ERROR and response.status != _NOT_IMPLEMENTED
        )
        forged = request.expected != ACKNOWLEDGED
        if failed and not (forged and self._is_usual_refusal(request, response, before)):
            raise CheckFailure(request, "no server error", response, why=crashed)
        return response

    def skip(self, reason: str) -> NoReturn:
        """Skip the check.

        Args:
            reason: Why.
        """
        raise CheckSkipped(reason)


def _cause(response: Response, crashed: str, refused: str) -> str:
    """Choose what the response probably means, by what came back."""
    if isinstance(response.error, TimeoutError):
        return str(response.error)
    return crashed if response.status >= SERVER_ERROR else refused if response.status else ""


def _reason(response: Response, accepted: str, crashed: str) -> str:
    """Choose why a forgery that was not refused matters, by what came back."""
    if response.status in SUCCESSES:
        return accepted
    if response.status >= SERVER_ERROR or response.status == NO_RESPONSE:
        return crashed or "the check fails with an error instead of refusing: anyone can fill the error log"
    return "this forgery is refused in another way than the others: an attacker can tell them apart"
