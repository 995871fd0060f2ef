"""Deliveries of `mg_middleware.testing` in Django's test requests, for a view that the guard in wsgi.py protects."""

import asyncio

import pytest
from cases import SUCCEEDED
from django.http import HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory

from mg_middleware import delivery_of
from mg_middleware.django import meetgeek_webhook
from mg_middleware.testing import make_delivery, verified_environ, verified_scope


def receive(request):
    assert delivery_of(request).body == request.body
    return HttpResponse(delivery_of(request).event.meeting_id)


def test_the_request_factory_takes_it_as_keywords():
    delivery = make_delivery("success", meeting_id="one")
    assert receive(RequestFactory().post("/", **verified_environ(delivery))).content == b"one"


def test_the_client_takes_it_as_keywords(serve):
    serve(receive, MIDDLEWARE=[])
    delivery = make_delivery("success", meeting_id="one")
    assert Client().post("/webhooks/meetgeek", **verified_environ(delivery)).content == b"one"


def test_the_async_request_factory_has_a_scope_to_update():
    delivery = make_delivery("success", meeting_id="one")
    request = AsyncRequestFactory().post("/", delivery.body, content_type="application/json")
    request.scope.update(verified_scope(delivery))

    async def receive_asynchronously(request):
        return receive(request)

    assert asyncio.run(receive_asynchronously(request)).content == b"one"


def test_a_decorated_view_is_tested_by_itself_too():
    view = meetgeek_webhook(receive)
    delivery = make_delivery("success", meeting_id="one")
    assert view(RequestFactory().post("/", **verified_environ(delivery))).status_code == 401
    assert view.__wrapped__(RequestFactory().post("/", **verified_environ(delivery))).content == b"one"


def by_the_client():
    return Client().post("/webhooks/meetgeek", SUCCEEDED, content_type="application/json")


def by_the_request_factory():
    return receive(RequestFactory().post("/webhooks/meetgeek", SUCCEEDED, content_type="application/json"))


@pytest.mark.parametrize("way", [by_the_client, by_the_request_factory])
def test_without_it_the_message_leads_to_the_right_way(way, serve):
    serve(receive, MIDDLEWARE=[])
    with pytest.raises(LookupError) as raised:
        way()
    message = str(raised.value)
    assert "the request for '/webhooks/meetgeek' was not verified" in message
    assert "Django's test clients, live_server and runserver without WSGI_APPLICATION don't run wsgi.py" in message
    assert "decorate the view with mg_middleware.django.meetgeek_webhook" in message
    assert "mg_middleware.testing" in message
