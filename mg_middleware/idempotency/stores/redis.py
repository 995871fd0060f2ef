"""The store for many machines: keys on a Redis or Valkey server."""

from __future__ import annotations

from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress
from mg_middleware.idempotency.stores.event_loop import OneEventLoop
from mg_middleware.idempotency.stores.options import DAY, LEASE, MAX_LEASE, seconds, seconds_or_forever, text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Hashable

    import redis
    import redis.asyncio

    from mg_middleware.idempotency.store import Claim, Execution

# Seconds. They bound how long a dead server holds up a delivery, which is then processed without the store.
_CONNECT_TIMEOUT = 1.0
_REPLY_TIMEOUT = 2.0

# A claim's value is its token: hexadecimal digits, a dot, and its lease in milliseconds. A complete key's value is
# "complete". Redis runs a script as one step. The scripts return numbers, which a client returns unchanged whether it
# decodes text or not.

# Returns the milliseconds that are left of another's claim, or -1: claimed, -2: complete. A client repeats a command
# whose reply was lost, so the key may be held with this very token. A claim with more time left than its lease is void:
# the server's clock was set back, so it would outlive its holder by as much.
_CLAIM = """
if redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then return -1 end
local holder = redis.call("GET", KEYS[1])
if holder == ARGV[1] then return -1 end
if holder == "complete" then return -2 end
local left = redis.call("PTTL", KEYS[1])
local lease = tonumber(string.match(holder, "%.(%d+)$"))
if lease and left > lease + 15000 then
    redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
    return -1
end
return math.max(0, left)
"""
# A lifetime of 0 means no expiry.
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
_RENEW = """
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("PEXPIRE", KEYS[1], ARGV[2])
"""
_CLAIMED, _IS_COMPLETE = -1, -2


class RedisStore:
    """Remembers processed deliveries on a Redis or Valkey server, for many machines.

    Not for one machine alone: `SQLiteStore` needs no server. Not for a server that evicts keys when its memory is full
    (`maxmemory-policy` other than `noeviction`): an evicted key is processed again.

    Needs redis-py: `pip install "mg-middleware[redis]"`.

    Args:
        server: the server's URL (`redis://`, `rediss://` for TLS, `unix://`), or a client: `redis.Redis` (also one of
            `Sentinel.master_for`) or `redis.RedisCluster` for ASGI and WSGI, or their counterparts of `redis.asyncio`
            for ASGI under asyncio only, and for one event loop only. For a URL, a pool of connections is made that
            waits 1 second for a connection and 2 seconds for a reply; a client keeps its own timeouts, which should be
            short.
        ttl: for how many seconds a processed delivery is remembered; `None` means no expiry.
        lease: how many seconds a claim lives. It is renewed while the handler runs; if its process dies, it expires.
        max_lease: for how many seconds a claim is renewed at most.
        prefix: what the names of the keys on the server begin with. Give each receiver its own.

    Raises:
        ConfigurationError: an option is out of its range, or the URL is not one of a Redis server.
        ImportError: redis-py is not installed.
        TypeError: an option is of another type.
    """

    def __init__(
        self,
        server: str | redis.Redis | redis.RedisCluster | redis.asyncio.Redis | redis.asyncio.RedisCluster,
        *,
        ttl: float | None = DAY,
        lease: float = LEASE,
        max_lease: float = MAX_LEASE,
        prefix: str = "mg-middleware:",
    ) -> None:
        try:
            import redis  # an extra, which only users of this store need
            import redis.asyncio
        except ImportError as error:
            raise ImportError('RedisStore needs redis-py: pip install "mg-middleware[redis]"') from error
        client: Any = _client_of(server) if isinstance(server, str) else server
        asynchronous = isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster)
        if not asynchronous and not isinstance(client, redis.Redis | redis.RedisCluster):
            raise TypeError(
                "RedisStore takes a URL, or a client: redis.Redis, redis.RedisCluster, or one of those of "
                f"redis.asyncio, not {type(client).__name__}"
            )
        time_to_live = seconds_or_forever("ttl", ttl)
        self._ttl = 0 if time_to_live == inf else _milliseconds(time_to_live)
        self.lease: float = seconds("lease", lease)
        self.max_lease: float = seconds("max_lease", max_lease)
        self._lease = _milliseconds(self.lease)
        self._prefix = text("prefix", prefix)
        self.execution: Execution = "asynchronous" if asynchronous else "blocking"
        self.place: Hashable = _place_of(client, prefix)
        self._client: Any = client
        self._is_ours = isinstance(server, str)
        self._loop = OneEventLoop("redis.asyncio client")
        self._response_error = redis.ResponseError
        self._claim = client.register_script(_CLAIM)
        self._complete = client.register_script(_COMPLETE)
        self._release = client.register_script(_RELEASE)
        self._renew = client.register_script(_RENEW)

    def claim(self, key: str) -> Claim | Awaitable[Claim]:
        """Take the key; see `IdempotencyStore.claim`.

        Args:
            key: the opaque name of one meeting's delivery.

        Returns:
            The result; with a `redis.asyncio` client, an awaitable of it.

        Raises:
            redis.RedisError: the server cannot be reached, or refuses.
        """
        token = f"{token_hex(16)}.{self._lease}"
        reply = self._run(self._claim, key, token, self._lease)
        return _claim_later(reply, token) if self.execution == "asynchronous" else _claim_of(reply, token)

    def complete(self, key: str, token: str) -> Awaitable[None] | None:
        """Remember the key as processed; see `IdempotencyStore.complete`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Nothing useful; with a `redis.asyncio` client, an awaitable.

        Raises:
            redis.RedisError: the server cannot be reached, or refuses.
        """
        return self._run(self._complete, key, token, self._ttl)  # type: ignore[no-any-return]

    def release(self, key: str, token: str) -> Awaitable[None] | None:
        """Forget the claim; see `IdempotencyStore.release`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Nothing useful; with a `redis.asyncio` client, an awaitable.

        Raises:
            redis.RedisError: the server cannot be reached, or refuses.
        """
        return self._run(self._release, key, token)  # type: ignore[no-any-return]

    def renew(self, key: str, token: str) -> bool | Awaitable[bool]:
        """Give the claim another lease; see `IdempotencyStore`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Whether `token` still holds the key; with a `redis.asyncio` client, an awaitable of it.

        Raises:
            redis.RedisError: the server cannot be reached, or refuses.
        """
        reply = self._run(self._renew, key, token, self._lease)
        return _renewed_later(reply) if self.execution == "asynchronous" else reply == 1

    def close(self) -> None:
        """Close the connections that were made for a URL. The next step opens them again. Your client stays open."""
        if self._is_ours:
            self._client.close()

    def _run(self, script: Any, key: str, *arguments: Any) -> Any:
        """Run a script, and once more on new connections if the server has become a replica.

        After a failover the same address may lead to another server, but the pool would keep its connections forever.
        """
        keys = [self._prefix + key]
        if self.execution == "asynchronous":
            return self._run_later(script, keys, arguments)
        try:
            return script(keys=keys, args=arguments)
        except self._response_error as error:
            if not _is_replica(error) or not hasattr(self._client, "connection_pool"):
                raise
        self._client.connection_pool.disconnect(inuse_connections=False)
        return script(keys=keys, args=arguments)

    async def _run_later(self, script: Any, keys: list[str], arguments: tuple[Any, ...]) -> Any:
        self._loop.check()
        try:
            return await script(keys=keys, args=arguments)
        except self._response_error as error:
            if not _is_replica(error) or not hasattr(self._client, "connection_pool"):
                raise
        await self._client.connection_pool.disconnect(inuse_connections=False)
        return await script(keys=keys, args=arguments)


def _is_replica(error: Exception) -> bool:
    # Before Redis 7 the reason is within the text of a script's error.
    return type(error).__name__ == "ReadOnlyError" or "READONLY" in str(error)


def _place_of(client: Any, prefix: str) -> Hashable:
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return "Redis", prefix, id(client)
    # Sentinels know the servers by names, which others may use as well.
    sentinels = pool.sentinel_manager.sentinels if hasattr(pool, "sentinel_manager") else ()
    servers = tuple(_address_of(pool) for pool in (pool, *(sentinel.connection_pool for sentinel in sentinels)))
    return "Redis", prefix, getattr(pool, "service_name", None), servers


def _address_of(pool: Any) -> Hashable:
    return tuple(pool.connection_kwargs.get(name) for name in ("host", "port", "path", "db"))


def _client_of(url: str) -> redis.Redis:
    import redis.backoff
    import redis.retry

    try:
        client = redis.Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - it does not type what it passes on
            url,
            socket_connect_timeout=_CONNECT_TIMEOUT,
            socket_timeout=_REPLY_TIMEOUT,
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


def _claim_of(reply: int, token: str) -> Claim:
    if reply == _CLAIMED:
        return Claimed(token)
    if reply == _IS_COMPLETE:
        return AlreadyComplete()
    return InProgress(reply / 1000)


async def _renewed_later(reply: Awaitable[int]) -> bool:
    return await reply == 1


async def _claim_later(reply: Awaitable[int], token: str) -> Claim:
    return _claim_of(await reply, token)
