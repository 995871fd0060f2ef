"""What remembering costs: one claimed and completed delivery for each store, beside the documented snippet.

Run with `pytest benchmarks/test_stores.py`. The Redis rows need the program redis-server. Compare medians of one run; a
round of `test_a_hundred_guarded_deliveries` is a hundred requests, so that the event loop's own start does not count.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import shutil
import socket
import sqlite3
import subprocess
import time
from functools import partial
from itertools import count
from time import process_time

import pytest
import redis
from measuring import Row, measure, repeat
from verifications import snippet

from mg_middleware import MeetGeekASGIMiddleware, MemoryStore, RedisStore, SQLiteStore
from mg_middleware.events import parse_event
from mg_middleware.idempotency import store_key

SECRET = b"made-up secret"
BODY = b'{"message": "File analyzed successfully", "meeting_id": "00000000-0000-4000-8000-%012d"}'


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    if shutil.which("redis-server") is None:
        pytest.skip("the program redis-server is not on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                break
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait()


def sqlite_store(path, rows):
    """Make a store that remembers so many meetings already; they are written at once, in the order of their keys."""
    store = SQLiteStore(path)
    store.complete("first", store.claim("first").token)
    filling = sqlite3.connect(path)
    filling.execute("PRAGMA synchronous = OFF")
    until = time.time() + 86_400
    keys = sorted(store_key(str(number), key_id="") for number in range(rows))
    filling.executemany("INSERT INTO deliveries VALUES (?, NULL, 0, ?)", ((key, until) for key in keys))
    filling.commit()
    filling.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    filling.close()
    return store


def memory_store(rows):
    store = MemoryStore(max_entries=rows + 10_000_000)
    for number in range(rows):
        key = store_key(str(number), key_id="")
        store.complete(key, store.claim(key).token)
    return store


def new_deliveries(store):
    """Make a function that claims and completes a key that the store does not know, each time another."""
    keys = [store_key(str(number), key_id="new") for number in range(500_000)]

    def deliver():
        key = keys.pop()
        store.complete(key, store.claim(key).token)

    return deliver


def test_the_documented_snippet(benchmark):
    body = BODY % 1
    received = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    benchmark(lambda: hmac.compare_digest(hmac.new(SECRET, body, hashlib.sha256).hexdigest(), received))


@pytest.mark.parametrize("rows", [1_000, 1_000_000])
def test_memory(benchmark, rows):
    benchmark(new_deliveries(memory_store(rows)))


@pytest.mark.parametrize("rows", [1_000, 1_000_000])
def test_sqlite(benchmark, tmp_path, rows):
    path = tmp_path / "deliveries.sqlite3"
    store = sqlite_store(path, rows)
    benchmark.extra_info["bytes"] = path.stat().st_size
    benchmark(new_deliveries(store))
    store.close()


@pytest.mark.benchmark(timer=process_time)
def test_growth_of_sqlite(benchmark, tmp_path):
    small, large = (sqlite_store(tmp_path / f"{rows}.sqlite3", rows) for rows in (1_000, 1_000_000))
    row = Row("Remembering one delivery", "SQLiteStore, 1 000 000 keys held", "the same, 1 000 keys held", at_most=1.5)
    measure(benchmark, row, repeat(new_deliveries(large), 100), unit=repeat(new_deliveries(small), 100), rounds=100)
    small.close()
    large.close()


@pytest.mark.benchmark(timer=process_time)
def test_steps_of_sqlite(benchmark, tmp_path):
    store = sqlite_store(tmp_path / "deliveries.sqlite3", 1_000)
    # The steps alone, since what handing them to a thread takes depends on what else the machine does.
    row = Row("Remembering one delivery", "SQLiteStore, claimed and completed", "the documented snippet", at_most=40)
    measure(benchmark, row, repeat(new_deliveries(store), 50), unit=repeat(snippet(BODY % 1), 50))
    store.close()


MEETING = "00000000-0000-4000-8000-000000000001"
# What processing each meeting once adds to a delivery, taken apart. What these leave is the application watched for its
# answer.
PARTS = {
    "reading the event": lambda: partial(parse_event, BODY % 1),
    "the key of its meeting": lambda: partial(store_key, MEETING, key_id=""),
    "a claim, completed": lambda: new_deliveries(MemoryStore()),
}


@pytest.mark.benchmark(timer=process_time)
@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_delivery_with_a_memory_store(benchmark, name):
    row = Row("Where the time with a MemoryStore goes", name, "the documented snippet")
    measure(benchmark, row, repeat(PARTS[name](), 100), unit=repeat(snippet(BODY % 1), 100))


def test_redis(benchmark, redis_url):
    benchmark(new_deliveries(RedisStore(redis_url)))


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def read_application(scope, receive, send):
    assert scope["meetgeek.delivery"].event.meeting_id
    await application(scope, receive, send)


@pytest.mark.parametrize("app", [application, read_application], ids=["event not read", "event read"])
@pytest.mark.parametrize("kind", ["nothing", "memory", "sqlite", "redis"])
def test_a_hundred_guarded_deliveries(benchmark, tmp_path, request, kind, app):
    store = {
        "nothing": lambda: None,
        "memory": MemoryStore,
        "sqlite": lambda: SQLiteStore(tmp_path / "deliveries.sqlite3"),
        "redis": lambda: RedisStore(request.getfixturevalue("redis_url")),
    }[kind]()
    guarded = MeetGeekASGIMiddleware(app, SECRET, idempotency_store=store)
    numbers = count()

    def delivery():
        body = BODY % next(numbers)
        signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        return {"type": "http", "method": "POST", "path": "/", "headers": [(b"x-mg-signature", signature)]}, receive

    async def send(event): ...

    async def deliver(deliveries):
        for scope, receive in deliveries:
            await guarded(scope, receive, send)

    with asyncio.Runner() as runner:
        benchmark.pedantic(
            lambda deliveries: runner.run(deliver(deliveries)),
            setup=lambda: (([delivery() for _ in range(100)],), {}),
            rounds=100 if kind in {"sqlite", "redis"} else 500,
            warmup_rounds=5,
        )
