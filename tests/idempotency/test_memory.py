"""What only the memory store does: it stays within its bounds."""

import os
import signal
import sys

import pytest
from once_per_meeting import SlowlyHashed, claims_at_once

from mg_middleware import ConfigurationError, MemoryStore
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, StoreError


def complete(store, *keys):
    for key in keys:
        store.complete(key, store.claim(key).token)


def test_the_oldest_completed_key_goes_first(clock):
    store = MemoryStore(max_entries=3)
    complete(store, "a", "b", "c")
    store.claim("d")
    assert isinstance(store.claim("d"), InProgress)
    assert [type(store.claim(key)) for key in ("b", "c")] == [AlreadyComplete, AlreadyComplete]
    assert isinstance(store.claim("a"), Claimed)
    assert len(store) == 3


def test_a_live_claim_never_goes(clock):
    store = MemoryStore(max_entries=2)
    store.claim("live")
    complete(store, "a", "b", "c")
    assert isinstance(store.claim("live"), InProgress)


def test_a_store_full_of_live_claims_takes_no_more(clock):
    store = MemoryStore(max_entries=2)
    store.claim("a")
    store.claim("b")
    with pytest.raises(StoreError, match="all 2 entries"):
        store.claim("c")


def test_a_lapsed_claim_gives_way(clock):
    store = MemoryStore(max_entries=2, lease=10)
    store.claim("a")
    clock.let_pass(11)
    complete(store, "b")
    store.claim("c")
    assert store.claim("b") == AlreadyComplete()
    assert len(store) == 2


def test_a_holder_whose_lapsed_claim_gave_way_completes_in_place_of_the_oldest_key(clock):
    store = MemoryStore(max_entries=1, lease=10)
    slow = store.claim("slow")
    clock.let_pass(11)
    complete(store, "other")
    store.complete("slow", slow.token)
    assert store.claim("slow") == AlreadyComplete()
    assert len(store) == 1


def test_a_holder_whose_claim_gave_way_cannot_complete_among_live_claims_alone(clock):
    store = MemoryStore(max_entries=1, lease=10)
    slow = store.claim("slow")
    clock.let_pass(11)
    store.claim("other")
    with pytest.raises(StoreError):
        store.complete("slow", slow.token)


def test_a_holder_whose_claim_is_gone_completes_where_there_is_room(clock):
    store = MemoryStore(max_entries=2)
    claim = store.claim("a")
    store.release("a", claim.token)
    store.release("a", claim.token)
    store.complete("a", claim.token)
    assert store.claim("a") == AlreadyComplete()


def test_a_key_that_is_completed_anew_is_the_newest(clock):
    store = MemoryStore(max_entries=2, lease=10, ttl=5)
    slow = store.claim("a")
    clock.let_pass(11)
    complete(store, "a")
    clock.let_pass(6)
    complete(store, "b")
    store.complete("a", slow.token)
    store.claim("c")
    assert store.claim("a") == AlreadyComplete()


def test_a_full_store_tells_of_what_it_knows(clock):
    store = MemoryStore(max_entries=1)
    complete(store, "a")
    store.complete("a", "foreign")
    assert store.claim("a") == AlreadyComplete()


def test_a_key_that_is_completed_anew_becomes_the_youngest(clock):
    store = MemoryStore(max_entries=2, ttl=100, lease=10)
    slow = store.claim("a")
    clock.let_pass(11)
    complete(store, "a")
    clock.let_pass(60)
    complete(store, "b")
    clock.let_pass(41)
    store.complete("a", slow.token)
    store.claim("c")
    assert store.claim("a") == AlreadyComplete()


def test_at_the_end_of_its_lease_a_claim_has_lapsed_for_every_step(clock):
    store = MemoryStore(max_entries=1, lease=10)
    slow = store.claim("a")
    clock.let_pass(10)
    assert isinstance(store.claim("b"), Claimed)
    clock.let_pass(10)
    assert isinstance(store.claim("a"), Claimed)
    clock.let_pass(10)
    store.complete("a", slow.token)
    assert store.claim("a") == AlreadyComplete()


def test_at_the_end_of_its_time_to_live_a_key_can_be_completed_anew(clock):
    store = MemoryStore(ttl=100, lease=10)
    slow = store.claim("a")
    clock.let_pass(10)
    complete(store, "a")
    clock.let_pass(100)
    store.complete("a", slow.token)
    clock.let_pass(50)
    assert store.claim("a") == AlreadyComplete()


def test_a_hundred_thousand_keys_are_held_by_default():
    store = MemoryStore()
    complete(store, *map(str, range(100_001)))
    assert len(store) == 100_000


@pytest.mark.timeout(600)  # seconds by itself, minutes where tracing meets a busy machine
@pytest.mark.slow
def test_a_million_entries_take_no_more_memory_than_the_bound():
    store = MemoryStore(max_entries=10_000)
    complete(store, *map(str, range(20_000)))
    before = sys.getallocatedblocks()
    complete(store, *map(str, range(20_000, 1_000_000)))
    assert len(store) == 10_000
    assert sys.getallocatedblocks() - before < 10_000


def test_threads_that_claim_one_key_at_once_get_it_once():
    assert claims_at_once(MemoryStore(), SlowlyHashed("key")).count(Claimed) == 1


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (0, ConfigurationError, "max_entries must be at least 1, not 0"),
        (True, TypeError, "max_entries must be an int, not bool"),
        (1.5, TypeError, "max_entries must be an int, not float"),
    ],
)
def test_a_bound_out_of_its_range_is_refused(wrong, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        MemoryStore(max_entries=wrong)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_lock_that_a_thread_holds_during_a_fork_is_free_in_the_child():
    store = MemoryStore()
    with store._lock:  # noqa: SLF001 - as another thread would hold it
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os._exit(0 if isinstance(store.claim("key"), Claimed) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(store.claim("key"), Claimed)
