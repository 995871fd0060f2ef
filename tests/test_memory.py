"""How much memory a body takes at its peak, as tracemalloc sees it."""

import tracemalloc

import pytest
from cases import SECRET, signature_of
from exchange import StartResponse, asgi_answer, http_scope, run, wsgi_environ

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware

BODY_SIZE = 8_388_608  # bytes
CHUNK_SIZE = 65_536  # bytes
SMALL_BODY_SIZE = 65_536  # bytes


def peak_while(act):
    """The most memory in bytes that was allocated at once while a function ran."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def asgi_request(size, chunk_size):
    """One request whose chunks are made when they are asked for, to an application that reads and drops them."""
    signature = signature_of(bytes(size))
    read = []

    async def app(scope, receive, send):
        more_body = True
        while more_body:
            event = await receive()
            read.append(len(event["body"]))
            more_body = event["more_body"]
        await asgi_answer(send)

    middleware = MeetGeekASGIMiddleware(app, SECRET, max_body_size=size)

    def act():
        remaining = size
        sent = []

        async def receive():
            nonlocal remaining
            remaining -= chunk_size
            return {"type": "http.request", "body": bytes(chunk_size), "more_body": remaining > 0}

        async def send(event):
            sent.append(event)

        run(middleware(http_scope([(b"x-mg-signature", signature)]), receive, send))
        assert sent[0]["status"] == 200
        assert sum(read) == size

    return act


def wsgi_request(size, chunk_size):
    """The same for WSGI: a new piece for each read, and an application that reads the replayed body."""
    signature = signature_of(bytes(size))

    class Source:
        def __init__(self):
            self.remaining = size

        def read(self, wanted):
            piece = bytes(min(wanted, chunk_size, self.remaining))
            self.remaining -= len(piece)
            return piece

    def app(environ, start_response):
        read = 0
        while piece := environ["wsgi.input"].read(4096):
            read += len(piece)
        assert read == size
        start_response("200 OK", [])
        return []

    middleware = MeetGeekWSGIMiddleware(app, SECRET, max_body_size=size)

    def act():
        environ = wsgi_environ([(b"x-mg-signature", signature)], Source(), CONTENT_LENGTH=str(size))
        start_response = StartResponse()
        middleware(environ, start_response)
        assert start_response.calls[0][0] == "200 OK"

    return act


def test_on_asgi_a_large_body_is_held_once():
    assert peak_while(asgi_request(BODY_SIZE, CHUNK_SIZE)) < 1.15 * BODY_SIZE


def test_on_wsgi_a_large_body_that_comes_in_one_read_is_held_once():
    assert peak_while(wsgi_request(BODY_SIZE, BODY_SIZE)) < 1.2 * BODY_SIZE


def test_on_wsgi_a_large_body_that_comes_in_pieces_is_held_twice_at_the_most():
    assert peak_while(wsgi_request(BODY_SIZE, CHUNK_SIZE)) < 2.2 * BODY_SIZE


@pytest.mark.parametrize("chunk_size", [1, 2])
@pytest.mark.parametrize(("request_of", "times"), [(asgi_request, 1.5), (wsgi_request, 2.5)], ids=["asgi", "wsgi"])
def test_a_body_in_the_smallest_pieces_takes_little_more_than_its_size(request_of, times, chunk_size):
    assert peak_while(request_of(SMALL_BODY_SIZE, chunk_size)) < times * SMALL_BODY_SIZE
