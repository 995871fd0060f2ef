"""What only the Redis store does: clients of every kind, and a server that may go."""

import socket
import socketserver
import subprocess
import sys
import threading
import time

import anyio
import pytest
import redis
import redis.asyncio

from mg_middleware import ConfigurationError, RedisStore
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 3}], ids=["bytes", "text", "RESP3"])
def test_a_client_may_decode_answers_or_not(redis_server, options):
    with redis_server.client(**options) as client:
        store = RedisStore(client)
        store.release("key", store.claim("key").token)
        claim = store.claim("key")
        assert isinstance(store.claim("key"), InProgress)
        store.complete("key", claim.token)
        assert store.claim("key") == AlreadyComplete()


def test_a_url_makes_a_client_with_short_time_outs(redis_server, monkeypatch):
    made = []
    from_url = redis.Redis.from_url

    def noting(url, **options):
        made.append(from_url(url, **options))
        return made[-1]

    monkeypatch.setattr(redis.Redis, "from_url", noting)
    store = RedisStore(redis_server.url)
    store.complete("key", store.claim("key").token)
    assert store.claim("key") == AlreadyComplete()
    (client,) = made
    options = client.connection_pool.connection_kwargs
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (1, 2)
    client.close()


def test_a_step_whose_connection_breaks_is_tried_once_more():
    steps = []

    class Breaking(socketserver.StreamRequestHandler):
        """Agrees to everything but a script, on which it hangs up."""

        def handle(self):
            for count in self.rfile:
                words = [self.rfile.readline() for _ in range(2 * int(count[1:]))]  # each behind its length
                if words[1] == b"EVALSHA\r\n":
                    steps.append(words)
                    return
                self.wfile.write(b"+OK\r\n")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Breaking) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        store = RedisStore(f"redis://127.0.0.1:{server.server_address[1]}?protocol=2")
        with pytest.raises(redis.RedisError) as raised:
            store.claim("key")
        server.shutdown()
    assert type(raised.value) is redis.ConnectionError
    assert len(steps) == 2


def test_the_options_of_a_url_count(redis_server):
    store = RedisStore(f"{redis_server.url}?socket_timeout=0.25")
    with redis_server.client() as client:
        client.client_pause(1000)
        begun = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            store.claim("key")
        assert time.monotonic() - begun < 0.9
        client.client_unpause()


def test_an_answer_that_does_not_come_is_not_waited_for_twice():
    with socket.create_server(("127.0.0.1", 0)) as server:
        store = RedisStore(f"redis://127.0.0.1:{server.getsockname()[1]}/0?socket_timeout=0.1")
        with pytest.raises(redis.TimeoutError):
            store.claim("key")
        server.settimeout(0)
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_server_that_cannot_be_reached_is_an_error_at_once():
    store = RedisStore("redis://127.0.0.1:1/0")
    begun = time.monotonic()
    with pytest.raises(redis.ConnectionError):
        store.claim("key")
    assert time.monotonic() - begun < 1


def test_the_keys_on_the_server_begin_with_the_prefix_and_run_out(redis_server):
    store = RedisStore(redis_server.url, ttl=100, lease=10, prefix="receiver:")
    claim = store.claim("key")
    with redis_server.client() as client:
        assert client.keys() == [b"receiver:key"]
        assert 9_000 < client.pttl("receiver:key") <= 10_000
        store.complete("key", claim.token)
        assert 99_000 < client.pttl("receiver:key") <= 100_000
        assert client.get("receiver:key") == b"complete"


def test_a_claim_whose_answer_was_lost_is_repeated_and_the_holders(redis_server, monkeypatch):
    store = RedisStore(redis_server.url)
    store.claim("first")  # now the server has the script
    read_response = redis.Connection.read_response
    lost = []

    def lose_the_first(connection, *arguments, **options):
        answer = read_response(connection, *arguments, **options)
        if not lost:
            lost.append(answer)
            raise redis.ConnectionError("the connection was lost")
        return answer

    monkeypatch.setattr(redis.Connection, "read_response", lose_the_first)
    claim = store.claim("key")
    assert len(lost) == 1
    assert isinstance(claim, Claimed)
    store.complete("key", claim.token)
    assert store.claim("key") == AlreadyComplete()


def test_the_shortest_times_serve(redis_server):
    store = RedisStore(redis_server.url, ttl=1e-9, lease=1e-9)
    store.complete("key", store.claim("key").token)
    time.sleep(0.01)
    assert isinstance(store.claim("key"), Claimed)


def test_a_key_of_somebody_elses_without_an_end_is_in_progress(redis_server):
    with redis_server.client() as client:
        client.set("mg-middleware:key", "somebody else's")
    assert RedisStore(redis_server.url).claim("key") == InProgress(0.0)


def test_scripts_are_sent_again_to_a_server_that_has_forgotten_them(redis_server):
    store = RedisStore(redis_server.url)
    store.claim("one")
    with redis_server.client() as client:
        client.script_flush()
    assert isinstance(store.claim("two"), Claimed)


def test_an_asynchronous_client_takes_the_same_steps(redis_server):
    async def steps():
        async with redis.asyncio.Redis.from_url(redis_server.url) as client:
            store = RedisStore(client)
            await store.release("key", (await store.claim("key")).token)
            claim = await store.claim("key")
            assert isinstance(await store.claim("key"), InProgress)
            await store.complete("key", claim.token)
            return await store.claim("key")

    assert anyio.run(steps) == AlreadyComplete()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "127.0.0.1:6379",
        "redis://user:pass@host:word",
        "redis://:hidden/word@127.0.0.1",
        "redis://user:hidden@127.0.0.1?socket_timeout=word",
        "redis://user:hidden@127.0.0.1?socket_time_out=5",
        "rediss://user:hidden@127.0.0.1?ssl_cert_reqs=word",
        "",
    ],
)
def test_a_wrong_url_is_refused_without_showing_it(url):
    words = r"^RedisStore's URL must be a valid redis://, rediss:// or unix:// URL$"
    with pytest.raises(ConfigurationError, match=words) as raised:
        RedisStore(url)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    for part in ("word", "hidden", "user"):
        assert part not in str(raised.value)


def test_neither_the_store_nor_its_errors_show_the_password():
    store = RedisStore("redis://user:hidden@127.0.0.1:1/0")
    with pytest.raises(redis.ConnectionError) as raised:
        store.claim("key")
    assert "hidden" not in f"{store!r} {raised.value!r}"


@pytest.mark.parametrize("wrong", [None, b"redis://127.0.0.1", 6379, redis.Redis])
def test_what_is_neither_a_url_nor_a_client_is_refused(wrong):
    words = rf"^RedisStore takes a URL, or a client: redis\.Redis, .* not {type(wrong).__name__}$"
    with pytest.raises(TypeError, match=words):
        RedisStore(wrong)


def test_a_prefix_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match=r"^prefix must be a str, not int$"):
        RedisStore("redis://127.0.0.1", prefix=5)


def test_tls_urls_are_taken():
    assert RedisStore("rediss://127.0.0.1:1/0").execution == "blocking"


def test_without_redis_py_the_error_names_the_extra():
    program = """
import sys
sys.modules["redis"] = None
import mg_middleware
store = mg_middleware.RedisStore
try:
    store("redis://127.0.0.1")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == 'RedisStore needs redis-py: pip install "mg-middleware[redis]"\n'
