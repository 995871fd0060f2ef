"""A claim is renewed while its handler runs, however long that takes and whatever blocks."""

import asyncio
import logging
import os
import threading
import time
from math import inf

import anyio
import pytest
import trio
from once_per_meeting import (
    SECRET,
    BlockingStore,
    CoroutineStore,
    RenewedBlockingStore,
    asgi_application,
    receive_asgi_answer,
    succeeded,
    wsgi_answer,
    wsgi_application,
)

from mg_middleware import (
    ConfigurationError,
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    RedisStore,
    SQLiteStore,
)
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, forking, store_key
from mg_middleware.idempotency.claims import calling, renewing, threads
from mg_middleware.idempotency.claims.calling import StoreCalls
from mg_middleware.idempotency.claims.renewing import Renewing
from mg_middleware.idempotency.claims.threads import ThreadedCalls
from mg_middleware.idempotency.decision import HeldClaim

KEY = store_key("m-1", secret=SECRET)
LEASE = 0.6


@pytest.fixture(params=["memory", "sqlite", "redis", "a blocking store of one's own"])
def make(request, tmp_path):
    """Makes a store that goes by the real clock; each one made knows what the others do."""
    if request.param == "sqlite":
        return lambda **options: SQLiteStore(tmp_path / "deliveries.sqlite3", **options)
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
        return lambda **options: RedisStore(url, **options)
    stores = []

    def make_once(**options):
        stores[:] = stores or [MemoryStore(**options)]
        return RenewedBlockingStore(stores[0]) if request.param.startswith("a") else stores[0]

    return make_once


def watch(store, seconds):
    """Claim again and again; the kinds of the results."""
    end, seen = time.monotonic() + seconds, set()
    while time.monotonic() < end:
        seen.add(type(store.claim(KEY)))
        time.sleep(0.02)
    return seen


@pytest.mark.slow
def test_a_handler_of_three_leases_keeps_its_claim_on_wsgi(make):
    seen = []
    other = make(lease=LEASE)
    guarded = MeetGeekWSGIMiddleware(
        wsgi_application(lambda body: seen.append(watch(other, 3 * LEASE)) or 200),
        SECRET,
        idempotency_store=make(lease=LEASE),
    )
    assert wsgi_answer(guarded, succeeded()).body == b"done"
    assert seen == [{InProgress}]
    assert other.claim(KEY) == AlreadyComplete()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("blocks", [False, True], ids=["an async handler", "a handler that blocks the loop"])
def test_a_handler_of_three_leases_keeps_its_claim_on_asgi(make, backend, blocks):
    other = make(lease=LEASE)
    seen = []

    async def handle(body):
        if blocks:
            seen.append(watch(other, 3 * LEASE))
        else:
            seen.append(await anyio.to_thread.run_sync(watch, other, 3 * LEASE))
        return 200

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=make(lease=LEASE))
    assert anyio.run(receive_asgi_answer, guarded, succeeded(), backend=backend).body == b"done"
    assert seen == [{InProgress}]
    assert other.claim(KEY) == AlreadyComplete()


class RenewableCoroutineStore(CoroutineStore):
    def __init__(self, store, renewals=None):
        super().__init__(store)
        self.lease = store.lease
        self.renewals = renewals

    async def renew(self, key, token):
        await anyio.lowlevel.checkpoint()
        if self.renewals is not None:
            result = self.renewals.pop(0)
            if isinstance(result, BaseException):
                raise result
            if result is not None:
                return result
        return self.store.renew(key, token)


class PlainlyRenewed(RenewableCoroutineStore):
    """One plain step among asynchronous ones."""

    def renew(self, key, token):
        return self.store.renew(key, token)


@pytest.mark.parametrize("kind", [RenewableCoroutineStore, PlainlyRenewed])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_asynchronous_store_is_renewed_on_its_loop(backend, kind):
    memory = MemoryStore(lease=LEASE)
    seen = []

    async def handle(body):
        seen.append(await anyio.to_thread.run_sync(watch, memory, 3 * LEASE))
        return 200

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=kind(memory))
    assert anyio.run(receive_asgi_answer, guarded, succeeded(), backend=backend).body == b"done"
    assert seen == [{InProgress}]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_claim_of_an_asynchronous_store_expires_if_the_loop_is_blocked_for_a_lease(backend):
    memory = MemoryStore(lease=LEASE)
    seen = []

    async def handle(body):
        seen.append(watch(memory, 2 * LEASE))
        return 200

    guarded = MeetGeekASGIMiddleware(
        asgi_application(handle), SECRET, idempotency_store=RenewableCoroutineStore(memory)
    )
    assert anyio.run(receive_asgi_answer, guarded, succeeded(), backend=backend).body == b"done"
    assert seen == [{InProgress, Claimed}]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_renewal_that_fails_is_logged_and_the_next_one_is_tried_on_a_loop(backend, caplog):
    memory = MemoryStore(lease=LEASE)
    store = RenewableCoroutineStore(memory, [OSError("once"), None, None, None, None, None])

    async def handle(body):
        await anyio.sleep(LEASE * 1.5)
        assert isinstance(memory.claim(KEY), InProgress)
        return 200

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=store)
    assert anyio.run(receive_asgi_answer, guarded, succeeded(), backend=backend).status == 200
    assert [record.getMessage() for record in caplog.records if record.name == "mg_middleware"] == [
        (
            "the idempotency store RenewableCoroutineStore failed to renew: OSError: once; "
            "the event is processed, perhaps more than once"
        )
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_lost_claim_is_logged_once_on_a_loop(backend, caplog):
    store = RenewableCoroutineStore(MemoryStore(lease=0.15), [False])

    async def handle(body):
        await anyio.sleep(0.4)
        return 200

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=store)
    assert anyio.run(receive_asgi_answer, guarded, succeeded(), backend=backend).status == 200
    assert [record.getMessage() for record in caplog.records if record.name == "mg_middleware"] == [
        (
            "the idempotency store RenewableCoroutineStore lost a claim while its handler runs; "
            "the meeting may be processed more than once"
        )
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_asynchronous_store_is_renewed_for_max_lease(backend, caplog):
    memory = MemoryStore(lease=0.3)
    store = RenewableCoroutineStore(memory)
    store.max_lease = 0.25

    async def handle(body):
        await anyio.sleep(0.9)
        return 200 if isinstance(memory.claim(KEY), Claimed) else 500

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=store)
    assert anyio.run(receive_asgi_answer, guarded, succeeded(), backend=backend).status == 200
    assert "a handler has run for 0.25 seconds, the max_lease" in caplog.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_renewal_that_ends_after_its_claim_says_nothing(backend, caplog):
    renewing_now = threading.Event()

    class Slow(RenewableCoroutineStore):
        async def renew(self, key, token):
            renewing_now.set()
            await anyio.sleep(0.2)
            return False

    async def handle(body):
        await anyio.to_thread.run_sync(renewing_now.wait)
        return 200

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=Slow(MemoryStore(lease=0.15)))

    async def main():
        answer = await receive_asgi_answer(guarded, succeeded())
        await anyio.sleep(0.3)
        return answer

    assert anyio.run(main, backend=backend).status == 200
    assert "lost" not in caplog.text


def test_a_blocking_store_is_renewed_for_max_lease(caplog, make):
    other = make(lease=0.3, max_lease=0.25)
    seen = []
    guarded = MeetGeekWSGIMiddleware(
        wsgi_application(lambda body: time.sleep(1) or seen.append(type(other.claim(KEY))) or 200),
        SECRET,
        idempotency_store=make(lease=0.3, max_lease=0.25),
    )
    assert wsgi_answer(guarded, succeeded()).status == 200
    assert seen == [Claimed]
    assert "a handler has run for 0.25 seconds, the max_lease" in caplog.text


def test_a_claim_that_another_delivery_took_is_logged_once(caplog, make):
    other = make(lease=0.3)

    def handle(body):
        key, token = taken[0]
        other.release(key, token)
        other.claim(key)
        time.sleep(0.6)
        return 200

    taken = []
    store = make(lease=0.3)
    claim = store.claim

    def noting_claim(key):
        result = claim(key)
        taken.append((key, result.token))
        return result

    store.claim = noting_claim
    guarded = MeetGeekWSGIMiddleware(wsgi_application(handle), SECRET, idempotency_store=store)
    assert wsgi_answer(guarded, succeeded()).status == 200
    assert caplog.text.count("lost a claim while its handler runs") == 1


class Renewals:
    """A store whose renewals do what they are told."""

    def __init__(self, results=()):
        self.results = list(results)
        self.keys = []

    def renew(self, key, token):
        self.keys.append(key)
        result = self.results.pop(0) if self.results else True
        if isinstance(result, BaseException):
            raise result
        return result


def held(key):
    return HeldClaim("a layer", key, "token")


@pytest.fixture
def fresh_thread(monkeypatch):
    """A renewing thread of the test's own, as a forked process has; it renews nothing after the test."""
    thread = renewing._RenewingThread()  # noqa: SLF001 - what a fork does
    monkeypatch.setattr(renewing, "_thread", thread)
    yield
    thread.claims.clear()


def renewal_threads():
    return sum(thread.name == "mg-middleware renewals" for thread in threading.enumerate())


def eventually(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


@pytest.mark.usefixtures("fresh_thread")
def test_one_thread_renews_the_claims_of_all_stores_until_they_end():
    stores = [Renewals(), Renewals()]
    slow, quick = (Renewing(StoreCalls(store), lease, 60) for store, lease in zip(stores, (0.6, 0.3), strict=True))
    claims = [held(f"key {number}") for number in range(50)]
    before = renewal_threads()
    for number, claim in enumerate(claims):
        (slow, quick)[number % 2].begin(claim)
    assert renewal_threads() == before + 1
    eventually(lambda: all(stores[number % 2].keys.count(claim.key) >= 2 for number, claim in enumerate(claims)))
    for number, claim in enumerate(claims):
        (slow, quick)[number % 2].end(claim)
    time.sleep(0.1)  # for a renewal that had begun
    for store in stores:
        store.keys.clear()
    time.sleep(0.3)
    assert [store.keys for store in stores] == [[], []]
    quick.begin(claims[0])
    eventually(lambda: stores[1].keys)
    assert renewal_threads() == before + 1
    quick.end(claims[0])


@pytest.mark.usefixtures("fresh_thread")
def test_a_store_with_a_shorter_lease_wakes_the_thread():
    patient, quick = Renewals(), Renewals()
    Renewing(StoreCalls(patient), 3000, 6000).begin(held("patient"))
    time.sleep(0.1)  # the thread sleeps
    Renewing(StoreCalls(quick), 0.3, 60).begin(held("quick"))
    eventually(lambda: quick.keys.count("quick") >= 2)
    assert patient.keys == []


@pytest.mark.usefixtures("fresh_thread")
@pytest.mark.parametrize("lease", [10**15, inf])
def test_a_lease_longer_than_a_thread_can_wait_ends_no_renewals(lease):
    patient, quick = Renewals(), Renewals()
    Renewing(StoreCalls(patient), lease, 6000).begin(held("patient"))
    time.sleep(0.1)  # the thread sleeps
    Renewing(StoreCalls(quick), 0.3, 60).begin(held("quick"))
    eventually(lambda: quick.keys.count("quick") >= 2)
    assert patient.keys == []


@pytest.mark.usefixtures("fresh_thread")
def test_claims_that_are_nearly_due_are_renewed_with_the_first():
    store = Renewals()
    renewals = Renewing(StoreCalls(store), 24, 60)  # an interval of 8 seconds
    claim = held("key")
    renewals.begin(claim)
    begun = claim.due - 8
    assert renewals.renew_if_due(claim, begun + 6.9) == pytest.approx(1.1)
    assert store.keys == []
    assert renewals.renew_if_due(claim, begun + 7.1) == pytest.approx(8)
    assert store.keys == ["key"]


@pytest.mark.usefixtures("fresh_thread")
def test_a_thread_that_cannot_start_is_logged_and_started_with_the_next_claim(monkeypatch, caplog):
    store = Renewals()
    renewals = Renewing(StoreCalls(store), 0.15, 60)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        renewals.begin(held("first"))
    assert "the claims of running handlers aren't renewed: can't start new thread" in caplog.text
    renewals.begin(held("second"))
    eventually(lambda: {"first", "second"} <= set(store.keys))


@pytest.mark.usefixtures("fresh_thread")
def test_a_log_that_raises_stops_no_renewals(monkeypatch):
    class Broken(logging.Filter):
        def filter(self, record):
            raise OSError("the log is broken")

    store = Renewals([False])
    renewals = Renewing(StoreCalls(store), 0.15, 60)
    broken = Broken()
    logging.getLogger("mg_middleware").addFilter(broken)
    try:
        renewals.begin(held("lost"))
        renewals.begin(held("other"))
        eventually(lambda: store.keys.count("other") >= 2)
    finally:
        logging.getLogger("mg_middleware").removeFilter(broken)
    assert store.keys.count("lost") == 1


@pytest.mark.usefixtures("fresh_thread")
@pytest.mark.parametrize("error", [OSError("once"), SystemExit("once")], ids=repr)
def test_a_renewal_that_fails_is_tried_again(caplog, error):
    store = Renewals([error, True, False])
    Renewing(StoreCalls(store), 0.15, 60).begin(held("key"))
    eventually(lambda: "lost a claim" in caplog.text)
    time.sleep(0.2)
    assert store.keys == ["key"] * 3
    assert f"failed to renew: {type(error).__name__}: once" in caplog.text
    assert caplog.text.count("lost a claim") == 1


@pytest.mark.usefixtures("fresh_thread")
def test_a_renewal_that_ends_after_its_claim_is_no_loss(caplog):
    store = Renewals([False])
    claim = held("key")
    claim.ended = True
    Renewing(StoreCalls(store), 0.15, 60).begin(claim)
    eventually(lambda: store.keys)
    time.sleep(0.1)
    assert "lost" not in caplog.text


@pytest.mark.usefixtures("fresh_thread")
def test_a_renewal_that_no_thread_has_begun_when_it_is_given_up_never_runs(monkeypatch, caplog):
    monkeypatch.setattr(calling, "STEP_SECONDS", 0.1)
    monkeypatch.setattr(threads, "_MOST_THREADS", 1)
    go = threading.Event()

    class Hangs(Renewals):
        def renew(self, key, token):
            go.wait(10)
            return super().renew(key, token)

    store = Hangs()
    renewals = Renewing(ThreadedCalls(StoreCalls(store)), 0.3, 60)
    first, second = held("first"), held("second")
    renewals.begin(first)
    time.sleep(0.15)  # the one thread renews the first
    renewals.begin(second)
    eventually(lambda: caplog.text.count("failed to renew: it took more than 0.1 seconds and was given up") >= 2)
    renewals.end(first)
    renewals.end(second)
    assert second.renewal is not None
    go.set()


def test_a_store_that_hangs_delays_no_renewals_of_another(monkeypatch, caplog):
    monkeypatch.setattr(calling, "STEP_SECONDS", 0.2)
    release = threading.Event()

    class Hangs(RenewedBlockingStore):
        def renew(self, key, token):
            release.wait(10)
            return True

    hanging, memory = Hangs(MemoryStore(lease=0.3)), MemoryStore(lease=0.3)
    slow = MeetGeekWSGIMiddleware(
        wsgi_application(lambda body: time.sleep(0.9) or 200), SECRET, idempotency_store=hanging
    )
    other = threading.Thread(target=wsgi_answer, args=[slow, succeeded()])
    other.start()
    seen = []
    guarded = MeetGeekWSGIMiddleware(
        wsgi_application(lambda body: seen.append(watch(memory, 0.8)) or 200), SECRET, idempotency_store=memory
    )
    wsgi_answer(guarded, succeeded())
    other.join()
    release.set()
    assert seen == [{InProgress}]
    assert "failed to renew: it took more than 0.2 seconds and was given up" in caplog.text


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_renews_its_own_claims_and_not_its_parents():
    store = Renewals()
    renewals = Renewing(StoreCalls(store), 0.15, 60)
    parents = held("the parent's")
    renewals.begin(parents)
    child = os.fork()
    if child == 0:
        try:
            store.keys.clear()
            renewals.begin(held("the child's"))
            eventually(lambda: store.keys.count("the child's") >= 2)
            os._exit(0 if set(store.keys) == {"the child's"} else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    renewals.end(parents)


@pytest.mark.usefixtures("fresh_thread")
def test_what_a_fork_calls_forgets_the_claims_and_the_thread():
    Renewing(StoreCalls(Renewals()), 60, 60).begin(held("key"))
    renewing._forget()  # noqa: SLF001 - what a fork calls
    assert renewing._thread.claims == {}  # noqa: SLF001
    before = renewal_threads()
    Renewing(StoreCalls(Renewals()), 60, 60).begin(held("key"))
    assert renewal_threads() == before + 1


def test_where_no_process_forks_nothing_is_registered(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")  # as on Windows
    forking.call_in_forked_child(pytest.fail)


@pytest.mark.usefixtures("fresh_thread")
def test_the_renewing_ends_with_the_process():
    """A daemon thread keeps no process alive; see test_lost_workers.py for what follows."""
    Renewing(StoreCalls(Renewals()), 60, 60).begin(held("key"))
    assert all(one.daemon for one in threading.enumerate() if one.name.startswith("mg-middleware"))


@pytest.mark.parametrize("lease", [None, "10", 0])
def test_a_store_that_renews_must_say_its_lease(protocol, lease):
    class Renews(BlockingStore):
        def renew(self, key, token): ...

    store = Renews(MemoryStore())
    store.lease = lease
    with pytest.raises(
        ConfigurationError, match=r"^Renews has renew\(\), so Renews\.lease must be its lease in seconds$"
    ):
        protocol.guard(lambda body: 200, idempotency_store=store)


def test_a_place_that_cannot_be_compared_is_refused(protocol):
    store = BlockingStore(MemoryStore())
    store.place = ["a list"]
    with pytest.raises(ConfigurationError, match=r"^BlockingStore\.place must be hashable, such as a tuple"):
        protocol.guard(lambda body: 200, idempotency_store=store)


def test_a_max_lease_that_is_no_number_is_refused(protocol):
    store = BlockingStore(MemoryStore())
    store.max_lease = "an hour"
    with pytest.raises(ConfigurationError, match=r"BlockingStore\.max_lease must be a number of seconds"):
        protocol.guard(lambda body: 200, idempotency_store=store)


def test_a_renewal_in_flight_when_trio_ends_harms_nothing():
    async def handle(body):
        await trio.sleep(0.3)
        raise RuntimeError("the handler failed")

    store = RenewableCoroutineStore(MemoryStore(lease=0.15))
    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=store)
    with pytest.raises(RuntimeError, match="the handler failed"):
        trio.run(receive_asgi_answer, guarded, succeeded())


def test_a_handler_in_a_thread_keeps_its_claim_after_its_request_was_cancelled():
    """A thread can't be cancelled. anyio waits for it, so the application has not returned."""
    memory = MemoryStore(lease=0.3)
    seen = []

    async def handle(body):
        await anyio.to_thread.run_sync(lambda: seen.append(watch(memory, 0.9)))
        return 200

    guarded = MeetGeekASGIMiddleware(asgi_application(handle), SECRET, idempotency_store=memory)

    async def main():
        with anyio.move_on_after(0.1):
            await receive_asgi_answer(guarded, succeeded())

    asyncio.run(main())
    assert seen == [{InProgress}]
    assert memory.claim(KEY) == AlreadyComplete()
