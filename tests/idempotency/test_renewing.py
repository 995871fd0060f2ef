"""A claim is renewed while its handler runs, however long that takes and whatever blocks."""

import asyncio
import os
import threading
import time

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
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, store_key
from mg_middleware.idempotency.claims import calling, renewing
from mg_middleware.idempotency.claims.calling import StoreCalls
from mg_middleware.idempotency.claims.renewing import RenewingThread
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
            if isinstance(result, Exception):
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
        if isinstance(result, Exception):
            raise result
        return result


def held(key):
    return HeldClaim(key, "token", "place", "guard")


def test_one_thread_renews_all_claims_and_ends_when_there_are_none():
    store = Renewals()
    thread = RenewingThread(StoreCalls(store), 0.3, 60)
    claims = [held(f"key {number}") for number in range(50)]
    before = threading.active_count()
    for claim in claims:
        thread.begin(claim)
    assert threading.active_count() == before + 1
    time.sleep(0.45)
    assert threading.active_count() == before + 1
    for claim in claims:
        thread.end(claim)
    time.sleep(0.3)
    assert threading.active_count() == before
    assert {store.keys.count(claim.key) for claim in claims} <= {3, 4}
    thread.begin(claims[0])
    time.sleep(0.15)
    thread.end(claims[0])
    assert store.keys[-1] == claims[0].key


def test_a_renewal_that_fails_is_tried_again(caplog):
    store = Renewals([OSError("once"), True, False])
    thread = RenewingThread(StoreCalls(store), 0.15, 60)
    thread.begin(held("key"))
    time.sleep(0.4)
    assert store.keys == ["key"] * 3
    assert "failed to renew: OSError: once" in caplog.text
    assert caplog.text.count("lost a claim") == 1


def test_a_renewal_that_ends_after_its_claim_is_no_loss(caplog):
    thread = RenewingThread(StoreCalls(Renewals([False])), 0.15, 60)
    claim = held("key")
    claim.ended = True
    thread.begin(claim)
    time.sleep(0.2)
    assert "lost" not in caplog.text


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
    thread = RenewingThread(StoreCalls(store), 0.15, 60)
    thread.begin(held("the parent's"))
    child = os.fork()
    if child == 0:
        try:
            store.keys.clear()
            thread.begin(held("the child's"))
            time.sleep(0.2)
            os._exit(0 if set(store.keys) == {"the child's"} else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_forgetting_leaves_other_threads_alone():
    thread = RenewingThread(StoreCalls(Renewals()), 60, 60)
    thread.begin(held("key"))
    renewing._forget_all()  # noqa: SLF001 - what a fork calls
    assert thread._due == {}  # noqa: SLF001


def test_the_renewing_ends_with_the_process(tmp_path):
    """A daemon thread keeps no process alive; see test_lost_workers.py for what follows."""
    thread = RenewingThread(StoreCalls(Renewals()), 60, 60)
    thread.begin(held("key"))
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
