"""Once per meeting on WSGI: the end of the answer, and the manners of PEP 3333."""

import subprocess
import sys

import pytest
import redis.asyncio
from once_per_meeting import SECRET, CoroutineStore, succeeded, wsgi_answer, wsgi_environ

from mg_middleware import ConfigurationError, MeetGeekWSGIMiddleware, MemoryStore, RedisStore, delivery_of
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, store_key

KEY = store_key("m-1", secret=SECRET)
OK = ("200 OK", [("Content-Type", "text/plain")])


class Chunks:
    """An iterable that notes when it is closed."""

    def __init__(self, *chunks):
        self._chunks = iter(chunks)
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        chunk = next(self._chunks)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self):
        self.closed += 1


def guard(application, store):
    return MeetGeekWSGIMiddleware(application, SECRET, idempotency_store=store)


def starting(chunks, status="200 OK"):
    def application(environ, start_response):
        start_response(status, [("Content-Type", "text/plain")])
        return chunks

    return application


def call(guarded, start_response=lambda *arguments: None):
    return guarded(wsgi_environ(succeeded()), start_response)


def test_the_key_is_complete_before_the_last_chunk_goes_out():
    store = MemoryStore()
    seen = [(chunk, type(store.claim(KEY))) for chunk in call(guard(starting(Chunks(b"one", b"two")), store))]
    assert seen == [(b"", InProgress), (b"one", InProgress), (b"two", AlreadyComplete)]


def test_the_application_finds_the_delivery_under_a_claim():
    bodies = []

    def application(environ, start_response):
        bodies.append(delivery_of(environ).body)
        return starting([])(environ, start_response)

    call(guard(application, MemoryStore()))
    assert bodies == [succeeded()]


def test_an_answer_without_chunks_is_an_answer():
    store = MemoryStore()
    assert b"".join(call(guard(starting(Chunks()), store))) == b""
    assert store.claim(KEY) == AlreadyComplete()


@pytest.mark.parametrize("chunks", [[b"done"], (b"done",), []])
def test_a_sequence_is_handed_on_as_it_is_once_the_key_is_complete(chunks):
    store = MemoryStore()
    assert call(guard(starting(chunks), store)) is chunks
    assert store.claim(KEY) == AlreadyComplete()


def test_a_failed_answers_key_is_released_before_its_last_chunk_goes_out():
    store = MemoryStore()
    chunks = call(guard(starting(Chunks(b"failed"), "500 Internal Server Error"), store))
    assert next(chunks) == b""
    assert next(chunks) == b"failed"
    assert isinstance(store.claim(KEY), Claimed)


def test_an_answer_may_start_when_it_is_iterated():
    store = MemoryStore()

    def application(environ, start_response):
        start_response(*OK)
        yield b"done"

    assert wsgi_answer(guard(application, store), succeeded()).body == b"done"
    assert store.claim(KEY) == AlreadyComplete()


def test_an_error_that_replaces_the_answer_counts():
    store = MemoryStore()

    def application(environ, start_response):
        start_response(*OK)
        try:
            raise RuntimeError("the page cannot be made")
        except RuntimeError:
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"failed"]

    started = []
    call(guard(application, store), lambda *arguments: started.append(arguments))
    assert [len(arguments) for arguments in started] == [2, 3]
    assert isinstance(store.claim(KEY), Claimed)


def test_what_is_written_is_written_with_the_servers_own_function():
    store = MemoryStore()
    written = []

    def application(environ, start_response):
        start_response(*OK)(b"written")
        return []

    assert call(guard(application, store), lambda *arguments: written.append) == []
    assert written == [b"written"]
    assert store.claim(KEY) == AlreadyComplete()


def test_an_application_that_raises_before_it_returns_an_iterable_releases():
    def application(environ, start_response):
        start_response(*OK)
        raise RuntimeError("at once")

    store = MemoryStore()
    with pytest.raises(RuntimeError, match="at once"):
        call(guard(application, store))
    assert isinstance(store.claim(KEY), Claimed)


def test_an_answer_that_fails_half_way_is_released_and_its_iterable_closed():
    store, chunks = MemoryStore(), Chunks(b"one", RuntimeError("half-way"))
    answer = call(guard(starting(chunks), store))
    assert next(answer) == b""
    with pytest.raises(RuntimeError, match="half-way"):
        next(answer)
    assert isinstance(store.claim(KEY), Claimed)
    answer.close()
    assert chunks.closed == 1


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_an_answer_that_the_server_gives_up_is_released_and_its_iterable_closed(taken):
    store, chunks = MemoryStore(), Chunks(b"one", b"two", b"three")
    answer = call(guard(starting(chunks), store))
    for _ in range(taken):
        next(answer)
    answer.close()
    assert chunks.closed == 1
    assert isinstance(store.claim(KEY), Claimed)


def test_an_answer_given_up_at_its_last_chunk_stays_complete():
    store, chunks = MemoryStore(), Chunks(b"one")
    answer = call(guard(starting(chunks), store))
    assert [next(answer), next(answer)] == [b"", b"one"]
    answer.close()
    assert chunks.closed == 1
    assert store.claim(KEY) == AlreadyComplete()


def test_an_iterable_that_fails_to_close_is_released_and_its_error_passes():
    class FailsToClose(Chunks):
        def close(self):
            raise RuntimeError("cannot be closed")

    store = MemoryStore()
    answer = call(guard(starting(FailsToClose(b"one")), store))
    with pytest.raises(RuntimeError, match="cannot be closed"):
        answer.close()
    assert isinstance(store.claim(KEY), Claimed)


def test_an_iterable_need_not_have_a_close_method():
    store = MemoryStore()
    answer = call(guard(starting(iter([b"one"])), store))
    assert list(answer) == [b"", b"one"]
    answer.close()
    assert store.claim(KEY) == AlreadyComplete()


def test_without_a_claim_the_applications_own_iterable_is_handed_on():
    class Fails(MemoryStore):
        def claim(self, key):
            raise OSError

    chunks = Chunks(b"one")
    assert call(guard(starting(chunks), Fails())) is chunks


def test_an_asynchronous_store_is_refused():
    with pytest.raises(ConfigurationError) as raised:
        guard(starting([]), CoroutineStore(MemoryStore()))
    assert str(raised.value) == (
        "CoroutineStore is asynchronous here, which a WSGI application cannot wait for: "
        "give a store with plain methods, such as a RedisStore with a URL or a redis.Redis"
    )


def test_an_asynchronous_redis_client_is_refused():
    with pytest.raises(ConfigurationError, match="RedisStore is asynchronous"):
        guard(starting([]), RedisStore(redis.asyncio.Redis()))


def test_nothing_is_imported_that_is_not_needed():
    program = """
import sys
at_first = set(sys.modules)
from mg_middleware import MeetGeekWSGIMiddleware, MemoryStore
MeetGeekWSGIMiddleware(print, "secret", idempotency_store=MemoryStore())
unneeded = {"asyncio", "trio", "anyio", "sqlite3", "redis", "asgiref"} & (set(sys.modules) - at_first)
sys.exit(str(unneeded) if unneeded else 0)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "options",
    [{}, {"acknowledge": True}, {"idempotency_store": MemoryStore()}],
    ids=["nothing", "acknowledge", "store"],
)
def test_an_application_may_name_the_error_that_it_responds_to(options):
    def application(environ, start_response):
        start_response(*OK, exc_info=None)
        return [b"done"]

    guarded = MeetGeekWSGIMiddleware(application, SECRET, **options)
    assert wsgi_answer(guarded, succeeded("m-named")).status == 200
