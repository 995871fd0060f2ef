"""Guards nested by mistake share one claim; a store that hangs is given up; a blocking store has its own threads."""

import asyncio
import os
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import a2wsgi
import anyio
import pytest
from once_per_meeting import (
    SECRET,
    BlockingStore,
    CoroutineStore,
    RenewedBlockingStore,
    asgi_application,
    receive_asgi_answer,
    succeeded,
    wsgi_application,
)

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, MemoryStore, SQLiteStore
from mg_middleware.idempotency import AlreadyComplete, Claimed, store_key
from mg_middleware.idempotency.claims import calling, threads
from mg_middleware.idempotency.claims.calling import StoreCalls
from mg_middleware.idempotency.claims.threads import StepThreads, ThreadedCalls

KEY = store_key("m-1", secret=SECRET)


def nested(protocol, handle, outer, inner, **options):
    guarded = protocol.guard(handle, idempotency_store=inner, **options)
    kind = MeetGeekWSGIMiddleware if protocol.name == "WSGI" else MeetGeekASGIMiddleware
    return kind(guarded, SECRET, idempotency_store=outer, **options)


def test_two_guards_around_one_application_share_a_claim(protocol, store):
    runs = []
    guarded = nested(protocol, lambda body: runs.append(body) or 200, store, store)
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    assert len(runs) == 1


def test_two_store_objects_on_one_file_share_a_claim(protocol, tmp_path):
    runs = []
    stores = [SQLiteStore(tmp_path / "deliveries.sqlite3") for _ in range(2)]
    guarded = nested(protocol, lambda body: runs.append(body) or 200, *stores)
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    assert len(runs) == 1


def test_guards_on_two_places_claim_at_both(protocol):
    stores = MemoryStore(), MemoryStore()
    guarded = nested(protocol, lambda body: 200, *stores)
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert [store.claim(KEY) for store in stores] == [AlreadyComplete()] * 2


def test_one_place_by_two_names_loses_nothing(protocol):
    """The inner layer meets the outer one's claim. It cannot tell, so it processes the event."""
    memory, runs = MemoryStore(), []
    guarded = nested(
        protocol,
        lambda body: runs.append(body) or 200,
        BlockingStore(memory),
        BlockingStore(memory),
        idempotency_wait=0.1,
    )
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    assert len(runs) == 1


def test_three_layers_of_which_two_share_a_place(protocol):
    store, another, runs = MemoryStore(), MemoryStore(), []
    inner = protocol.guard(lambda body: runs.append(body) or 200, idempotency_store=store)
    kind = MeetGeekWSGIMiddleware if protocol.name == "WSGI" else MeetGeekASGIMiddleware
    middle = kind(inner, SECRET, idempotency_store=another)
    guarded = kind(middle, SECRET, idempotency_store=store)
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    assert len(runs) == 1


def test_a_delivery_that_the_handler_sends_is_another_delivery_in_each_layer(protocol):
    answers = []
    store = MemoryStore()
    guarded = nested(
        protocol,
        lambda body: protocol.deliver_within_handler(guarded, body, answers),
        MemoryStore(),
        store,
        idempotency_wait=0,
    )
    assert protocol.deliver(guarded, succeeded()).status == 200
    assert [answer.status for answer in answers] == [409]


def test_layers_on_two_protocols_share_a_claim():
    runs, store = [], MemoryStore()
    inner = MeetGeekWSGIMiddleware(
        wsgi_application(lambda body: runs.append(body) or 200), SECRET, idempotency_store=store
    )
    guarded = MeetGeekASGIMiddleware(a2wsgi.WSGIMiddleware(inner), SECRET, idempotency_store=store)

    async def main():
        return [(await receive_asgi_answer(guarded, succeeded())).body for _ in range(2)]

    assert asyncio.run(main()) == [b"done", b""]
    assert len(runs) == 1


class Hangs(BlockingStore):
    """A store of which one step hangs until it is let go."""

    def __init__(self, store, step):
        super().__init__(store)
        self.step = step
        self.go = threading.Event()

    def claim(self, key):
        return self._hang("claim", key)

    def complete(self, key, token):
        self._hang("complete", key, token)

    def release(self, key, token):
        self._hang("release", key, token)

    def _hang(self, step, *arguments):
        if step == self.step:
            self.go.wait(30)
        return getattr(self.store, step)(*arguments)


@pytest.fixture
def short_steps(monkeypatch):
    monkeypatch.setattr(calling, "STEP_SECONDS", 0.2)


@pytest.mark.parametrize("step", ["claim", "complete", "release"])
def test_a_step_that_hangs_is_given_up_and_the_event_is_processed(protocol, caplog, step, short_steps):
    memory = MemoryStore()
    store = Hangs(memory, step)
    guarded = protocol.guard(lambda body: 500 if step == "release" else 200, idempotency_store=store)
    begun = time.monotonic()
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert time.monotonic() - begun < 3
    assert (
        f"the idempotency store Hangs failed to {step}: it took more than 0.2 seconds and was given up" in caplog.text
    )
    store.go.set()
    if step == "claim":
        wait_until_free(memory)


def wait_until_free(memory):
    """Wait until a claim that came too late was given back."""
    deadline = time.monotonic() + 5
    while not isinstance(memory.claim(KEY), Claimed):
        assert time.monotonic() < deadline
        time.sleep(0.01)


class HangsLater(CoroutineStore):
    def __init__(self, store, step):
        super().__init__(store)
        self.step = step

    async def claim(self, key):
        await self._hang("claim")
        return await super().claim(key)

    async def complete(self, key, token):
        await self._hang("complete")
        await super().complete(key, token)

    async def _hang(self, step):
        if step == self.step:
            await anyio.sleep(30)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("step", ["claim", "complete"])
def test_an_asynchronous_step_that_hangs_is_given_up(backend, step, caplog, short_steps):
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: 200), SECRET, idempotency_store=HangsLater(MemoryStore(), step)
    )
    assert anyio.run(receive_asgi_answer, guarded, succeeded(), backend=backend).body == b"done"
    assert f"failed to {step}: it took more than 0.2 seconds and was given up" in caplog.text


def test_a_step_that_no_thread_has_begun_when_it_is_given_up_never_runs(monkeypatch, short_steps):
    monkeypatch.setattr(threads, "_MOST_THREADS", 1)
    memory = MemoryStore()
    store = Hangs(memory, "claim")
    calls = ThreadedCalls(StoreCalls(store))
    assert calls.claim("first") is None
    assert calls.claim("second") is None
    store.go.set()
    time.sleep(0.3)
    assert len(memory) == 0


def test_a_step_that_comes_as_an_idle_thread_is_about_to_end_is_run(monkeypatch):
    class Queue:
        """A queue that has nothing at first, though a step is in it by the time that the thread looks again."""

        def __init__(self):
            self.steps = queue.SimpleQueue()
            self.put, self.empty, self.looked = self.steps.put, self.steps.empty, False

        def get(self, timeout):
            if not self.looked:
                self.looked = True
                raise queue.Empty
            return self.steps.get(timeout=timeout)

    monkeypatch.setattr(threads, "SimpleQueue", Queue)
    assert StepThreads().submit(lambda: "done").result(10) == "done"


def test_an_interruption_gives_the_claim_back(monkeypatch):
    """As gevent.Timeout and KeyboardInterrupt do, wherever they strike."""
    memory = MemoryStore()
    store = Hangs(memory, "claim")
    calls = ThreadedCalls(StoreCalls(store))

    def interrupt(_future):
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "_is_done_in_time", interrupt)
    with pytest.raises(KeyboardInterrupt):
        calls.claim(KEY)
    store.go.set()
    wait_until_free(memory)


def test_a_claim_that_failed_after_it_was_given_up_leaves_nothing_to_give_back(short_steps):
    class Exits(Hangs):
        def claim(self, key):
            self.go.wait(30)
            raise SystemExit

    store = Exits(MemoryStore(), "claim")
    calls = ThreadedCalls(StoreCalls(store))
    assert calls.claim(KEY) is None
    store.go.set()
    time.sleep(0.1)
    with pytest.raises(SystemExit):
        calls.claim(KEY)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_applications_use_of_threads_does_not_delay_a_store(backend):
    memory = MemoryStore()
    memory.complete(KEY, memory.claim(KEY).token)
    guarded = MeetGeekASGIMiddleware(
        asgi_application(lambda body: 200), SECRET, idempotency_store=RenewedBlockingStore(memory)
    )
    busy = threading.Event()

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(45):  # anyio has 40 threads, asyncio's default executor fewer
                group.start_soon(anyio.to_thread.run_sync, busy.wait)
            if backend == "asyncio":
                loop = asyncio.get_running_loop()
                futures = [loop.run_in_executor(None, busy.wait) for _ in range(40)]
            await anyio.sleep(0.1)
            begun = time.monotonic()
            answer = await receive_asgi_answer(guarded, succeeded())
            waited = time.monotonic() - begun
            busy.set()
            if backend == "asyncio":
                await asyncio.gather(*futures)
        return answer.body, waited

    body, waited = anyio.run(main, backend=backend)
    assert body == b""
    assert waited < 1


def test_threads_are_started_when_needed_and_end_when_idle(monkeypatch):
    monkeypatch.setattr(threads, "_IDLE_SECONDS", 0.1)
    pool = StepThreads()
    before = threading.active_count()
    meeting = threading.Barrier(5)
    futures = [pool.submit(meeting.wait, 5) for _ in range(5)]
    for future in futures:
        future.result(5)
    assert pool.submit(lambda: "again").result(5) == "again"
    assert threading.active_count() <= before + 5
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert pool.submit(lambda: "once more").result(5) == "once more"


@pytest.fixture
def no_more_threads(monkeypatch):
    """Let no more threads be started, as where a limit of the system is reached; clear it to end that."""
    shortage = [True]

    class Scarce(threading.Thread):
        def start(self):
            if shortage and self.name == "mg-middleware store":
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(threads, "Thread", Scarce)
    return shortage


def test_where_no_thread_can_be_started_events_are_processed_and_remembered_again_afterwards(
    protocol, no_more_threads, caplog
):
    memory, runs = MemoryStore(), []
    guarded = protocol.guard(lambda body: runs.append(body) or 200, idempotency_store=BlockingStore(memory))
    for number in range(20):
        assert protocol.deliver(guarded, succeeded(f"m-{number}")).status == 200
    assert len(runs) == 20
    assert "failed to claim: RuntimeError: can't start new thread; the event is processed" in caplog.text
    no_more_threads.clear()
    begun = time.monotonic()
    assert protocol.deliver(guarded, succeeded("m-later")).status == 200
    assert time.monotonic() - begun < 5
    assert len(memory) == 1


def test_the_threads_that_there_are_take_the_steps_of_those_that_cannot_be_started(no_more_threads):
    no_more_threads.clear()
    pool = StepThreads()
    release = threading.Event()
    first = pool.submit(release.wait, 10)
    no_more_threads.append(True)
    second = pool.submit(lambda: "second")
    release.set()
    assert first.result(10)
    assert second.result(10) == "second"


def test_at_most_sixteen_steps_run_at_a_time():
    pool = StepThreads()
    running, most, lock = [0], [0], threading.Lock()

    def step():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1

    for future in [pool.submit(step) for _ in range(64)]:
        future.result(10)
    assert 2 <= most[0] <= 16


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    pool = StepThreads()
    pool.submit(lambda: None).result(5)
    child = os.fork()
    if child == 0:
        try:
            os._exit(pool.submit(lambda: 0).result(5))
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    threads._forget_all()  # noqa: SLF001 - what a fork calls
    assert pool.submit(lambda: 1).result(5) == 1


def test_sixty_four_deliveries_at_once_run_a_meeting_once(protocol, store):
    runs = []

    def handle(body):
        runs.append(body)
        time.sleep(0.2)
        return 200

    guarded = protocol.guard(handle, idempotency_store=store, idempotency_wait=12)
    with ThreadPoolExecutor(64) as senders:
        answers = list(senders.map(lambda _number: protocol.deliver(guarded, succeeded()).status, range(64)))
    assert len(runs) == 1
    assert set(answers) <= {200, 409}
