"""WSGI applications inside the ASGI guard, through each adapter: the exact body, and no other request's delivery."""

import asyncio
import contextvars
import warnings
from contextlib import suppress
from threading import Barrier

import pytest
from cases import FAILED, GENUINE, SECRET, SUCCEEDED, signature_of
from exchange import Connection, http_scope, request_events
from flask import Flask
from flask import request as flask_request

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, delivery_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # two of the adapters are deprecated in favour of a2wsgi
    from a2wsgi import WSGIMiddleware as A2WSGIAdapter
    from asgiref.wsgi import WsgiToAsgi
    from starlette.middleware.wsgi import WSGIMiddleware as StarletteAdapter
    from uvicorn.middleware.wsgi import _WSGIMiddleware as UvicornAdapter

PATH = "/webhooks/meetgeek"
SIGNED = [(b"x-mg-signature", GENUINE)]


@pytest.fixture(
    params=[A2WSGIAdapter, WsgiToAsgi, StarletteAdapter, UvicornAdapter],
    ids=["a2wsgi", "asgiref", "starlette", "uvicorn"],
)
def adapt(request):
    adapters = []

    def adapt(app):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            adapters.append(request.param(app))
        return adapters[-1]

    adapt.copies_the_context = request.param is not UvicornAdapter
    yield adapt
    for adapter in adapters:
        if hasattr(adapter, "executor"):
            adapter.executor.shutdown()


class Application:
    """A WSGI application that remembers each body, with its delivery or the error in its place."""

    def __init__(self):
        self.seen = []

    def __call__(self, environ, start_response):
        # As frameworks do: no further than the declared length.
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            found = delivery_of(environ)
        except LookupError as error:
            found = error
        self.seen.append((environ["PATH_INFO"], body, found))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"processed"]


FRAMINGS = {
    "declared": ([(b"content-length", b"%d" % len(SUCCEEDED))], [SUCCEEDED]),
    "declared, in pieces": (
        [(b"content-length", b"%d" % len(SUCCEEDED))],
        [SUCCEEDED[:1], SUCCEEDED[1:50], SUCCEEDED[50:]],
    ),
    "chunked": ([(b"transfer-encoding", b"chunked")], [SUCCEEDED]),
    "chunked, in pieces": ([(b"transfer-encoding", b"chunked")], [SUCCEEDED[:1], SUCCEEDED[1:50], SUCCEEDED[50:]]),
    "chunked beside a length": ([(b"content-length", b"7"), (b"transfer-encoding", b"chunked")], [SUCCEEDED]),
    "neither, as in HTTP/2": ([], [SUCCEEDED]),
}


async def exchange(app, fields, chunks, **changes):
    connection = Connection(*request_events(*chunks))

    async def receive():
        if connection.events:
            return await connection.receive()
        return await asyncio.Event().wait()  # the client stays

    await app(http_scope(fields, **changes), receive, connection.send)
    return connection.sent[0]["status"]


@pytest.mark.parametrize(("fields", "chunks"), FRAMINGS.values(), ids=FRAMINGS)
def test_the_application_gets_the_exact_body_and_its_delivery(adapt, fields, chunks):
    application = Application()
    app = MeetGeekASGIMiddleware(adapt(application), SECRET, paths=PATH)
    assert asyncio.run(exchange(app, SIGNED + fields, chunks)) == 200
    [(_, body, found)] = application.seen
    assert body == SUCCEEDED
    if adapt.copies_the_context:
        assert found.body == SUCCEEDED
    else:
        assert isinstance(found, LookupError)  # nothing leads from this adapter's thread to the request


@pytest.mark.parametrize(("fields", "chunks"), FRAMINGS.values(), ids=FRAMINGS)
def test_flask_reads_it_whole(adapt, fields, chunks):
    flask = Flask(__name__)
    bodies = []

    @flask.post(PATH)
    def receive():
        bodies.append(flask_request.get_data())
        if adapt.copies_the_context:
            assert delivery_of(flask_request).body == flask_request.get_data()
        return ""

    app = MeetGeekASGIMiddleware(adapt(flask), SECRET)
    assert asyncio.run(exchange(app, SIGNED + fields, chunks)) == 200
    assert bodies == [SUCCEEDED]


@pytest.mark.parametrize(("fields", "chunks"), FRAMINGS.values(), ids=FRAMINGS)
def test_the_wsgi_guard_within_finds_a_whole_request(adapt, fields, chunks):
    application = Application()
    app = MeetGeekASGIMiddleware(adapt(MeetGeekWSGIMiddleware(application, SECRET)), SECRET, paths=PATH)
    assert asyncio.run(exchange(app, SIGNED + fields, chunks)) == 200
    [(_, body, found)] = application.seen
    assert body == found.body == SUCCEEDED


def test_a_request_that_no_guard_verified_finds_nothing_whatever_came_before(adapt):
    # A stranger repeats the header, after the genuine delivery and in the same threads, contexts and task.
    application = Application()
    app = MeetGeekASGIMiddleware(adapt(application), SECRET, paths=PATH)
    length = [(b"content-length", b"%d" % len(SUCCEEDED))]

    async def run():
        for _ in range(20):
            await exchange(app, SIGNED + length, [SUCCEEDED])
            await exchange(app, SIGNED + length, [SUCCEEDED], path="/elsewhere")

    asyncio.run(run())
    assert all(isinstance(found, LookupError) for path, _, found in application.seen if path == "/elsewhere")
    assert len(application.seen) == 40


def test_a_request_that_runs_at_the_same_time_finds_its_own_or_nothing(adapt):
    barrier = Barrier(3)
    application = Application()

    def waiting_for_the_others(environ, start_response):
        with suppress(Exception):
            barrier.wait(1)
        return application(environ, start_response)

    app = MeetGeekASGIMiddleware(adapt(waiting_for_the_others), SECRET, paths=PATH)
    failed = [(b"x-mg-signature", signature_of(FAILED))]

    async def run():
        await asyncio.gather(
            exchange(app, SIGNED, [SUCCEEDED]),
            exchange(app, failed, [FAILED]),
            exchange(app, SIGNED, [SUCCEEDED], path="/elsewhere"),
            exchange(app, failed, [FAILED], path="/elsewhere"),
        )

    asyncio.run(run())
    assert len(application.seen) == 4
    for path, body, found in application.seen:
        if path == "/elsewhere" or not adapt.copies_the_context:
            assert isinstance(found, LookupError)
        else:
            assert found.body == body


def test_a_pipelined_request_finds_nothing_of_the_one_before(adapt):
    # Some servers start the next request of a connection while the last message of the one before is sent, in its
    # context.
    application = Application()
    app = MeetGeekASGIMiddleware(adapt(application), SECRET, paths=PATH)
    connection = Connection(*request_events(SUCCEEDED))
    pipelined = []

    async def receive():
        return await connection.receive()

    async def send(message):
        if message["type"] == "http.response.body" and not pipelined:
            pipelined.append(asyncio.create_task(exchange(app, SIGNED, [SUCCEEDED], path="/elsewhere")))
            await pipelined[0]

    asyncio.run(app(http_scope(SIGNED), receive, send))
    assert [path for path, _, _ in application.seen] == [PATH, "/elsewhere"]
    assert isinstance(application.seen[1][2], LookupError)


def test_a_guard_within_that_guards_other_paths_leaves_the_delivery(adapt):
    application = Application()
    within = MeetGeekASGIMiddleware(adapt(application), SECRET, paths="/another")
    app = MeetGeekASGIMiddleware(within, SECRET, paths=PATH)
    asyncio.run(exchange(app, SIGNED, [SUCCEEDED]))
    [(_, _, found)] = application.seen
    assert isinstance(found, LookupError) != adapt.copies_the_context


def test_a_thread_that_keeps_the_context_finds_nothing_once_the_request_is_over(adapt):
    contexts = []
    application = Application()

    def keeping(environ, start_response):
        contexts.append((contextvars.copy_context(), dict(environ)))
        return application(environ, start_response)

    app = MeetGeekASGIMiddleware(adapt(keeping), SECRET, paths=PATH)
    asyncio.run(exchange(app, SIGNED, [SUCCEEDED]))
    [(context, environ)] = contexts
    environ.pop("asgi.scope", None)
    with pytest.raises(LookupError):
        context.run(delivery_of, environ)


def test_another_signature_finds_nothing_in_the_context(adapt):
    found = []

    def inside(environ, start_response):
        for changes in ({"HTTP_X_MG_SIGNATURE": "0" * 64}, {"HTTP_X_MG_SIGNATURE": ""}):
            other = {name: value for name, value in environ.items() if name != "asgi.scope"} | changes
            with suppress(LookupError):
                found.append(delivery_of(other))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    app = MeetGeekASGIMiddleware(adapt(inside), SECRET, paths=PATH)
    assert asyncio.run(exchange(app, SIGNED, [SUCCEEDED])) == 200
    assert found == []
