"""Redis Cluster: the keys are on several servers, and the replica of one takes over when that one dies."""

import asyncio
import time

import pytest
from once_per_meeting import SECRET, asgi_application, receive_asgi_answer, succeeded, wsgi_answer, wsgi_application
from redis_servers import RedisCluster

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, RedisStore
from mg_middleware.idempotency import store_key
from mg_middleware.testing import check_store


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster_to_break(tmp_path):
    cluster = RedisCluster(tmp_path)
    yield cluster
    cluster.stop()


def number_of_node(client, meeting):
    """Return which of the three masters has the key of a meeting, counted from 0."""
    slot = client.keyslot("mg-middleware:" + store_key(meeting, secret=SECRET))
    return next(number for number, end in enumerate((5461, 10923, 16384)) if slot < end)


def test_a_cluster_client_keeps_the_promises_of_a_store(cluster):
    check_store(lambda: RedisStore(cluster.client(), lease=2))


def test_an_asynchronous_cluster_client_keeps_the_promises_of_a_store(cluster):
    class Closing(RedisStore):
        async def close(self):
            await self._client.aclose()

    check_store(lambda: Closing(cluster.asynchronous_client(), lease=2))


def test_meetings_on_every_node_are_processed_once(cluster):
    runs = []
    meetings = [f"meeting-{number}" for number in range(30)]
    with cluster.client() as client:
        guarded = MeetGeekWSGIMiddleware(
            wsgi_application(lambda body: runs.append(body) or 200), SECRET, idempotency_store=RedisStore(client)
        )
        assert {number_of_node(client, meeting) for meeting in meetings} == {0, 1, 2}
        for _ in range(2):
            for meeting in meetings:
                assert wsgi_answer(guarded, succeeded(meeting)).status == 200
    assert runs == [succeeded(meeting) for meeting in meetings]


def test_meetings_on_every_node_are_processed_once_with_an_asynchronous_client(cluster):
    runs = []
    meetings = [f"asynchronous-{number}" for number in range(30)]

    async def main():
        async with cluster.asynchronous_client() as client:
            guarded = MeetGeekASGIMiddleware(
                asgi_application(lambda body: runs.append(body) or 200), SECRET, idempotency_store=RedisStore(client)
            )
            for _ in range(2):
                for meeting in meetings:
                    assert (await receive_asgi_answer(guarded, succeeded(meeting))).status == 200

    asyncio.run(main())
    assert runs == [succeeded(meeting) for meeting in meetings]


def test_a_node_that_dies_loses_no_event_and_its_replica_takes_over(cluster_to_break, caplog):
    runs = []
    with cluster_to_break.client() as client:
        guarded = MeetGeekWSGIMiddleware(
            wsgi_application(lambda body: runs.append(body) or 200), SECRET, idempotency_store=RedisStore(client)
        )

        def deliver(meeting):
            return wsgi_answer(guarded, succeeded(meeting)).body

        on_first = [name for name in (f"m-{number}" for number in range(500)) if number_of_node(client, name) == 0]
        before, *others = on_first
        assert [deliver(before) for _ in range(2)] == [b"done", b""]
        with cluster_to_break.servers[0].client() as first:
            first.set("{06S}", "the last write")
            assert first.wait(1, 5000) == 1
        cluster_to_break.servers[0].kill()
        sent = [before]
        deadline = time.monotonic() + 15
        while True:  # until the replica is promoted, each of its meetings is processed without the store
            caplog.clear()
            sent.append(others.pop())
            assert deliver(sent[-1]) == b"done"
            if "failed" not in caplog.text:
                break
            assert time.monotonic() < deadline
        assert runs == [succeeded(meeting) for meeting in sent]
        assert len(sent) > 2
        assert [deliver(sent[-1]), deliver(before)] == [b"", b""]
