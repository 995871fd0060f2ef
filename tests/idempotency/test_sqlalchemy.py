"""The store in a database of the user's own: real PostgreSQL and MariaDB servers, and SQLite files."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
import sqlalchemy
from database_servers import MariaDBServer
from once_per_meeting import (
    SECRET,
    asgi_application,
    claims_at_once,
    receive_asgi_answer,
    succeeded,
    wsgi_answer,
    wsgi_application,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from mg_middleware import (
    ConfigurationError,
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    SQLAlchemyStore,
)
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, StoreError
from mg_middleware.idempotency.stores import sqlalchemy as module


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def urls(request, tmp_path):
    """The URLs for a plain and for an asynchronous driver."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/own.sqlite3", f"sqlite+aiosqlite:///{tmp_path}/own.sqlite3"
    server = request.getfixturevalue(f"{request.param}_server")
    return server.url, server.asynchronous_url


@pytest.fixture
def store(urls):
    with contextlib.closing(SQLAlchemyStore(urls[0])) as store:
        store.create_table()
        yield store


def test_a_claim_is_completed_renewed_and_released(store):
    claim = store.claim("key")
    assert isinstance(claim, Claimed)
    held = store.claim("key")
    assert isinstance(held, InProgress)
    assert 8 < held.seconds_left <= 10
    assert store.renew("key", claim.token) is True
    assert store.renew("key", "another token") is False
    store.release("key", "another token")
    assert isinstance(store.claim("key"), InProgress)
    store.release("key", claim.token)
    token = store.claim("key").token
    store.complete("key", token)
    assert store.claim("key") == AlreadyComplete()
    assert store.renew("key", token) is False


def test_one_of_many_threads_gets_the_key(store):
    results = claims_at_once(store)
    assert results.count(Claimed) == 1
    assert set(results) == {Claimed, InProgress}


def test_one_thread_alone_opens_the_first_connection(tmp_path):
    path = tmp_path / "own.sqlite3"
    with contextlib.closing(SQLAlchemyStore(f"sqlite:///{path}")) as store:
        store.create_table()
    steps = []

    def connect():
        steps.append("begun")
        time.sleep(0.05)
        steps.append("open")
        return sqlite3.connect(path, check_same_thread=False)

    engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    assert claims_at_once(SQLAlchemyStore(engine)).count(Claimed) == 1
    assert steps[:2] == ["begun", "open"]
    assert steps[2:4] == ["begun", "begun"]  # the others need not wait for each other
    engine.dispose()


def test_the_table_of_ones_own_migrations_serves(urls):
    engine = sqlalchemy.create_engine(urls[0])
    store = SQLAlchemyStore(engine, table="another_table")
    (table,) = store.metadata.tables.values()
    assert table.name == "another_table"
    store.metadata.drop_all(engine)
    store.metadata.create_all(engine)
    assert isinstance(store.claim("key"), Claimed)
    store.metadata.drop_all(engine)
    store.close()  # leaves the user's engine open
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
    engine.dispose()


def test_many_workers_create_the_table_at_once(urls):
    stores = [SQLAlchemyStore(urls[0]) for _ in range(8)]
    barrier = threading.Barrier(8)

    def create(store):
        barrier.wait()
        store.create_table()
        return type(store.claim("key"))

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(create, stores))
    assert results.count(Claimed) == 1
    for store in stores:
        store.close()


@pytest.mark.parametrize("isolation_level", ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"])
def test_an_engine_of_any_isolation_level_serves(database_server, isolation_level):
    engine = sqlalchemy.create_engine(database_server.url, isolation_level=isolation_level, pool_size=20)
    store = SQLAlchemyStore(engine)
    store.create_table()
    assert claims_at_once(store).count(Claimed) == 1
    with engine.connect() as connection:
        assert connection.get_isolation_level() == isolation_level  # the user's own connections are left alone
    engine.dispose()


def test_an_asynchronous_engine_serves(urls):
    async def main():
        engine = create_async_engine(urls[1])
        statuses = [500, 200]
        store = SQLAlchemyStore(engine)
        await store.create_table()
        await store.create_table()
        guarded = MeetGeekASGIMiddleware(
            asgi_application(lambda body: statuses.pop(0)), SECRET, idempotency_store=store
        )
        answers = [await receive_asgi_answer(guarded, succeeded()) for _ in range(3)]
        claim = await store.claim("key")
        assert await store.renew("key", claim.token) is True
        await store.close()
        assert isinstance(await store.claim("key"), InProgress)
        await engine.dispose()
        return answers

    answers = asyncio.run(main())
    assert [(answer.status, answer.body) for answer in answers] == [(500, b"done"), (200, b"done"), (200, b"")]


def test_the_url_of_an_asynchronous_driver_serves(urls):
    async def main():
        store = SQLAlchemyStore(urls[1])
        await store.create_table()
        claim = await store.claim("key")
        await store.close()
        return claim

    assert isinstance(asyncio.run(main()), Claimed)


def test_an_asynchronous_engine_on_a_second_loop_is_refused(tmp_path):
    store = SQLAlchemyStore(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/own.sqlite3", poolclass=NullPool))
    asyncio.run(store.create_table())
    with pytest.raises(StoreError, match=r"^this AsyncEngine was used on another event loop before; make a store"):
        asyncio.run(store.claim("key"))


def test_a_wsgi_guard_refuses_an_asynchronous_engine(tmp_path):
    store = SQLAlchemyStore(f"sqlite+aiosqlite:///{tmp_path}/own.sqlite3")
    with pytest.raises(ConfigurationError, match="SQLAlchemyStore is asynchronous here"):
        MeetGeekWSGIMiddleware(wsgi_application(lambda body: 200), SECRET, idempotency_store=store)


def test_a_connection_that_the_server_closed_is_replaced(database_server):
    with contextlib.closing(SQLAlchemyStore(database_server.url)) as store:
        store.create_table()
        assert isinstance(store.claim("one"), Claimed)
        database_server.stop()
        database_server.start()
        assert isinstance(store.claim("two"), Claimed)


def test_an_asynchronous_connection_that_the_server_closed_is_replaced(postgresql_server):
    async def main():
        store = SQLAlchemyStore(postgresql_server.asynchronous_url)
        await store.create_table()
        await store.claim("one")
        postgresql_server.stop()
        postgresql_server.start()
        claim = await store.claim("two")
        await store.close()
        return claim

    assert isinstance(asyncio.run(main()), Claimed)


def test_a_server_that_is_down_is_an_error_and_serves_again_when_it_is_back(database_server, caplog):
    store = SQLAlchemyStore(database_server.url)
    guarded = MeetGeekWSGIMiddleware(wsgi_application(lambda body: 200), SECRET, idempotency_store=store)
    store.create_table()
    database_server.stop()
    assert wsgi_answer(guarded, succeeded()).body == b"done"
    assert "the idempotency store SQLAlchemyStore failed to claim: OperationalError" in caplog.text
    assert "made-up" not in caplog.text
    database_server.start()
    assert [wsgi_answer(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    store.close()


class Trouble(sqlalchemy.exc.DBAPIError):
    def __init__(self, cause, *, invalidated=False):
        super().__init__("statement", {}, cause, connection_invalidated=invalidated)


class DeadlockError(Exception):
    sqlstate = "40P01"


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (Trouble(DeadlockError()), 2),
        (Trouble(OSError(1213, "Deadlock found")), 2),
        (Trouble(OSError("gone"), invalidated=True), 2),
        (Trouble(OSError("no such table")), 1),
        (Trouble(OSError()), 1),
        (sqlite3.OperationalError("closed"), 2),
        (ValueError("a fault of its own"), 1),
    ],
)
def test_a_step_is_begun_again_after_a_deadlock_or_a_lost_connection(tmp_path, monkeypatch, error, attempts):
    plain = SQLAlchemyStore(f"sqlite:///{tmp_path}/own.sqlite3")
    asynchronous = SQLAlchemyStore(f"sqlite+aiosqlite:///{tmp_path}/own.sqlite3")
    tried = []

    def fail(key, token):
        tried.append(token)
        raise error
        yield

    for store in (plain, asynchronous):
        monkeypatch.setattr(store._statements, "claim", fail)  # noqa: SLF001
    monkeypatch.setattr(plain._engine.dialect, "is_disconnect", lambda *arguments: True)  # noqa: SLF001
    monkeypatch.setattr(asynchronous._engine.dialect, "is_disconnect", lambda *arguments: True)  # noqa: SLF001
    with pytest.raises(type(error)):
        plain.claim("key")
    assert len(tried) == attempts
    assert len(set(tried)) == 1

    async def main():
        with pytest.raises(type(error)):
            await asynchronous.claim("key")
        await asynchronous.close()

    asyncio.run(main())
    assert len(tried) == 2 * attempts
    plain.close()


def test_a_claim_whose_first_attempt_arrived_is_the_same_claim(store):
    statements = store._statements  # noqa: SLF001
    for _ in range(2):
        assert store._run_once(statements.claim("key", "token")) == Claimed("token")  # noqa: SLF001


def test_a_claim_that_is_released_this_instant_is_in_progress(store, monkeypatch):
    statements = store._statements  # noqa: SLF001
    step = statements.claim("key", "token")
    other = store.claim("key").token

    def run():
        with store._autocommit.connect() as connection:  # noqa: SLF001
            statement = next(step)
            statement = step.send(connection.execute(*statement))
            statement = step.send(connection.execute(*statement))
            store.release("key", other)
            try:
                step.send(connection.execute(*statement))
            except StopIteration as end:
                return end.value

    assert run() == InProgress(0.0)


def test_what_has_expired_is_removed_once_a_minute(store, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    short = SQLAlchemyStore(store._engine, ttl=0.001)  # noqa: SLF001
    short.complete("old", short.claim("old").token)
    (table,) = store.metadata.tables.values()

    def keys():
        with store._engine.connect() as connection:  # noqa: SLF001
            return set(connection.scalars(sqlalchemy.select(table.c.delivery_key)))

    short.complete("new", short.claim("new").token)
    assert keys() == {"old", "new"}
    now[0] += 61
    store._statements._next_sweep = 0  # noqa: SLF001
    store.complete("another", store.claim("another").token)
    assert keys() == {"another"}
    store.complete("one more", store.claim("one more").token)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_opens_connections_of_its_own(store, urls):
    store.claim("key")
    child = os.fork()
    if child == 0:
        try:
            results = [type(store.claim("key")), type(store.claim("the child's"))]
            os._exit(0 if results == [InProgress, Claimed] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(store.claim("the child's"), InProgress)


def test_a_forked_process_leaves_an_asynchronous_engine_to_its_parent(tmp_path):
    store = SQLAlchemyStore(f"sqlite+aiosqlite:///{tmp_path}/own.sqlite3")
    pool = store._engine.pool  # noqa: SLF001
    module._forget_all_connections()  # noqa: SLF001 - what a fork calls
    assert store._engine.pool is not pool  # noqa: SLF001


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "ArgumentError"),
        ("postgresql+nonsense://secret-password@host/", "NoSuchModuleError"),
        ("postgresql+psycopg2://user:secret-password@host/", "psycopg2 is not installed"),
        ("postgresql+psycopg://user:secret-password@host:port/", "ValueError"),
    ],
)
def test_a_url_that_is_not_valid_is_refused_and_not_shown(url, reason):
    with pytest.raises(ConfigurationError) as raised:
        SQLAlchemyStore(url)
    assert str(raised.value) == (
        f"SQLAlchemyStore's URL must be a valid database URL with an installed driver ({reason})"
    )
    assert raised.value.__context__ is None


def test_another_database_is_refused():
    engine = sqlalchemy.create_engine("sqlite://")
    engine.dialect.name = "oracle"
    with pytest.raises(ConfigurationError, match=r"^SQLAlchemyStore serves PostgreSQL, .* and SQLite, not oracle$"):
        SQLAlchemyStore(engine)


@pytest.mark.parametrize("wrong", [None, 5, object()])
def test_what_is_no_engine_is_refused(wrong):
    with pytest.raises(TypeError, match=rf"takes a URL, an Engine or an AsyncEngine .* not {type(wrong).__name__}$"):
        SQLAlchemyStore(wrong)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_table_that_cannot_be_created_is_an_error(tmp_path, asynchronous):
    folder = tmp_path / "missing"
    if asynchronous:
        store = SQLAlchemyStore(create_async_engine(f"sqlite+aiosqlite:///{folder}/own.sqlite3", poolclass=NullPool))

        async def main():
            with pytest.raises(sqlalchemy.exc.OperationalError):
                await store.create_table()
            await asyncio.sleep(0.2)  # the driver's thread outlives its error a little

        asyncio.run(main())
    else:
        with pytest.raises(sqlalchemy.exc.OperationalError):
            SQLAlchemyStore(f"sqlite:///{folder}/own.sqlite3").create_table()


@pytest.mark.parametrize("made_of", ["url", "sqlalchemy.create_engine(url)"])
def test_a_plain_engine_needs_no_greenlet(tmp_path, made_of):
    # SQLAlchemy 2.1 brings it only with the extra asyncio.
    program = f"""
import sys
sys.modules["greenlet"] = None
import sqlalchemy
from mg_middleware import SQLAlchemyStore
from mg_middleware.idempotency import AlreadyComplete
url = "sqlite:///{tmp_path}/own.sqlite3"
store = SQLAlchemyStore({made_of})
store.create_table()
store.complete("key", store.claim("key").token)
assert store.claim("key") == AlreadyComplete()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_url_of_an_asynchronous_driver_needs_greenlet():
    program = """
import sys
sys.modules["greenlet"] = None
from mg_middleware import ConfigurationError, SQLAlchemyStore
try:
    SQLAlchemyStore("sqlite+aiosqlite:///own.sqlite3")
except ConfigurationError as error:
    sys.exit(0 if "(greenlet is not installed)" in str(error) else str(error))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_sqlalchemy_the_error_says_what_to_install():
    program = """
import sys
sys.modules["sqlalchemy"] = None
from mg_middleware import SQLAlchemyStore
try:
    SQLAlchemyStore("sqlite://")
except ImportError as error:
    sys.exit(0 if 'pip install "mg-middleware[sqlalchemy]"' in str(error) else 1)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"])
def test_a_database_in_memory_is_refused_since_each_thread_would_have_its_own(url):
    with pytest.raises(ConfigurationError, match=r"^SQLAlchemyStore can't use an SQLite database in memory"):
        SQLAlchemyStore(url)


def test_an_asynchronous_engine_has_one_connection_to_a_database_in_memory():
    async def claim_twice():
        store = SQLAlchemyStore("sqlite+aiosqlite://")
        await store.create_table()
        claims = [await store.claim("key"), await store.claim("key")]
        await store.close()
        return claims

    assert [type(claim) for claim in asyncio.run(claim_twice())] == [Claimed, InProgress]


class MariaDBServerInCentralEurope(MariaDBServer):
    environment: ClassVar = {"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}  # POSIX.1-2017, section 8.3

    def command(self):
        return [*super().command(), "--sysdate-is-now"]  # so that `SET timestamp` sets it


def test_the_hour_that_comes_twice_in_autumn_is_two_hours():
    server = MariaDBServerInCentralEurope()
    engine = sqlalchemy.create_engine(server.url)
    try:
        with engine.connect() as connection:
            for second in (1_792_888_200.25, 1_792_891_800.25):  # half past two in summer time, then in winter time
                connection.exec_driver_sql(f"SET timestamp = {second}")
                assert connection.exec_driver_sql("SELECT hour(sysdate()), minute(sysdate())").one() == (2, 30)
                assert connection.scalar(sqlalchemy.select(module._now("mariadb"))) == second  # noqa: SLF001
    finally:
        engine.dispose()
        server.remove()
