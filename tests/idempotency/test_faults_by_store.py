"""What docs/explanation/once-per-meeting.md says of single stores in its table of faults."""

import contextlib
import subprocess
import sys
import time

import pytest
from once_per_meeting import SECRET, succeeded

from mg_middleware import SQLAlchemyStore
from mg_middleware.idempotency import AlreadyComplete, InProgress, store_key


def test_a_killed_process_takes_its_memory_store_with_it(workers):
    killed = workers.start("memory", "", "WSGI", ["m-1"], at_once=1, seconds=60, name="killed")
    workers.go([killed])
    while not workers.runs():
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    restarted = workers.start("memory", "", "WSGI", ["m-1", "m-1"], at_once=1, name="restarted")
    workers.go([restarted])
    assert workers.statuses([restarted]) == [200, 200]
    assert workers.runs() == {"killed-begins-m-1": 1, "restarted-begins-m-1": 1, "restarted-ends-m-1": 1}


def test_a_store_that_loses_its_data_runs_what_is_sent_again(protocol, store_kind):
    runs = []
    guarded = protocol.guard(lambda body: runs.append(body) or 200, idempotency_store=store_kind.make())
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    store_kind.empty()
    assert [protocol.deliver(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]
    assert len(runs) == 2


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_setting_the_clock_changes_nothing_for_a_memory_store(seconds):
    # A process of its own, in which nothing has taken the clock before it is replaced.
    program = f"""
import time
real = time.time
offset = 0
time.time = lambda: real() + offset

from mg_middleware import MemoryStore
from mg_middleware.idempotency import AlreadyComplete, InProgress

store = MemoryStore(lease=60, ttl=60)
store.complete("complete", store.claim("complete").token)
store.claim("claimed")
offset = {seconds}
claim = store.claim("claimed")
assert isinstance(claim, InProgress) and 0 < claim.seconds_left <= 60
assert store.claim("complete") == AlreadyComplete()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["ASGI on asyncio", "WSGI"], indirect=True)
def test_a_handler_of_three_leases_keeps_its_claim_in_a_database(database_server, protocol):
    lease = 1.0
    key = store_key("m-1", secret=SECRET)
    with (
        contextlib.closing(SQLAlchemyStore(database_server.url, lease=lease)) as store,
        contextlib.closing(SQLAlchemyStore(database_server.url, lease=lease)) as other,
    ):
        store.create_table()
        seen = set()

        def handle(body):  # on ASGI, it blocks the event loop
            end = time.monotonic() + 3 * lease
            while time.monotonic() < end:
                seen.add(type(other.claim(key)))
                time.sleep(0.05)
            return 200

        guarded = protocol.guard(handle, idempotency_store=store)
        assert protocol.deliver(guarded, succeeded()).body == b"done"
        assert seen == {InProgress}
        assert other.claim(key) == AlreadyComplete()
