"""What the decorator does beside letting genuine deliveries pass: the same as the other doors."""

import asyncio
import logging
import re
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from inspect import iscoroutinefunction
from io import BytesIO
from types import ModuleType
from unittest.mock import MagicMock

import pytest
from cases import (
    FAILED,
    GENUINE,
    INVALID_LENGTHS,
    MALFORMED_SIGNATURES,
    OTHER_SECRET,
    PADDED_SIGNATURES,
    SECRET,
    SUCCEEDED,
    signature_of,
)
from decorated_views import ASYNC_KINDS, KINDS, PLAIN_KINDS
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection as database
from django.db import connections, transaction
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.template import TemplateDoesNotExist
from django.template.response import SimpleTemplateResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.utils.decorators import method_decorator
from django.views import View
from exchange import StartResponse, each, wsgi_environ

from mg_middleware import (
    AnalysisFailed,
    ConfigurationError,
    MeetGeekWSGIMiddleware,
    Verdict,
    Webhook,
    delivery_of,
)
from mg_middleware.django import meetgeek_webhook

PATH = "/webhooks/meetgeek"
UNAUTHORIZED = b"The request carries no valid signature.\n"
on_each_kind = pytest.mark.parametrize("kind", each(KINDS))
on_plain_and_async = pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])


def view_of(respond, decorator, *, is_async):
    """A view that responds by calling a function; a plain or an async one."""
    if is_async:

        async def receive(request):
            return respond(request)

    else:

        def receive(request):
            return respond(request)

    return decorator(receive)


def post(view, body=SUCCEEDED, signature=None, **extra):
    """Send one delivery to a view by its factory, without anything else of Django."""
    headers = {"X-MG-Signature": (signature or signature_of(body)).decode(), **extra.pop("headers", {})}
    method = extra.pop("method", "POST")
    factory = extra.pop("factory", RequestFactory())
    request = factory.generic(method, PATH, body, "application/json", headers=headers, **extra)

    async def respond():
        response = view(request)
        return await response if hasattr(response, "__await__") else response

    return asyncio.run(respond())


REQUESTS = {
    "genuine": {},
    "missing": {"HTTP_X_MG_SIGNATURE": None},
    "repeated": {"HTTP_X_MG_SIGNATURE": f"{GENUINE.decode()},{GENUINE.decode()}"},
    "mismatch": {"HTTP_X_MG_SIGNATURE": signature_of(SUCCEEDED, OTHER_SECRET).decode()},
    "not Latin-1": {"HTTP_X_MG_SIGNATURE": "\u20ac" * 64},
    "too large": {"CONTENT_LENGTH": "1048577"},
    "a length that is an int": {"CONTENT_LENGTH": len(SUCCEEDED)},
    "short": {"CONTENT_LENGTH": str(len(SUCCEEDED) - 1)},
    "no length": {"CONTENT_LENGTH": ""},
    "long": {"CONTENT_LENGTH": str(len(SUCCEEDED) + 1)},
    "long, and the server ends it": {"CONTENT_LENGTH": str(len(SUCCEEDED) + 1), "wsgi.input_terminated": True},
    "short, and the server ends it": {"CONTENT_LENGTH": str(len(SUCCEEDED) - 1), "wsgi.input_terminated": True},
    "chunked": {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""},
    "chunked, and the server ends it": {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "wsgi.input_terminated": True,
    },
    "HEAD": {"REQUEST_METHOD": "HEAD", "HTTP_X_MG_SIGNATURE": None},
    "GET": {"REQUEST_METHOD": "GET"},
    "no address": {"REMOTE_ADDR": None},
    **{
        f"signature: {name}": {"HTTP_X_MG_SIGNATURE": value.decode("latin-1")}
        for name, value in MALFORMED_SIGNATURES.items()
    },
    **{
        f"signature: {name}": {"HTTP_X_MG_SIGNATURE": value.decode("latin-1")}
        for name, value in PADDED_SIGNATURES.items()
    },
    **{f"length: {name}": {"CONTENT_LENGTH": value.decode("latin-1")} for name, value in INVALID_LENGTHS.items()},
}


@on_plain_and_async
class TestTheSameAsTheGuardInWSGI:
    """One request, to the view and to the guard round an application: the responses and the verdicts are the same."""

    @pytest.mark.parametrize("changes", each(REQUESTS))
    def test_the_response_and_the_verdict(self, is_async, serve, changes, caplog):
        def environ():
            fields = [(b"x-mg-signature", GENUINE), (b"content-length", b"%d" % len(SUCCEEDED))]
            made = wsgi_environ(fields, BytesIO(SUCCEEDED)) | changes
            return {name: value for name, value in made.items() if value is not None}

        def app(_environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"processed"]

        caplog.set_level(logging.DEBUG, "mg_middleware")
        results = []
        for kind in ("guard", "view"):
            verdicts = []
            if kind == "guard":
                application = MeetGeekWSGIMiddleware(app, SECRET, on_verdict=verdicts.append)
            else:
                view = view_of(
                    lambda request: HttpResponse("processed", content_type="text/plain"),
                    meetgeek_webhook(on_verdict=verdicts.append),
                    is_async=is_async,
                )
                application = serve(view, MIDDLEWARE=[]).wsgi
            start_response = StartResponse()
            answer = start_response.answer(application(environ(), start_response))
            results.append(
                (
                    answer.status,
                    sorted(answer.headers),
                    answer.body,
                    verdicts,
                    [record.message for record in caplog.records if record.name == "mg_middleware"],
                )
            )
            caplog.clear()
        assert results[0] == results[1]


class TestSecret:
    @on_each_kind
    def test_the_setting_is_read_when_the_request_comes(self, kind, serve):
        view = kind([], meetgeek_webhook)
        served = serve(view)
        signature = signature_of(SUCCEEDED, OTHER_SECRET).decode()

        def status():
            return served.client.post(
                PATH, SUCCEEDED, content_type="application/json", headers={"X-MG-Signature": signature}
            ).status_code

        assert status() == 401
        for secret in (OTHER_SECRET, OTHER_SECRET.encode(), [SECRET, OTHER_SECRET], Webhook(OTHER_SECRET)):
            with override_settings(MEETGEEK_WEBHOOK_SECRET=secret):
                assert status() == 202
        with override_settings(MEETGEEK_WEBHOOK_SECRET={"tenant": OTHER_SECRET}):
            assert status() == 202
        assert status() == 401

    @on_plain_and_async
    def test_a_dictionary_that_changes_is_seen(self, is_async):
        secrets = {"one": SECRET}
        view = view_of(lambda request: HttpResponse(delivery_of(request).key_id), meetgeek_webhook, is_async=is_async)
        with override_settings(MEETGEEK_WEBHOOK_SECRET=secrets):
            assert post(view).content == b"one"
            secrets.clear()
            secrets["two"] = SECRET
            assert post(view).content == b"two"

    @on_plain_and_async
    @pytest.mark.parametrize("setting", [None, "deleted"])
    def test_without_the_setting_the_environment_is_read(self, is_async, setting, monkeypatch, tmp_path):
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook, is_async=is_async)
        with override_settings(MEETGEEK_WEBHOOK_SECRET=setting):
            if setting == "deleted":
                del settings.MEETGEEK_WEBHOOK_SECRET
            monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", f" {SECRET}\n")
            assert post(view).status_code == 200
            monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", OTHER_SECRET)
            assert post(view).status_code == 401
            monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET")
            (tmp_path / "secret").write_text(SECRET)
            monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET_FILE", str(tmp_path / "secret"))
            assert post(view).status_code == 200

    @on_plain_and_async
    @pytest.mark.parametrize(
        ("setting", "error", "message"),
        [
            ("", ConfigurationError, "the setting MEETGEEK_WEBHOOK_SECRET: the secret is empty or blank"),
            (" \n", ConfigurationError, "the setting MEETGEEK_WEBHOOK_SECRET: the secret is empty or blank"),
            (b"", ConfigurationError, "the setting MEETGEEK_WEBHOOK_SECRET: the secret is empty or blank"),
            ([], ConfigurationError, "the setting MEETGEEK_WEBHOOK_SECRET: secret is an empty collection"),
            ({}, ConfigurationError, "the setting MEETGEEK_WEBHOOK_SECRET: secret is an empty collection"),
            ([SECRET, ""], ConfigurationError, "the setting MEETGEEK_WEBHOOK_SECRET: the secret is empty or blank"),
            (5, TypeError, "the setting MEETGEEK_WEBHOOK_SECRET: a secret must be str or bytes, not int"),
            (str, TypeError, "the setting MEETGEEK_WEBHOOK_SECRET: a secret must be str or bytes, not type"),
            (None, ConfigurationError, "no secret is configured. Set MEETGEEK_WEBHOOK_SECRET in your settings"),
            (lambda environ: "", ConfigurationError, "the secret is empty or blank"),
        ],
    )
    def test_a_setting_that_is_no_secret_is_an_error_and_never_open(self, is_async, setting, error, message):
        verdicts = []
        seen = []
        view = view_of(seen.append, meetgeek_webhook(on_verdict=verdicts.append), is_async=is_async)
        for body, signature in ((SUCCEEDED, GENUINE), (b"", signature_of(b"", ""))):
            with override_settings(MEETGEEK_WEBHOOK_SECRET=setting), pytest.raises(error) as raised:
                post(view, body, signature)
            assert str(raised.value).startswith(message)
        assert seen == []
        assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [("unknown_sender", None)] * 2
        assert SECRET not in str(raised.value)

    def test_the_environment_that_is_blank_is_an_error(self, monkeypatch):
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", " ")
        with override_settings(MEETGEEK_WEBHOOK_SECRET=None), pytest.raises(ConfigurationError) as raised:
            post(meetgeek_webhook(lambda request: HttpResponse()))
        assert str(raised.value) == (
            "the environment: the secret is empty or blank. Set MEETGEEK_WEBHOOK_SECRET in your settings, or "
            "MEETGEEK_WEBHOOK_SECRET or MEETGEEK_WEBHOOK_SECRET_FILE in the environment, or give "
            "meetgeek_webhook(secret=...)"
        )

    @on_plain_and_async
    def test_a_secret_that_is_given_goes_before_the_setting(self, is_async):
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(secret=OTHER_SECRET), is_async=is_async)
        assert post(view).status_code == 401
        assert post(view, signature=signature_of(SUCCEEDED, OTHER_SECRET)).status_code == 200

    @on_plain_and_async
    @pytest.mark.parametrize("where", ["option", "setting"])
    @pytest.mark.parametrize(
        ("factory", "field"),
        [(RequestFactory(), "PATH_INFO"), (AsyncRequestFactory(), "path")],
        ids=["environ", "scope"],
    )
    def test_a_callable_gets_the_environ_or_the_scope(self, is_async, where, factory, field):
        asked = []

        def secret_for(carrier):
            asked.append(carrier[field])
            return {"tenant": SECRET} if len(asked) == 1 else None

        options = {"secret": secret_for} if where == "option" else {}
        view = view_of(
            lambda request: HttpResponse(delivery_of(request).key_id), meetgeek_webhook(**options), is_async=is_async
        )
        with override_settings(MEETGEEK_WEBHOOK_SECRET=secret_for):
            assert post(view, factory=factory).content == b"tenant"
            assert post(view, factory=factory).status_code == 401
        assert asked == [PATH, PATH]

    def test_an_async_callable_serves_an_async_view_alone(self):
        async def secret_for(scope):
            return SECRET

        decorator = meetgeek_webhook(secret=secret_for)
        assert post(view_of(lambda request: HttpResponse(), decorator, is_async=True)).status_code == 200
        with pytest.raises(TypeError, match="the callable given as secret is async, which a plain view can't await"):
            post(view_of(lambda request: HttpResponse(), decorator, is_async=False))

    @on_plain_and_async
    def test_no_secret_is_left_in_a_traceback(self, is_async, monkeypatch):
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", OTHER_SECRET)
        for setting in ([SECRET, ""], [SECRET, 5], lambda carrier: [SECRET, ""]):
            view = view_of(lambda request: HttpResponse(), meetgeek_webhook, is_async=is_async)
            with override_settings(MEETGEEK_WEBHOOK_SECRET=setting), pytest.raises((TypeError, ValueError)) as raised:
                post(view)
            shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
            ours = [
                variables
                for frame, _ in traceback.walk_tb(raised.value.__traceback__)
                if "mg_middleware" in frame.f_code.co_filename
                for variables in [repr(frame.f_locals)]
            ]
            assert ours
            assert not any(SECRET in variables for variables in ours), ours
            assert "meetgeek_webhook" in shown or "lambda" in shown

    @on_plain_and_async
    def test_no_signature_or_body_is_left_in_our_frames_when_the_view_fails(self, is_async):
        def fail(request):
            raise LookupError("the view's own")

        with pytest.raises(LookupError, match="the view's own") as raised:
            post(view_of(fail, meetgeek_webhook, is_async=is_async))
        ours = [
            repr(frame.f_locals)
            for frame, _ in traceback.walk_tb(raised.value.__traceback__)
            if "mg_middleware" in frame.f_code.co_filename
        ]
        assert ours
        assert not any(GENUINE.decode() in variables or "File analyzed" in variables for variables in ours)


class TestConstruction:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"secret": ""}, ConfigurationError, "the secret is empty or blank"),
            ({"secret": []}, ConfigurationError, "secret is an empty collection"),
            ({"secret": 5}, TypeError, "a secret must be str or bytes, not int"),
            ({"paths": "/a"}, TypeError, "meetgeek_webhook got an unexpected argument 'paths': it takes view, secret,"),
            ({"path": "/a"}, TypeError, "meetgeek_webhook got an unexpected argument 'path'"),
            ({"acknowlege": True}, TypeError, "did you mean 'acknowledge'?"),
            ({"acknowledge": 1}, TypeError, "acknowledge must be a bool, not int"),
            ({"max_body_size": "1"}, TypeError, "max_body_size must be an int or None, not str"),
            ({"max_body_size": -1}, ConfigurationError, "max_body_size must not be negative"),
            ({"events": ()}, ConfigurationError, "events is empty"),
            ({"events": "AnalysisFailed"}, TypeError, "events must be AnalysisSucceeded"),
            ({"handler": 5}, TypeError, "handler must be callable or None, not int"),
            ({"on_verdict": 5}, TypeError, "on_verdict must be callable or None, not int"),
            ({"idempotency_wait": -1}, ConfigurationError, "idempotency_wait must be at least 0 seconds"),
        ],
    )
    def test_a_wrong_option_is_refused_where_it_is_written(self, options, error, message):
        with pytest.raises(error) as raised:
            meetgeek_webhook(**options)
        assert message in str(raised.value)

    def test_a_secret_in_a_wrong_place_is_refused_without_showing_it(self):
        with pytest.raises(TypeError) as raised:
            meetgeek_webhook(SECRET)
        assert str(raised.value) == (
            "meetgeek_webhook takes a view, not an object of type str; options need their names"
        )

    def test_a_class_is_refused_with_the_right_line(self):
        with pytest.raises(TypeError) as raised:

            @meetgeek_webhook
            class Receive(View):
                pass

        assert str(raised.value) == (
            "meetgeek_webhook takes views, not the class Receive: write "
            '@method_decorator(meetgeek_webhook, name="dispatch")'
        )

    def test_a_method_is_refused_at_the_request_with_the_right_line(self, serve):
        class Receive(View):
            @meetgeek_webhook
            def post(self, request):
                return HttpResponse()

        served = serve(Receive.as_view(), MIDDLEWARE=[])
        with pytest.raises(TypeError) as raised:
            served.client.post(PATH)
        assert str(raised.value) == (
            "meetgeek_webhook was called with an object of type Receive, not a request: decorate a class-based view "
            'with @method_decorator(meetgeek_webhook, name="dispatch")'
        )

    def test_a_view_and_a_handler_are_too_much(self):
        with pytest.raises(TypeError, match="meetgeek_webhook takes a view or a handler=, not both"):
            meetgeek_webhook(lambda request: HttpResponse(), handler=print)

    def test_a_coroutine_function_for_the_verdict_is_refused_on_a_plain_view(self):
        async def on_verdict(verdict):
            pass

        with pytest.raises(TypeError, match="on_verdict is a coroutine function, which meetgeek_webhook on a plain"):
            meetgeek_webhook(on_verdict=on_verdict)(lambda request: HttpResponse())
        with pytest.raises(TypeError, match="on_verdict is a coroutine function"):
            meetgeek_webhook(handler=print, on_verdict=on_verdict)

    def test_a_view_of_an_odd_kind_is_guarded(self):
        odd = MagicMock(return_value=HttpResponse())

        def of_no_module(request):
            return HttpResponse()

        of_no_module.__module__ = "django.utils.decorators"
        for view in (odd, of_no_module, partial(partial(call, of_no_module)), CallableView()):
            assert post(meetgeek_webhook(view)).status_code == 200
            assert post(meetgeek_webhook(view), signature=b"0" * 64).status_code == 401
        assert odd.call_count == 1

    def test_the_dispatch_of_an_async_class_is_known_through_other_decorators(self):
        def other(view):
            @wraps(view)
            def within(*args, **kwargs):
                return view(*args, **kwargs)

            return within

        @method_decorator([meetgeek_webhook, other], name="dispatch")
        class Receive(View):
            async def post(self, request):
                return HttpResponse("received")

        assert post(Receive.as_view()).content == b"received"

    def test_the_view_keeps_its_name_and_its_own(self):
        def receive(request):
            """Receive."""

        receive.mark = 5
        view = meetgeek_webhook(receive)
        assert (view.__name__, view.__doc__, view.mark, view.__wrapped__) == ("receive", "Receive.", 5, receive)


class TestExemptions:
    @on_each_kind
    @pytest.mark.parametrize("is_async_client", [False, True], ids=["client", "async_client"])
    def test_login_required_middleware_lets_it_pass(self, kind, serve, is_async_client):
        view = kind([], meetgeek_webhook)
        served = serve(view, MIDDLEWARE=["mg_logins.Middleware"])
        client = AsyncClient() if is_async_client else Client()
        response = client.post(
            PATH, SUCCEEDED, content_type="application/json", headers={"X-MG-Signature": GENUINE.decode()}
        )
        response = asyncio.run(response) if is_async_client else response
        assert response.status_code == 202
        assert served

    @pytest.fixture(autouse=True)
    def _login_middleware(self, monkeypatch):
        def middleware(get_response):
            def process(request):
                return get_response(request)

            def process_view(request, view, args, kwargs):
                # As django.contrib.auth.middleware.LoginRequiredMiddleware decides, without its database of users.
                assert view.login_required is False
                assert view.csrf_exempt is True

            process.process_view = process_view
            return process

        module = ModuleType("mg_logins")
        module.Middleware = middleware
        monkeypatch.setitem(sys.modules, "mg_logins", module)


class TestTransactions:
    """With ATOMIC_REQUESTS, the transaction is the view's alone, and committed before anything is acknowledged."""

    @pytest.fixture(autouse=True)
    def _atomic_requests(self, monkeypatch, _django):
        monkeypatch.setitem(
            connections.settings, "default", connections.settings["default"] | {"ATOMIC_REQUESTS": True}
        )

    @pytest.mark.parametrize("kind", each({name: KINDS[name] for name in sorted(PLAIN_KINDS)}))
    def test_the_view_runs_in_one(self, kind, serve, monkeypatch):
        states = []
        monkeypatch.setattr("decorated_views.delivery_of", noting(states))
        view = kind([], meetgeek_webhook)
        assert in_a_thread(ask, serve(view)).status_code == 202
        assert states == [True]

    @pytest.mark.parametrize("kind", each({name: KINDS[name] for name in sorted(ASYNC_KINDS)}))
    @pytest.mark.parametrize("client_class", [Client, AsyncClient])
    def test_an_async_view_runs_without_one(self, kind, client_class, serve):
        view = kind([], meetgeek_webhook)
        serve(view)
        response = client_class().post(
            PATH, SUCCEEDED, content_type="application/json", headers={"X-MG-Signature": GENUINE.decode()}
        )
        response = asyncio.run(response) if client_class is AsyncClient else response
        assert response.status_code == 202

    def test_a_refused_request_opens_none(self, serve, monkeypatch):
        monkeypatch.setattr(transaction, "atomic", None)
        served = serve(meetgeek_webhook(lambda request: HttpResponse()))
        assert served.client.post(PATH, FAILED, content_type="application/json").status_code == 401

    def test_what_the_view_raises_rolls_back(self, serve):
        def fail(request):
            insert()
            raise LookupError("the view's own")

        def run(served):
            create_table()
            with pytest.raises(LookupError, match="the view's own"):
                ask(served)
            return count()

        assert in_a_thread(run, serve(meetgeek_webhook(fail))) == 0

    @pytest.mark.parametrize("outermost", [True, False], ids=["outside", "inside"])
    def test_a_view_can_be_exempted_as_ever(self, serve, outermost):
        states = []

        def receive(request):
            states.append(database.in_atomic_block)
            return HttpResponse()

        if outermost:
            view = transaction.non_atomic_requests(meetgeek_webhook(receive))
        else:
            view = meetgeek_webhook(transaction.non_atomic_requests(receive))
        assert in_a_thread(ask, serve(view)).status_code == 200
        assert states == [False]

    def test_a_handler_runs_in_one(self, serve):
        states = []
        view = meetgeek_webhook(handler=lambda delivery: states.append(database.in_atomic_block))
        assert in_a_thread(ask, serve(view)).status_code == 200
        assert states == [True]


def noting(states):
    def find(request):
        states.append(database.in_atomic_block)
        return delivery_of(request)

    return find


def in_a_thread(function, *arguments):
    """Run in a thread of its own, as a server does, and close the thread's connection to the database."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(in_thread, function, *arguments).result()


def in_thread(function, *arguments):
    try:
        return function(*arguments)
    finally:
        connections.close_all()


def ask(served):
    headers = {"X-MG-Signature": GENUINE.decode()}
    return served.client.post(PATH, SUCCEEDED, content_type="application/json", headers=headers)


def create_table():
    with database.cursor() as cursor:
        cursor.execute("CREATE TABLE meeting (id TEXT)")


def insert():
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO meeting VALUES ('one')")


def count():
    with database.cursor() as cursor:
        return cursor.execute("SELECT count(*) FROM meeting").fetchone()[0]


@on_plain_and_async
class TestAcknowledging:
    def test_other_responses_pass_unchanged(self, is_async):
        response = HttpResponse("busy", status=503)
        view = view_of(lambda request: response, meetgeek_webhook(acknowledge=True), is_async=is_async)
        assert post(view) is response

    def test_without_the_option_the_response_is_the_views_own(self, is_async):
        for response in (
            HttpResponse("ok", status=202),
            StreamingHttpResponse([b"a"]),
            SimpleTemplateResponse("no.html"),
        ):
            assert post(view_of(lambda request, own=response: own, meetgeek_webhook, is_async=is_async)) is response

    def test_headers_and_cookies_stay_but_for_those_of_the_dropped_bytes(self, is_async):
        response = HttpResponse("ok", status=201, headers={"X-Mine": "1", "ETag": '"a"', "Content-Encoding": "gzip"})
        response.set_cookie("mine", "1")
        acknowledged = post(view_of(lambda request: response, meetgeek_webhook(acknowledge=True), is_async=is_async))
        assert (acknowledged.status_code, acknowledged.reason_phrase, acknowledged.content) == (200, "OK", b"")
        assert dict(acknowledged.headers) == {
            "X-Mine": "1",
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": "0",
        }
        assert acknowledged.cookies["mine"].value == "1"

    def test_what_the_response_holds_is_closed_at_the_end(self, is_async):
        file = BytesIO(b"content")
        response = FileResponse(file)
        acknowledged = post(view_of(lambda request: response, meetgeek_webhook(acknowledge=True), is_async=is_async))
        assert acknowledged.content == b""
        assert not file.closed
        acknowledged.close()
        assert file.closed

    @pytest.mark.parametrize("streams_async", [False, True], ids=["iterator", "async iterator"])
    def test_a_stream_that_fails_is_not_acknowledged(self, is_async, streams_async):
        def pieces():
            yield b"a"
            raise LookupError("half-way")

        async def pieces_asynchronously():
            yield b"a"
            raise LookupError("half-way")

        stream = pieces_asynchronously if streams_async else pieces
        view = view_of(
            lambda request: StreamingHttpResponse(stream()), meetgeek_webhook(acknowledge=True), is_async=is_async
        )
        request = RequestFactory().post(PATH, SUCCEEDED, "application/json", HTTP_X_MG_SIGNATURE=GENUINE.decode())
        with pytest.raises(LookupError, match="half-way"):
            respond_without_a_loop_to(view, request)

    @pytest.mark.parametrize("streams_async", [False, True], ids=["iterator", "async iterator"])
    def test_a_stream_of_another_status_arrives_whole(self, is_async, streams_async):
        async def pieces():
            yield b"bu"
            yield b"sy"

        stream = pieces() if streams_async else iter([b"bu", b"sy"])
        view = view_of(
            lambda request: StreamingHttpResponse(stream, status=503),
            meetgeek_webhook(acknowledge=True),
            is_async=is_async,
        )
        request = RequestFactory().post(PATH, SUCCEEDED, "application/json", HTTP_X_MG_SIGNATURE=GENUINE.decode())
        if not is_async:
            assert view(request).getvalue() == b"busy"
            return

        async def whole():
            return [chunk async for chunk in await view(request)]

        assert b"".join(asyncio.run(whole())) == b"busy"

    def test_a_template_that_fails_is_not_acknowledged(self, is_async):
        view = view_of(
            lambda request: SimpleTemplateResponse("no.html"), meetgeek_webhook(acknowledge=True), is_async=is_async
        )
        with pytest.raises(TemplateDoesNotExist, match=re.escape("no.html")):
            post(view)

    def test_a_view_that_returns_nothing_is_djangos_error(self, is_async, serve):
        served = serve(view_of(lambda request: None, meetgeek_webhook(acknowledge=True), is_async=is_async))
        with pytest.raises(ValueError, match="returned None instead"):
            ask(served)


class TestHandler:
    @on_plain_and_async
    def test_it_gets_the_delivery_and_its_return_is_the_acknowledgement(self, is_async, serve):
        deliveries = []

        async def handle(delivery):
            deliveries.append(delivery)

        view = meetgeek_webhook(handler=handle if is_async else deliveries.append)
        assert iscoroutinefunction(view) == is_async
        response = ask(serve(view))
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Content-Length"] == "0"
        assert [delivery.body for delivery in deliveries] == [SUCCEEDED]

    @on_plain_and_async
    def test_what_it_raises_goes_on(self, is_async, serve):
        def fail(delivery):
            raise LookupError("the handler's own")

        async def fail_asynchronously(delivery):
            fail(delivery)

        served = serve(meetgeek_webhook(handler=fail_asynchronously if is_async else fail))
        with pytest.raises(LookupError, match="the handler's own"):
            ask(served)

    @on_plain_and_async
    def test_another_method_is_refused_once_it_is_verified(self, is_async):
        async def handle(delivery):
            pass

        verdicts = []
        view = meetgeek_webhook(handler=handle if is_async else print, on_verdict=verdicts.append)
        response = post(view, b"", method="GET")
        assert (response.status_code, response.headers["Allow"]) == (405, "POST")
        assert post(view, b"", signature_of(b"", OTHER_SECRET), method="GET").status_code == 401
        assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [
            ("accepted", 405),
            ("signature_mismatch", 401),
        ]

    def test_captured_parts_of_the_path_do_no_harm(self, serve):
        served = serve(meetgeek_webhook(handler=lambda delivery: None), route="webhooks/<str:name>")
        assert ask(served).status_code == 200

    def test_a_plain_one_that_returns_a_coroutine_is_an_error(self, serve):
        async def handle(delivery):
            pass

        served = serve(meetgeek_webhook(handler=partial(call, handle)))
        with pytest.raises(TypeError, match="handler returned an awaitable, but isn't a coroutine function"):
            ask(served)


class TestEventsAndVerdicts:
    @on_plain_and_async
    def test_events_that_are_not_wanted_are_acknowledged_and_ignored(self, is_async):
        seen = []
        verdicts = []

        def respond(request):
            seen.append(delivery_of(request).event)
            return HttpResponse("seen")

        view = view_of(respond, meetgeek_webhook(events=AnalysisFailed, on_verdict=verdicts.append), is_async=is_async)
        ignored = post(view)
        assert (ignored.status_code, ignored.content) == (200, b"")
        assert post(view, FAILED).content == b"seen"
        assert seen == [AnalysisFailed()]
        assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [("ignored", 200), ("accepted", None)]

    @on_plain_and_async
    def test_a_verdict_has_the_facts_of_the_request(self, is_async):
        verdicts = []
        view = view_of(
            lambda request: HttpResponse(),
            meetgeek_webhook(secret={"tenant": SECRET}, on_verdict=verdicts.append),
            is_async=is_async,
        )
        post(view)
        assert verdicts == [Verdict("accepted", None, "tenant", len(SUCCEEDED), "POST", PATH)]

    @on_plain_and_async
    def test_what_the_callback_raises_changes_nothing(self, is_async, caplog):
        def fail(verdict):
            raise LookupError("the callback's own")

        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(on_verdict=fail), is_async=is_async)
        assert post(view).status_code == 200
        assert post(view, signature=b"0" * 64).status_code == 401
        assert caplog.text.count("LookupError: the callback's own") == 2

    def test_an_async_view_awaits_the_callback(self):
        verdicts = []

        async def on_verdict(verdict):
            await asyncio.sleep(0)
            verdicts.append(verdict.outcome)

        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(on_verdict=on_verdict), is_async=True)
        post(view)
        assert verdicts == ["accepted"]

    def test_a_plain_callback_that_returns_a_coroutine_is_logged_on_a_plain_view(self, caplog):
        async def on_verdict(verdict):
            pass

        view = meetgeek_webhook(on_verdict=partial(call, on_verdict))(lambda request: HttpResponse())
        assert post(view).status_code == 200
        assert "on_verdict returned an awaitable, which a plain view can't await" in caplog.text

    def test_a_plain_view_that_returns_a_coroutine_is_an_error(self):
        async def receive(request):
            return HttpResponse()

        with pytest.raises(TypeError, match="the view returned an awaitable, but isn't a coroutine function"):
            post(meetgeek_webhook(partial(call, receive)))

    @on_plain_and_async
    def test_whatever_ends_the_reading_has_one_verdict(self, is_async, serve):
        class Interrupted(BaseException):
            pass

        class Stream:
            def __init__(self, error):
                self.error = error

            def read(self, size=-1):
                raise self.error

            readline = read

        verdicts = []
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(on_verdict=verdicts.append), is_async=is_async)
        fields = [(b"x-mg-signature", GENUINE), (b"content-length", b"%d" % len(SUCCEEDED))]
        request = WSGIRequest(wsgi_environ(fields, Stream(LookupError("of some server"))))
        assert asyncio.run(as_coroutine(view(request))).status_code == 400
        request = WSGIRequest(wsgi_environ(fields, Stream(Interrupted())))
        with pytest.raises(Interrupted):
            asyncio.run(as_coroutine(view(request)))
        assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [
            ("incomplete_body", 400),
            ("incomplete_body", None),
        ]

    def test_a_coroutine_that_is_closed_awaits_nothing_more(self):
        def close(_argument):
            raise GeneratorExit

        verdicts = []
        view = view_of(close, meetgeek_webhook(on_verdict=verdicts.append), is_async=True)
        with pytest.raises(GeneratorExit):
            post(view)
        assert [verdict.outcome for verdict in verdicts] == ["accepted"]
        view = view_of(close, meetgeek_webhook(secret=close, on_verdict=verdicts.append), is_async=True)
        with pytest.raises(GeneratorExit):
            post(view)
        assert [verdict.outcome for verdict in verdicts] == ["accepted", "unknown_sender"]

        async def awaited(verdict):
            verdicts.append("a coroutine that is being closed can't await")

        view = view_of(close, meetgeek_webhook(secret=close, on_verdict=awaited), is_async=True)
        with pytest.raises(GeneratorExit):
            post(view)
        assert len(verdicts) == 2

    def test_an_async_class_may_respond_at_once(self):
        @method_decorator(meetgeek_webhook, name="dispatch")
        class Receive(View):
            view_is_async = True

            def dispatch(self, request):
                return HttpResponse("at once")

        assert post(Receive.as_view()).content == b"at once"


def respond_without_a_loop_to(view, request):
    """Call a view as a WSGI server's thread does: a plain one with no event loop."""
    response = view(request)
    return asyncio.run(as_coroutine(response)) if hasattr(response, "__await__") else response


class CallableView:
    def __call__(self, request):
        return HttpResponse()


def call(function, argument):
    """Call a coroutine function, as a lambda would that nobody declared async."""
    return function(argument)


async def as_coroutine(response):
    return await response if hasattr(response, "__await__") else response


@on_plain_and_async
class TestExplaining:
    @pytest.fixture
    def explained(self, caplog):
        caplog.set_level(logging.WARNING, "mg_middleware")

        def wait():
            until = time.monotonic() + 30
            while True:
                found = [record.meetgeek_cause for record in caplog.records if hasattr(record, "meetgeek_cause")]
                if found:
                    return found
                assert time.monotonic() < until, caplog.messages
                time.sleep(0.01)

        return wait

    def test_a_mismatch_is_explained_once_the_response_is_closed(self, is_async, explained, caplog):
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(explain=True), is_async=is_async)
        response = post(view, SUCCEEDED + b"\n", GENUINE)
        assert (response.status_code, response.content) == (401, UNAUTHORIZED)
        assert not any(hasattr(record, "meetgeek_cause") for record in caplog.records)
        response.close()
        assert explained() == ["body_trailing_newline"]

    def test_a_malformed_header_is_explained(self, is_async, explained):
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(explain=True), is_async=is_async)
        post(view, SUCCEEDED, b"sha256=" + GENUINE).close()
        assert explained() == ["signature_prefix"]

    def test_other_refusals_are_not_explained(self, is_async, caplog):
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(explain=True), is_async=is_async)
        response = post(view, headers={"Content-Length": "junk"})
        assert response.status_code == 400
        assert response._resource_closers == []  # noqa: SLF001 - nothing is called when it is closed
        assert not any(hasattr(record, "meetgeek_cause") for record in caplog.records)
