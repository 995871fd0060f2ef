"""Once per meeting: what a store is. The stores, and what the adapters do with one, stand in modules of their own."""

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
