"""From the option `--store` to an idempotency store."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from mg_middleware.cli.errors import CommandError
from mg_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    from mg_middleware.idempotency import IdempotencyStore

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def open_store(place: str) -> IdempotencyStore:
    """Open a store.

    Args:
        place: the URL of a Redis server, or an SQLite file, which is made where there is none.

    Raises:
        CommandError: the file cannot be used, the URL is none, or redis-py is not installed.
    """
    try:
        if not place.startswith(_REDIS_SCHEMES):
            from mg_middleware.idempotency.stores.sqlite import SQLiteStore  # noqa: PLC0415 - sqlite3 only where it is used

            return SQLiteStore(place)
        if find_spec("redis") is None:
            raise CommandError("a store on Redis needs an extra: pip install 'mg-middleware[redis]'")
        from mg_middleware.idempotency.stores.redis import RedisStore  # noqa: PLC0415 - an extra of its own

        return RedisStore(place)
    except ConfigurationError as error:
        raise CommandError(str(error)) from error
