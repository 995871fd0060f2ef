"""`handler=`, `events=` and an async `on_verdict`: the guard as the receiver itself."""

import asyncio
import logging
import threading
from functools import partial
from unittest.mock import AsyncMock, MagicMock

import pytest
import trio
import trio.lowlevel
from cases import FAILED, SECRET, SUCCEEDED, signed
from exchange import (
    PATH,
    Connection,
    StartResponse,
    Stream,
    asgi_answer,
    http_scope,
    on_both_protocols,
    request_events,
    run,
    websocket_scope,
    wsgi_environ,
)

from mg_middleware import (
    AnalysisFailed,
    AnalysisSucceeded,
    ConfigurationError,
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    Outcome,
    UnknownEvent,
    Verdict,
)
from mg_middleware.idempotency import AlreadyComplete, InProgress, store_key


async def asgi_app(scope, receive, send):
    await asgi_answer(send)


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"processed"]


def in_loop(backend, function, *arguments):
    if backend == "trio":
        return trio.run(partial(function, *arguments))
    return asyncio.run(function(*arguments))


async def asked(middleware, scope, *chunks):
    connection = Connection(*request_events(*chunks))
    await middleware(scope, connection.receive, connection.send)
    return connection.answer


def ask(middleware, fields, body, *, method="POST", path=PATH):
    """Send one request, on whichever protocol."""
    if isinstance(middleware, MeetGeekASGIMiddleware):
        return in_loop("asyncio", asked, middleware, http_scope(fields, method=method, path=path), body)
    start_response = StartResponse()
    environ = wsgi_environ(fields, Stream(body), REQUEST_METHOD=method, PATH_INFO=path, CONTENT_LENGTH=str(len(body)))
    return start_response.answer(middleware(environ, start_response))


@on_both_protocols
class TestHandler:
    def test_a_verified_post_goes_to_the_handler_and_is_acknowledged(self, receiver_class):
        seen = []
        middleware = receiver_class.middleware_class(secret=SECRET, handler=seen.append)
        answer = ask(middleware, signed(SUCCEEDED), SUCCEEDED)
        assert (answer.status, answer.body) == (200, b"")
        assert {name.lower(): value for name, value in answer.headers}["content-length"] == "0"
        assert [delivery.body for delivery in seen] == [SUCCEEDED]

    def test_what_is_not_genuine_never_reaches_it(self, receiver_class):
        seen = []
        middleware = receiver_class.middleware_class(secret=SECRET, handler=seen.append)
        assert ask(middleware, signed(FAILED), SUCCEEDED).status == 401
        assert ask(middleware, [], SUCCEEDED, method="GET").status == 401
        assert seen == []

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "post", ""])
    def test_a_verified_request_of_another_method_is_405(self, receiver_class, method):
        seen, verdicts = [], []
        middleware = receiver_class.middleware_class(
            secret={"tenant": SECRET}, handler=seen.append, on_verdict=verdicts.append
        )
        answer = ask(middleware, signed(SUCCEEDED), SUCCEEDED, method=method)
        assert answer.status == 405
        assert {name.lower(): value for name, value in answer.headers}["allow"] == "POST"
        assert seen == []
        assert verdicts == [Verdict(Outcome.ACCEPTED, 405, "tenant", len(SUCCEEDED), method, PATH)]

    def test_what_it_raises_goes_to_the_server(self, receiver_class):
        def handler(delivery):
            raise ConnectionError("the queue is down")

        with pytest.raises(ConnectionError, match="the queue is down"):
            ask(receiver_class.middleware_class(secret=SECRET, handler=handler), signed(SUCCEEDED), SUCCEEDED)

    def test_the_application_gets_the_other_paths(self, receiver_class):
        seen = []
        app = asgi_app if receiver_class.protocol == "asgi" else wsgi_app
        middleware = receiver_class.middleware_class(app, SECRET, paths=PATH, handler=seen.append)
        assert ask(middleware, [], b"", path="/elsewhere").body == b"processed"
        assert ask(middleware, signed(SUCCEEDED), SUCCEEDED).body == b""
        assert len(seen) == 1

    def test_an_application_may_be_left_out_only_where_nothing_needs_it(self, receiver_class):
        with pytest.raises(TypeError, match=r"^app is missing: give the application to protect, or a handler=$"):
            receiver_class.middleware_class(secret=SECRET)
        with pytest.raises(ConfigurationError, match=r"^app is missing: with paths=, the requests for other paths"):
            receiver_class.middleware_class(secret=SECRET, handler=print, paths=PATH)

    @pytest.mark.parametrize("kind", ["plain", "async", "object"])
    def test_a_generator_function_is_refused_since_it_would_do_nothing(self, receiver_class, kind):
        def plain(delivery):
            yield

        async def awaited(delivery):
            yield

        class Handler:
            def __call__(self, delivery):
                yield

        handler = {"plain": plain, "async": awaited, "object": Handler()}[kind]
        with pytest.raises(TypeError, match=r"^handler is a generator function, so that calling it would do nothing: "):
            receiver_class.middleware_class(secret=SECRET, handler=handler)

    @pytest.mark.parametrize("handler", ["shop:process", 5])
    def test_it_must_be_callable(self, receiver_class, handler):
        with pytest.raises(TypeError, match=r"^handler must be callable or None, not "):
            receiver_class.middleware_class(secret=SECRET, handler=handler)

    def test_it_is_called_once_for_each_meeting(self, receiver_class):
        seen = []
        middleware = receiver_class.middleware_class(
            secret=SECRET, handler=seen.append, idempotency_store=MemoryStore()
        )
        assert [ask(middleware, signed(SUCCEEDED), SUCCEEDED).status for _ in range(3)] == [200, 200, 200]
        assert len(seen) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
class TestASGIHandler:
    def test_a_plain_function_runs_in_a_thread(self, backend):
        threads = []
        middleware = MeetGeekASGIMiddleware(
            secret=SECRET, handler=lambda delivery: threads.append(threading.current_thread())
        )
        answer = in_loop(backend, asked, middleware, http_scope(signed(SUCCEEDED)), SUCCEEDED)
        assert answer.status == 200
        assert threads[0] is not threading.main_thread()

    def test_a_coroutine_function_is_awaited_in_the_loop(self, backend):
        threads = []

        async def handler(delivery):
            threads.append(threading.current_thread())

        in_loop(
            backend,
            asked,
            MeetGeekASGIMiddleware(secret=SECRET, handler=handler),
            http_scope(signed(SUCCEEDED)),
            SUCCEEDED,
        )
        assert threads == [threading.main_thread()]

    def test_what_a_plain_function_returns_is_awaited_if_it_can_be(self, backend):
        seen = []

        async def process(delivery):
            seen.append(delivery.event)

        middleware = MeetGeekASGIMiddleware(secret=SECRET, handler=lambda delivery: process(delivery))
        in_loop(backend, asked, middleware, http_scope(signed(FAILED)), FAILED)
        assert seen == [AnalysisFailed()]

    def test_an_object_with_an_async_call_is_awaited(self, backend):
        handler = AsyncMock()
        middleware = MeetGeekASGIMiddleware(secret=SECRET, handler=handler)
        in_loop(backend, asked, middleware, http_scope(signed(FAILED)), FAILED)
        handler.assert_awaited_once()

    def test_a_cancelled_request_waits_for_the_thread_and_is_answered(self, backend):
        started, release, finished = threading.Event(), threading.Event(), []

        def handler(delivery):
            started.set()
            assert release.wait(10)
            finished.append(delivery.body)

        middleware = MeetGeekASGIMiddleware(secret=SECRET, handler=handler)
        connection = Connection(*request_events(SUCCEEDED))

        async def cancelled_with_asyncio():
            task = asyncio.ensure_future(middleware(http_scope(signed(SUCCEEDED)), connection.receive, connection.send))
            while not started.is_set():
                await asyncio.sleep(0.01)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0.01)
            assert not task.done()
            release.set()
            with pytest.raises(asyncio.CancelledError):
                await task

        async def cancelled_with_trio():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(middleware, http_scope(signed(SUCCEEDED)), connection.receive, connection.send)
                while not started.is_set():
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
                release.set()

        in_loop(backend, cancelled_with_trio if backend == "trio" else cancelled_with_asyncio)
        assert finished == [SUCCEEDED]
        assert connection.answer.status == 200

    def test_a_plain_function_that_raises_stop_iteration_keeps_nobody_waiting(self, backend):
        def handler(delivery):
            return next(iter([]))  # no future of asyncio takes it

        middleware = MeetGeekASGIMiddleware(secret=SECRET, handler=handler)
        with pytest.raises(RuntimeError, match=r"^handler raised StopIteration$"):
            in_loop(backend, asked, middleware, http_scope(signed(SUCCEEDED)), SUCCEEDED)

    def test_alone_it_responds_to_the_lifespan(self, backend):
        middleware = MeetGeekASGIMiddleware(secret=SECRET, handler=print)
        connection = Connection({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        in_loop(backend, middleware, {"type": "lifespan"}, connection.receive, connection.send)
        assert connection.sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]

    def test_alone_it_refuses_what_it_does_not_know(self, backend):
        middleware = MeetGeekASGIMiddleware(secret=SECRET, handler=print)
        with pytest.raises(ValueError, match=r"takes no 'x.custom' connections$"):
            in_loop(backend, middleware, {"type": "x.custom"}, None, None)


class TestWSGIHandler:
    @pytest.mark.parametrize("option", ["handler", "on_verdict"])
    def test_a_coroutine_function_is_refused_at_construction(self, option):
        async def process(argument):
            pass

        message = (
            rf"^{option} is a coroutine function, which MeetGeekWSGIMiddleware can't await: give a plain function$"
        )
        with pytest.raises(TypeError, match=message):
            MeetGeekWSGIMiddleware(wsgi_app, SECRET, **{option: process})

    def test_an_awaitable_that_it_returns_is_an_error_and_no_acknowledgement(self):
        async def process(delivery):
            pass

        middleware = MeetGeekWSGIMiddleware(secret=SECRET, handler=lambda delivery: process(delivery))
        with pytest.raises(
            TypeError, match=r"^handler returned an awaitable, which MeetGeekWSGIMiddleware can't await$"
        ):
            ask(middleware, signed(SUCCEEDED), SUCCEEDED)

    def test_an_awaitable_that_is_no_coroutine_is_an_error_too(self):
        class Eventually:
            def __await__(self):
                yield

        middleware = MeetGeekWSGIMiddleware(secret=SECRET, handler=lambda delivery: Eventually())
        with pytest.raises(TypeError, match=r"^handler returned an awaitable"):
            ask(middleware, signed(SUCCEEDED), SUCCEEDED)


@on_both_protocols
class TestEvents:
    @pytest.mark.parametrize(
        ("events", "body", "reaches"),
        [
            (AnalysisSucceeded, SUCCEEDED, True),
            (AnalysisSucceeded, FAILED, False),
            (AnalysisSucceeded, b"junk", False),
            (AnalysisFailed, FAILED, True),
            ((AnalysisSucceeded, UnknownEvent), b"junk", True),
            ((AnalysisSucceeded, UnknownEvent), FAILED, False),
            (None, b"junk", True),
        ],
    )
    def test_only_the_named_events_reach_the_application(self, receiver_class, events, body, reaches):
        verdicts = []
        receiver = receiver_class({"tenant": SECRET}, events=events, on_verdict=verdicts.append)
        answer = receiver.ask(signed(body), body)
        assert answer.status == 200
        assert (answer.body == b"") == (not reaches)
        assert len(receiver.deliveries) == reaches
        outcome, status = (Outcome.ACCEPTED, None) if reaches else (Outcome.IGNORED, 200)
        assert verdicts == [Verdict(outcome, status, "tenant", len(body), "POST", PATH)]

    def test_what_is_not_genuine_is_refused_all_the_same(self, receiver_class):
        assert receiver_class(events=AnalysisSucceeded).ask(signed(SUCCEEDED), FAILED).status == 401

    def test_an_ignored_event_is_never_remembered(self, receiver_class):
        store = MemoryStore()
        receiver = receiver_class(events=AnalysisFailed, idempotency_store=store)
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED).status == 200
        assert len(store) == 0

    @pytest.mark.parametrize("events", ["AnalysisSucceeded", ["x"], dict, AnalysisSucceeded("id"), (AnalysisFailed, 5)])
    def test_anything_else_is_a_type_error(self, receiver_class, events):
        with pytest.raises(
            TypeError, match=r"^events must be AnalysisSucceeded, AnalysisFailed, UnknownEvent or a tup"
        ):
            receiver_class(events=events)

    def test_no_event_at_all_is_refused(self, receiver_class):
        with pytest.raises(ConfigurationError, match=r"^events is empty: no event would ever be handled"):
            receiver_class(events=())


def test_a_loop_that_is_shut_down_waits_for_the_thread_and_keeps_the_claim():
    started, release = threading.Event(), threading.Event()
    store = MemoryStore()

    def handler(delivery):
        started.set()
        assert release.wait(10)

    middleware = MeetGeekASGIMiddleware(secret=SECRET, handler=handler, idempotency_store=store)
    connection = Connection(*request_events(SUCCEEDED))
    key = store_key("5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a", secret=SECRET)
    claims = []

    async def ends_early():
        task = asyncio.ensure_future(middleware(http_scope(signed(SUCCEEDED)), connection.receive, connection.send))
        while not started.is_set():
            await asyncio.sleep(0.01)
        threading.Timer(0.1, lambda: (claims.append(store.claim(key)), release.set())).start()
        return task

    asyncio.run(ends_early())
    assert [type(claim) for claim in claims] == [InProgress]
    assert store.claim(key) == AlreadyComplete()
    assert connection.answer.status == 200


class NoTextError(Exception):
    def __str__(self):
        return self.args[0]


class NoMembersError(Exception):
    exceptions = None


def with_bad_notes():
    error = ValueError("a text")
    error.__notes__ = 5
    return error


def with_odd_notes():
    error = ValueError("a text")
    error.__notes__ = [{"a": "note"}]
    return error


def chained():
    last = None
    for number in range(1200):
        error = ValueError(number)
        error.__cause__ = last
        last = error
    return last


@on_both_protocols
@pytest.mark.parametrize(
    "make_error",
    [lambda: NoTextError({"code": 503}), NoMembersError, with_bad_notes, with_odd_notes, chained],
    ids=["no text", "no members", "no notes", "odd notes", "a long chain"],
)
@pytest.mark.parametrize("fields", [signed(SUCCEEDED), []], ids=["accepted", "refused"])
def test_what_on_verdict_raises_changes_nothing_however_odd_it_is(receiver_class, make_error, fields, caplog):
    def on_verdict(verdict):
        raise make_error()

    receiver = receiver_class(on_verdict=on_verdict)
    assert receiver.ask(fields, SUCCEEDED).status == (200 if fields else 401)
    assert "on_verdict raised; the response stays as decided" in caplog.text


class TestAsyncOnVerdict:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_it_is_awaited_before_the_application_runs(self, backend):
        seen = []

        async def on_verdict(verdict):
            await {"trio": trio.sleep, "asyncio": asyncio.sleep}[backend](0)
            seen.append(verdict.outcome)

        async def app(scope, receive, send):
            seen.append("app")
            await asgi_answer(send)

        middleware = MeetGeekASGIMiddleware(app, SECRET, on_verdict=on_verdict)
        in_loop(backend, asked, middleware, http_scope(signed(SUCCEEDED)), SUCCEEDED)
        in_loop(backend, asked, middleware, http_scope(), SUCCEEDED)
        assert seen == ["accepted", "app", "missing_signature"]

    def test_what_it_raises_is_logged_and_changes_nothing(self, caplog):
        async def on_verdict(verdict):
            raise ValueError("the operator's own error")

        middleware = MeetGeekASGIMiddleware(asgi_app, SECRET, on_verdict=on_verdict)
        with caplog.at_level(logging.ERROR, "mg_middleware"):
            answer = run(asked(middleware, http_scope(signed(SUCCEEDED)), SUCCEEDED))
        assert answer.body == b"processed"
        assert "the operator's own error" in caplog.text

    def test_what_it_raised_is_logged_with_its_causes_and_its_group(self, caplog):
        def on_verdict(verdict):
            error = ExceptionGroup("several", [ValueError("in the\ngroup")])
            error.add_note("a\x1bnote")
            raise error from KeyError("the cause")

        middleware = MeetGeekASGIMiddleware(asgi_app, SECRET, on_verdict=on_verdict)
        with caplog.at_level(logging.ERROR, "mg_middleware"):
            run(asked(middleware, http_scope(signed(SUCCEEDED)), SUCCEEDED))
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        lines = record.getMessage().splitlines()
        assert lines[0] == "on_verdict raised; the response stays as decided"
        for line in (
            "KeyError: 'the cause'",
            "which led to:",
            r"a\x1bnote",
            "one of the group:",
            r"ValueError: in the\ngroup",
        ):
            assert line in lines

    def test_on_wsgi_an_awaitable_is_logged_as_a_mistake(self, caplog):
        async def later(verdict):
            pass

        middleware = MeetGeekWSGIMiddleware(wsgi_app, SECRET, on_verdict=lambda verdict: later(verdict))
        with caplog.at_level(logging.ERROR, "mg_middleware"):
            assert ask(middleware, signed(SUCCEEDED), SUCCEEDED).body == b"processed"
        assert "on_verdict returned an awaitable, which MeetGeekWSGIMiddleware can't await" in caplog.text


class TestOneVerdict:
    """Whatever ends a guarded request, there is one verdict and one line."""

    @pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("broken"), KeyboardInterrupt()])
    def test_what_receive_raises_goes_on_to_the_server(self, error, caplog):
        verdicts = []

        async def receive():
            raise error

        middleware = MeetGeekASGIMiddleware(asgi_app, SECRET, on_verdict=verdicts.append)
        with caplog.at_level(logging.DEBUG, "mg_middleware"), pytest.raises(type(error)):
            run(middleware(http_scope(signed(SUCCEEDED)), receive, None))
        assert verdicts == [Verdict(Outcome.INCOMPLETE_BODY, None, None, 0, "POST", PATH)]
        assert len(caplog.records) == 1

    def test_a_cancelled_request_has_one(self):
        verdicts = []

        async def cancelled():
            async def receive():
                await asyncio.sleep(60)

            middleware = MeetGeekASGIMiddleware(asgi_app, SECRET, on_verdict=verdicts.append)
            task = asyncio.ensure_future(middleware(http_scope(signed(SUCCEEDED)), receive, None))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
        assert [verdict.outcome for verdict in verdicts] == ["incomplete_body"]

    @pytest.mark.parametrize("is_async", [False, True])
    def test_a_request_that_is_thrown_away_has_one_and_awaits_nothing(self, is_async, caplog):
        verdicts = []

        async def awaited(verdict):
            verdicts.append("a coroutine that is being closed can't await")

        class Never:
            def __await__(self):
                yield

        async def receive():
            await Never()

        on_verdict = awaited if is_async else verdicts.append
        middleware = MeetGeekASGIMiddleware(asgi_app, SECRET, on_verdict=on_verdict)
        coroutine = middleware(http_scope(signed(SUCCEEDED)), receive, None)
        coroutine.send(None)
        coroutine.close()
        assert [verdict.outcome for verdict in verdicts] == ([] if is_async else ["incomplete_body"])
        assert [record.meetgeek_outcome for record in caplog.records] == ["incomplete_body"]

    @on_both_protocols
    def test_a_callable_for_the_secret_that_raises_has_one(self, receiver_class):
        verdicts = []

        def secret(request):
            raise LookupError("the database is down")

        receiver = receiver_class(secret, on_verdict=verdicts.append)
        with pytest.raises(LookupError):
            receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        assert verdicts == [Verdict(Outcome.UNKNOWN_SENDER, None, None, 0, "POST", PATH)]

    @on_both_protocols
    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_what_on_verdict_ends_the_process_with_gives_the_claim_back(self, receiver_class, error):
        store, errors = MemoryStore(), [error]

        def on_verdict(verdict):
            if errors:
                raise errors.pop()

        receiver = receiver_class(idempotency_store=store, idempotency_wait=0, on_verdict=on_verdict)
        with pytest.raises(error):
            receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        assert receiver.deliveries == []
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED).status == 200
        assert len(receiver.deliveries) == 1

    @on_both_protocols
    def test_what_ends_a_request_while_its_store_is_asked_has_one(self, receiver_class):
        class Store(MemoryStore):
            def claim(self, key):
                raise KeyboardInterrupt

        verdicts = []
        receiver = receiver_class(idempotency_store=Store(), on_verdict=verdicts.append)
        with pytest.raises(KeyboardInterrupt):
            receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        assert [verdict.outcome for verdict in verdicts] == ["in_progress"]

    def test_an_async_callable_that_is_thrown_away_has_one(self):
        verdicts = []

        class Never:
            def __await__(self):
                yield

        async def secret(scope):
            await Never()

        middleware = MeetGeekASGIMiddleware(asgi_app, secret, on_verdict=verdicts.append)
        coroutine = middleware(http_scope(signed(SUCCEEDED)), None, None)
        coroutine.send(None)
        coroutine.close()
        assert [verdict.outcome for verdict in verdicts] == ["unknown_sender"]


@on_both_protocols
def test_the_facts_are_attributes_of_the_record(receiver_class, caplog):
    receiver = receiver_class({"tenant": SECRET})
    with caplog.at_level(logging.DEBUG, "mg_middleware"):
        receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        receiver.ask([], method="P\nST", path="/a\x1b", client=("203.0.113.9\r", 1))
    facts = [
        {name: value for name, value in vars(record).items() if name.startswith("meetgeek_")}
        for record in caplog.records
    ]
    assert facts == [
        {
            "meetgeek_outcome": "accepted",
            "meetgeek_status": None,
            "meetgeek_method": "POST",
            "meetgeek_path": PATH,
            "meetgeek_client": "203.0.113.7",
            "meetgeek_body_size": len(SUCCEEDED),
            "meetgeek_key_id": "tenant",
        },
        {
            "meetgeek_outcome": "missing_signature",
            "meetgeek_status": 401,
            "meetgeek_method": r"P\nST",
            "meetgeek_path": r"/a\x1b",
            "meetgeek_client": r"203.0.113.9\r",
            "meetgeek_body_size": 0,
            "meetgeek_key_id": None,
        },
    ]


class TestKindOfApplication:
    @pytest.mark.parametrize(
        "app", [wsgi_app, partial(wsgi_app), type("App", (), {"__call__": lambda self, a, b: None})()]
    )
    def test_a_wsgi_application_is_refused_by_the_asgi_class(self, app):
        with pytest.raises(
            TypeError, match=r"^app takes two arguments, as WSGI applications do: use MeetGeekWSGIMiddl"
        ):
            MeetGeekASGIMiddleware(app, SECRET)

    @pytest.mark.parametrize("app", [asgi_app, partial(asgi_app), lambda scope, receive, send: None])
    def test_an_asgi_application_is_refused_by_the_wsgi_class(self, app):
        with pytest.raises(TypeError, match=r"^app is an ASGI application: use MeetGeekASGIMiddleware$"):
            MeetGeekWSGIMiddleware(app, SECRET)

    def test_an_async_function_of_any_arguments_is_refused_by_the_wsgi_class(self):
        async def app(*arguments):
            pass

        with pytest.raises(TypeError, match=r"^app is an ASGI application: use MeetGeekASGIMiddleware$"):
            MeetGeekWSGIMiddleware(app, SECRET)

    @pytest.mark.parametrize("middleware_class", [MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware])
    @pytest.mark.parametrize(
        "app",
        [lambda *arguments: None, partial(print), MagicMock(), min, dict],
        ids=["any arguments", "partial", "mock", "no signature", "a class without one"],
    )
    def test_what_cannot_be_told_is_accepted(self, middleware_class, app):
        assert middleware_class(app, SECRET).app is app

    def test_a_plain_function_that_returns_a_coroutine_is_an_asgi_application(self):
        middleware = MeetGeekASGIMiddleware(lambda scope, receive, send: asgi_app(scope, receive, send), SECRET)
        assert ask(middleware, signed(SUCCEEDED), SUCCEEDED).body == b"processed"


@pytest.mark.parametrize("middleware_class", [MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware])
class TestUnknownOptions:
    @pytest.mark.parametrize(
        ("option", "near"),
        [("path", "paths"), ("secrets", "secret"), ("max_body", "max_body_size"), ("on_verdicts", "on_verdict")],
    )
    def test_the_nearest_right_word_is_named(self, middleware_class, option, near):
        app = asgi_app if middleware_class is MeetGeekASGIMiddleware else wsgi_app
        with pytest.raises(TypeError) as raised:
            middleware_class(app, SECRET, **{option: "value"})
        assert str(raised.value) == (
            f"{middleware_class.__name__} got an unexpected argument {option!r}: did you mean {near!r}?"
        )
        assert raised.value.__context__ is None

    def test_where_none_is_near_all_are_named(self, middleware_class):
        with pytest.raises(TypeError, match=r"got an unexpected argument 'xyz': it takes app, secret, paths, max_body"):
            middleware_class(None, SECRET, xyz=1)


def test_a_class_is_no_callable_for_the_secret():
    class Settings:
        pass

    with pytest.raises(TypeError, match=r"not the class Settings$"):
        MeetGeekASGIMiddleware(asgi_app, Settings)


@pytest.mark.parametrize(
    ("wait", "error"),
    [(-1, ConfigurationError), (float("nan"), ConfigurationError), ("1", TypeError), (True, TypeError)],
)
def test_the_wait_is_a_number_of_seconds(wait, error):
    with pytest.raises(error, match=r"^idempotency_wait must be "):
        MeetGeekASGIMiddleware(asgi_app, SECRET, idempotency_wait=wait)


def test_on_what_is_not_guarded_the_return_value_is_handed_on():
    async def app(scope, receive, send):
        return "for the server"

    middleware = MeetGeekASGIMiddleware(app, SECRET, paths="/elsewhere")
    assert run(middleware(http_scope(), None, None)) == "for the server"


def test_a_websocket_whose_client_can_be_read_once_is_refused(caplog):
    connection = Connection()
    middleware = MeetGeekASGIMiddleware(asgi_app, SECRET)
    run(middleware(websocket_scope(client=iter(("203.0.113.9", 1))), connection.receive, connection.send))
    assert connection.sent[0]["type"] == "websocket.close"
    assert "from 203.0.113.9: websocket_refused" in caplog.text
