"""Guards nested around one application by mistake: they are handling one delivery, so they share one claim."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mg_middleware.idempotency.decision import HeldClaim

# A mark in the scope or the environ does not survive an adapter between WSGI and ASGI; a context does.
_current: ContextVar[HeldClaim | None] = ContextVar("mg_middleware_claim", default=None)


def enter(claim: HeldClaim) -> None:
    """Make a claim known to the layers inside. It is forgotten when it has ended."""
    _current.set(claim)


def outer_claim(key: str, guard: object) -> HeldClaim | None:
    """Return the live claim that a layer outside this one holds for the delivery.

    Args:
        key: the delivery's key.
        guard: the layer that asks. A layer never nests in itself: what it sees twice is another delivery, sent by the
            handler.
    """
    claim = _current.get()
    if claim is None or claim.ended or claim.key != key:
        return None
    layer: HeldClaim | None = claim
    while layer is not None:
        if guard in layer.guards:
            return None
        layer = layer.outer
    claim.guards.append(guard)
    return claim


def is_held_at(claim: HeldClaim, place: Hashable) -> bool:
    """Return whether the delivery's claim, or one further out, is kept at a place."""
    layer: HeldClaim | None = claim
    while layer is not None:
        if layer.place == place:
            return True
        layer = layer.outer
    return False
