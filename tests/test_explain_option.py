"""The option `explain` of both middlewares: what is logged, when, and what it never changes."""

import asyncio
import logging
import threading
import time
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, _explaining
from pytest_meetgeek import MeetGeek, Receiver

SECRET = "whsec-of-the-explained"
BODY = b'{"message": "File analyzed failed"}'
MEETGEEK = MeetGeek(SECRET)


async def asgi_app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []


DOORS = {"asgi": (MeetGeekASGIMiddleware, asgi_app), "wsgi": (MeetGeekWSGIMiddleware, wsgi_app)}


@pytest.fixture(params=DOORS)
def guard(request):
    middleware, app = DOORS[request.param]
    return lambda secret=SECRET, **options: middleware(app, secret, explain=True, **options)


@pytest.fixture
def explained(caplog):
    """Wait until as many explanations were logged."""
    caplog.set_level(logging.WARNING, "mg_middleware")

    def wait(count):
        deadline = time.monotonic() + 30
        while True:
            found = [record for record in caplog.records if hasattr(record, "meetgeek_cause")]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, caplog.messages
            time.sleep(0.01)

    return wait


def send(guard, request, path="/hook"):
    with Receiver(guard, lifespan=False) as receiver:
        return receiver.send(request, path=path)


def test_a_mismatch_is_explained_in_the_log(guard, explained):
    refused = send(guard(), MEETGEEK.raw(BODY).with_body(BODY + b"\n"))
    assert (refused.status, refused.body) == (401, b"The request carries no valid signature.\n")
    [record] = explained(1)
    assert record.levelname == "WARNING"
    assert record.meetgeek_cause == "body_trailing_newline"
    assert record.getMessage() == (
        "POST /hook: The signature fits if the line end behind the body is removed. Something added a line end: an "
        "editor, `echo` or a proxy. Verify the bytes as received, before anything parses or changes them."
    )


def test_a_malformed_header_is_explained_without_the_body(guard, explained):
    send(guard(), MEETGEEK.raw(BODY).with_signature("sha256=" + MEETGEEK.signature_of(BODY)))
    [record] = explained(1)
    assert record.getMessage().startswith("POST /hook: The header field may be a signature if its prefix is removed.")


def test_says_that_nothing_usual_fits(guard, explained):
    send(guard(), MeetGeek("of another account").raw(BODY))
    [record] = explained(1)
    assert record.meetgeek_cause == "unknown"
    assert "The sender has another secret" in record.getMessage()


def test_names_the_secret_by_its_name_alone(guard, explained):
    send(guard({"acme": f'"{SECRET}"', "other": "x" * 20}), MEETGEEK.raw(BODY))
    [record] = explained(1)
    assert "the quotes around the secret named 'acme' are removed" in record.getMessage()
    assert SECRET not in record.getMessage()
    assert MEETGEEK.signature_of(BODY) not in record.getMessage()


def test_what_a_stranger_chose_is_escaped(guard, explained):
    send(guard(), MeetGeek("another").raw(BODY), path="/a%0Ab%1B")
    [record] = explained(1)
    assert record.getMessage().startswith(r"POST /a\nb\x1b: ")


def test_a_secret_chosen_by_a_callable_is_explained(guard, explained):
    send(guard(lambda request: f"'{SECRET}'"), MEETGEEK.raw(BODY))
    [record] = explained(1)
    assert record.meetgeek_cause == "secret_quotes"


NOT_EXPLAINED = {
    "genuine": MEETGEEK.raw(BODY),
    "missing": MEETGEEK.forged("missing"),
    "junk": MEETGEEK.raw(BODY).with_signature("junk"),
    "large": MeetGeek("another").raw(bytes(65_537)),
}


@pytest.mark.parametrize("request_", NOT_EXPLAINED.values(), ids=NOT_EXPLAINED)
def test_nothing_else_is_explained(guard, explained, caplog, request_):
    guarded = guard()
    send(guarded, request_)
    send(guarded, MEETGEEK.raw(BODY).with_body(BODY + b"\n"))  # explained after it
    assert [record.meetgeek_cause for record in explained(1)] == ["body_trailing_newline"]


def test_without_the_option_nothing_is_explained(caplog):
    for middleware, app in DOORS.values():
        send(middleware(app, SECRET), MeetGeek("another").raw(BODY))
    time.sleep(0.1)
    assert [record for record in caplog.records if hasattr(record, "meetgeek_cause")] == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("explain", [1, None, "yes"])
def test_the_option_is_a_flag(door, explain):
    middleware, app = DOORS[door]
    with pytest.raises(TypeError, match="explain must be a bool"):
        middleware(app, SECRET, explain=explain)


def test_ten_in_a_second_are_explained(guard, explained, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(_explaining.time, "monotonic", lambda: now[0])
    guarded = guard()
    forged = MeetGeek("another").raw(BODY)
    for _ in range(15):
        send(guarded, forged)
        monkeypatch.undo()
        explained(0)
        monkeypatch.setattr(_explaining.time, "monotonic", lambda: now[0])
    monkeypatch.undo()
    assert len(explained(10)) == 10
    monkeypatch.setattr(_explaining.time, "monotonic", lambda: 101.0)
    send(guarded, forged)
    monkeypatch.undo()
    assert len(explained(11)) == 11


def test_those_that_cannot_be_kept_up_with_are_dropped(guard, explained, monkeypatch):
    going_on = threading.Event()
    started = threading.Event()

    def slow(task):
        started.set()
        going_on.wait(30)

    monkeypatch.setattr(_explaining, "_log", slow)
    monkeypatch.setattr(_explaining, "_MOST_PER_SECOND", 2)
    explainer = _explaining.Explainer()
    explainer._started = _explaining.deque(maxlen=1)  # noqa: SLF001 - so no second is ever full
    for _ in range(10):
        explainer.explain_header("POST", "/", b"A" * 64)
    started.wait(30)
    assert explainer._tasks.qsize() <= 2  # noqa: SLF001 - there is no other sign
    going_on.set()


def test_a_fault_is_logged_without_a_traceback_and_the_next_is_explained(guard, explained, monkeypatch, caplog):
    guarded = guard()
    original = _explaining._log  # noqa: SLF001 - put back below

    def faulty(task):
        raise ValueError(SECRET)

    monkeypatch.setattr(_explaining, "_log", faulty)
    send(guarded, MeetGeek("another").raw(BODY))
    deadline = time.monotonic() + 30
    while "a refusal can't be explained: ValueError" not in caplog.messages:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setattr(_explaining, "_log", original)
    send(guarded, MeetGeek("another").raw(BODY))
    explained(1)
    assert SECRET not in caplog.text


def test_the_thread_starts_anew_where_it_is_gone(guard, explained, monkeypatch):
    """As in a child process, which has no threads of its parent."""
    guarded = guard()
    gone = threading.Thread()
    guarded._explainer._thread = gone  # noqa: SLF001 - there is no other way to it
    send(guarded, MeetGeek("another").raw(BODY))
    explained(1)
    assert guarded._explainer._thread is not gone  # noqa: SLF001 - the same


FORGED = {
    "mismatch": MeetGeek("another").raw(BODY),
    "malformed": MEETGEEK.raw(BODY).with_signature("A" * 64),
}


@pytest.fixture
def order(monkeypatch):
    """What is sent and what is explained, in order."""
    order = []
    monkeypatch.setattr(_explaining.Explainer, "_submit", lambda self, task: order.append("explained"))
    return order


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_asgi_explains_after_the_response(order, forged):
    messages = forged.asgi_messages()

    async def receive():
        return messages.pop(0)

    async def send(message):
        order.append(message["type"])

    asyncio.run(MeetGeekASGIMiddleware(asgi_app, SECRET, explain=True)(forged.asgi_scope("/"), receive, send))
    assert order == ["http.response.start", "http.response.body", "explained"]


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_wsgi_explains_after_the_response(order, forged):
    environ = forged.wsgi_environ("/")
    setup_testing_defaults(environ)

    def start_response(status, headers, exc_info=None):
        order.append(status)

    response = validator(MeetGeekWSGIMiddleware(wsgi_app, SECRET, explain=True))(environ, start_response)
    order += list(response)
    assert order == ["401 Unauthorized", b"The request carries no valid signature.\n"]
    response.close()
    assert order[2:] == ["explained"]


def test_shows_no_secret_in_what_it_keeps(guard):
    guarded = guard()
    assert SECRET not in repr(vars(guarded)) + repr(vars(guarded._explainer))  # noqa: SLF001 - where it would be


def test_where_no_thread_can_be_started_the_next_refusal_tries_again(guard, explained, monkeypatch, caplog):
    shortage = [True]

    class Scarce(threading.Thread):
        def start(self):
            if shortage:
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(_explaining, "Thread", Scarce)
    guarded, forged = guard(), MeetGeek("another").raw(BODY)
    assert send(guarded, forged).status == 401
    assert "a refusal can't be explained yet: can't start new thread" in caplog.text
    shortage.clear()
    send(guarded, forged)
    assert len(explained(2)) == 2
