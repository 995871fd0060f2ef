"""The servers that the tests start, the stores, and a clock that the tests move."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from wsgiref.validate import validator

import anyio
import pytest

# Worker processes run from this folder and find the module beside them; the tests find it the same way.
sys.path.insert(0, str(Path(__file__).parent))

from database_servers import MariaDBServer, PostgreSQLServer
from once_per_meeting import (
    SECRET,
    asgi_application,
    receive_asgi_answer,
    wsgi_answer,
    wsgi_application,
)
from redis_servers import start_redis_server

from mg_middleware import (
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    RedisStore,
    SQLAlchemyStore,
    SQLiteStore,
)

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture(scope="session")
def session_redis_server(tmp_path_factory):
    server = start_redis_server(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_server_to_stop(tmp_path):
    """A server of the test's own."""
    server = start_redis_server(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def redis_server(session_redis_server):
    session_redis_server.empty()
    return session_redis_server


@pytest.fixture(scope="session")
def session_postgresql_server():
    server = PostgreSQLServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def session_mariadb_server():
    server = MariaDBServer()
    yield server
    server.remove()


@pytest.fixture
def postgresql_server(session_postgresql_server):
    session_postgresql_server.execute("DROP TABLE IF EXISTS mg_middleware_deliveries")
    return session_postgresql_server


@pytest.fixture
def mariadb_server(session_mariadb_server):
    session_mariadb_server.execute("DROP TABLE IF EXISTS mg_middleware_deliveries")
    return session_mariadb_server


@pytest.fixture(params=["postgresql", "mariadb"])
def database_server(request):
    return request.getfixturevalue(f"{request.param}_server")


class Clock:
    """The time that the memory and SQLite stores see."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now

    def let_pass(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("mg_middleware.idempotency.stores.memory.monotonic", clock)
    monkeypatch.setattr("mg_middleware.idempotency.stores.sqlite.time", clock)
    return clock


class StoreKind:
    """How to make a store of one kind, how to let time pass for it, and how to forget all that it holds."""

    def __init__(self, name, make, let_pass, empty):
        self.name = name
        self.make = make
        self.let_pass = let_pass
        self.empty = empty
        self.has_a_clock_to_set = name != "memory"  # which goes by a clock that nobody can set


def database_store_kind(server):
    """The databases tell the time by themselves, so that what they hold is moved instead."""
    stores = []

    def make(**options):
        stores.append(SQLAlchemyStore(server.url, **options))
        stores[-1].create_table()
        return stores[-1]

    def let_pass(seconds):
        server.execute(
            f"UPDATE mg_middleware_deliveries SET since = since - {seconds}, until = until - {seconds}"  # noqa: S608
        )

    yield StoreKind(server.name, make, let_pass, lambda: server.execute("DELETE FROM mg_middleware_deliveries"))
    for store in stores:
        store.close()


@pytest.fixture(params=["memory", "sqlite", "redis", "postgresql", "mariadb"])
def store_kind(request, tmp_path):
    if request.param in {"postgresql", "mariadb"}:
        yield from database_store_kind(request.getfixturevalue(f"{request.param}_server"))
        return
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        stores = []

        def make(**options):
            stores.append(RedisStore(server.url, **options))
            return stores[-1]

        yield StoreKind("redis", make, server.let_pass, server.empty)
        for store in stores:
            store.close()
        return
    clock = request.getfixturevalue("clock")
    if request.param == "memory":
        stores = []

        def make_in_memory(**options):
            stores.append(MemoryStore(**options))
            return stores[-1]

        def forget():
            for store in stores:
                store._entries.clear()  # noqa: SLF001

        yield StoreKind("memory", make_in_memory, clock.let_pass, forget)
        return
    path = tmp_path / "deliveries.sqlite3"

    def empty():
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("DELETE FROM deliveries")

    yield StoreKind("sqlite", lambda **options: SQLiteStore(path, **options), clock.let_pass, empty)


@pytest.fixture
def store(store_kind):
    return store_kind.make()


class Protocol:
    """One of the protocols: how to guard a handler, and how to deliver to it."""

    def __init__(self, name):
        self.name = name

    def guard(self, handle, secret=SECRET, **options):
        options.setdefault("idempotency_wait", 0)
        if self.name == "WSGI":
            return MeetGeekWSGIMiddleware(validator(wsgi_application(handle)), secret, **options)
        return MeetGeekASGIMiddleware(asgi_application(handle), secret, **options)

    def deliver(self, guarded, body, secret=SECRET, method="POST"):
        if self.name == "WSGI":
            return wsgi_answer(validator(guarded), body, secret, method)
        return anyio.run(receive_asgi_answer, guarded, body, secret, method, backend=self.name.split()[-1])

    def deliver_within_handler(self, guarded, body, answers):
        """Deliver from within a handler, which returns what this returns."""
        if self.name == "WSGI":
            answers.append(wsgi_answer(guarded, body))
            return 200

        async def deliver():
            answers.append(await receive_asgi_answer(guarded, body))
            return 200

        return deliver()


@pytest.fixture(params=["ASGI on asyncio", "ASGI on trio", "WSGI"])
def protocol(request):
    return Protocol(request.param)


class Workers:
    """Receiver processes that begin together."""

    def __init__(self, folder):
        self.log = folder / "runs.log"
        self.processes = []

    def start(self, store, location, protocol, meetings, at_once, *, lease=60, seconds=0.0, within=(), name=None):
        """Start one; with a name, it notes when a handler begins and ends. `within` is how its command begins."""
        task = {
            "store": store,
            "location": str(location),
            "protocol": protocol,
            "meetings": meetings,
            "at_once": at_once,
            "lease": lease,
            "seconds": seconds,
            "log": str(self.log),
            "name": name,
        }
        process = subprocess.Popen(
            [*within, sys.executable, WORKER, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def go(self, processes=None):
        processes = self.processes if processes is None else processes
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()

    def statuses(self, processes=None):
        processes = self.processes if processes is None else processes
        return [status for process in processes for status in json.loads(process.communicate()[0])]

    def runs(self):
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()


@pytest.fixture
def workers(tmp_path):
    workers = Workers(tmp_path)
    yield workers
    for process in workers.processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture(params=["sqlite", "redis", "postgresql", "mariadb"])
def shared(request, tmp_path):
    """A store that processes share: its kind, and where it is."""
    if request.param in {"postgresql", "mariadb"}:
        url = request.getfixturevalue(f"{request.param}_server").url
        with contextlib.closing(SQLAlchemyStore(url)) as store:
            store.create_table()
        return request.param, url
    if request.param == "sqlite":
        return "sqlite", tmp_path / "deliveries.sqlite3"
    return "redis", request.getfixturevalue("redis_server").url
