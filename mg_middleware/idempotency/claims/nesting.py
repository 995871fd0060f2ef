"""Guards nested around one application by mistake: they are handling one delivery, so they share one claim."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from contextvars import Token

    from mg_middleware.idempotency.decision import HeldClaim, Layer

# A mark in the scope or the environ does not survive an adapter between WSGI and ASGI; a context does.
_current: ContextVar[HeldClaim | None] = ContextVar("mg_middleware_claim", default=None)

current_claim: Callable[[], HeldClaim | None] = _current.get
# Makes a claim known to the layers inside. It is forgotten when it has ended.
enter: Callable[[HeldClaim | None], Token[HeldClaim | None]] = _current.set


def outer_claim(claim: HeldClaim, key: str, layer: Layer) -> HeldClaim | None:
    """Return a claim if it is live, and a layer outside this one holds it for the same delivery.

    Args:
        claim: the claim that was made last.
        key: the delivery's key.
        layer: the layer that asks. A layer never nests in itself: what it sees twice is another delivery, sent by the
            handler.
    """
    if claim.ended or claim.key != key:
        return None
    outer: HeldClaim | None = claim
    while outer is not None:
        if outer.layer is layer or layer in outer.sharing:
            return None
        outer = outer.outer
    claim.sharing = (*claim.sharing, layer)
    return claim


def is_held_at(claim: HeldClaim, place: Hashable) -> bool:
    """Return whether the delivery's claim, or one further out, is kept at a place."""
    held: HeldClaim | None = claim
    while held is not None:
        if held.layer.place == place:
            return True
        held = held.outer
    return False
