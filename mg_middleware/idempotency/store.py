"""What an idempotency store is: three steps, and the three answers to a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable

Execution: TypeAlias = Literal["instant", "blocking", "asynchronous"]


class StoreError(Exception):
    """A store cannot do its step: it is full of live claims, or what it kept is gone.

    Not for a key that another delivery holds: that is an answer. A store may raise anything else as well: whatever it
    raises is logged at ERROR, and the event is processed.
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
        seconds_left: after how many seconds that claim lapses, at the latest.
    """

    seconds_left: float


class AlreadyComplete(NamedTuple):
    """A delivery with this key was processed, and is still remembered."""


Claim: TypeAlias = Claimed | InProgress | AlreadyComplete


class IdempotencyStore(Protocol):
    """Remembers which deliveries were processed: implement these three steps to keep them in a database of your own.

    Not for anything but remembering: a store sees opaque keys (64 hexadecimal digits), never a body or a secret.

    Each step must be atomic, also against other processes where the store serves several. The methods may be plain or
    coroutine functions. Under ASGI, plain ones are called in a thread of their own, so that they may block; a store
    whose plain methods never wait says so with an attribute `execution = "instant"` and is called directly. A store
    that has a coroutine function serves ASGI only, and is called on the event loop; where plain methods return
    awaitables, it says `execution = "asynchronous"`. A store needs short time-outs: while it waits, the sender does.

    Whatever a step raises is logged at ERROR on the logger `mg_middleware`, text included, and the event is processed.
    """

    def claim(self, key: str) -> Claim | Awaitable[Claim]:
        """Take the key, unless it is complete or another live claim holds it.

        Args:
            key: the opaque name of one meeting's delivery.

        Returns:
            `Claimed` where the key was unknown, or its claim or its time of remembrance has run out; `AlreadyComplete`;
            or `InProgress`.
        """
        ...

    def complete(self, key: str, token: str) -> Awaitable[None] | None:
        """Remember the key as processed, unless another live claim holds it.

        A holder whose own claim has lapsed meanwhile may still complete the key as long as nobody has taken it: its
        delivery was processed.

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
