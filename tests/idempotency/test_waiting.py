"""A delivery of a meeting that is in progress waits for it."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from once_per_meeting import (
    SECRET,
    BlockingStore,
    CoroutineStore,
    asgi_application,
    receive_asgi_answer,
    succeeded,
    wsgi_answer,
    wsgi_application,
)

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, MemoryStore
from mg_middleware.idempotency import store_key
from mg_middleware.idempotency.claims import waiting

KEY = store_key("m-1", secret=SECRET)


class Store(MemoryStore):
    """Counts the looks at a claim."""

    looks = 0

    def claim(self, key):
        self.looks += 1
        return super().claim(key)


@pytest.fixture(autouse=True)
def no_place_in_line_is_left_taken():
    yield
    assert waiting._waiting == set()  # noqa: SLF001


def test_a_delivery_waits_and_is_a_duplicate_if_the_other_one_succeeds(protocol):
    memory = MemoryStore()
    token = memory.claim(KEY).token
    runs = []
    guarded = protocol.guard(runs.append, idempotency_store=memory, idempotency_wait=5)
    threading.Timer(0.3, memory.complete, [KEY, token]).start()
    begun = time.monotonic()
    answer = protocol.deliver(guarded, succeeded())
    assert (answer.status, answer.body, runs) == (200, b"", [])
    assert 0.25 < time.monotonic() - begun < 2


def test_a_delivery_waits_and_runs_if_the_other_one_fails(protocol):
    memory = MemoryStore()
    token = memory.claim(KEY).token
    guarded = protocol.guard(lambda body: 200, idempotency_store=memory, idempotency_wait=5)
    threading.Timer(0.2, memory.release, [KEY, token]).start()
    assert protocol.deliver(guarded, succeeded()).body == b"done"


def test_a_delivery_takes_over_when_the_other_ones_claim_expires(protocol):
    memory = MemoryStore(lease=0.5)
    memory.claim(KEY)
    guarded = protocol.guard(lambda body: 200, idempotency_store=memory, idempotency_wait=5)
    begun = time.monotonic()
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert 0.4 < time.monotonic() - begun < 2


def test_a_delivery_that_has_waited_for_nothing_is_to_be_sent_again(protocol):
    store = Store()
    store.claim(KEY)
    guarded = protocol.guard(lambda body: 200, idempotency_store=store, idempotency_wait=0.5)
    begun = time.monotonic()
    assert protocol.deliver(guarded, succeeded()).status == 409
    assert 0.45 < time.monotonic() - begun < 2
    assert 3 <= store.looks <= 15


def test_without_a_wait_the_store_is_asked_once(protocol):
    store = Store()
    store.claim(KEY)
    guarded = protocol.guard(lambda body: 200, idempotency_store=store, idempotency_wait=0)
    assert protocol.deliver(guarded, succeeded()).status == 409
    assert store.looks == 2


def test_the_event_is_processed_if_the_store_fails_meanwhile(protocol, caplog):
    store = Store()
    store.claim(KEY)

    class FailsLater(Store):
        def claim(self, key):
            if store.looks > 2:
                raise OSError("gone")
            return store.claim(key)

    guarded = protocol.guard(lambda body: 200, idempotency_store=FailsLater(), idempotency_wait=5)
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert "failed to claim" in caplog.text


def test_only_one_delivery_of_a_meeting_waits_in_a_process_on_wsgi():
    memory = MemoryStore()
    token = memory.claim(KEY).token
    guards = [
        MeetGeekWSGIMiddleware(wsgi_application(lambda body: 200), SECRET, idempotency_store=memory) for _ in range(2)
    ]
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(wsgi_answer, guards[number % 2], succeeded()) for number in range(8)]
        time.sleep(0.5)
        refused = [answer.result().status for answer in answers if answer.done()]
        memory.complete(KEY, token)
        assert refused == [409] * 7
        assert sorted(answer.result().status for answer in answers) == [200] + [409] * 7


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("wrap", [lambda store: store, BlockingStore, CoroutineStore])
def test_only_one_delivery_of_a_meeting_waits_in_a_process_on_asgi(backend, wrap):
    memory = MemoryStore()
    token = memory.claim(KEY).token
    guarded = MeetGeekASGIMiddleware(asgi_application(lambda body: 200), SECRET, idempotency_store=wrap(memory))
    statuses = []

    async def deliver():
        statuses.append((await receive_asgi_answer(guarded, succeeded())).status)

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(deliver)
            await anyio.sleep(0.5)
            assert statuses == [409] * 7
            memory.complete(KEY, token)
        assert statuses == [409] * 7 + [200]

    anyio.run(main, backend=backend)


def test_different_meetings_wait_at_the_same_time():
    memory = MemoryStore()
    tokens = {key: memory.claim(key).token for key in (store_key(f"m-{n}", secret=SECRET) for n in range(4))}
    guarded = MeetGeekWSGIMiddleware(wsgi_application(lambda body: 200), SECRET, idempotency_store=memory)
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(wsgi_answer, guarded, succeeded(f"m-{number}")) for number in range(4)]
        time.sleep(0.3)
        for key, token in tokens.items():
            memory.complete(key, token)
        assert [answer.result().status for answer in answers] == [200] * 4


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_wait_gives_its_place_back(backend):
    memory = MemoryStore()
    memory.claim(KEY)
    guarded = MeetGeekASGIMiddleware(asgi_application(lambda body: 200), SECRET, idempotency_store=memory)

    async def main():
        with anyio.move_on_after(0.2) as scope:
            await receive_asgi_answer(guarded, succeeded())
        assert scope.cancelled_caught
        assert waiting._waiting == set()  # noqa: SLF001

    anyio.run(main, backend=backend)


def test_the_loop_goes_on_while_a_delivery_waits():
    memory = MemoryStore()
    memory.claim(KEY)
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: 200), SECRET, idempotency_store=memory, idempotency_wait=0.5
    )

    async def main():
        delivery = asyncio.ensure_future(receive_asgi_answer(guarded, succeeded()))
        ticks = 0
        while not delivery.done():
            ticks += 1
            await asyncio.sleep(0.01)
        return ticks

    assert asyncio.run(main()) > 20


def test_a_forked_process_has_nobody_waiting():
    with waiting.place_in_line("place", KEY) as free:
        assert free
        waiting._forget_waiting()  # noqa: SLF001 - what a fork calls
        with waiting.place_in_line("place", KEY) as free_in_the_child:
            assert free_in_the_child


def test_a_wait_costs_a_store_few_looks():
    patience = waiting.Patience(12)
    pauses = [patience.next_pause(10) for _ in range(60)]
    assert all(0.02 <= pause <= 0.25 for pause in pauses)
    assert pauses == sorted(pauses)
