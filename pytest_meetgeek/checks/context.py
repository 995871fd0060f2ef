"""What a check works with: it sends requests, and states what their responses must be."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from pytest_meetgeek.checks.result import CheckFailure, CheckSkipped
from pytest_meetgeek.forgeries import FORGERIES
from pytest_meetgeek.response import ACKNOWLEDGED, Response
from pytest_meetgeek.spy import Spy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_meetgeek.checks.unset_secret import UnsetSecret
    from pytest_meetgeek.meetgeek import MeetGeek
    from pytest_meetgeek.receiver import Receiver
    from pytest_meetgeek.request import WebhookRequest

NO_RESPONSE = 0
NO_HANDLER = "no handler to count: give --meetgeek-handler=module:function"
# Long enough for what an app does right after its response, in seconds.
AFTERMATH = 0.02

_USUAL = "wrong-secret"
_PATIENCE = 1.0
_POLL = 0.01
_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501
_REFUSALS = range(300, 500)
_SUCCESSES = range(200, 300)


@dataclass
class Memory:
    """What one suite has learned about its receiver, over all checks in this process.

    Args:
        accepted: A genuine delivery once got a 200.
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
class CheckContext:
    """What one check works with.

    Args:
        meetgeek: Makes the requests.
        receiver: Gets them.
        spy: Counts what was processed.
        memory: What earlier checks learned.
        unset_secret: Starts the app without its secret, where that is possible.
        strict: Whether checks of level SHOULD fail.
    """

    meetgeek: MeetGeek
    receiver: Receiver
    spy: Spy = field(default_factory=Spy)
    memory: Memory = field(default_factory=Memory)
    unset_secret: UnsetSecret | None = None
    strict: bool = False
    slowest: float = field(default=0.0, init=False)
    unproven: bool = field(default=False, init=False)

    def send(self, request: WebhookRequest) -> Response:
        """Send one request, and note what its response says.

        Args:
            request: What to send.
        """
        if self.memory.timed_out and not self.memory.accepted:
            # Each further request would wait as long.
            raise CheckSkipped("blocked by ack.status: the receiver does not respond")
        return self.note(request, self.receiver.send(request))

    def note(self, request: WebhookRequest, response: Response) -> Response:
        """Note what a response says about the receiver.

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
        """Send a genuine request; anything but 200 is a failure.

        Args:
            request: What to send.
            required: How the requirement reads.
        """
        response = self.send(request)
        if response.status != ACKNOWLEDGED:
            raise CheckFailure(request, required, response)
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
            raise CheckFailure(request, "HTTP 200, as to earlier deliveries", response)
        raise CheckSkipped("blocked by ack.status: no signed delivery was accepted")

    def require_handler(self) -> None:
        """Make sure that a genuine delivery reaches a handler that the spy sees."""
        self.require_working()
        if self.settled(lambda: self.spy.count > 0):
            self.memory.handler_seen = True
        else:
            raise CheckSkipped("blocked by rep.processed: the handler never ran" if self.counts else NO_HANDLER)

    def settled(self, condition: Callable[[], bool]) -> bool:
        """Wait for what a receiver may do after its response: at most a second, not at all with nothing to count.

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
        forgery = FORGERIES.get(request.label)
        refused = response.status == request.expected or (forgery is not None and forgery.refused_by(response.status))
        if not (refused or self._is_usual_refusal(request, response)):
            raise CheckFailure(
                request, "a 4xx status" if forgery and forgery.any_client_error else "HTTP 401", response
            )
        self.require_unprocessed(request, response, before)
        return response

    def _is_usual_refusal(self, request: WebhookRequest, response: Response) -> bool:
        """Tell whether this is how the receiver responds to any forgery.

        With a status that refuses nothing (200, 500, none at all), `wrong-secret` alone is a finding beside
        `rej.status`; and 200 only counts as a refusal where it is seen that nothing was processed.
        """
        before = self.spy.count
        usual = self.send(self.meetgeek.forged(_USUAL))
        self.require_response(usual)
        if usual.status != response.status or (request.label == _USUAL and usual.status not in _REFUSALS):
            return False
        if usual.status in _SUCCESSES:
            self.receiver.pause(AFTERMATH)
            return self.counts and self.spy.count == before
        return True

    def require_response(self, response: Response) -> None:
        """Make sure that the receiver is there, if this is no response: one that hangs up on forgeries alone is.

        Args:
            response: What came back.
        """
        if response.status == NO_RESPONSE or isinstance(response.error, TimeoutError):
            self.require_working()

    def require_unprocessed(self, request: WebhookRequest, response: Response, before: int) -> None:
        """Make sure that the handler did not run; where no handler can be counted, note that it was not proven.

        Args:
            request: What was sent.
            response: What came back.
            before: The spy's count before.
        """
        if self.spy.count > before:
            raise CheckFailure(request, "nothing processed", response, "the handler ran")
        self.unproven = self.unproven or not self.counts

    def require_no_crash(self, request: WebhookRequest) -> Response:
        """Send a request that may get any response but a server error.

        Args:
            request: What to send.
        """
        response = self.send(request)
        self.require_response(response)
        # 501 is no crash: http.server sends it for a method that it has no handler for (RFC 9110, 15.6.2).
        crashed = response.status == NO_RESPONSE or (
            response.status >= _SERVER_ERROR and response.status != _NOT_IMPLEMENTED
        )
        forged = request.expected != ACKNOWLEDGED
        if crashed and not (forged and self._is_usual_refusal(request, response)):
            raise CheckFailure(request, "no server error", response)
        return response

    def skip(self, reason: str) -> NoReturn:
        """Give the check up.

        Args:
            reason: Why.
        """
        raise CheckSkipped(reason)
