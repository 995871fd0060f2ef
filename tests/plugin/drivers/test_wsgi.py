"""One request to a WSGI app, as a server sends it."""

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from plugin_drivers import REQUEST, sync_wsgi, wsgi_calls
from plugin_findings import failed, findings

from pytest_meetgeek import Receiver
from pytest_meetgeek.response import NoResponseError


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


def hangs(environ, start_response):
    try:
        threading.Event().wait(60)
    except Exception:
        start_response("200 OK", [])
    return []


def in_this_thread(receiver):
    return receiver.send(REQUEST)


def in_another_thread(receiver):
    with ThreadPoolExecutor() as pool:
        return pool.submit(receiver.send, REQUEST).result()


def in_async_code(receiver):
    return asyncio.run(receiver.asend(REQUEST))


EVERYWHERE = pytest.mark.parametrize("send", [in_this_thread, in_another_thread, in_async_code])


@EVERYWHERE
def test_an_app_that_hangs_gives_no_response(send):
    began = time.monotonic()
    response = send(Receiver(hangs, timeout=0.1))
    assert time.monotonic() - began < 20
    assert (response.status, isinstance(response.error, NoResponseError)) == (0, True)
    assert response.describe() == "no response within 0.1 s"


@EVERYWHERE
def test_an_app_in_time_gives_its_own(send):
    def raises(environ, start_response):
        raise SystemExit(3)

    assert send(Receiver(sync_wsgi, timeout=20)).status == 200
    with pytest.raises(SystemExit):
        send(Receiver(raises, timeout=20))


def test_an_app_that_hangs_is_one_finding():
    found = findings(hangs, "wsgi")
    assert failed(found) == {"ack.status"}
    assert found["ack.status"].note == "no response within 0.5 s"
    assert found["sig.missing"].reason == "blocked by ack.status: the receiver does not respond"


def test_an_app_runs_in_the_thread_and_the_context_of_its_caller():
    variable = ContextVar("variable", default="")
    seen = []

    def app(environ, start_response):
        seen.append((variable.get(), threading.current_thread() is threading.main_thread()))
        return sync_wsgi(environ, start_response)

    variable.set("mine")
    Receiver(app).send(REQUEST)

    async def in_a_task():
        await Receiver(app).asend(REQUEST)

    asyncio.run(in_a_task())
    assert seen == [("mine", True), ("mine", False)]


@pytest.fixture
def alarm():
    """An alarm of somebody else, which notes that it rang."""
    rung = []
    # The test's own time limit may be such an alarm.
    before = signal.getitimer(signal.ITIMER_REAL)
    previous = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    yield rung
    signal.signal(signal.SIGALRM, previous)
    signal.setitimer(signal.ITIMER_REAL, *before)


def test_an_alarm_that_is_set_rings_all_the_same(alarm):
    def app(environ, start_response):
        time.sleep(0.2)
        return sync_wsgi(environ, start_response)

    # Before the limit, and after it.
    for alarm_after, limit, status, rings in ((0.1, 20, 200, 1), (0.3, 0.1, 0, 2)):
        signal.setitimer(signal.ITIMER_REAL, alarm_after)
        assert Receiver(app, timeout=limit).send(REQUEST).status == status
        deadline = time.monotonic() + 20
        while len(alarm) < rings and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(alarm) == rings


def test_who_debugs_an_app_has_time():
    debugger = {"__name__": "pdb"}
    exec("def interact(wait): wait(0.2)", debugger)  # noqa: S102 - a function of another module

    def app(environ, start_response):
        debugger["interact"](time.sleep)
        return sync_wsgi(environ, start_response)

    assert Receiver(app, timeout=0.05).send(REQUEST).status == 200


def test_without_alarms_it_takes_as_long_as_it_takes(monkeypatch):
    def app(environ, start_response):
        time.sleep(0.05)
        return sync_wsgi(environ, start_response)

    monkeypatch.delattr(signal, "setitimer")
    assert Receiver(app, timeout=0.01).send(REQUEST).status == 200
