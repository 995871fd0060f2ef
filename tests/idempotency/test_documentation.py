"""The stores of docs/how-to/write-a-store.md keep the promises of a store, on real servers."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from database_programs import find_program
from database_servers import free_port, skip_or_fail
from django.core.cache.backends.filebased import FileBasedCache
from once_per_meeting import SECRET, asgi_answer, asgi_application, succeeded
from redis_servers import wait_until

from mg_middleware import MeetGeekASGIMiddleware
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress
from mg_middleware.testing import check_store

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("django_stores.py")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-store.md"


@pytest.fixture
def store_class():
    """The class that the page shows."""
    names = {}
    (code,) = re.findall(r":caption: postgres_store.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, names)  # noqa: S102 - our own page
    return names["PostgresStore"]


class Pool:
    """Answers like a pool of asyncpg; what the database would answer is given."""

    def __init__(self, claimed, row):
        self.claimed = claimed
        self.row = row
        self.executed = []

    async def fetchval(self, statement, *arguments):
        return self.claimed

    async def fetchrow(self, statement, *arguments):
        return self.row

    async def execute(self, statement, *arguments):
        self.executed.append(statement.split()[0])


def test_the_store_of_ones_own_is_a_store(store_class):
    pool = Pool(claimed=True, row=None)
    statuses = [500, 200]
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: statuses.pop(0)), SECRET, idempotency_store=store_class(pool)
    )
    assert [asgi_answer(guarded, succeeded()).status for _ in range(2)] == [500, 200]
    assert pool.executed == ["DELETE", "INSERT"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("row", "answer"),
    [(None, InProgress(0.0)), ({"token": None}, AlreadyComplete()), ({"token": "x", "left": 5.5}, InProgress(5.5))],
)
async def test_the_store_of_ones_own_tells_why_a_key_is_not_free(store_class, row, answer):
    assert await store_class(Pool(None, row)).claim("key") == answer
    assert isinstance(await store_class(Pool(claimed=True, row=None)).claim("key"), Claimed)


def test_the_store_of_ones_own_keeps_its_promises(store_class, postgresql_server, monkeypatch):
    postgresql_server.execute("DROP TABLE IF EXISTS delivery")
    postgresql_server.execute("CREATE TABLE delivery (key text PRIMARY KEY, token text, until timestamptz NOT NULL)")

    class Closing(store_class):
        async def close(self):
            await self.pool.close()

    async def make():
        address = f"postgresql://tester@127.0.0.1:{postgresql_server.port}/postgres"
        return Closing(await asyncpg.create_pool(address, min_size=1, max_size=20), lease=2)

    check_store(make)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def memcached_port():
    program = find_program("memcached")
    if program is None:
        skip_or_fail("the program memcached is not found (Debian's package memcached has it)")
    port = free_port()
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    process = subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port), *user])
    try:
        wait_until(lambda: process.poll() is None and listens(port), "memcached listens")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def check_in_django(tmp_path):
    """Check a store of the page in a Django project that has its files, in a process of its own."""
    for name, code in re.findall(
        r":caption: (meetings/\w+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    ):
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")

    def check(store, **task):
        task |= {"folder": str(tmp_path / "project"), "store": store}
        result = subprocess.run(
            [sys.executable, "-W", "error", SCRIPT, json.dumps(task)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr

    return check


@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"])
def test_the_store_of_djangos_orm_keeps_its_promises(check_in_django, database, request, tmp_path):
    if database == "sqlite":
        settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "own.sqlite3")}
    else:
        server = request.getfixturevalue(f"{database}_server")
        server.execute("DROP TABLE IF EXISTS meetings_delivery")
        own = {
            "postgresql": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres"},
            "mariadb": {"ENGINE": "django.db.backends.mysql", "NAME": "tests", "PASSWORD": "made-up"},
        }[database]
        address = {"HOST": "127.0.0.1", "PORT": server.port, "USER": "tester"}
        settings = {**own, **address, "OPTIONS": {"connect_timeout": 2}}
    check_in_django("meetings.stores:ModelStore", databases=settings, options={"lease": 2})


def test_the_store_of_djangos_cache_keeps_its_promises_on_redis(check_in_django, redis_server):
    options = {"socket_connect_timeout": 1, "socket_timeout": 2}
    caches = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": redis_server.url,
        "OPTIONS": options,
    }
    check_in_django("meetings.cache_store:CacheStore", caches=caches, options={"lease": 1})


def test_the_store_of_djangos_cache_keeps_its_promises_on_memcached(check_in_django, memcached_port):
    caches = {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": f"127.0.0.1:{memcached_port}",
        "OPTIONS": {"connect_timeout": 1, "timeout": 2},
    }
    check_in_django("meetings.cache_store:CacheStore", caches=caches, options={"lease": 2})


def test_the_store_of_djangos_cache_keeps_its_promises_in_one_process(check_in_django):
    caches = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    check_in_django("meetings.cache_store:CacheStore", caches=caches, options={"lease": 1}, shared=False)


def test_two_deliveries_can_both_add_to_a_cache_of_files(tmp_path):
    barrier = threading.Barrier(2, timeout=10)

    class Cache(FileBasedCache):
        def has_key(self, *arguments):
            found = super().has_key(*arguments)
            barrier.wait()
            return found

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda token: Cache(str(tmp_path), {}).add("key", token), "ab")) == [True, True]


def test_two_deliveries_can_both_add_to_a_cache_in_the_database(postgresql_server):
    postgresql_server.execute("DROP TABLE IF EXISTS the_cache")
    program = f"""
import threading, time
from concurrent.futures import ThreadPoolExecutor
import django
from django.conf import settings
address = dict(HOST="127.0.0.1", PORT={postgresql_server.port}, USER="tester", NAME="postgres")
settings.configure(
    DATABASES=dict(default=dict(ENGINE="django.db.backends.postgresql", **address)),
    CACHES=dict(default=dict(BACKEND="django.core.cache.backends.db.DatabaseCache", LOCATION="the_cache")),
)
django.setup()
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations

call_command("createcachetable")
cache.set("key", "of before", 1)
time.sleep(2.5)
barrier = threading.Barrier(2, timeout=10)
get_db_converters = DatabaseOperations.get_db_converters

def both_have_looked(self, expression):
    barrier.wait()
    return get_db_converters(self, expression)

DatabaseOperations.get_db_converters = both_have_looked

def add(token):
    added = cache.add("key", token, 10)
    connection.close()
    return added

with ThreadPoolExecutor(2) as threads:
    assert list(threads.map(add, "ab")) == [True, True]
connection.close()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
