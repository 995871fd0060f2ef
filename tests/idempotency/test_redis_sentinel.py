"""A Sentinel promotes the replica: no event is lost, and deduplication works again without a restart."""

import asyncio
import time

import pytest
from once_per_meeting import (
    SECRET,
    asgi_application,
    receive_asgi_answer,
    succeeded,
    wsgi_answer,
    wsgi_application,
)
from redis_servers import SentinelGroup, wait_until

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, RedisStore
from mg_middleware.testing import check_store


@pytest.fixture
def group(tmp_path):
    group = SentinelGroup(tmp_path)
    yield group
    group.stop()


class Receiver:
    """A guarded handler on one of the protocols, with a client that asks the Sentinel where the master is."""

    def __init__(self, protocol, group, handle):
        self.is_asynchronous = protocol == "ASGI, redis.asyncio"
        if self.is_asynchronous:
            self.runner = asyncio.Runner()
            self.client = group.asynchronous_client()
            store = RedisStore(self.client)
            self.guarded = MeetGeekASGIMiddleware(
                asgi_application(lambda body: asyncio.to_thread(handle, body)), SECRET, idempotency_store=store
            )
        else:
            self.client = group.client()
            store = RedisStore(self.client)
            self.guarded = MeetGeekWSGIMiddleware(wsgi_application(handle), SECRET, idempotency_store=store)

    def deliver(self, meeting):
        if self.is_asynchronous:
            return self.runner.run(receive_asgi_answer(self.guarded, succeeded(meeting))).body
        return wsgi_answer(self.guarded, succeeded(meeting)).body

    def close(self):
        for client in (self.client, *self.client.connection_pool.sentinel_manager.sentinels):
            if self.is_asynchronous:
                self.runner.run(client.aclose())
            else:
                client.close()
        if self.is_asynchronous:
            self.runner.close()


@pytest.fixture(params=["WSGI, redis", "ASGI, redis.asyncio"])
def receive(request, group):
    made = []

    def receive(handle):
        made.append(Receiver(request.param, group, handle))
        return made[-1]

    yield receive
    for receiver in made:
        receiver.close()


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_a_master_that_dies_in_a_handler_loses_no_event(group, receive, caplog):
    runs = []

    def handle(body):
        runs.append(body)
        if body == succeeded("m-1"):
            group.master.kill()
        return 200

    receiver = receive(handle)
    assert [receiver.deliver("m-0") for _ in range(2)] == [b"done", b""]
    group.replicate()
    assert receiver.deliver("m-1") == b"done"
    assert "failed to complete" in errors(caplog)[0]
    during = []
    deadline = time.monotonic() + 15
    while not group.has_failed_over():
        assert time.monotonic() < deadline
        during.append(f"during-{len(during)}")
        assert receiver.deliver(during[-1]) == b"done"
    assert during
    assert runs == [succeeded(meeting) for meeting in ("m-0", "m-1", *during)]

    caplog.clear()
    assert [receiver.deliver("after") for _ in range(2)] == [b"done", b""]
    assert receiver.deliver("m-0") == b""  # the new master has it from the old one
    assert errors(caplog) == []


@pytest.mark.parametrize("fault", ["killed", "demoted"])
def test_a_handler_that_outlives_the_failover_runs_once(group, receive, fault):
    runs = []

    def handle(body):
        runs.append(body)
        group.replicate()
        if fault == "killed":
            group.master.kill()
        else:
            with group.sentinel.client() as sentinel:
                sentinel.execute_command("SENTINEL FAILOVER", group.name)
        wait_until(group.has_failed_over, "the replica is promoted")
        return 200

    receiver = receive(handle)
    assert [receiver.deliver("m-1") for _ in range(3)] == [b"done", b"", b""]
    assert runs == [succeeded("m-1")]


def test_a_sentinels_client_keeps_the_promises_of_a_store(group):
    check_store(lambda: RedisStore(group.client(), lease=1))


def test_what_the_replica_does_not_have_yet_is_processed_again(group, receive):
    runs = []
    receiver = receive(lambda body: runs.append(body) or 200)
    group.part()
    assert [receiver.deliver("m-1") for _ in range(2)] == [b"done", b""]
    group.master.kill()
    wait_until(group.has_failed_over, "the replica is promoted")
    assert [receiver.deliver("m-1") for _ in range(2)] == [b"done", b""]
    assert runs == [succeeded("m-1")] * 2
