"""Delivery as MeetGeek does it, and what its assertions say."""

import functools

import pytest
from plugin_drivers import MEETGEEK, REQUEST, START, Lively, one_response, sync_wsgi, wsgi_calls

from pytest_meetgeek import MeetGeek, Receiver, Response, Spy


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
    record = MEETGEEK.deliver(one_response(START, {"type": "http.response.body", "body": b"a-shared-secret"}), REQUEST)
    assert "a-shared-secret" not in record.explain() + repr(record) + repr(leaking)
    assert repr(leaking) == "<Response 500, 20 bytes, ValueError>"
    assert repr(record.attempts[0]) == "<Response 200, 15 bytes>"


def test_a_secret_of_a_few_letters_stands_in_words_by_chance():
    with pytest.raises(AssertionError, match="an answer"):
        MeetGeek("an").assert_acknowledged(Response(500, body=b"an answer"))
