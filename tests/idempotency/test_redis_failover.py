"""Redis fails over behind one address, and the network fails: deduplication works again without a restart."""

import asyncio
import socket
import threading
import time
from contextlib import closing, suppress

import pytest
import redis
import redis.asyncio
from once_per_meeting import SECRET, asgi_application, receive_asgi_answer, succeeded, wsgi_answer, wsgi_application
from redis_servers import start_redis_server

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, RedisStore
from mg_middleware.idempotency import AlreadyComplete, Claimed, StoreError


class Proxy:
    """One address before servers that change, as a virtual IP or a load balancer is. Connections outlive a change."""

    def __init__(self, port):
        self.target = port
        self.is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0?socket_timeout=0.5"
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=[source, sink], daemon=True).start()

    def _pump(self, source, sink):
        with suppress(OSError):
            while chunk := source.recv(65536):
                if not self.is_cut:  # else it is lost, as in a network that is gone
                    sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def close(self):
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def servers(tmp_path):
    started = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        started.append(start_redis_server(folder))
    yield started
    for server in started:
        server.stop()


@pytest.fixture
def proxy(servers):
    with closing(Proxy(servers[0].port)) as proxy:
        yield proxy


def demote(servers):
    """Make the first server a replica of the second, which knows no other."""
    with servers[0].client() as client:
        client.replicaof("127.0.0.1", servers[1].port)


def test_a_demoted_master_behind_the_same_address_is_left(servers, proxy, caplog):
    with closing(RedisStore(proxy.url)) as store:
        guarded = MeetGeekWSGIMiddleware(wsgi_application(lambda body: 200), SECRET, idempotency_store=store)
        assert wsgi_answer(guarded, succeeded("m-1")).body == b"done"
        proxy.target = servers[1].port
        demote(servers)
        assert [wsgi_answer(guarded, succeeded("m-2")).body for _ in range(2)] == [b"done", b""]
    assert caplog.text == ""


def test_a_server_that_stays_a_replica_is_an_error_and_serves_again_once_it_is_promoted(servers, caplog):
    with closing(RedisStore(servers[0].url)) as store:
        guarded = MeetGeekWSGIMiddleware(wsgi_application(lambda body: 200), SECRET, idempotency_store=store)
        demote(servers)
        assert wsgi_answer(guarded, succeeded()).body == b"done"
        assert "the idempotency store RedisStore failed to claim: ReadOnlyError" in caplog.text
        with servers[0].client() as client:
            client.replicaof("no", "one")
        assert [wsgi_answer(guarded, succeeded()).body for _ in range(2)] == [b"done", b""]


def test_an_asynchronous_client_leaves_a_demoted_master(servers, proxy):
    async def main():
        async with redis.asyncio.Redis.from_url(proxy.url) as client:
            store = RedisStore(client)
            first = await store.claim("one")
            assert await store.renew("one", first.token) is True
            proxy.target = servers[1].port
            demote(servers)
            claim = await store.claim("two")
            await store.complete("two", claim.token)
            store.close()
            return claim, await store.claim("two")

    claim, after = asyncio.run(main())
    assert isinstance(claim, Claimed)
    assert after == AlreadyComplete()


def test_an_asynchronous_client_of_a_lasting_replica_is_an_error(servers):
    async def main():
        async with redis.asyncio.Redis.from_url(servers[0].url) as client:
            store = RedisStore(client)
            with pytest.raises(redis.ReadOnlyError):
                await store.claim("key")

    demote(servers)
    asyncio.run(main())


def test_a_key_of_another_type_is_an_error_of_an_asynchronous_client(redis_server):
    async def main():
        async with redis.asyncio.Redis.from_url(redis_server.url) as client:
            await client.lpush("mg-middleware:list", "entry")
            with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                await RedisStore(client).claim("list")

    asyncio.run(main())


def test_a_key_of_another_type_is_an_error(redis_server):
    with redis_server.client() as client, closing(RedisStore(redis_server.url)) as store:
        client.lpush("mg-middleware:list", "entry")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            store.claim("list")


def test_a_network_that_is_gone_for_five_seconds_loses_nothing(proxy, caplog):
    runs = []
    with closing(RedisStore(proxy.url)) as store:
        guarded = MeetGeekWSGIMiddleware(
            wsgi_application(lambda body: runs.append(body) or 200), SECRET, idempotency_store=store
        )
        assert wsgi_answer(guarded, succeeded("m-0")).body == b"done"
        proxy.is_cut = True
        end = time.monotonic() + 5
        sent = 0
        while time.monotonic() < end:
            sent += 1
            assert wsgi_answer(guarded, succeeded(f"m-{sent}")).body == b"done"
        proxy.is_cut = False
        assert len(runs) == 1 + sent
        assert "failed to claim: TimeoutError" in caplog.text
        assert [wsgi_answer(guarded, succeeded("after")).body for _ in range(2)] == [b"done", b""]


def test_an_asynchronous_client_on_a_second_loop_is_refused_before_anything_is_sent(redis_server):
    client = redis.asyncio.Redis.from_url(redis_server.url)
    store = RedisStore(client)

    async def first():
        await store.claim("one")
        await client.aclose()

    asyncio.run(first())
    with pytest.raises(StoreError, match=r"^this redis\.asyncio client was used on another event loop before"):
        asyncio.run(store.claim("two"))
    with redis_server.client() as plain:
        assert plain.keys() == [b"mg-middleware:one"]


def test_the_event_is_processed_on_a_second_loop(redis_server, caplog):
    client = redis.asyncio.Redis.from_url(redis_server.url)
    guarded = MeetGeekASGIMiddleware(asgi_application(lambda body: 200), SECRET, idempotency_store=RedisStore(client))

    async def first():
        answer = await receive_asgi_answer(guarded, succeeded())
        await client.aclose()
        return answer

    assert asyncio.run(first()).body == b"done"
    assert asyncio.run(receive_asgi_answer(guarded, succeeded())).body == b"done"
    assert "used on another event loop before" in caplog.text


def test_a_closed_store_opens_its_connections_again(redis_server):
    store = RedisStore(redis_server.url)
    store.claim("one")
    store.close()
    assert isinstance(store.claim("two"), Claimed)
    store.close()


def test_your_own_client_stays_open(redis_server):
    with redis_server.client() as client:
        store = RedisStore(client)
        store.claim("one")
        store.close()
        assert client.ping()


def test_the_same_server_and_prefix_are_one_place():
    places = [
        RedisStore(f"redis://127.0.0.1/{database}", prefix=prefix).place
        for database, prefix in [(0, "a:"), (0, "a:"), (1, "a:"), (0, "b:")]
    ]
    assert places[0] == places[1]
    assert len(set(places)) == 3
    sentinel = redis.Sentinel([("127.0.0.1", 1)])
    one, other = (RedisStore(sentinel.master_for(name)).place for name in ("one", "other"))
    assert one != other
    elsewhere = redis.Sentinel([("127.0.0.1", 2)])
    assert RedisStore(elsewhere.master_for("one")).place != one
    assert RedisStore(redis.Sentinel([("127.0.0.1", 1)]).master_for("one")).place == one


def test_a_cluster_client_is_a_place_of_its_own():
    from mg_middleware.idempotency.stores.redis import _place_of  # noqa: PLC0415

    clients = [object(), object()]
    assert _place_of(clients[0], "a:") == _place_of(clients[0], "a:")
    assert _place_of(clients[0], "a:") != _place_of(clients[1], "a:")
