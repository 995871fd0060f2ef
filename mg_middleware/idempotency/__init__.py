"""Once per meeting: the protocol of a store. The stores and their use live in separate modules."""

from __future__ import annotations

from mg_middleware.idempotency.key import store_key
from mg_middleware.idempotency.store import (
    AlreadyComplete,
    Claim,
    Claimed,
    Execution,
    IdempotencyStore,
    InProgress,
    StoreError,
)

__all__ = [
    "AlreadyComplete",
    "Claim",
    "Claimed",
    "Execution",
    "IdempotencyStore",
    "InProgress",
    "StoreError",
    "store_key",
]
