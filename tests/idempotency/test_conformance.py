"""The conformance test for stores: ours pass it, and it names each broken promise."""

import os
import threading
import time
from functools import partial
from importlib.util import find_spec
from math import inf
from time import monotonic

import fakeredis
import pytest
import redis.asyncio
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from mg_middleware import ConfigurationError, MemoryStore, RedisStore, SQLAlchemyStore, SQLiteStore
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress
from mg_middleware.testing import check_store

LEASE = 0.5


def test_a_memory_store_keeps_its_promises():
    store = MemoryStore(lease=LEASE)
    check_store(lambda: store)


def test_a_sqlite_store_keeps_its_promises(tmp_path):
    check_store(lambda: SQLiteStore(tmp_path / "deliveries.sqlite3", lease=LEASE))


def test_a_redis_store_keeps_its_promises(redis_server):
    check_store(lambda: RedisStore(redis_server.url, lease=LEASE))


def test_a_redis_store_with_an_asynchronous_client_keeps_its_promises(redis_server):
    class Closing(RedisStore):
        async def close(self):
            await self._client.aclose()

    check_store(lambda: Closing(redis.asyncio.Redis.from_url(redis_server.url), lease=LEASE))


def test_a_sqlalchemy_store_keeps_its_promises(database_server):
    def make():
        store = SQLAlchemyStore(database_server.url, lease=LEASE)
        store.create_table()
        return store

    check_store(make)


def test_an_asynchronous_store_keeps_its_promises(tmp_path):
    async def make():
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/own.sqlite3", poolclass=NullPool)
        store = SQLAlchemyStore(engine, lease=LEASE)
        await store.create_table()
        return store

    check_store(make)


@pytest.mark.skipif(find_spec("lupa") is None, reason="lupa 2.8, which fakeredis needs, has no wheel for this Python")
def test_a_fake_redis_server_keeps_the_promises():
    server = fakeredis.FakeServer()
    store = RedisStore(fakeredis.FakeRedis(server=server), lease=LEASE)
    check_store(lambda: store)


class Plain:
    """A store that keeps no lease, around another one."""

    def __init__(self, store):
        self.store = store

    def claim(self, key):
        return self.store.claim(key)

    def complete(self, key, token):
        self.store.complete(key, token)

    def release(self, key, token):
        self.store.release(key, token)


def test_a_store_that_does_not_renew_is_checked_without():
    store = Plain(MemoryStore())
    check_store(lambda: store)


class Hurried(Plain):
    """A store on a machine that is slow for some time."""

    lease = 0.2

    def __init__(self, store, slow_steps, slow_renewals=0):
        super().__init__(store)
        self.slow_steps = slow_steps
        self.slow_renewals = slow_renewals

    def claim(self, key):
        if self.slow_steps:
            self.slow_steps -= 1
            time.sleep(1.5 * self.lease)
        return super().claim(key)

    def renew(self, key, token):
        if self.slow_renewals:
            self.slow_renewals -= 1
            time.sleep(self.lease)
            self.store.claim(key)  # somebody else's turn
        return self.store.renew(key, token)


@pytest.mark.parametrize("slow", [{"slow_steps": 5}, {"slow_steps": 0, "slow_renewals": 2}], ids=str)
def test_a_claim_that_expired_on_a_slow_machine_is_no_broken_promise(slow):
    store = Hurried(MemoryStore(lease=Hurried.lease), **slow)
    check_store(lambda: store)
    assert (store.slow_steps, store.slow_renewals) == (0, 0)


def test_a_machine_that_stays_slow_may_be_to_blame():
    store = Hurried(MemoryStore(lease=Hurried.lease), slow_steps=1000)
    promise = r"a claimed key is in progress, but claim\(\) returned Claimed"
    reason = r"or its steps are too slow here for a lease of 0\.2 seconds"
    with pytest.raises(AssertionError, match=f"{promise}.*; {reason}"):
        check_store(lambda: store)


class ClaimsTwice(MemoryStore):
    def claim(self, key):
        return Claimed(key)


class NeverClaims(MemoryStore):
    def claim(self, key):
        return InProgress(1)


class NumbersItsTokens(MemoryStore):
    def claim(self, key):
        claim = super().claim(key)
        return Claimed(int(claim.token)) if isinstance(claim, Claimed) else claim


class OwesTime(MemoryStore):
    def claim(self, key):
        claim = super().claim(key)
        return InProgress(-1) if isinstance(claim, InProgress) else claim


class NeverExpires(Plain):
    def __init__(self, lease):
        super().__init__(MemoryStore(lease=lease))

    def claim(self, key):
        claim = super().claim(key)
        return InProgress(inf) if isinstance(claim, InProgress) else claim


class NamesNoTime(NeverExpires):
    def claim(self, key):
        claim = super().claim(key)
        return InProgress(None) if isinstance(claim, InProgress) else claim


class HasTooMuchTime(MemoryStore):
    def claim(self, key):
        claim = super().claim(key)
        return InProgress(60) if isinstance(claim, InProgress) else claim


class ForgetsReleases(MemoryStore):
    def release(self, key, token): ...


class RepeatsTokens(MemoryStore):
    def __init__(self, **options):
        super().__init__(**options)
        self._tokens = iter(["1"] * 100)


class ForgetsCompletions(MemoryStore):
    def complete(self, key, token): ...


class ReleasesWhatIsComplete(MemoryStore):
    def release(self, key, token):
        super().release(key, token)
        if key in self._entries and self._entries[key][0] is None:
            del self._entries[key]


class ReleasesForAnybody(MemoryStore):
    def release(self, key, token):
        if key in self._entries and self._entries[key][0] is not None:
            super().release(key, self._entries[key][0])


class CompletesForAnybody(MemoryStore):
    def complete(self, key, token):
        super().complete(key, self._entries[key][0] if key in self._entries else token)


class RacesWithItself(MemoryStore):
    def claim(self, key):
        claim = super().claim(key)
        return claim if threading.current_thread() is threading.main_thread() else Claimed("again")


class TakesOverSlowly(MemoryStore):
    """Looks at a key that was claimed before, and changes it later, as an ORM does that reads a row and saves it."""

    def __init__(self, state, **options):
        super().__init__(**options)
        self.state = state

    def claim(self, key):
        with self._lock:
            holder, until = self._entries.get(key, ("", inf))
        is_free = {"released": holder == "nobody", "expired": holder not in {None, "nobody"} and until < monotonic()}
        if not is_free[self.state]:
            return super().claim(key)
        time.sleep(0.05)
        with self._lock:
            token = str(next(self._tokens))
            self._entries[key] = token, monotonic() + self.lease
            return Claimed(token)

    def release(self, key, token):
        with self._lock:
            if self._entries.get(key, ("",))[0] == token:
                self._entries[key] = "nobody", 0.0


class RenewsWhatIsReleased(MemoryStore):
    """Lets a released claim expire, but keeps its token."""

    def release(self, key, token):
        with self._lock:
            if self._entries.get(key, ("",))[0] == token:
                self._entries[key] = token, 0.0


class RevivesWhatIsReleased(RenewsWhatIsReleased):
    def renew(self, key, token):
        is_released = self._entries.get(key, ("", 1.0))[1] == 0.0
        return super().renew(key, token) and not is_released


class CompletesForALease(MemoryStore):
    def __init__(self, **options):
        super().__init__(ttl=LEASE, **options)


class RenewsNothing(MemoryStore):
    def renew(self, key, token):
        return key in self._entries and self._entries[key][0] == token


class RenewsForAnybody(MemoryStore):
    def renew(self, key, token):
        return key in self._entries and super().renew(key, self._entries[key][0] or "")


class NeverRenews(MemoryStore):
    def renew(self, key, token):
        return False


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (ClaimsTwice, "a claimed key is in progress, but claim"),
        (NeverClaims, "a new key is claimed, but claim"),
        (NumbersItsTokens, "the token of a claim is a str"),
        (OwesTime, "seconds_left is not negative"),
        (NeverExpires, "seconds_left is a finite number"),
        (NamesNoTime, "seconds_left is a finite number"),
        (HasTooMuchTime, "seconds_left is not more than the lease"),
        (ForgetsReleases, "a released key is claimed again"),
        (RepeatsTokens, "each claim has a token of its own"),
        (ForgetsCompletions, "a completed key is already complete"),
        (ReleasesWhatIsComplete, "a release changes nothing once the key is complete"),
        (ReleasesForAnybody, "a release with another token changes nothing"),
        (CompletesForAnybody, "a complete with another token changes nothing"),
        (RacesWithItself, "one of 16 claims at once gets the key"),
        (partial(TakesOverSlowly, "released"), "one of 16 claims at once gets a released key"),
        (partial(TakesOverSlowly, "expired"), "one of 16 claims at once gets an expired key"),
        (RenewsWhatIsReleased, r"renew\(\) of a released key returns False"),
        (RevivesWhatIsReleased, "a renewal does not undo a release"),
        (CompletesForALease, "a completed key outlives the lease"),
        (RenewsNothing, "a renewed claim does not expire"),
        (RenewsForAnybody, "whoever lost its claim cannot renew it"),
        (NeverRenews, r"renew\(\) of the holder returns True"),
    ],
)
def test_a_broken_promise_is_named(broken, promise):
    store = broken(lease=LEASE)
    with pytest.raises(AssertionError, match=f"^the store breaks a promise: {promise}"):
        check_store(lambda: store)


def test_stores_of_one_process_each_do_not_share():
    with pytest.raises(AssertionError, match=r"a claimed key is in progress, but claim\(\) returned Claimed"):
        check_store(lambda: MemoryStore(lease=LEASE))


def test_what_is_no_store_is_refused():
    with pytest.raises(TypeError, match="idempotency_store takes an object that can claim"):
        check_store(object)
    with pytest.raises(ConfigurationError, match="not its class"):
        check_store(lambda: MemoryStore)


class OneProcessInDisguise(Plain):
    """Each is another object, but what they share is in this process."""

    memory = MemoryStore(lease=LEASE)

    def __init__(self):
        super().__init__(self.memory)


def test_processes_that_do_not_share_are_found():
    with pytest.raises(AssertionError, match="one of 4 processes gets the key"):
        check_store(OneProcessInDisguise)


class FailsInAnotherProcess(Plain):
    """Works only in the process that imported it."""

    memory = MemoryStore(lease=LEASE)
    process = os.getpid()

    def __init__(self):
        super().__init__(self.memory)

    def claim(self, key):
        return AlreadyComplete() if os.getpid() != self.process else super().claim(key)


def test_a_store_that_fails_in_another_process_is_found():
    with pytest.raises(AssertionError, match="the store works in a forked process"):
        check_store(FailsInAnotherProcess)
