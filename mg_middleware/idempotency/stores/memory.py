"""The store for one process: keys in memory."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

from mg_middleware.idempotency.forking import call_in_forked_child
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress, StoreError
from mg_middleware.idempotency.stores.options import DAY, LEASE, MAX_LEASE, entries, seconds, seconds_or_forever

if TYPE_CHECKING:
    from mg_middleware.idempotency.store import Claim, Execution


_stores: WeakSet[MemoryStore] = WeakSet()


class MemoryStore:
    """Remembers processed deliveries in the memory of one process, and may be shared by its threads.

    Not for a server with several worker processes, since each would have a memory of its own. A restart forgets
    everything. `SQLiteStore` works for all processes of a machine, `RedisStore` for many machines.

    Args:
        max_entries: how many keys it holds at most, including expired ones that haven't been looked up since. A new key
            replaces the oldest complete one, never a live claim. If it holds nothing but live claims, `claim` raises
            `StoreError`, and the event is processed. An entry takes about 310 bytes.
        ttl: for how many seconds a processed delivery is remembered; `None` means until `max_entries` pushes it out.
        lease: how many seconds a claim lives. It is renewed while the handler runs; if its process dies, it expires.
        max_lease: for how many seconds a claim is renewed at most.

    Raises:
        ConfigurationError: an option is out of its range.
        TypeError: an option is of another type.
    """

    execution: Execution = "instant"

    def __init__(
        self,
        *,
        max_entries: int = 100_000,
        ttl: float | None = DAY,
        lease: float = LEASE,
        max_lease: float = MAX_LEASE,
    ) -> None:
        self._max_entries = entries("max_entries", max_entries)
        self._ttl = seconds_or_forever("ttl", ttl)
        self.lease: float = seconds("lease", lease)
        self.max_lease: float = seconds("max_lease", max_lease)
        self._lock = Lock()
        self._tokens = count()
        # key -> the token of its claim, or None once it is complete; and when it expires. What changed last is at the
        # end. An OrderedDict gives up its first entry in constant time, while a dict scans the holes that earlier
        # removals left.
        self._entries: OrderedDict[str, tuple[str | None, float]] = OrderedDict()
        _stores.add(self)

    def claim(self, key: str) -> Claim:
        """Take the key; see `IdempotencyStore.claim`.

        Args:
            key: the opaque name of one meeting's delivery.

        Returns:
            The state of the key.

        Raises:
            StoreError: all entries are live claims.
        """
        entries = self._entries
        with self._lock:
            now = monotonic()
            held = entries.get(key)
            if held is None:
                if len(entries) >= self._max_entries:
                    self._make_room(now)
            elif now < held[1]:
                return AlreadyComplete() if held[0] is None else InProgress(held[1] - now)
            token = str(next(self._tokens))
            entries[key] = token, now + self.lease
            return Claimed(token)

    def complete(self, key: str, token: str) -> None:
        """Remember the key as processed; see `IdempotencyStore.complete`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Raises:
            StoreError: the claim had expired and was pushed out, and all entries are live claims.
        """
        entries = self._entries
        with self._lock:
            now = monotonic()
            held = entries.get(key)
            if held is None:  # its claim expired and was pushed out
                if len(entries) >= self._max_entries:
                    self._make_room(now)
            elif held[0] != token and now < held[1]:
                return  # another delivery has claimed it; or completed it, and then it keeps its expiry
            entries[key] = None, now + self._ttl
            entries.move_to_end(key)

    def release(self, key: str, token: str) -> None:
        """Forget the claim; see `IdempotencyStore.release`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.
        """
        with self._lock:
            held = self._entries.get(key)
            if held is not None and held[0] == token:
                del self._entries[key]

    def renew(self, key: str, token: str) -> bool:
        """Give the claim another lease; see `IdempotencyStore.renew`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Whether `token` still holds the key.
        """
        with self._lock:
            held = self._entries.get(key)
            if held is None or held[0] != token:
                return False
            self._entries[key] = token, monotonic() + self.lease
            self._entries.move_to_end(key)
            return True

    def close(self) -> None:
        """Do nothing. The method exists because the other stores have it."""

    def forget_lock(self) -> None:
        """Take a new lock, in a forked process: a thread of the parent may have held the old one."""
        self._lock = Lock()

    def __len__(self) -> int:
        """How many keys are held, claimed and complete ones together."""
        return len(self._entries)

    def _make_room(self, now: float) -> None:
        """Forget the oldest entry that isn't a live claim. Few live claims are old, since renewing makes them young."""
        for key, (token, until) in self._entries.items():
            if token is None or until <= now:
                del self._entries[key]
                return
        raise StoreError(f"all {self._max_entries} entries of the MemoryStore are live claims")


def _forget_all_locks() -> None:
    for store in _stores:
        store.forget_lock()


call_in_forked_child(_forget_all_locks)
