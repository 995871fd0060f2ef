"""The store for many machines: keys on a Redis or Valkey server."""

from __future__ import annotations

from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress
from mg_middleware.idempotency.stores.options import DAY, MINUTE, seconds, seconds_or_forever, text

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import redis
    import redis.asyncio

    from mg_middleware.idempotency.store import Claim, Execution

# Seconds. They bound how long a dead server holds up a delivery, which is then processed without the store.
_CONNECT_TIMEOUT = 1.0
_ANSWER_TIMEOUT = 2.0

# A claim's value is its token (hexadecimal digits), a complete key's is "complete". Redis runs a script as one step.
# The scripts answer in numbers, which a client hands over alike whether it decodes text or not.

# Answers the milliseconds that are left of another's claim, or -1: claimed, -2: complete. A client repeats a command
# whose answer was lost, so that the key may be held with the very token.
_CLAIM = """
if redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then return -1 end
local holder = redis.call("GET", KEYS[1])
if holder == ARGV[1] then return -1 end
if holder == "complete" then return -2 end
return math.max(0, redis.call("PTTL", KEYS[1]))
"""
# The time of remembrance is 0 for: for ever.
_COMPLETE = """
local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == "0" then redis.call("SET", KEYS[1], "complete") return 1 end
redis.call("SET", KEYS[1], "complete", "PX", ARGV[2])
return 1
"""
_RELEASE = """
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return 0
"""
_CLAIMED, _IS_COMPLETE = -1, -2


class RedisStore:
    """Remembers processed deliveries on a Redis or Valkey server, for many machines.

    Not for one machine alone: `SQLiteStore` needs no server. Not for a server that evicts keys when its memory is full
    (`maxmemory-policy` other than `noeviction`): an evicted key is processed again.

    Needs redis-py: `pip install "mg-middleware[redis]"`.

    Args:
        server: the server's URL (`redis://`, `rediss://` for TLS, `unix://`), or a client: `redis.Redis` for ASGI and
            WSGI, `redis.asyncio.Redis` for ASGI under asyncio only. For a URL, a pool of connections is made that waits
            1 second for a connection and 2 seconds for an answer; a client keeps its own time-outs, which should be
            short.
        ttl: for how many seconds a processed delivery is remembered; `None`: for ever.
        lease: after how many seconds a claim lapses that its holder never ends. Longer than the slowest handler.
        prefix: what the names of the keys on the server begin with.

    Raises:
        ConfigurationError: an option is out of its range, or the URL is not one of a Redis server.
        ImportError: redis-py is not installed.
        TypeError: an option is of another type.
    """

    def __init__(
        self,
        server: str | redis.Redis | redis.asyncio.Redis,
        *,
        ttl: float | None = DAY,
        lease: float = MINUTE,
        prefix: str = "mg-middleware:",
    ) -> None:
        try:
            import redis  # noqa: PLC0415 - an extra, which only users of this store need
            import redis.asyncio  # noqa: PLC0415
        except ImportError as error:
            raise ImportError('RedisStore needs redis-py: pip install "mg-middleware[redis]"') from error
        client: Any = _client_of(server) if isinstance(server, str) else server
        if not isinstance(client, redis.Redis | redis.asyncio.Redis):
            raise TypeError(
                f"RedisStore takes a URL, a redis.Redis or a redis.asyncio.Redis, not {type(client).__name__}"
            )
        time_to_live = seconds_or_forever("ttl", ttl)
        self._ttl = 0 if time_to_live == inf else _milliseconds(time_to_live)
        self._lease = _milliseconds(seconds("lease", lease))
        self._prefix = text("prefix", prefix)
        self.execution: Execution = "asynchronous" if isinstance(client, redis.asyncio.Redis) else "blocking"
        # Typed loosely: with a redis.asyncio client, the scripts return awaitables.
        self._claim: Any = client.register_script(_CLAIM)
        self._complete: Any = client.register_script(_COMPLETE)
        self._release: Any = client.register_script(_RELEASE)

    def claim(self, key: str) -> Claim | Awaitable[Claim]:
        """Take the key; see `IdempotencyStore.claim`.

        Args:
            key: the opaque name of one meeting's delivery.

        Returns:
            The answer; with a `redis.asyncio` client, an awaitable of it.

        Raises:
            redis.RedisError: the server cannot be reached, or refuses.
        """
        token = token_hex(16)
        answer = self._claim(keys=[self._prefix + key], args=[token, self._lease])
        return _claim_later(answer, token) if self.execution == "asynchronous" else _claim_of(answer, token)

    def complete(self, key: str, token: str) -> Awaitable[None] | None:
        """Remember the key as processed; see `IdempotencyStore.complete`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Nothing of meaning; with a `redis.asyncio` client, an awaitable.

        Raises:
            redis.RedisError: the server cannot be reached, or refuses.
        """
        return self._complete(keys=[self._prefix + key], args=[token, self._ttl])  # type: ignore[no-any-return]

    def release(self, key: str, token: str) -> Awaitable[None] | None:
        """Forget the claim; see `IdempotencyStore.release`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Nothing of meaning; with a `redis.asyncio` client, an awaitable.

        Raises:
            redis.RedisError: the server cannot be reached, or refuses.
        """
        return self._release(keys=[self._prefix + key], args=[token])  # type: ignore[no-any-return]


def _client_of(url: str) -> redis.Redis:
    import redis.backoff  # noqa: PLC0415
    import redis.retry  # noqa: PLC0415

    try:
        client = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - it does not type what it hands on
            url,
            socket_connect_timeout=_CONNECT_TIMEOUT,
            socket_timeout=_ANSWER_TIMEOUT,
            # Once more at once, since a pooled connection may have been closed meanwhile. Not after a time-out, since
            # the sender is waiting.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            retry_on_error=[redis.ConnectionError],  # redis-py 5 goes by this as well
        )
        # A connection that is not opened: it checks the options in the URL, which otherwise fail at each step.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError):
        # Nothing of the URL is shown, not even as the cause: it may hold a password.
        raise ConfigurationError("RedisStore's URL must be a valid redis://, rediss:// or unix:// URL") from None
    return client


def _milliseconds(duration: float) -> int:
    return max(1, round(duration * 1000))


def _claim_of(answer: int, token: str) -> Claim:
    if answer == _CLAIMED:
        return Claimed(token)
    if answer == _IS_COMPLETE:
        return AlreadyComplete()
    return InProgress(answer / 1000)


async def _claim_later(answer: Awaitable[int], token: str) -> Claim:
    return _claim_of(await answer, token)
