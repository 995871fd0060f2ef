"""The decisions of "once per meeting", without I/O: what follows from a claim, and how a claim ends."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from mg_middleware._refusals import Refusal
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress
from mg_middleware.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mg_middleware.idempotency.store import Claim

Ending: TypeAlias = Literal["complete", "release"]

_CLAIMS = (Claimed, AlreadyComplete, InProgress)

_DUPLICATE = Refusal(Outcome.DUPLICATE, HTTPStatus.OK, "")


def checked(claim: object) -> Claim:
    """Return what a store's `claim` returned.

    Args:
        claim: what it returned.

    Raises:
        TypeError: it is not a `Claim`.
    """
    if isinstance(claim, InProgress) and not is_finite(claim.seconds_left):
        raise TypeError("InProgress of a store must have a finite number of seconds_left")
    if isinstance(claim, _CLAIMS):
        return claim
    raise TypeError(
        f"claim() of a store must return a Claim, not {type(claim).__name__}; a store whose plain methods return "
        'awaitables has the attribute execution = "asynchronous"'
    )


def is_finite(value: object) -> bool:
    """Say whether a value is a number that a response can name."""
    return isinstance(value, int | float) and isfinite(value)


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


class Layer(Protocol):
    """A guard's own part in "once per meeting": what claims a delivery with the guard's store."""

    @property
    def place(self) -> Hashable:
        """Where the claims are kept; see `StoreFacts`."""
        ...


class HeldClaim:
    """The claim of one delivery while the application handles it.

    Args:
        layer: the layer that claimed.
        key: the key that was claimed.
        token: the claim's token.
        outer: the claim of a layer outside, for the same delivery at another place.

    Attributes:
        ended: whether the claim has ended.
        sharing: the layers inside that share the claim.
        due: when the claim is renewed next.
        last: when it isn't renewed any more.
        renewal: whatever else the renewing needs to know.
    """

    # In the class, since setting them in each instance takes time and most are never set.
    ended: bool = False
    sharing: tuple[Layer, ...] = ()
    due: float = 0.0
    last: float = 0.0
    renewal: Any = None

    def __init__(self, layer: Layer, key: str, token: str, outer: HeldClaim | None = None) -> None:
        self.layer = layer
        self.key = key
        self.token = token
        self.outer = outer
