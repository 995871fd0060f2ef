"""Driving a receiver: interfaces, event loops, one life of the app."""

import asyncio
import functools
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from plugin_drivers import END, MEETGEEK, REQUEST, START, Lively, one_response, sync_wsgi
from plugin_receivers import Right

from pytest_meetgeek import Receiver
from pytest_meetgeek.drivers.asgi import LifespanError


def asgi_by_arity(scope, receive, send):
    return one_response(START, {"type": "http.response.body"})(scope, receive, send)


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (sync_wsgi, "wsgi"),
        (functools.partial(sync_wsgi), "wsgi"),
        (asgi_by_arity, "asgi"),
        (lambda scope, receive, send: None, "asgi"),
        (one_response(), "asgi"),
        (Lively(), "asgi"),
        (Right().asgi, "asgi"),
        (Right().wsgi, "wsgi"),
        ("http://localhost:1/x", "url"),
        ("http://[::1]:1/x", "url"),
    ],
)
def test_the_interface_is_told_by_the_app(app, interface):
    assert Receiver(app).interface == interface


@pytest.mark.parametrize("app", [lambda scope: None, lambda *arguments: None, dict])
def test_an_app_that_could_be_either_needs_a_word(app):
    with pytest.raises(TypeError, match="--meetgeek-interface"):
        Receiver(app)
    assert Receiver(app, interface="asgi").interface == "asgi"


@pytest.mark.parametrize("app", [None, 5, Right()])
def test_what_cannot_be_called_is_no_app(app):
    with pytest.raises(TypeError, match="not an ASGI app, a WSGI app or a URL"):
        Receiver(app)


def test_an_unknown_interface_is_refused():
    with pytest.raises(ValueError, match="interface is one of auto, asgi, wsgi, not 'asg'"):
        Receiver(sync_wsgi, interface="asg")


# --- URLs


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "10.0.0.1", "127.0.0.1.example.com", "localhost.example.org", "mylocalhost", "localhosts"),
        *("localhost.example", "[fe80::1]", "[::ffff:10.0.0.1]", "128.1", "2130706432.example", "127.1.example.com"),
    ],
)
def test_a_url_that_is_not_loopback_is_refused(host):
    with pytest.raises(ValueError, match="--meetgeek-allow-host="):
        Receiver(f"http://{host}/x")


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "LOCALHOST",
            "localhost.",
            "app.localhost",
            "app.localhost.",
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
        ),
        "0.0.0.0",  # noqa: S104 - the address that servers print if they listen on all
        *("0x7f.1", "2130706433", "[::ffff:127.0.0.1]"),
    ],
)
def test_loopback_is_told_by_its_meaning(host):
    hosts = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            hosts.append(self.headers["Host"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_address[1]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        response = Receiver(f"http://{host}:{port}/x").send(MEETGEEK.analyzed())
        thread.join()
    assert response.acknowledged
    assert hosts == [f"{host.lower()}:{port}"]


def test_a_host_can_be_allowed():
    assert Receiver("https://Example.com/x", allow_hosts=["example.COM"]).url == "https://Example.com/x"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "not a url", "http://"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match="not an http or https URL"):
        Receiver(url)


def test_the_path_of_a_url_comes_first():
    assert Receiver("http://127.0.0.1:1/own?a=b", path="/other").path == "/own?a=b"
    assert Receiver("http://127.0.0.1:1/", path="/other").url == "http://127.0.0.1:1/other"
    assert Receiver(sync_wsgi, path="/other").url == "http://testserver/other"
    assert repr(Receiver(sync_wsgi, path="/other")) == "<Receiver wsgi /other>"


def test_nobody_listening_is_an_answer_too():
    for url in ("http://127.0.0.1:1/", "https://127.0.0.1:1/"):
        response = Receiver(url).send(REQUEST)
        assert (response.status, type(response.error)) == (0, ConnectionRefusedError)
        assert response.describe().startswith("no response\n    ConnectionRefusedError: ")


# --- lifespan


def test_the_lifespan_runs_once_round_all_requests():
    app = Lively()
    with Receiver(app) as receiver:
        assert app.events == []
        assert receiver.send(REQUEST).acknowledged
        assert receiver.send(REQUEST).acknowledged
        assert app.events == ["startup", "value", "value"]
    assert app.events == ["startup", "value", "value", "shutdown"]
    receiver.close()


def test_the_lifespan_can_be_left_out():
    app = Lively()
    with Receiver(app, lifespan=False) as receiver:
        receiver.send(REQUEST)
    assert app.events == [None]


def test_an_async_block_keeps_one_lifespan(run):
    app = Lively()
    receiver = Receiver(app)

    async def work():
        async with receiver:
            await receiver.asend(REQUEST)
            async with receiver:
                await receiver.asend(REQUEST)
            await MEETGEEK.adeliver(receiver, REQUEST)
        app.events.append("out")
        await receiver.asend(REQUEST)

    run(work)
    inside = ["startup", *["value"] * 3, "shutdown"]
    assert app.events == [*inside, "out", "startup", "value", "shutdown"]


def test_an_error_in_an_async_block_stays_what_it_is(run):
    app = Lively()

    async def work():
        async with Receiver(app) as receiver:
            await receiver.asend(REQUEST)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(work)
    assert app.events[-1] == "shutdown"


def test_a_lifespan_that_is_not_supported_is_fine(run):
    receiver = Receiver(one_response(START, END))
    assert receiver.send(REQUEST).body == b"ok"
    receiver.close()
    assert run(functools.partial(receiver.asend, REQUEST)).headers == (("x-a", "b"),)


@pytest.mark.parametrize("fail", ["startup", "startup hangs"])
def test_a_failed_start_up_is_an_error(fail, run):
    receiver = Receiver(Lively(fail), timeout=0.1)
    message = "start-up failed: no database" if fail == "startup" else "start-up was not over after 0.1 s"
    with pytest.raises(LifespanError, match=message):
        receiver.send(REQUEST)
    with pytest.raises(LifespanError, match="the app's"):
        receiver.send(REQUEST)
    receiver.close()
    with pytest.raises(LifespanError, match=message):
        run(functools.partial(receiver.asend, REQUEST))


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("shutdown", "shutdown failed: no database"),
        ("shutdown raises", "lifespan raised ValueError: no database"),
        ("shutdown hangs", "shutdown was not over after 0.1 s"),
    ],
)
def test_a_failed_shutdown_is_an_error(fail, message, run):
    receiver = Receiver(Lively(fail), timeout=0.1)
    assert receiver.send(REQUEST).acknowledged
    with pytest.raises(LifespanError, match=message):
        receiver.close()
    receiver.close()
    with pytest.raises(LifespanError, match=message):
        run(functools.partial(receiver.asend, REQUEST))


@pytest.mark.parametrize("fail", ["startup raises", "returns", "lingers"])
def test_odd_lifespans_are_served(fail, run):
    with Receiver(Lively(fail), timeout=0.2) as receiver:
        assert receiver.send(REQUEST).acknowledged
    assert run(functools.partial(receiver.asend, REQUEST)).acknowledged


def test_a_lifespan_that_dies_on_the_way_is_an_error():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            raise ValueError("broken pipe")
        await one_response(START, END)(scope, receive, send)

    receiver = Receiver(app)
    with pytest.raises(LifespanError, match="the app's lifespan raised ValueError: broken pipe"):
        receiver.send(REQUEST)
    with pytest.raises(LifespanError):
        receiver.close()


# --- loops


@pytest.mark.parametrize("app", [Lively(), sync_wsgi, "http://127.0.0.1:1/"])
def test_a_sync_call_in_async_code_names_the_twin(app, run):
    async def work():
        with pytest.raises(RuntimeError, match=r"use 'await …asend\(…\)'"):
            Receiver(app).send(REQUEST)
        with pytest.raises(RuntimeError, match=r"use 'await …adeliver\(…\)'"):
            MEETGEEK.deliver(app, REQUEST)
        with pytest.raises(RuntimeError, match=r"use 'await …afan_out\(…\)'"):
            MEETGEEK.fan_out(app, [REQUEST], concurrent=True)
        with pytest.raises(RuntimeError, match=r"use 'await …asend\(…\)'"):
            Receiver(app).pause(0) if Receiver(app).interface == "asgi" else Receiver(app).send(REQUEST)

    run(work)


def test_wsgi_in_async_code_runs_in_a_thread(run):
    assert run(functools.partial(Receiver(sync_wsgi).asend, REQUEST)).acknowledged


def test_the_private_loop_is_never_the_current_one():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with Receiver(Lively()) as receiver:
            receiver.send(REQUEST)
            assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_what_an_app_leaves_running_is_stopped():
    ended = []

    async def forever():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    tasks = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            tasks.append(asyncio.get_running_loop().create_task(forever()))
        await one_response(START, END)(scope, receive, send)

    with Receiver(app) as receiver:
        receiver.send(REQUEST)
        receiver.pause(0.001)
    assert ended == [True]


def test_a_pause_for_wsgi_takes_time():
    began = time.monotonic()
    Receiver(sync_wsgi).pause(0.01)
    assert time.monotonic() - began >= 0.01
