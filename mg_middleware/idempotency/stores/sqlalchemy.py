"""The store for the database that an application already has: keys in one table, through SQLAlchemy."""

from __future__ import annotations

import sys
import weakref
from contextlib import closing, suppress
from secrets import token_hex
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.forking import call_in_forked_child
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress
from mg_middleware.idempotency.stores.event_loop import OneEventLoop
from mg_middleware.idempotency.stores.options import (
    CLOCK_SLACK,
    DAY,
    LEASE,
    MAX_LEASE,
    seconds,
    seconds_or_forever,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Hashable
    from typing import TypeAlias

    import sqlalchemy
    import sqlalchemy.ext.asyncio

    from mg_middleware.idempotency.store import Claim, Execution

_Result = TypeVar("_Result")

if TYPE_CHECKING:
    # A step without I/O: it yields statements with their parameters, gets their results, and returns its own.
    Step: TypeAlias = Generator[tuple[sqlalchemy.Executable, dict[str, str]], sqlalchemy.CursorResult[Any], _Result]

_FOREVER = 1e12  # seconds; a float column need not know infinity
_SWEEP_SECONDS = 60.0
# Many workers create the table at once when they start, and only one of them can.
_RETRIES = 2
# A step repeats nothing that it has done, so it can be begun again: after a deadlock, or when a connection was lost.
_DEADLOCKS: frozenset[object] = frozenset({"40001", "40P01", 1205, 1213})


class SQLAlchemyStore:
    """Remembers processed deliveries in a table of your own database: PostgreSQL, MySQL, MariaDB or SQLite.

    Not for one machine without a database: `SQLiteStore` needs nothing else. The store takes a connection of its own
    from the engine's pool for each step, in autocommit, so it takes no part in your transactions. Times are those of
    the database's clock. Create the table with `create_table()`, or add `metadata` to your migrations.

    Needs SQLAlchemy 2: `pip install "mg-middleware[sqlalchemy]"`.

    Args:
        engine: an `Engine` for ASGI and WSGI; an `AsyncEngine` for ASGI under asyncio only, and for one event loop
            only; or a database URL, for which the store makes an engine of its own.
        ttl: for how many seconds a processed delivery is remembered; `None` means no expiry.
        lease: how many seconds a claim lives. It is renewed while the handler runs; if its process dies, it expires.
        max_lease: for how many seconds a claim is renewed at most.
        table: the name of the table. Give each receiver its own.

    Raises:
        ConfigurationError: an option is out of its range, the URL is not valid, its driver is missing, or the database
            is not one of those.
        ImportError: SQLAlchemy is not installed.
        TypeError: an option is of another type.
    """

    def __init__(
        self,
        engine: str | sqlalchemy.URL | sqlalchemy.Engine | sqlalchemy.ext.asyncio.AsyncEngine,
        *,
        ttl: float | None = DAY,
        lease: float = LEASE,
        max_lease: float = MAX_LEASE,
        table: str = "mg_middleware_deliveries",
    ) -> None:
        try:
            import sqlalchemy  # an extra, which only users of this store need
        except ImportError as error:
            raise ImportError('SQLAlchemyStore needs SQLAlchemy 2: pip install "mg-middleware[sqlalchemy]"') from error
        self._is_ours = isinstance(engine, str | sqlalchemy.URL)
        made: Any = _engine_of(engine) if isinstance(engine, str | sqlalchemy.URL) else engine
        # Whoever has an AsyncEngine has loaded its module. It needs greenlet, which others don't.
        asyncio_module = sys.modules.get("sqlalchemy.ext.asyncio")
        kinds: Any = (sqlalchemy.Engine, getattr(asyncio_module, "AsyncEngine", sqlalchemy.Engine))
        if not isinstance(made, kinds):
            raise TypeError(
                f"SQLAlchemyStore takes a URL, an Engine or an AsyncEngine of SQLAlchemy 2, not {type(made).__name__}"
            )
        if self._is_ours and _is_in_memory(made):  # an engine of the user's may connect to something else
            raise ConfigurationError(
                "SQLAlchemyStore can't use an SQLite database in memory, of which each thread would have its own: "
                "name a file, or use MemoryStore"
            )
        time_to_live = seconds_or_forever("ttl", ttl)
        self.lease: float = seconds("lease", lease)
        self.max_lease: float = seconds("max_lease", max_lease)
        self.execution: Execution = "blocking" if isinstance(made, sqlalchemy.Engine) else "asynchronous"
        self.place: Hashable = "SQLAlchemy", str(made.url), text("table", table)
        # Typed loosely: the two kinds of engine have the same methods, plain or asynchronous.
        self._engine: Any = made
        # Single statements, each a transaction of its own: they hold at every isolation level, while SERIALIZABLE would
        # fail where two claims meet.
        self._autocommit: Any = made.execution_options(isolation_level="AUTOCOMMIT")
        self._statements = Statements(made.dialect.name, table, self.lease, min(time_to_live, _FOREVER))
        self.metadata: sqlalchemy.MetaData = self._statements.metadata
        self._loop = OneEventLoop("AsyncEngine")
        self._first_connection: Lock | None = Lock()
        _stores.add(self)

    def claim(self, key: str) -> Claim | Awaitable[Claim]:
        """Take the key; see `IdempotencyStore.claim`.

        Args:
            key: the opaque name of one meeting's delivery.

        Returns:
            The result; with an `AsyncEngine`, an awaitable of it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or refuses.
        """
        token = token_hex(16)
        return self._run(lambda: self._statements.claim(key, token))

    def complete(self, key: str, token: str) -> Awaitable[None] | None:
        """Remember the key as processed; see `IdempotencyStore.complete`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Nothing; with an `AsyncEngine`, an awaitable.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or refuses.
        """
        return self._run(lambda: self._statements.complete(key, token))

    def release(self, key: str, token: str) -> Awaitable[None] | None:
        """Forget the claim; see `IdempotencyStore.release`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Nothing; with an `AsyncEngine`, an awaitable.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or refuses.
        """
        return self._run(lambda: self._statements.release(key, token))

    def renew(self, key: str, token: str) -> bool | Awaitable[bool]:
        """Give the claim another lease; see `IdempotencyStore`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Whether `token` still holds the key; with an `AsyncEngine`, an awaitable of it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or refuses.
        """
        return self._run(lambda: self._statements.renew(key, token))

    def create_table(self) -> Awaitable[None] | None:
        """Create the table unless it exists. Not needed if your migrations include `metadata`.

        Returns:
            Nothing; with an `AsyncEngine`, an awaitable.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be reached, or refuses.
        """
        if self.execution == "asynchronous":
            return self._create_table_later()
        for _ in range(_RETRIES):
            with suppress(_database_error()):
                self.metadata.create_all(self._engine)
                break
        else:
            self.metadata.create_all(self._engine)
        return None

    def close(self) -> Awaitable[None] | None:
        """Close the engine that was made for a URL; your own engine stays open. The next step opens it again.

        Returns:
            Nothing; with the URL of an asynchronous driver, an awaitable.
        """
        if self._is_ours:
            return cast("Awaitable[None] | None", self._engine.dispose())
        return _nothing() if self.execution == "asynchronous" else None

    async def _create_table_later(self) -> None:
        self._loop.check()
        for _ in range(_RETRIES):
            with suppress(_database_error()):
                return await self._create_table_once()
        return await self._create_table_once()

    async def _create_table_once(self) -> None:
        async with self._engine.begin() as connection:
            await connection.run_sync(self.metadata.create_all)

    def forget_connections(self) -> None:
        """Leave the connections to the parent of a forked process."""
        engine = self._engine if self.execution == "blocking" else self._engine.sync_engine
        engine.dispose(close=False)
        self._first_connection = Lock()  # another thread of the parent may have held it

    def _run(self, step: Callable[[], Step[_Result]]) -> _Result | Awaitable[_Result]:
        if self.execution == "asynchronous":
            return self._run_later(step)
        try:
            return self._run_once(step())
        except Exception as error:
            if self._was_disconnected(error):
                self._engine.dispose()
            elif not _is_worth_another_try(error):
                raise
        return self._run_once(step())

    def _was_disconnected(self, error: Exception) -> bool:
        """Return whether the switch to autocommit found a lost connection: SQLAlchemy passes that error on as it is.

        The pool doesn't learn of it either, and may keep more such connections.
        """
        dialect = self._engine.dialect
        return isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(error, None, None)

    def _connect(self) -> Any:
        """Open a connection. The first one is opened by one thread alone, since it prepares SQLAlchemy's dialect.

        SQLAlchemy has a lock of its own for that, but threads that need it at once may each make another one.
        """
        lock = self._first_connection
        if lock is not None:
            with lock:
                if self._first_connection is lock:
                    connection = self._autocommit.connect()
                    self._first_connection = None
                    return connection
        return self._autocommit.connect()

    def _run_once(self, step: Step[_Result]) -> _Result:
        with self._connect() as connection, closing(step):
            statement = next(step)
            while True:
                result = connection.execute(*statement)
                try:
                    statement = step.send(result)
                except StopIteration as end:
                    return cast("_Result", end.value)

    async def _run_later(self, step: Callable[[], Step[_Result]]) -> _Result:
        self._loop.check()
        try:
            return await self._run_once_later(step())
        except Exception as error:
            if self._was_disconnected(error):
                await self._engine.dispose()
            elif not _is_worth_another_try(error):
                raise
        return await self._run_once_later(step())

    async def _run_once_later(self, step: Step[_Result]) -> _Result:
        async with self._autocommit.connect() as connection:
            with closing(step):
                statement = next(step)
                while True:
                    result = await connection.execute(*statement)
                    try:
                        statement = step.send(result)
                    except StopIteration as end:
                        return cast("_Result", end.value)


class Statements:
    """The table, and the statements of each step.

    Args:
        dialect: the name of SQLAlchemy's dialect.
        table: the name of the table.
        lease: how many seconds a claim lives.
        ttl: for how many seconds a complete key is remembered.

    Raises:
        ConfigurationError: the dialect is another one.
    """

    def __init__(self, dialect: str, table: str, lease: float, ttl: float) -> None:
        import sqlalchemy as sql  # see SQLAlchemyStore

        self.metadata: sqlalchemy.MetaData = sql.MetaData()
        # Times are in seconds since the epoch, by the database's clock. "since" is when a claim was made or renewed,
        # "until" when it expires, or when a complete key is forgotten. "token" is NULL once the key is complete.
        self._table = deliveries = sql.Table(
            table,
            self.metadata,
            sql.Column("delivery_key", sql.String(64), primary_key=True),
            sql.Column("token", sql.String(64)),
            sql.Column("since", sql.Double, nullable=False),
            sql.Column("until", sql.Double, nullable=False, index=True),
        )
        self._columns = deliveries.c
        now = _now(dialect)
        self._now = now
        self._ends = now + lease
        new = {"since": now, "until": now + lease}
        forgotten = {"token": None, "since": now, "until": now + ttl}
        key, token, until = deliveries.c.delivery_key, deliveries.c.token, deliveries.c.until
        of_key: sqlalchemy.BindParameter[str] = sql.bindparam("a_key")
        of_token: sqlalchemy.BindParameter[str] = sql.bindparam("a_token")
        insert = _insert_ignoring(dialect, deliveries)
        # A claim from the future is void: the clock was set back, so it would outlive its holder by as much.
        is_free = sql.or_(until <= now, sql.and_(token.is_not(None), deliveries.c.since > now + CLOCK_SLACK))
        self._insert_claim = insert.values(delivery_key=of_key, token=of_token, **new)
        self._take_over = sql.update(deliveries).where(key == of_key, is_free).values(token=of_token, **new)
        self._look = sql.select(token, until - now).where(key == of_key)
        self._complete_claim = (
            sql.update(deliveries).where(key == of_key, sql.or_(token == of_token, until <= now)).values(**forgotten)
        )
        self._insert_complete = insert.values(delivery_key=of_key, **forgotten)
        self._delete_claim = sql.delete(deliveries).where(key == of_key, token == of_token)
        self._renew_claim = sql.update(deliveries).where(key == of_key, token == of_token).values(**new)
        self._delete_expired = sql.delete(deliveries).where(until <= now)
        self._lock = Lock()
        self._next_sweep = monotonic() + _SWEEP_SECONDS

    def claim(self, key: str, token: str) -> Step[Claim]:
        """Take the key. Each statement is atomic, and only the holder's token shows who took it."""
        names = {"a_key": key, "a_token": token}
        if (yield self._insert_claim, names).rowcount == 1:
            return Claimed(token)
        if (yield self._take_over, names).rowcount == 1:
            return Claimed(token)
        held: Any = (yield self._look, names).one_or_none()
        if held is None:
            return InProgress(0.0)  # its holder released it this instant
        holder, seconds_left = held
        if holder is None:
            return AlreadyComplete()
        # A connection that was lost after the insertion is tried again.
        return Claimed(token) if holder == token else InProgress(max(0.0, float(seconds_left)))

    def complete(self, key: str, token: str) -> Step[None]:
        """Remember the key as processed."""
        names = {"a_key": key, "a_token": token}
        if (yield self._complete_claim, names).rowcount == 0:
            yield self._insert_complete, names
        if self._is_time_to_sweep():
            yield self._delete_expired, {}

    def release(self, key: str, token: str) -> Step[None]:
        """Forget the claim."""
        yield self._delete_claim, {"a_key": key, "a_token": token}

    def renew(self, key: str, token: str) -> Step[bool]:
        """Give the claim another lease."""
        return (yield self._renew_claim, {"a_key": key, "a_token": token}).rowcount == 1

    def _is_time_to_sweep(self) -> bool:
        with self._lock:
            if monotonic() < self._next_sweep:
                return False
            self._next_sweep = monotonic() + _SWEEP_SECONDS
            return True


def _now(dialect: str) -> sqlalchemy.ColumnElement[float]:
    """Return the seconds since the epoch by the database's clock.

    Read for each row, not at the statement's beginning: a statement may wait for another one's lock, and would then
    take that one's claim for one from the future.
    """
    import sqlalchemy as sql  # see SQLAlchemyStore

    # SYSDATE() alone is local time, of which an hour comes twice when the clocks go back in autumn.
    mysql = (
        "((timestampdiff(microsecond, '1970-01-01', utc_timestamp(6))"
        " + timestampdiff(microsecond, now(6), sysdate(6))) / 1e6)"
    )
    expressions = {
        "postgresql": "extract(epoch from clock_timestamp())::double precision",
        "mysql": mysql,
        "mariadb": mysql,
        "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    }
    if dialect not in expressions:
        raise ConfigurationError(f"SQLAlchemyStore serves PostgreSQL, MySQL, MariaDB and SQLite, not {dialect}")
    return sql.literal_column(expressions[dialect], sql.Double)


def _insert_ignoring(dialect: str, table: sqlalchemy.Table) -> Any:
    """Return an insertion that does nothing if the key exists."""
    import sqlalchemy as sql  # see SQLAlchemyStore
    from sqlalchemy.dialects import postgresql, sqlite

    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return sql.insert(table).prefix_with("IGNORE")


def _is_in_memory(engine: Any) -> bool:
    """Say whether each connection of an engine has a database of its own."""
    from sqlalchemy.pool import StaticPool  # see SQLAlchemyStore

    in_memory = ":memory:" in (engine.url.database or ":memory:") or engine.url.query.get("mode") == "memory"
    return engine.dialect.name == "sqlite" and in_memory and not isinstance(engine.pool, StaticPool)


def _engine_of(url: str | sqlalchemy.URL) -> sqlalchemy.Engine | sqlalchemy.ext.asyncio.AsyncEngine:
    import sqlalchemy  # see SQLAlchemyStore
    import sqlalchemy.exc

    try:
        parsed = sqlalchemy.make_url(url)
        if not parsed.get_dialect().is_async:
            return sqlalchemy.create_engine(parsed)
        from sqlalchemy.ext.asyncio import create_async_engine

        return create_async_engine(parsed)
    except (ImportError, TypeError, ValueError, sqlalchemy.exc.SQLAlchemyError) as error:
        # SQLAlchemy's own error for greenlet names no module.
        missing = error.name or "greenlet" if isinstance(error, ImportError) else None
        reason = type(error).__name__ if missing is None else f"{missing} is not installed"
    # Nothing of the URL is shown, not even as the cause: it may hold a password.
    raise ConfigurationError(f"SQLAlchemyStore's URL must be a valid database URL with an installed driver ({reason})")


def _database_error() -> type[Exception]:
    from sqlalchemy.exc import DBAPIError  # needed only once a step has failed

    return DBAPIError


def _is_worth_another_try(error: Exception) -> bool:
    """Return whether a step failed by a deadlock, or because the pool's connection had been lost."""
    if not isinstance(error, _database_error()):
        return False
    # Read like this, since only the DBAPIError of SQLAlchemy has them, whose type is imported late.
    if getattr(error, "connection_invalidated", False):
        return True
    cause: object = getattr(error, "orig", None)
    arguments: tuple[object, ...] = getattr(cause, "args", ())
    return bool({getattr(cause, "sqlstate", None), *arguments[:1]} & _DEADLOCKS)


async def _nothing() -> None: ...


_stores: weakref.WeakSet[SQLAlchemyStore] = weakref.WeakSet()


def _forget_all_connections() -> None:
    """Open new connections in a forked process: two processes must not speak on one."""
    for store in _stores:
        store.forget_connections()


call_in_forked_child(_forget_all_connections)
