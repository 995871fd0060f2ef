import asyncio

import pytest

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, Verdict, delivery_of
from mg_middleware.cli.bench import Cost, Laboratory, measure_overhead, verdict
from pytest_meetgeek import MeetGeek

SECRET = "whsec-bench"
PATH = "/webhooks/meetgeek"
KINDS = ["genuine", "unsigned", "path not guarded"]
BRIEF = ("--seconds", "0.01")


@pytest.fixture
def application_file(folder):
    def write(source):
        (folder / "measured.py").write_text(source)

    return write


ANSWERS = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["database"] = "open"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["state"] == {"database": "open"}
    event = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    assert (await receive())["type"] == "http.disconnect"

def wsgi(environ, start_response):
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [])(b"")
    return Answer()

class Answer(list):
    closed = 0
    def close(self):
        Answer.closed += 1

number = 7

async def failing(scope, receive, send):
    raise LookupError("no such table")
"""


@pytest.mark.parametrize("name", ["app", "wsgi"])
def test_bench_measures_an_application_of_either_protocol(command, application_file, name):
    application_file(ANSWERS)
    ended = command("bench", f"measured:{name}", *BRIEF)
    assert (ended.status, ended.err) == (0, "")
    assert all(kind in ended.out for kind in KINDS)
    assert "Guarding adds " in ended.out


def test_bench_needs_no_secret(command, application_file, monkeypatch):
    application_file(ANSWERS)
    monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET")
    assert command("bench", "measured:app", *BRIEF).status == 0


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("measured:nothing", "nothing"),
        ("measured:failing", "no such table"),
        ("measured:number", "cannot be measured"),
    ],
)
def test_bench_says_in_one_line_what_cannot_be_measured(command, application_file, target, says):
    application_file(ANSWERS)
    ended = command("bench", target, *BRIEF)
    assert ended.status == 2
    assert says in ended.err
    assert ended.err.count("\n") == 1


async def asgi_application(scope, receive, send):
    assert delivery_of(scope).event.meeting_id
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def wsgi_application(environ, start_response):
    assert delivery_of(environ).event.meeting_id
    start_response("200 OK", [])
    return []


@pytest.mark.parametrize(
    ("guard", "application"),
    [(MeetGeekASGIMiddleware, asgi_application), (MeetGeekWSGIMiddleware, wsgi_application)],
    ids=["ASGI", "WSGI"],
)
def test_an_outermost_guard_is_taken_off_and_the_application_still_finds_a_delivery(guard, application):
    costs = measure_overhead(guard(application, "another secret"), SECRET, seconds=0.01)
    assert [(cost.kind, cost.status) for cost in costs] == [(kind, 200) for kind in KINDS]


def test_an_inner_guard_lets_what_is_signed_with_its_secret_through():
    inner = MeetGeekASGIMiddleware(asgi_application, SECRET)

    async def outer(scope, receive, send):
        await inner(scope, receive, send)

    costs = measure_overhead(outer, SECRET, seconds=0.01)
    assert [cost.status for cost in costs] == [200, 401, 200]


def test_the_body_has_the_size_that_was_asked_for():
    sizes = set()

    def application(environ, start_response):
        sizes.add(len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
        start_response("200 OK", [])
        return []

    measure_overhead(application, SECRET, seconds=0.01, body_size=2_000_000)
    assert sizes == {2_000_000}


def test_every_request_of_a_batch_is_verified_and_whole():
    verdicts: list[Verdict] = []
    bodies = []

    async def application(scope, receive, send):
        event = await receive()
        assert event["body"] == delivery_of(scope).body
        bodies.append(event["body"])

    guarded = MeetGeekASGIMiddleware(application, SECRET, on_verdict=verdicts.append)
    request = MeetGeek(SECRET).analyzed()
    with Laboratory(application, "asgi") as laboratory:
        laboratory.batch(guarded, request, PATH, 3)()
    assert bodies == [request.body] * 3
    assert [verdict.outcome for verdict in verdicts] == ["accepted"] * 3


def test_an_application_may_wait_for_the_disconnect_while_it_answers():
    heard = []

    async def application(scope, receive, send):
        await receive()
        listening = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        heard.append((await listening)["type"])

    with Laboratory(application, "asgi") as laboratory:
        laboratory.batch(application, MeetGeek(SECRET).analyzed(), PATH, 2)()
    assert heard == ["http.disconnect"] * 2


@pytest.mark.parametrize(
    ("cost", "says"),
    [
        (Cost("genuine", 401, 1.0, 1.0, 0.1, (0.1, 0.1)), "answers 401 to a genuine request"),
        (Cost("genuine", 200, 100e-6, 106e-6, 6e-6, (-1e-6, 9e-6)), "within the noise"),
        (Cost("genuine", 200, 200e-6, 206e-6, 6e-6, (5e-6, 9e-6)), "6.0 µs to a genuine request, 3.0%"),
        (Cost("genuine", 200, 200e-6, 206e-6, 6e-6, (5e-6, 9e-6)), "You will not notice it."),
        (Cost("genuine", 200, 10e-6, 16e-6, 6e-6, (5e-6, 9e-6)), "look at the microseconds"),
    ],
)
def test_the_verdict_is_plain(cost, says):
    assert says in verdict([cost])
