"""Each kind of view, by each way in which Django people call it."""

import asyncio

import pytest
from cases import FAILED, GENUINE, SUCCEEDED, signature_of
from decorated_views import KINDS, plain
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from exchange import Connection, StartResponse, Stream, each, http_scope, request_events, wsgi_environ

from mg_middleware import delivery_of
from mg_middleware.django import meetgeek_webhook

PATH = "/webhooks/meetgeek"
SIGNED = {"X-MG-Signature": GENUINE.decode()}
JSON = {"content_type": "application/json"}
UNAUTHORIZED = b"The request carries no valid signature.\n"

on_each_kind = pytest.mark.parametrize("kind", each(KINDS))


def by_client(served, view, body, headers):
    return served.client.post(PATH, body, headers=headers, **JSON)


def by_client_with_csrf_checks(served, view, body, headers):
    return Client(enforce_csrf_checks=True).post(PATH, body, headers=headers, **JSON)


def by_async_client(served, view, body, headers):
    return asyncio.run(served.async_client.post(PATH, body, headers=headers, **JSON))


def by_async_client_with_csrf_checks(served, view, body, headers):
    return asyncio.run(AsyncClient(enforce_csrf_checks=True).post(PATH, body, headers=headers, **JSON))


async def response_of(view, request):
    response = view(request)
    return await response if hasattr(response, "__await__") else response


def by_factory(served, view, body, headers):
    response = asyncio.run(response_of(view, served.factory.post(PATH, body, headers=headers, **JSON)))
    return response.render() if hasattr(response, "render") else response


def by_async_factory(served, view, body, headers):
    response = asyncio.run(response_of(view, served.async_factory.post(PATH, body, headers=headers, **JSON)))
    return response.render() if hasattr(response, "render") else response


WAYS = [
    by_client,
    by_client_with_csrf_checks,
    by_async_client,
    by_async_client_with_csrf_checks,
    by_factory,
    by_async_factory,
]


@on_each_kind
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
class TestEveryWay:
    def test_a_genuine_delivery_reaches_the_view_with_its_exact_bytes(self, serve, kind, way):
        seen = []
        view = kind(seen, meetgeek_webhook)
        response = way(serve(view), view, SUCCEEDED, SIGNED)
        assert response.status_code == 202
        [one] = seen
        assert one.delivery.body == one.body == SUCCEEDED
        assert one.delivery.signature == GENUINE.decode()

    @pytest.mark.parametrize(
        ("body", "headers"),
        [(SUCCEEDED, {}), (FAILED, SIGNED), (SUCCEEDED, {"X-MG-Signature": GENUINE.decode().upper()})],
        ids=["no signature", "another body", "upper case"],
    )
    def test_another_request_gets_401_and_never_reaches_the_view(self, serve, kind, way, body, headers):
        seen = []
        view = kind(seen, meetgeek_webhook)
        response = way(serve(view), view, body, headers)
        assert response.status_code == 401
        assert response.content == UNAUTHORIZED
        assert response.headers["WWW-Authenticate"] == 'MeetGeek-Signature realm="webhook"'
        assert seen == []

    def test_a_2xx_response_can_become_the_acknowledgement(self, serve, kind, way):
        seen = []
        view = kind(seen, meetgeek_webhook(acknowledge=True))
        response = way(serve(view), view, SUCCEEDED, SIGNED)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Content-Length"] == "0"
        assert len(seen) == 1


class ServerStream(Stream):
    """A `wsgi.input`, which Django asks for its `readline` too."""

    readline = Stream.read


class TestBody:
    """Where Django has the body from."""

    def environ(self, *chunks, **changes):
        return wsgi_environ([(b"x-mg-signature", GENUINE)], ServerStream(*chunks), **changes)

    def ask(self, served, environ):
        start_response = StartResponse()
        return start_response.answer(served.wsgi(environ, start_response))

    def test_a_chunked_body_that_the_server_ends_is_read_whole(self, serve):
        seen = []
        environ = self.environ(
            SUCCEEDED[:40], SUCCEEDED[40:], HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True}
        )
        assert self.ask(serve(plain(seen, meetgeek_webhook)), environ).status == 202
        assert seen[0].body == SUCCEEDED
        assert "meetgeek.delivery" not in environ  # it is the server's own
        assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"

    def test_the_rest_framework_parses_a_chunked_body(self, serve):
        seen = []
        environ = self.environ(
            SUCCEEDED,
            HTTP_TRANSFER_ENCODING="chunked",
            CONTENT_TYPE="application/json",
            **{"wsgi.input_terminated": True},
        )
        answer = self.ask(serve(KINDS["DRF class"](seen, meetgeek_webhook)), environ)
        assert b"File analyzed successfully" in answer.body

    @pytest.mark.parametrize("signature", [signature_of(b""), GENUINE], ids=["of nothing", "of the body"])
    def test_a_chunked_request_without_an_end_is_refused(self, serve, signature):
        seen = []
        environ = self.environ(SUCCEEDED, HTTP_TRANSFER_ENCODING="chunked", HTTP_X_MG_SIGNATURE=signature.decode())
        assert self.ask(serve(plain(seen, meetgeek_webhook)), environ).status == 411
        assert seen == []

    def test_a_chunked_request_that_a_middleware_has_read_as_empty_is_read_whole(self, serve):
        seen = []
        environ = self.environ(SUCCEEDED, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})
        served = serve(plain(seen, meetgeek_webhook), MIDDLEWARE=[f"{__name__}.reading_the_body"])
        assert self.ask(served, environ).status == 202
        assert seen[0].body == SUCCEEDED

    @pytest.mark.parametrize("middleware", ["reading_the_body", "reading_the_form"])
    @pytest.mark.parametrize("way", WAYS[:4], ids=lambda way: way.__name__)
    @on_each_kind
    def test_a_middleware_may_have_read_the_body_before(self, serve, kind, way, middleware):
        seen = []
        view = kind(seen, meetgeek_webhook)
        served = serve(view, MIDDLEWARE=[f"{__name__}.{middleware}"])
        assert way(served, view, SUCCEEDED, SIGNED).status_code == 202
        assert way(served, view, FAILED, SIGNED).status_code == 401
        assert [one.body for one in seen] == [SUCCEEDED]

    @pytest.mark.parametrize("way", WAYS[:4], ids=lambda way: way.__name__)
    @pytest.mark.parametrize("middleware", ["reading_a_part", "reading_all_as_a_file"])
    @on_each_kind
    def test_what_a_middleware_has_streamed_away_cannot_be_verified(self, serve, kind, way, middleware):
        seen = []
        verdicts = []
        view = kind(seen, meetgeek_webhook(on_verdict=verdicts.append))
        served = serve(view, MIDDLEWARE=[f"{__name__}.{middleware}"])
        assert way(served, view, SUCCEEDED, SIGNED).status_code == 400
        assert seen == []
        assert [verdict.outcome for verdict in verdicts] == ["incomplete_body"]

    def test_a_form_that_a_middleware_has_parsed_is_verified_too(self, serve):
        seen = []
        body = b"message=hello"
        served = serve(plain(seen, meetgeek_webhook), MIDDLEWARE=[f"{__name__}.reading_the_form"])
        headers = {"X-MG-Signature": signature_of(body).decode()}
        form = {"content_type": "application/x-www-form-urlencoded"}
        assert served.client.post(PATH, body, headers=headers, **form).status_code == 202
        assert served.client.post(PATH, b"message=other", headers=headers, **form).status_code == 401

    def test_a_multipart_body_reaches_the_view_with_its_fields(self, serve):
        @meetgeek_webhook
        def receive(request):
            return JsonResponse(request.POST.dict())

        factory = serve(receive).factory
        body = factory.post(PATH, {"field": "value"}).body
        request = factory.post(PATH, {"field": "value"}, headers={"X-MG-Signature": signature_of(body).decode()})
        assert receive(request).content == b'{"field": "value"}'

    def test_a_request_made_by_hand_is_verified_by_the_body_that_it_was_given(self):
        request = HttpRequest()
        request.method = "POST"
        request._body = SUCCEEDED  # noqa: SLF001 - as people do
        request.META["HTTP_X_MG_SIGNATURE"] = GENUINE.decode()
        view = meetgeek_webhook(lambda request: HttpResponse(delivery_of(request).body))
        assert view(request).content == SUCCEEDED
        assert view(HttpRequest()).status_code == 401

    @pytest.mark.parametrize("kind", [KINDS["plain"], KINDS["async"]], ids=["plain", "async"])
    @pytest.mark.parametrize(
        ("fields", "chunks", "status"),
        [
            ([], (SUCCEEDED,), 202),
            ([(b"content-length", b"%d" % len(SUCCEEDED))], (SUCCEEDED[:5], SUCCEEDED[5:]), 202),
            ([(b"transfer-encoding", b"chunked")], (SUCCEEDED,), 202),
            ([(b"content-length", b"7"), (b"transfer-encoding", b"chunked")], (SUCCEEDED,), 202),
            ([(b"content-length", b"%d" % (len(SUCCEEDED) + 1))], (SUCCEEDED,), 400),
            ([(b"content-length", b"%d" % (len(SUCCEEDED) - 1))], (SUCCEEDED,), 400),
            ([(b"content-length", b"junk")], (SUCCEEDED,), 400),
            ([(b"content-length", b"9999999")], (SUCCEEDED,), 413),
            ([], (SUCCEEDED, b"x" * 1_048_576), 413),
            ([(b"x-mg-signature", b"0" * 64)], (SUCCEEDED,), 401),
        ],
    )
    def test_on_asgi_the_whole_body_counts_against_its_declared_length(self, serve, kind, fields, chunks, status):
        seen = []
        connection = Connection(*request_events(*chunks))
        scope = http_scope([(b"x-mg-signature", GENUINE), *fields])

        async def receive():
            if connection.events:
                return await connection.receive()
            return await asyncio.Event().wait()

        asyncio.run(serve(kind(seen, meetgeek_webhook)).asgi(scope, receive, connection.send))
        assert connection.sent[0]["status"] == status
        assert len(seen) == (status == 202)
        assert "meetgeek.delivery" not in scope  # it is the server's own


def reading_the_body(get_response):
    def middleware(request):
        assert request.body is not None
        return get_response(request)

    return middleware


def reading_the_form(get_response):
    def middleware(request):
        assert request.body is not None
        assert request.POST is not None
        return get_response(request)

    return middleware


def reading_a_part(get_response):
    def middleware(request):
        assert request.read(3) == SUCCEEDED[:3]
        return get_response(request)

    return middleware


def reading_all_as_a_file(get_response):
    def middleware(request):
        assert request.read() == SUCCEEDED
        return get_response(request)

    return middleware
