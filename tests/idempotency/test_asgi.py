"""Once per meeting on ASGI: the end of the answer, cancellation, and the event loop."""

import asyncio
import contextlib
import gc
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from contextvars import ContextVar
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
import redis.asyncio
from asgiref.wsgi import WsgiToAsgi
from once_per_meeting import (
    FAILED_BODY,
    SECRET,
    BlockingStore,
    CoroutineStore,
    asgi_application,
    asgi_scope,
    receive_asgi_answer,
    signature,
    succeeded,
    wsgi_application,
)

from mg_middleware import MeetGeekASGIMiddleware, MemoryStore, RedisStore, SQLiteStore, delivery_of
from mg_middleware._keys import Key
from mg_middleware.delivery import Delivery
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, store_key
from mg_middleware.idempotency.asgi import OncePerMeeting

pytestmark = pytest.mark.anyio

KEY = store_key("m-1", secret=SECRET)
START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b"", "more_body": False}

WRAPS = {"instant": lambda store: store, "blocking": BlockingStore, "asynchronous": CoroutineStore}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture(params=WRAPS.values(), ids=WRAPS.keys())
def wrapped(request):
    return request.param


async def run(application, store, body=None, send=None):
    body = succeeded() if body is None else body

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def ignore(event): ...

    guarded = MeetGeekASGIMiddleware(application, SECRET, idempotency_store=store)
    await guarded(asgi_scope(body), receive, send or ignore)


async def claim_when_free(memory):
    """Wait until a step that goes on by itself has released the key."""
    with anyio.fail_after(5):
        while isinstance(answer := memory.claim(KEY), InProgress):
            await anyio.sleep(0.005)
    return answer


@pytest.mark.parametrize(
    "end",
    [
        END,
        {"type": "http.response.body"},
        {"type": "http.response.pathsend", "path": "/dev/null"},
        {"type": "http.response.zerocopysend", "file": 0},
    ],
    ids=["body", "body with nothing but its type", "pathsend", "zerocopysend"],
)
async def test_the_key_is_complete_before_the_end_of_the_answer_goes_out(wrapped, end):
    memory = MemoryStore()
    seen = []

    async def application(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": []})
        await send(START)
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await send(end)

    async def send(event):
        seen.append((event, type(memory.claim(KEY))))

    await run(application, wrapped(memory), send=send)
    assert [kind for _, kind in seen] == [InProgress, InProgress, InProgress, AlreadyComplete]
    assert seen[-1][0] is end


@pytest.mark.parametrize("statuses", [(200, 500), (500, 200)], ids=str)
@pytest.mark.parametrize("acknowledge", [False, True])
async def test_an_answer_that_starts_twice_is_a_success_only_if_both_are(wrapped, statuses, acknowledge):
    memory = MemoryStore()

    async def application(scope, receive, send):
        for status in statuses:
            await send(START | {"status": status})
        await send(END)

    async def receive():
        return {"type": "http.request", "body": succeeded(), "more_body": False}

    async def ignore(event): ...

    store = wrapped(memory)
    guarded = MeetGeekASGIMiddleware(application, SECRET, idempotency_store=store, acknowledge=acknowledge)
    await guarded(asgi_scope(succeeded()), receive, ignore)
    assert isinstance(memory.claim(KEY), Claimed)


async def test_a_failed_answers_key_is_released_before_its_end_goes_out(wrapped):
    memory = MemoryStore()
    seen = []

    async def application(scope, receive, send):
        await send({**START, "status": 500})
        await send(END)

    async def send(event):
        if event is END:
            seen.append(memory.claim(KEY))

    await run(application, wrapped(memory), send=send)
    assert isinstance(seen[0], Claimed)


@pytest.mark.parametrize("events", [[], [START], [START, {**END, "more_body": True}], [END]])
async def test_an_application_that_returns_without_finishing_its_answer_releases(wrapped, events):
    memory = MemoryStore()

    async def application(scope, receive, send):
        for event in events:
            await send(event)

    await run(application, wrapped(memory))
    assert isinstance(memory.claim(KEY), Claimed)


async def test_an_application_that_fails_half_way_through_its_answer_releases(wrapped):
    memory = MemoryStore()

    async def application(scope, receive, send):
        await send(START)
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await run(application, wrapped(memory))
    assert isinstance(memory.claim(KEY), Claimed)


async def test_what_fails_after_the_answer_changes_nothing(wrapped):
    memory = MemoryStore()

    async def application(scope, receive, send):
        await send(START)
        await send(END)
        raise RuntimeError("in a background task")

    with pytest.raises(RuntimeError, match="background"):
        await run(application, wrapped(memory))
    assert memory.claim(KEY) == AlreadyComplete()


async def test_a_client_that_left_before_the_end_changes_nothing(wrapped):
    memory = MemoryStore()

    async def send(event):
        raise OSError("the connection is closed")

    async def application(scope, receive, send):
        try:
            await send(START)
        except OSError:
            await send(END)

    with pytest.raises(OSError, match="closed"):
        await run(application, wrapped(memory), send=send)
    assert memory.claim(KEY) == AlreadyComplete()


async def test_a_cancelled_request_releases(wrapped):
    memory = MemoryStore()

    async def application(scope, receive, send):
        await anyio.sleep(60)

    with anyio.move_on_after(0.05) as scope:
        await run(application, wrapped(memory))
    assert scope.cancelled_caught
    assert isinstance(await claim_when_free(memory), Claimed)


@pytest.mark.parametrize("wrap", [lambda store: BlockingStore(store, 0.2), CoroutineStore])
async def test_a_request_cancelled_while_it_claims_leaves_no_claim_behind(wrap):
    claiming = threading.Event()

    class Noting(MemoryStore):
        def claim(self, key):
            answer = super().claim(key)
            claiming.set()
            return answer

    class Slow(CoroutineStore):
        async def claim(self, key):
            answer = self.store.claim(key)
            await anyio.sleep(0.2)
            return answer

    memory = Noting()
    store = Slow(memory) if wrap is CoroutineStore else wrap(memory)
    runs = []

    async def application(scope, receive, send):
        await anyio.lowlevel.checkpoint()
        runs.append(scope)

    with anyio.move_on_after(0.05):
        await run(application, store)
    with anyio.fail_after(5):
        while not claiming.is_set():
            await anyio.sleep(0.005)
    assert isinstance(await claim_when_free(memory), Claimed)
    assert runs == []


async def test_a_request_cancelled_while_it_is_told_of_a_duplicate_leaves_it_complete():
    memory = MemoryStore()
    memory.complete(KEY, memory.claim(KEY).token)
    with anyio.move_on_after(0.05):
        await run(asgi_application(lambda body: 200), BlockingStore(memory, 0.2))
    await anyio.sleep(0.3)
    assert memory.claim(KEY) == AlreadyComplete()


async def test_a_request_cancelled_while_it_completes_is_complete_all_the_same():
    memory = MemoryStore()

    class Slow(BlockingStore):
        def complete(self, key, token):
            time.sleep(0.2)
            super().complete(key, token)

    with anyio.move_on_after(0.1):
        await run(asgi_application(lambda body: 200), Slow(memory))
    await anyio.sleep(0.3)
    assert memory.claim(KEY) == AlreadyComplete()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_claim_for_which_nobody_waits_any_more_goes_on_though_nobody_else_knows_of_it(anyio_backend):
    waiting = []

    class Waits(CoroutineStore):
        async def claim(self, key):
            future = asyncio.get_running_loop().create_future()
            waiting.append(weakref.ref(future))
            await future

    application = asgi_application(lambda body: 200)
    guarded = MeetGeekASGIMiddleware(application, SECRET, idempotency_store=Waits(MemoryStore()))
    delivery = asyncio.ensure_future(receive_asgi_answer(guarded, succeeded()))
    await asyncio.sleep(0.05)
    delivery.cancel()
    await asyncio.wait([delivery])
    del delivery
    gc.collect()
    waiting[0]().set_result(None)


class Endless(CoroutineStore):
    async def claim(self, key):
        await anyio.sleep(60)


@pytest.mark.parametrize("store", [Endless(None), BlockingStore(MemoryStore(), 0.2)], ids=["asynchronous", "blocking"])
@pytest.mark.parametrize("request_cancelled_before", [False, True])
def test_a_claim_that_ends_with_its_loop_is_left_to_its_lease(caplog, store, request_cancelled_before):
    deliveries = []

    async def begin():
        deliveries.append(asyncio.ensure_future(run(asgi_application(lambda body: 200), store)))
        await asyncio.sleep(0.05)
        if request_cancelled_before:
            deliveries[0].cancel()
            await asyncio.sleep(0)

    asyncio.run(begin())
    assert deliveries[0].cancelled()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_a_coroutine_that_is_thrown_away_releases():
    memory = MemoryStore()

    class Pause:
        def __await__(self):
            yield

    async def application(scope, receive, send):
        await Pause()

    thrown_away = run(application, memory)
    thrown_away.send(None)
    thrown_away.close()
    assert isinstance(memory.claim(KEY), Claimed)


def verified(body=None, secret=SECRET):
    """Make the delivery that a guard would."""
    body = succeeded() if body is None else body
    return Delivery([body], signature(body, secret).encode(), None, Key(secret.encode()).fingerprint)


@pytest.mark.parametrize(
    ("wrap", "left"), [(BlockingStore, Claimed), (CoroutineStore, InProgress)], ids=["blocking", "asynchronous"]
)
async def test_where_nothing_can_be_awaited_a_thread_releases_and_an_asynchronous_claim_expires(wrap, left):
    memory = MemoryStore()
    claim = await OncePerMeeting(wrap(memory), wait=0).claim(verified(), "POST")
    claim.drop()
    claim.drop()
    if left is Claimed:
        assert isinstance(await claim_when_free(memory), Claimed)
    else:
        assert isinstance(memory.claim(KEY), InProgress)


@pytest.mark.filterwarnings("error")
def test_a_wsgi_application_in_asgirefs_adapter_runs_without_a_warning():
    """asgiref warns of a `send` that is no coroutine function."""
    memory = MemoryStore()
    guarded = MeetGeekASGIMiddleware(WsgiToAsgi(wsgi_application(lambda body: 200)), SECRET, idempotency_store=memory)
    assert asyncio.run(receive_asgi_answer(guarded, succeeded())).status == 200
    assert memory.claim(KEY) == AlreadyComplete()


async def test_a_claim_ends_once():
    memory = MemoryStore()
    claim = await OncePerMeeting(memory, wait=0).claim(verified(), "POST")
    await claim.end(successful=True)
    await claim.end(successful=False)
    claim.drop()
    assert memory.claim(KEY) == AlreadyComplete()


@pytest.fixture(params=["a store of one's own", "SQLite", "Redis"])
def slow_store(request, tmp_path, monkeypatch):
    """A store that needs half a second to claim, and may fail then."""
    if request.param == "a store of one's own":
        yield BlockingStore(MemoryStore(), 0.5)
    elif request.param == "SQLite":
        monkeypatch.setattr("mg_middleware.idempotency.stores.sqlite_file._BUSY_SECONDS", 0.5)
        path = tmp_path / "deliveries.sqlite3"
        store = SQLiteStore(path)
        store.claim("first")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield store
            store.close()
    else:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0?socket_timeout=0.5")


async def test_the_event_loop_goes_on_while_a_store_blocks(slow_store):
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await run(asgi_application(lambda body: 200), slow_store)
        group.cancel_scope.cancel()
    assert ticks[-1] - ticks[0] > 0.4
    assert max(later - earlier for earlier, later in pairwise(ticks)) < 0.3


async def test_steps_that_block_run_at_the_same_time():
    together = threading.Barrier(3, timeout=5)

    class Meeting(BlockingStore):
        def claim(self, key):
            together.wait()
            return super().claim(key)

    store, runs = Meeting(MemoryStore()), []
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(
                run, asgi_application(lambda body: runs.append(body) or 200), store, succeeded(str(number))
            )
    assert len(runs) == 3
    assert not together.broken


async def test_a_store_that_never_waits_is_called_on_the_loops_own_thread():
    threads = []

    class Noting(MemoryStore):
        def claim(self, key):
            threads.append(threading.current_thread())
            return super().claim(key)

    await run(asgi_application(lambda body: 200), Noting())
    assert threads == [threading.current_thread()]


async def test_what_is_not_remembered_goes_through_as_the_same_objects():
    given = []

    async def application(scope, receive, send):
        given.append(send)

    async def send(event): ...

    await run(application, MemoryStore(), body=FAILED_BODY, send=send)
    await run(application, BlockingStore(None), send=send)  # whose claim fails
    assert given == [send, send]


async def test_the_application_finds_the_delivery_under_a_claim(wrapped):
    bodies = []

    async def application(scope, receive, send):
        bodies.append(delivery_of(scope).body)

    await run(application, wrapped(MemoryStore()))
    assert bodies == [succeeded()]


async def test_contexts_are_shared_with_the_application(wrapped):
    variable = ContextVar("variable", default="outside")

    async def application(scope, receive, send):
        assert variable.get() == "set outside"
        variable.set("set inside")

    variable.set("set outside")
    await run(application, wrapped(MemoryStore()))
    assert variable.get() == "set inside"


class OnlyClaimsLater(CoroutineStore):
    """Claims in a coroutine, and ends the claim in plain functions."""

    def complete(self, key, token):
        self.store.complete(key, token)

    def release(self, key, token):
        self.store.release(key, token)


class ClaimsAtOnce(CoroutineStore):
    """One plain step among asynchronous ones."""

    def claim(self, key):
        return self.store.claim(key)


class PlainlyLater:
    """Plain functions that return awaitables."""

    execution = "asynchronous"

    def __init__(self, store):
        self.store = CoroutineStore(store)

    def claim(self, key):
        return self.store.claim(key)

    def complete(self, key, token):
        return self.store.complete(key, token)

    def release(self, key, token):
        return self.store.release(key, token)


class DerivedFromAnInstantStore(CoroutineStore, MemoryStore):
    """Inherits the word that it never waits."""

    renew = None


@pytest.mark.parametrize("make", [OnlyClaimsLater, ClaimsAtOnce, PlainlyLater, DerivedFromAnInstantStore])
async def test_an_asynchronous_store_of_any_make_serves(make):
    statuses = [500, 200]
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: statuses.pop(0)), SECRET, idempotency_store=make(MemoryStore())
    )
    answers = [await receive_asgi_answer(guarded, succeeded()) for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(500, b"done"), (200, b"done"), (200, b"")]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("broken", ["claim", "complete"])
async def test_a_store_that_cancels_its_own_step_has_failed(anyio_backend, caplog, broken):
    async def cancel(*arguments):
        raise asyncio.CancelledError

    store = CoroutineStore(MemoryStore())
    setattr(store, broken, cancel)
    guarded = MeetGeekASGIMiddleware(asgi_application(lambda body: 200), SECRET, idempotency_store=store)
    assert (await receive_asgi_answer(guarded, succeeded())).body == b"done"
    assert f"failed to {broken}: CancelledError" in caplog.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("decode_responses", [False, True])
async def test_an_asynchronous_redis_client_serves(anyio_backend, redis_server, decode_responses):
    statuses = [500, 200]
    async with redis.asyncio.Redis.from_url(redis_server.url, decode_responses=decode_responses) as client:
        guarded = MeetGeekASGIMiddleware(
            asgi_application(lambda body: statuses.pop(0)), SECRET, idempotency_store=RedisStore(client)
        )
        answers = [await receive_asgi_answer(guarded, succeeded()) for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(500, b"done"), (200, b"done"), (200, b"")]


def test_nothing_is_imported_that_is_not_needed():
    program = """
import sys
at_first = set(sys.modules)
from mg_middleware import MeetGeekASGIMiddleware
MeetGeekASGIMiddleware(print, "secret")
before = [name for name in sys.modules if name.startswith("mg_middleware.idempotency")]
from mg_middleware import MemoryStore
MeetGeekASGIMiddleware(print, "secret", idempotency_store=MemoryStore())
unneeded = {"asyncio", "trio", "anyio", "sqlite3", "redis", "werkzeug", "asgiref"} & (set(sys.modules) - at_first)
sys.exit(f"{before} {unneeded}" if before or unneeded else 0)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_coroutine_that_is_closed_while_it_waits_reports_that():
    store, verdicts = MemoryStore(), []
    assert isinstance(store.claim(store_key("m-1", secret=SECRET)), Claimed)
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: 200), SECRET, idempotency_store=store, on_verdict=verdicts.append
    )

    async def receive():
        return {"type": "http.request", "body": succeeded()}

    waiting = guarded(asgi_scope(succeeded()), receive, None)
    waiting.send(None)  # it sleeps until the claim might have ended
    waiting.close()
    assert [verdict.outcome for verdict in verdicts] == ["in_progress"]
