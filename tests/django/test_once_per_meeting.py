"""`idempotency_store=` on Django views: the view runs under a claim, which its response ends."""

import asyncio

import pytest
from cases import FAILED, GENUINE, SUCCEEDED, signature_of
from decorated_views import KINDS
from django.db import connection as database
from django.db import connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.template import TemplateDoesNotExist
from django.template.response import SimpleTemplateResponse
from django.test import AsyncClient, Client, RequestFactory
from exchange import each

from mg_middleware import ConfigurationError, MemoryStore, SQLiteStore
from mg_middleware.django import meetgeek_webhook
from mg_middleware.idempotency import Claimed

PATH = "/webhooks/meetgeek"
on_each_kind = pytest.mark.parametrize("kind", each(KINDS))
on_plain_and_async = pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])


class Steps:
    """A store that always lets its claim be taken, and remembers its steps."""

    execution = "instant"

    def __init__(self):
        self.steps = []

    def claim(self, key):
        self.steps.append("claim")
        return Claimed("token")

    def complete(self, key, token):
        self.steps.append("complete")

    def release(self, key, token):
        self.steps.append("release")


class AsyncSteps(Steps):
    execution = "asynchronous"

    async def claim(self, key):
        await asyncio.sleep(0)
        return super().claim(key)

    async def complete(self, key, token):
        await asyncio.sleep(0)
        super().complete(key, token)

    async def release(self, key, token):
        await asyncio.sleep(0)
        super().release(key, token)


def view_of(respond, decorator, *, is_async):
    if is_async:

        async def receive(request):
            return respond(request)

    else:

        def receive(request):
            return respond(request)

    return decorator(receive)


async def response_of(view, request):
    response = view(request)
    return await response if hasattr(response, "__await__") else response


def post(view, body=SUCCEEDED, method="POST"):
    headers = {"X-MG-Signature": signature_of(body).decode()}
    return asyncio.run(response_of(view, RequestFactory().generic(method, PATH, body, headers=headers)))


@on_each_kind
@pytest.mark.parametrize("client_class", [Client, AsyncClient])
@pytest.mark.parametrize("store_class", [MemoryStore, SQLiteStore])
def test_each_meeting_is_processed_once(kind, client_class, store_class, serve, tmp_path):
    store = store_class(tmp_path / "meetings") if store_class is SQLiteStore else store_class()
    seen = []
    verdicts = []
    serve(kind(seen, meetgeek_webhook(idempotency_store=store, on_verdict=verdicts.append)))

    def send(body):
        headers = {"X-MG-Signature": signature_of(body).decode()}
        response = client_class().post(PATH, body, "application/json", headers=headers)
        return asyncio.run(response) if client_class is AsyncClient else response

    assert [send(SUCCEEDED).status_code for _ in range(3)] == [202, 200, 200]
    assert send(SUCCEEDED).content == b""
    assert [send(FAILED).status_code for _ in range(2)] == [202, 202]
    assert [one.body for one in seen] == [SUCCEEDED, FAILED, FAILED]
    assert [verdict.outcome for verdict in verdicts] == ["accepted", *["duplicate"] * 3, "accepted", "accepted"]
    store.close()


@on_plain_and_async
class TestClaim:
    @pytest.mark.parametrize(
        ("respond", "end"),
        [
            (lambda request: HttpResponse(), "complete"),
            (lambda request: HttpResponse(status=299), "complete"),
            (lambda request: HttpResponse(status=302), "release"),
            (lambda request: HttpResponse(status=503), "release"),
            (lambda request: None, "release"),
            (lambda request: StreamingHttpResponse([b"a"]), "complete"),
            (lambda request: StreamingHttpResponse([b"a"], status=500), "release"),
        ],
    )
    def test_the_response_ends_it(self, is_async, respond, end):
        store = Steps()
        post(view_of(respond, meetgeek_webhook(idempotency_store=store), is_async=is_async))
        assert store.steps == ["claim", end]

    @pytest.mark.parametrize("error_class", [LookupError, SystemExit, asyncio.CancelledError, GeneratorExit])
    def test_what_the_view_raises_releases_it(self, is_async, error_class):
        def fail(request):
            raise error_class

        store = Steps()
        with pytest.raises(error_class):
            post(view_of(fail, meetgeek_webhook(idempotency_store=store), is_async=is_async))
        assert store.steps == ["claim", "release"]

    def test_a_response_that_fails_later_releases_it(self, is_async):
        store = Steps()
        decorator = meetgeek_webhook(idempotency_store=store)
        with pytest.raises(TemplateDoesNotExist):
            post(view_of(lambda request: SimpleTemplateResponse("no.html"), decorator, is_async=is_async))
        assert store.steps == ["claim", "release"]

    def test_a_callback_that_raises_more_than_an_exception_releases_it(self, is_async):
        class Timeout(BaseException):
            pass

        def on_verdict(verdict):
            raise Timeout

        store = Steps()
        decorator = meetgeek_webhook(idempotency_store=store, on_verdict=on_verdict)
        with pytest.raises(Timeout):
            post(view_of(lambda request: HttpResponse(), decorator, is_async=is_async))
        assert store.steps == ["claim", "release"]

    @pytest.mark.parametrize("error_class", [KeyboardInterrupt, GeneratorExit])
    def test_an_end_while_it_is_claimed_has_a_verdict(self, is_async, error_class):
        class Interrupted(Steps):
            def claim(self, key):
                raise error_class

        verdicts = []
        decorator = meetgeek_webhook(idempotency_store=Interrupted(), on_verdict=verdicts.append)
        with pytest.raises(error_class):
            post(view_of(lambda request: HttpResponse(), decorator, is_async=is_async))
        assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [("in_progress", None)]

    def test_another_method_or_event_takes_none(self, is_async):
        store = Steps()
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(idempotency_store=store), is_async=is_async)
        post(view, method="OPTIONS")
        post(view, FAILED)
        assert store.steps == []

    def test_a_refused_request_takes_none(self, is_async):
        store = Steps()
        view = view_of(lambda request: HttpResponse(), meetgeek_webhook(idempotency_store=store), is_async=is_async)
        asyncio.run(response_of(view, RequestFactory().post(PATH, SUCCEEDED, "application/json")))
        assert store.steps == []

    def test_a_handler_has_one(self, is_async):
        async def handle(delivery):
            pass

        store = Steps()
        post(meetgeek_webhook(handler=handle if is_async else str, idempotency_store=store))
        assert store.steps == ["claim", "complete"]


def test_an_asynchronous_store_serves_async_views_alone():
    store = AsyncSteps()
    decorator = meetgeek_webhook(idempotency_store=store)
    post(view_of(lambda request: HttpResponse(), decorator, is_async=True))
    assert store.steps == ["claim", "complete"]
    with pytest.raises(ConfigurationError, match="AsyncSteps is asynchronous"):
        view_of(lambda request: HttpResponse(), decorator, is_async=False)


def test_an_asynchronous_store_serves_async_classes():
    store = AsyncSteps()
    view = KINDS["async class"]([], meetgeek_webhook(idempotency_store=store))
    assert post(view).status_code == 202
    assert store.steps == ["claim", "complete"]


@pytest.mark.usefixtures("_django")
def test_a_commit_that_fails_releases_the_claim(monkeypatch):
    # Django's own transaction would end after the view has returned, and so after the claim.
    monkeypatch.setitem(connections.settings, "default", connections.settings["default"] | {"ATOMIC_REQUESTS": True})
    committed = []

    def fail():
        raise LookupError("the commit's own")

    def receive(request):
        assert database.in_atomic_block
        transaction.on_commit(lambda: committed.append(store.steps.copy()))
        transaction.on_commit(fail)
        return HttpResponse()

    store = Steps()
    view = meetgeek_webhook(idempotency_store=store)(receive)
    with pytest.raises(LookupError, match="the commit's own"):
        view(RequestFactory().post(PATH, SUCCEEDED, "application/json", HTTP_X_MG_SIGNATURE=GENUINE.decode()))
    assert committed == [["claim"]]
    assert store.steps == ["claim", "release"]


def test_a_cancelled_async_view_releases_the_claim():
    store = AsyncSteps()
    begun = []

    async def receive(request):
        begun.append(request)
        await asyncio.Event().wait()

    async def run():
        request = RequestFactory().post(PATH, SUCCEEDED, "application/json", HTTP_X_MG_SIGNATURE=GENUINE.decode())
        task = asyncio.create_task(meetgeek_webhook(idempotency_store=store)(receive)(request))
        while not begun:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert store.steps == ["claim", "release"]


def test_two_deliveries_of_one_meeting_at_a_time_are_processed_once():
    store = MemoryStore()
    seen = []

    async def receive(request):
        seen.append(request)
        await asyncio.sleep(0.1)
        return HttpResponse(status=201)

    view = meetgeek_webhook(idempotency_store=store)(receive)

    async def run():
        requests = [
            RequestFactory().post(PATH, SUCCEEDED, "application/json", HTTP_X_MG_SIGNATURE=GENUINE.decode())
            for _ in range(2)
        ]
        return await asyncio.gather(*map(view, requests))

    assert sorted(response.status_code for response in asyncio.run(run())) == [200, 201]
    assert len(seen) == 1
