"""One request to an ASGI app, as a server sends it."""

import functools

import pytest
from plugin_drivers import END, REQUEST, START, one_response

from pytest_meetgeek import Receiver


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
    assert (response.status, response.describe()) == (0, "no response within 0.05 s")


def test_the_app_s_own_time_out_is_its_own(run):
    response = run(functools.partial(Receiver(one_response(TimeoutError("mine"))).asend, REQUEST))
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
    with Receiver(one_response(*messages)) as receiver:
        response = receiver.send(REQUEST)
    assert (response.status, response.body, str(response.error)) == (500, b"Internal Server Error", error)


def test_an_error_after_the_answer_is_kept():
    with Receiver(one_response(START, {"type": "http.response.body"}, ValueError("late"))) as receiver:
        response = receiver.send(REQUEST)
    assert (response.acknowledged, str(response.error)) == (True, "late")
