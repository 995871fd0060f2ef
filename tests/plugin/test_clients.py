"""One delivery through every client: what was signed is what arrives."""

import asyncio
import contextlib
import socket
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import plugin_frameworks
import pytest
from plugin_frameworks import FRAMEWORKS, PATH, run_alone

from pytest_meetgeek import MeetGeek, Receiver

FORGERIES = ("missing", "wrong-secret", "body-changed")


@pytest.fixture
def meetgeek(request):
    plugin_frameworks.seen.clear()
    return MeetGeek("meetgeek-test-secret", seed=request.node.nodeid)


@pytest.fixture(scope="module")
def wsgi_server():
    class Quiet(WSGIRequestHandler):
        def log_message(self, *arguments):
            """Say nothing."""

    with make_server("127.0.0.1", 0, plugin_frameworks.plain_wsgi(), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{PATH}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def asgi_server():
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        plugin_frameworks.plain_asgi(), interface="asgi3", lifespan="off", log_level="critical", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}{PATH}"
    server.should_exit = True
    thread.join()
    listening.close()


def starlette_client():
    from starlette.testclient import TestClient

    client = TestClient(FRAMEWORKS["starlette"]())
    return client, lambda request: client.post(PATH, **request.httpx)


def fastapi_client():
    from fastapi.testclient import TestClient

    client = TestClient(FRAMEWORKS["fastapi"]())
    return client, lambda request: client.post(PATH, **request.httpx)


def litestar_client():
    from litestar.testing import TestClient

    client = TestClient(FRAMEWORKS["litestar"]())
    return client, lambda request: client.post(PATH, **request.httpx)


def flask_client():
    client = FRAMEWORKS["flask"]().test_client()
    return client, lambda request: client.post(PATH, **request.werkzeug)


def werkzeug_client():
    from werkzeug.test import Client

    client = Client(FRAMEWORKS["plain_wsgi"]())
    return contextlib.nullcontext(), lambda request: client.post(PATH, **request.werkzeug)


def quart_client():
    client = FRAMEWORKS["quart"]().test_client()
    return contextlib.nullcontext(), lambda request: asyncio.run(_awaited(client.post(PATH, **request.werkzeug)))


async def _awaited(answer):
    return await answer


def django_client():
    FRAMEWORKS["django_wsgi"]()
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    return contextlib.nullcontext(), lambda request: client.post(f"/{PATH[1:]}", **request.django)


def httpx_client():
    import httpx

    client = httpx.Client(transport=httpx.WSGITransport(FRAMEWORKS["plain_wsgi"]()), base_url="http://testserver")
    return client, lambda request: client.post(PATH, **request.httpx)


def httpx_async_client():
    import httpx

    async def post(request):
        transport = httpx.ASGITransport(FRAMEWORKS["plain_asgi"]())
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.post(PATH, **request.httpx)

    return contextlib.nullcontext(), lambda request: asyncio.run(post(request))


def httpx2_client():
    import httpx2

    client = httpx2.Client(transport=httpx2.WSGITransport(FRAMEWORKS["plain_wsgi"]()), base_url="http://testserver")
    return client, lambda request: client.post(PATH, **request.httpx)


def asgiref_client():
    from asgiref.testing import ApplicationCommunicator

    class Answer:
        def __init__(self, start, body):
            self.status_code, self.content = start["status"], body["body"]

    async def post(request):
        communicator = ApplicationCommunicator(FRAMEWORKS["plain_asgi"](), request.asgi_scope(PATH))
        for message in request.asgi_messages():
            await communicator.send_input(message)
        return Answer(await communicator.receive_output(), await communicator.receive_output())

    return contextlib.nullcontext(), lambda request: asyncio.run(post(request))


IN_PROCESS = (
    httpx_client,
    httpx_async_client,
    httpx2_client,
    starlette_client,
    fastapi_client,
    litestar_client,
    flask_client,
    werkzeug_client,
    quart_client,
    asgiref_client,
)


def check_client(meetgeek, post):
    """Genuine requests are acknowledged, forged ones rejected, and every byte arrives as it was signed."""
    genuine = [
        meetgeek.analyzed(title="Café ☃"),
        meetgeek.failed(),
        meetgeek.raw('{"odd" :\t"Cafe\u0301 ☃"}\r\n'.encode()),
        meetgeek.raw(b"\x00\xff\xfe not JSON"),
        meetgeek.raw(b""),
        meetgeek.analyzed().with_header("Content-Type", None),
    ]
    forged = [meetgeek.forged(how) for how in FORGERIES]
    for request in genuine:
        meetgeek.assert_acknowledged(post(request), request)
    for request in forged:
        meetgeek.assert_rejected(post(request), request)
    sent = [(request.body, list(request.signatures)) for request in genuine + forged]
    assert plugin_frameworks.seen == sent


def check_in_process(make, seed):
    client, post = make()
    with client:
        check_client(MeetGeek("meetgeek-test-secret", seed=seed), post)


def check_receiver(name, seed):
    with Receiver(FRAMEWORKS[name](), path=PATH) as receiver:
        check_client(MeetGeek("meetgeek-test-secret", seed=seed), receiver.send)


@pytest.mark.usefixtures("meetgeek")
@pytest.mark.parametrize("make", IN_PROCESS, ids=lambda make: make.__name__)
def test_a_client_sends_what_was_signed(make):
    check_in_process(make, make.__name__)


@pytest.mark.usefixtures("meetgeek")
@pytest.mark.parametrize("name", [name for name in FRAMEWORKS if not name.startswith("django")])
def test_the_receiver_sends_what_was_signed(name):
    check_receiver(name, name)


@pytest.mark.parametrize(
    "call",
    [
        "check_in_process(django_client, 'client')",
        "check_receiver('django_wsgi', 'wsgi')",
        "check_receiver('django_asgi', 'asgi')",
    ],
)
def test_django_gets_what_was_signed(call):
    run_alone(f"import test_clients; test_clients.{call.replace('(django', '(test_clients.django')}")


@pytest.mark.parametrize("server", ["asgi_server", "wsgi_server"])
@pytest.mark.parametrize("client", ["receiver", "requests", "httpx", "deliver"])
def test_a_live_url_gets_what_was_signed(server, client, meetgeek, request):
    import httpx
    import requests

    url = request.getfixturevalue(server)
    posts = {
        "receiver": Receiver(url).send,
        "requests": lambda sent: requests.post(url, timeout=10, **sent.requests),
        "httpx": lambda sent: httpx.post(url, **sent.httpx),
        "deliver": lambda sent: meetgeek.deliver(url, sent).attempts[0],
    }
    if client == "deliver":
        assert meetgeek.deliver(url, meetgeek.forged("missing")).acknowledged is False
        assert len(plugin_frameworks.seen) == 3
        plugin_frameworks.seen.clear()
        record = meetgeek.deliver(url, meetgeek.analyzed())
        meetgeek.assert_acknowledged(record)
    else:
        check_client(meetgeek, posts[client])


@pytest.mark.parametrize("server", ["asgi_server", "wsgi_server"])
def test_every_forgery_is_refused_by_a_live_server(server, meetgeek, request):
    from pytest_meetgeek import FORGERIES

    with Receiver(request.getfixturevalue(server)) as receiver:
        for how, forgery in FORGERIES.items():
            response = receiver.send(meetgeek.forged(how))
            assert forgery.refused_by(response.status), (how, response)


def test_a_body_in_pieces_goes_chunked_over_a_url(asgi_server, meetgeek):
    from dataclasses import replace

    request = replace(meetgeek.analyzed(), chunks=(1, 0, 7, 0))
    assert Receiver(asgi_server).send(request).acknowledged
    assert plugin_frameworks.seen[0][0] == request.body


def test_a_url_in_async_code(wsgi_server, meetgeek):
    async def deliver():
        return await meetgeek.afan_out(wsgi_server, meetgeek.team(3), concurrent=True)

    assert [record.acknowledged for record in asyncio.run(deliver())] == [True] * 3


@pytest.mark.parametrize("how", ["two-bad-first", "two-same"])
@pytest.mark.parametrize("client", ["requests", "django"])
def test_a_mapping_cannot_hold_a_header_twice(how, client, meetgeek):
    with pytest.raises(ValueError, match="takes each header once"):
        getattr(meetgeek.forged(how), client)


def test_django_would_encode_another_charset_again(meetgeek):
    request = meetgeek.raw(b"\xe9", content_type="application/json; charset=latin-1")
    with pytest.raises(ValueError, match="encode the body again as 'latin-1'"):
        _ = request.django
    assert meetgeek.raw(b"{}", content_type='application/json; charset="UTF-8"').django["content_type"]
