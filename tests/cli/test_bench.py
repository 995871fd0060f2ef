import asyncio

import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse

from mg_middleware import (
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    Verdict,
    delivery_of,
    verify,
)
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

def create_app():
    return app

def create_guarded():
    from mg_middleware import MeetGeekASGIMiddleware
    return MeetGeekASGIMiddleware(app, "another secret")

async def framework(scope, receive, send):
    if scope["type"] == "http":
        await create_guarded()(scope, receive, send)

def create_failing():
    raise RuntimeError("no database")

from mg_middleware import MeetGeekASGIMiddleware
receiver = MeetGeekASGIMiddleware(secret="another", handler=print)
"""


@pytest.mark.parametrize("name", ["app", "wsgi"])
def test_bench_measures_an_application_of_either_protocol(command, application_file, name):
    application_file(ANSWERS)
    ended = command("bench", f"measured:{name}", *BRIEF)
    assert ended.status == 0
    assert ended.err == f"mg-middleware bench: the handler of 'measured:{name}' runs thousands of times now\n"
    assert [kind for kind in KINDS if kind in ended.out] == KINDS[:2]  # at the root, there is no path without the guard
    assert "Guarding adds " in ended.out


def test_bench_measures_a_path_beside_that_of_the_webhook(command, application_file):
    application_file(ANSWERS)
    ended = command("bench", "measured:app", "--path", PATH, *BRIEF)
    assert [kind for kind in KINDS if kind in ended.out] == KINDS


@pytest.mark.parametrize("name", ["create_app()", "create_guarded()"])
def test_bench_takes_a_factory(command, application_file, name):
    application_file(ANSWERS)
    ended = command("bench", f"measured:{name}", *BRIEF)
    assert ended.status == 0


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
        ("measured:receiver", "its guard has a handler=, so without the guard there is no application to measure"),
        ("measured:framework", "it has a guard that cannot be taken off: give the application without it"),
        ("measured:create_failing()", "'measured:create_failing()' raised RuntimeError: no database"),
        ("measured:create_ap()", "did you mean 'create_app'"),
        ("measured:number()", "'measured:number()' cannot be called"),
    ],
)
def test_bench_says_in_one_line_what_cannot_be_measured(command, application_file, target, says):
    application_file(ANSWERS)
    ended = command("bench", target, *BRIEF)
    assert ended.status == 2
    *warning, error = ended.err.splitlines()
    assert says in error
    assert [line for line in warning if "runs thousands of times" not in line] == []


PRINTS = """
import logging, sys

print("imported")
log = logging.getLogger("measured")
log.addHandler(logging.StreamHandler(sys.stdout))

def app(environ, start_response):
    print("handled")
    log.warning("logged")
    start_response("200 OK", [])
    return []

def failing(environ, start_response):
    print("handled")
    raise LookupError("no such table")
"""


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_what_the_application_prints_while_it_is_measured_is_not_shown(
    process, environment, application_file, unbuffered
):
    application_file(PRINTS)
    ended = process("bench", "measured:app", *BRIEF, env={**environment, "PYTHONUNBUFFERED": unbuffered})
    assert ended.status == 0
    assert ended.out.startswith("imported\nrequest ")
    assert "handled" not in ended.out
    assert "logged" not in ended.out
    assert "Guarding adds " in ended.out


def test_what_the_application_prints_before_it_raises_is_not_shown(process, environment, application_file):
    application_file(PRINTS)
    ended = process("bench", "measured:failing", *BRIEF, env=environment)
    assert (ended.status, ended.out) == (2, "imported\n")
    assert ended.err.endswith("LookupError: no such table\n")


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
    guarded = guard(guard(application, "another secret"), "a third")
    costs = measure_overhead(guarded, SECRET, path=PATH, seconds=0.01)
    assert [(cost.kind, cost.status) for cost in costs] == [(kind, 200) for kind in KINDS]


def test_the_guard_is_taken_off_where_frameworks_have_it():
    in_flask, in_fastapi, in_starlette = flask.Flask(__name__), FastAPI(), Starlette()
    handled = []

    @in_flask.post(PATH)
    def for_flask():
        handled.append("flask")
        return ""

    @in_fastapi.post(PATH)
    def for_fastapi():
        handled.append("fastapi")

    in_starlette.add_route(PATH, lambda request: handled.append("starlette") or PlainTextResponse(""), ["POST"])
    in_flask.wsgi_app = MeetGeekWSGIMiddleware(in_flask.wsgi_app, "another", idempotency_store=MemoryStore())
    in_fastapi.add_middleware(MeetGeekASGIMiddleware, secret="another", idempotency_store=MemoryStore())
    in_starlette.add_middleware(MeetGeekASGIMiddleware, secret="another", idempotency_store=MemoryStore())
    in_starlette.add_middleware(GZipMiddleware)
    for app in (in_flask, in_fastapi, in_starlette):
        handled.clear()
        costs = measure_overhead(app, SECRET, path=PATH, seconds=0.01)
        assert [cost.status for cost in costs] == [200, 200, 404]
        assert len(handled) > 10  # though it is the same meeting each time


def test_a_guard_further_in_is_found_whatever_its_secret():
    async def outer(scope, receive, send):
        await MeetGeekASGIMiddleware(asgi_application, "another secret")(scope, receive, send)

    with pytest.raises(ValueError, match="guard that cannot be taken off"):
        measure_overhead(outer, SECRET, seconds=0.01)


def test_an_application_that_verifies_by_itself_is_measured():
    def application(environ, start_response):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        genuine = verify(SECRET, body, environ.get("HTTP_X_MG_SIGNATURE"))
        start_response("200 OK" if genuine else "401 Unauthorized", [])
        return []

    costs = measure_overhead(application, SECRET, seconds=0.01)
    assert [cost.status for cost in costs] == [200, 401]


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
        (Cost("genuine", 401, 1.0, 1.0, 0.1, (0.1, 0.1)), "responds with 401 to a genuine request"),
        (Cost("genuine", 200, 100e-6, 106e-6, 6e-6, (-1e-6, 9e-6)), "within the noise"),
        (
            Cost("genuine", 200, 200e-6, 206e-6, 6e-6, (5e-6, 9e-6)),
            "6.0 µs to a genuine request, 3.0% of the application's own time",
        ),
        (Cost("genuine", 200, 200e-6, 206e-6, 6e-6, (5e-6, 9e-6)), "You will not notice it."),
        (Cost("genuine", 200, 10e-6, 16e-6, 6e-6, (5e-6, 9e-6)), "look at the microseconds"),
    ],
)
def test_the_verdict_is_plain(cost, says):
    assert says in verdict([cost])
