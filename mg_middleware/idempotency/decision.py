"""The decisions of "once per meeting", without I/O: what follows from a claim, and how a claim ends."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mg_middleware._refusals import Refusal
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress
from mg_middleware.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mg_middleware.idempotency.store import Claim

Ending: TypeAlias = Literal["complete", "release"]

_DUPLICATE = Refusal(Outcome.DUPLICATE, HTTPStatus.OK, "")


def checked(claim: object) -> Claim:
    """Return what a store's `claim` returned.

    Args:
        claim: what it returned.

    Raises:
        TypeError: it is not a `Claim`.
    """
    if isinstance(claim, Claimed | AlreadyComplete | InProgress):
        return claim
    raise TypeError(
        f"claim() of a store must return a Claim, not {type(claim).__name__}; a store whose plain methods return "
        'awaitables has the attribute execution = "asynchronous"'
    )


def refusal_of(claim: InProgress | AlreadyComplete) -> Refusal:
    """Return the response to a delivery that the application is not to see.

    Args:
        claim: why it is not.
    """
    if isinstance(claim, AlreadyComplete):
        return _DUPLICATE
    # Whole seconds (RFC 9110, section 10.2.3), and never 0: the sender is not to be back at once.
    seconds = str(max(1, ceil(claim.seconds_left)))
    text = "This meeting is being processed.\n"
    return Refusal(Outcome.IN_PROGRESS, HTTPStatus.CONFLICT, text, ("Retry-After", seconds))


class HeldClaim:
    """The claim of one delivery while the application handles it.

    Args:
        key: the key that was claimed.
        token: the claim's token.
        place: where the claim is kept; see `StoreFacts`.
        guard: the layer that claimed.
        outer: the claim of a layer outside, for the same delivery at another place.

    Attributes:
        ended: whether the claim has ended.
        renewal: whatever the renewing needs to know.
    """

    __slots__ = ("ended", "guards", "key", "outer", "place", "renewal", "token")

    def __init__(self, key: str, token: str, place: Hashable, guard: object, outer: HeldClaim | None = None) -> None:
        self.key: str = key
        self.token: str = token
        self.place: Hashable = place
        self.guards: list[object] = [guard]
        self.outer: HeldClaim | None = outer
        self.ended: bool = False
        self.renewal: Any = None

    def finish(self, *, successful: bool) -> Ending | None:
        """Return the step that ends the claim, the first time; afterwards `None`.

        Args:
            successful: whether the application's response was 2xx, and whole.
        """
        if self.ended:
            return None
        self.ended = True
        return "complete" if successful else "release"
