"""What an idempotency store is: its steps, and the three results of a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable

Execution: TypeAlias = Literal["instant", "blocking", "asynchronous"]


class StoreError(Exception):
    """A store can't do what it was called for: it is full of live claims, or what it kept is gone.

    Not for a key that another delivery holds: that is `InProgress`. A store may raise anything else as well: whatever
    it raises is logged at ERROR, and the event is processed.
    """


class Claimed(NamedTuple):
    """The key was free and now belongs to the caller, who must complete or release it.

    Attributes:
        token: proves to `complete` and `release` that the caller is the claim's holder. It is opaque.
    """

    token: str


class InProgress(NamedTuple):
    """Another delivery holds the key.

    Attributes:
        seconds_left: after how many seconds that claim expires, if it isn't renewed.
    """

    seconds_left: float


class AlreadyComplete(NamedTuple):
    """A delivery with this key was processed, and is still remembered."""


Claim: TypeAlias = Claimed | InProgress | AlreadyComplete


class IdempotencyStore(Protocol):
    """Remembers which deliveries were processed: implement these three steps to keep them in a database of your own.

    A store isn't for anything else: it sees opaque keys (64 hexadecimal digits), never a body or a secret.

    Each step must be atomic, also against other processes if the store serves several. The methods may be plain or
    coroutine functions. Plain ones may block: they are called in threads that belong to the store. If the plain
    methods never wait, set the attribute `execution = "instant"`: the store is then called directly. A store that has a
    coroutine function serves ASGI only, and is called on the event loop; if plain methods return awaitables, set
    `execution = "asynchronous"`. A store needs short timeouts: while it waits, the sender does. A step that takes more
    than 10 seconds is abandoned, unless the store is instant.

    These members are optional:

    - `renew(key: str, token: str) -> bool` gives a claim another lease, and returns whether `token` still holds the
      key. It is called every third of the lease while the handler runs, from another thread (if asynchronous, on the
      event loop). It may come just after the claim was completed or released, which it must not undo. Without it a
      claim isn't renewed, so its life must be longer than the slowest handler.
    - `lease: float`, the life of a claim in seconds. A store with `renew` must have it.
    - `max_lease: float`, for how many seconds a claim is renewed at most; 3 600 without it.
    - `place: Hashable`, equal for two stores that keep the same keys. With it, guards nested by mistake share
      one claim.
    - `bounded = True` if every step returns within a few seconds whatever happens. A WSGI guard then calls it directly.

    Whatever a step raises is logged at ERROR on the logger `mg_middleware`, text included, and the event is processed.
    `mg_middleware.testing.check_store` tests a store of your own.
    """

    def claim(self, key: str) -> Claim | Awaitable[Claim]:
        """Take the key, unless it is complete or another live claim holds it.

        Args:
            key: the opaque name of one meeting's delivery.

        Returns:
            `Claimed` if the key was unknown, or its claim or its `ttl` has expired; `AlreadyComplete`;
            or `InProgress`.
        """
        ...

    def complete(self, key: str, token: str) -> Awaitable[None] | None:
        """Remember the key as processed, unless another live claim holds it.

        A holder whose own claim has expired meanwhile may still complete the key, unless another delivery has claimed
        it: its own delivery was processed.

        Args:
            key: the key that was claimed.
            token: the token of the claim.
        """
        ...

    def release(self, key: str, token: str) -> Awaitable[None] | None:
        """Forget the claim, so that the next delivery is processed; nothing happens unless `token` holds the key.

        Args:
            key: the key that was claimed.
            token: the token of the claim.
        """
        ...
