"""The decisions of "once per meeting", without I/O: what is remembered, who is answered, and how a claim ends."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Literal, TypeAlias

from mg_middleware._refusals import Refusal
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress
from mg_middleware.verdict import Outcome

if TYPE_CHECKING:
    from mg_middleware.idempotency.store import Claim

Ending: TypeAlias = Literal["complete", "release"]

_DUPLICATE = Refusal(Outcome.DUPLICATE, HTTPStatus.OK, "")


def decide(claim: Claim) -> Refusal | ClaimedDelivery:
    """Tell what follows from a store's answer: the application runs, or the sender is answered.

    Args:
        claim: the store's answer.

    Returns:
        The answer to the sender, or the claim that the end of the application's run is to end.

    Raises:
        TypeError: the store answered something else.
    """
    if isinstance(claim, Claimed):
        return ClaimedDelivery(claim.token)
    if isinstance(claim, AlreadyComplete):
        return _DUPLICATE
    if isinstance(claim, InProgress):
        # Whole seconds (RFC 9110, section 10.2.3), and never 0: the sender is not to be back at once.
        seconds = str(max(1, ceil(claim.seconds_left)))
        return Refusal(
            Outcome.IN_PROGRESS,
            HTTPStatus.CONFLICT,
            "This meeting is being processed.\n",
            ("Retry-After", seconds),
        )
    raise TypeError(
        f"claim() of a store must return a Claim, not {type(claim).__name__}; a store whose plain methods return "
        'awaitables has the attribute execution = "asynchronous"'
    )


class ClaimedDelivery:
    """The claim of one delivery while the application answers it: tells the one step that ends it.

    Args:
        token: the claim's token.
    """

    __slots__ = ("_ended", "_succeeded", "token")

    def __init__(self, token: str) -> None:
        self.token: str = token
        self._succeeded = False
        self._ended = False

    def answer_started(self, *, successful: bool) -> None:
        """Note how the application's answer begins; the last time counts, since WSGI may replace it.

        Args:
            successful: whether its status is 2xx (RFC 9110, section 15.3).
        """
        self._succeeded = successful

    def end(self, *, answered: bool) -> Ending | None:
        """Tell how the claim ends, the first time; afterwards `None`, since it has ended.

        Args:
            answered: whether the application has finished its answer. If not, it failed, whatever status it began with.

        Returns:
            The step of the store to take.
        """
        if self._ended:
            return None
        self._ended = True
        return "complete" if answered and self._succeeded else "release"
