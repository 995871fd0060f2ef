"""Driving a receiver: interfaces, lifespan, event loops, errors, delivery as MeetGeek does it."""

import asyncio
import functools
import time

import pytest
import trio
from plugin_receivers import Right

from pytest_meetgeek import MeetGeek, Receiver, Response, Spy
from pytest_meetgeek.drivers.asgi import LifespanError

SECRET = "a-shared-secret"
MEETGEEK = MeetGeek(SECRET, seed="x")
REQUEST = MEETGEEK.analyzed()


async def run_on_asyncio(work):
    return await work()


RUNNERS = {
    "asyncio": lambda work: asyncio.run(run_on_asyncio(work)),
    "trio": trio.run,
}


@pytest.fixture(params=RUNNERS)
def run(request):
    return RUNNERS[request.param]


class Lively:
    """An ASGI app with a lifespan that notes what happens; `fail` names the phase that goes wrong."""

    def __init__(self, fail=None, statuses=(200,), body=b""):
        self.events, self.fail, self.statuses, self.body = [], fail, list(statuses), body

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            await self.phase("startup", send)
            scope["state"]["key"] = "value"
            if self.fail == "returns":
                return
            assert (await receive())["type"] == "lifespan.shutdown"
            await self.phase("shutdown", send)
            if self.fail == "lingers":
                await receive()
                await Sleep.forever()
        else:
            self.events.append(scope["state"].get("key"))
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": self.body})

    async def phase(self, name, send):
        self.events.append(name)
        if self.fail == name:
            return await send({"type": f"lifespan.{name}.failed", "message": "no database"})
        if self.fail == f"{name} raises":
            raise ValueError("no database")
        if self.fail == f"{name} hangs":
            await Sleep.forever()
        return await send({"type": f"lifespan.{name}.complete"})


class Sleep:
    @staticmethod
    async def forever():
        try:
            await asyncio.sleep(60)
        except RuntimeError:
            await trio.sleep(60)


def one_answer(*messages):
    """An ASGI app without a lifespan that sends these messages."""

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        for message in messages:
            if isinstance(message, BaseException):
                raise message
            await send(message)

    return app


START = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]}
END = {"type": "http.response.body", "body": b"ok"}


# --- ASGI or WSGI


def sync_wsgi(environ, start_response):
    start_response("200 OK", [])
    return []


def asgi_by_arity(scope, receive, send):
    return one_answer(START, {"type": "http.response.body"})(scope, receive, send)


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (sync_wsgi, "wsgi"),
        (functools.partial(sync_wsgi), "wsgi"),
        (asgi_by_arity, "asgi"),
        (lambda scope, receive, send: None, "asgi"),
        (one_answer(), "asgi"),
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


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/x", "http://127.0.0.1.example.com"])
def test_a_url_that_is_not_loopback_is_refused(url):
    with pytest.raises(ValueError, match="--meetgeek-allow-host="):
        Receiver(url)


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
    receiver = Receiver(one_answer(START, END))
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
        await one_answer(START, END)(scope, receive, send)

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
            assert asyncio.get_event_loop_policy().get_event_loop() is loop
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
        await one_answer(START, END)(scope, receive, send)

    with Receiver(app) as receiver:
        receiver.send(REQUEST)
        receiver.pause(0.001)
    assert ended == [True]


def test_a_pause_for_wsgi_takes_time():
    began = time.monotonic()
    Receiver(sync_wsgi).pause(0.01)
    assert time.monotonic() - began >= 0.01


# --- one request


def test_receive_waits_until_the_response_is_over(run):
    events = []

    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        events.append((await receive())["type"])
        await send(START)
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})
        events.append((await receive())["type"])

    assert run(functools.partial(Receiver(app).asend, REQUEST)).body == b"ab"
    assert events == ["http.request", "http.disconnect"]


def test_an_app_that_waits_too_early_is_given_up(run):
    async def app(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        await receive()
        await receive()

    response = run(functools.partial(Receiver(app, timeout=0.05).asend, REQUEST))
    assert response.status == 500
    assert str(response.error) == "the app had not ended the request after 0.05 s"


def test_the_app_s_own_time_out_is_its_own(run):
    response = run(functools.partial(Receiver(one_answer(TimeoutError("mine"))).asend, REQUEST))
    assert str(response.error) == "mine"


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], "the app returned without a complete response"),
        ([START], "the app returned without a complete response"),
        ([END], "unexpected ASGI message 'http.response.body'"),
        ([START, START], "unexpected ASGI message 'http.response.start'"),
        ([{"type": "http.response.debug"}], "unexpected ASGI message 'http.response.debug'"),
        ([ValueError("mine")], "mine"),
        ([START, {"type": "http.response.body", "body": b"half", "more_body": True}, ValueError("mine")], "mine"),
    ],
)
def test_what_is_no_whole_answer_is_a_500(messages, error):
    with Receiver(one_answer(*messages)) as receiver:
        response = receiver.send(REQUEST)
    assert (response.status, response.body, str(response.error)) == (500, b"Internal Server Error", error)


def test_an_error_after_the_answer_is_kept():
    with Receiver(one_answer(START, {"type": "http.response.body"}, ValueError("late"))) as receiver:
        response = receiver.send(REQUEST)
    assert (response.acknowledged, str(response.error)) == (True, "late")


class Closing(list):
    closed = False

    def close(self):
        self.closed = True


def test_wsgi_closes_the_iterable_and_takes_write():
    body = Closing([b"b"])

    def app(environ, start_response):
        start_response("200 OK", [("X-A", "b")])(b"a")
        return body

    response = Receiver(app).send(REQUEST)
    assert (response.body, response.headers, body.closed) == (b"ab", (("X-A", "b"),), True)


def wsgi_calls(*calls):
    def app(environ, start_response):
        for number, exc_info in enumerate(calls):
            if exc_info == "write":
                start_response("200 OK", [])(b"x")
            elif exc_info:
                error = ValueError("mine")
                start_response(f"50{number} No", [], (ValueError, error, None))
            else:
                start_response("200 OK", [])
        return []

    return app


@pytest.mark.parametrize(
    ("calls", "status", "error"),
    [
        ((), 500, "the app returned without calling start_response"),
        ((False, False), 500, "start_response was called twice"),
        (("write", True), 500, "mine"),
        ((False, True), 501, None),
    ],
)
def test_wsgi_start_response(calls, status, error):
    response = Receiver(wsgi_calls(*calls)).send(REQUEST)
    assert response.status == status
    assert (str(response.error) if response.error else None) == error


# --- delivery


@pytest.mark.parametrize(("statuses", "posts"), [((200,), 1), ((500, 200), 2), ((500, 202, 200), 3), ((500,), 3)])
def test_meetgeek_posts_at_most_three_times(statuses, posts, run):
    for record in (
        MEETGEEK.deliver(Lively(statuses=statuses), REQUEST),
        run(functools.partial(MEETGEEK.adeliver, Lively(statuses=statuses), REQUEST)),
    ):
        assert (len(record.attempts), record.acknowledged) == (posts, statuses != (500,))


def test_a_body_is_no_acknowledgement():
    record = MEETGEEK.deliver(Lively(body=b"ok"), REQUEST)
    assert len(record.attempts) == 3
    shown = f"'{REQUEST.signature[:12]}…{REQUEST.signature[-6:]} (64 chars)'"
    assert record.explain().splitlines() == [
        f"sent: POST analyzed, 95 bytes, X-MG-Signature: {shown}",
        "POST 1: HTTP 200, 2 bytes of body: 'ok'",
        "POST 2: HTTP 200, 2 bytes of body: 'ok'",
        "POST 3: HTTP 200, 2 bytes of body: 'ok'",
        "MeetGeek gives up after 3 POSTs: the event is lost",
    ]
    assert MEETGEEK.deliver(Lively(), REQUEST).explain().splitlines()[-1] == "acknowledged after 1 POST"


def test_between_the_posts_the_app_can_be_healed(run):
    app = Lively(statuses=(503,))

    def heal(response):
        assert response.status == 503
        app.statuses = [200]

    async def aheal(response):
        heal(response)

    assert len(MEETGEEK.deliver(app, REQUEST, between=heal).attempts) == 2
    for healing in (heal, aheal):
        app.statuses = [503]
        assert len(run(functools.partial(MEETGEEK.adeliver, app, REQUEST, between=healing)).attempts) == 2
    calls = []
    MEETGEEK.deliver(wsgi_calls("write"), REQUEST, between=calls.append)
    assert len(calls) == 2


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("app", [Lively(), sync_wsgi], ids=["asgi", "wsgi"])
def test_a_team_is_served(app, concurrent, run):
    requests = MEETGEEK.team(3)
    records = MEETGEEK.fan_out(app, requests, concurrent=concurrent)
    assert [record.acknowledged for record in records] == [True] * 3
    records = run(functools.partial(MEETGEEK.afan_out, app, requests, concurrent=concurrent))
    assert [record.request for record in records] == requests
    assert all(record.acknowledged for record in records)


def test_the_path_goes_to_the_app():
    paths = []

    def app(environ, start_response):
        paths.append(environ["PATH_INFO"])
        return sync_wsgi(environ, start_response)

    MEETGEEK.deliver(app, REQUEST, path="/a")
    MEETGEEK.deliver(Receiver(app, path="/b"), REQUEST)
    MEETGEEK.deliver(Receiver(app, path="/b"), REQUEST, path="/c")
    Receiver(app, path="/b").send(REQUEST, path="/d")
    assert paths == ["/a", "/b", "/c", "/d"]


# --- assertions


def test_the_assertions_tell_what_came():
    spy = Spy()
    MEETGEEK.assert_rejected(Response(401), spy=spy)
    MEETGEEK.assert_rejected(Response(431), MEETGEEK.forged("huge"))
    with pytest.raises(
        AssertionError, match="not acknowledged\n  required: HTTP 200, no body\n  received: HTTP 200, 1 byte"
    ):
        MEETGEEK.assert_acknowledged(Response(200, body=b"x"))
    with pytest.raises(
        AssertionError, match=r"not rejected\n  sent: .*missing.*\n  required: HTTP 401\n  received: HTTP 403"
    ):
        MEETGEEK.assert_rejected(Response(403), MEETGEEK.forged("missing"))
    spy("event")
    with pytest.raises(AssertionError, match="rejected, but processed all the same"):
        MEETGEEK.assert_rejected(Response(401), spy=spy)


def test_a_leaked_secret_is_redacted():
    leaking = Response(500, body=b"key: a-shared-secret", error=ValueError("a-shared-secret"))
    with pytest.raises(AssertionError) as caught:
        MEETGEEK.assert_rejected(leaking)
    assert "a-shared-secret" not in str(caught.value)
    assert "[secret]" in str(caught.value)
    record = MEETGEEK.deliver(one_answer(START, {"type": "http.response.body", "body": b"a-shared-secret"}), REQUEST)
    assert "a-shared-secret" not in record.explain() + repr(record) + repr(leaking)
    assert repr(leaking) == "<Response 500, 20 bytes, ValueError>"
    assert repr(record.attempts[0]) == "<Response 200, 15 bytes>"


def test_a_secret_of_a_few_letters_stands_in_words_by_chance():
    with pytest.raises(AssertionError, match="an answer"):
        MeetGeek("an").assert_acknowledged(Response(500, body=b"an answer"))


def test_a_streamed_answer_is_read():
    class Streaming:
        status_code, streaming_content = 200, (b"a", b"b")

    with pytest.raises(AssertionError, match="2 bytes of body: 'ab'"):
        MEETGEEK.assert_acknowledged(Streaming())


def test_a_long_body_is_cut():
    assert Response(500, body=b"x" * 500, error=KeyError()).describe().splitlines() == [
        f"HTTP 500, 500 bytes of body: '{'x' * 120}'…",
        "    the app raised KeyError",
    ]


def test_the_line_of_the_app_is_named():
    def app(environ, start_response):
        return {}["meeting_id"]

    text = Receiver(app).send(REQUEST).describe()
    line = app.__code__.co_firstlineno + 1
    assert text.splitlines()[1:] == [
        "    the app raised KeyError: 'meeting_id'",
        f"    at tests/plugin/test_receiver.py:{line}",
    ]


def test_a_foreign_answer_without_a_status_is_refused():
    with pytest.raises(TypeError, match="not the response of a known client: str"):
        MEETGEEK.assert_acknowledged("200")
