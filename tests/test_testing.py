"""Deliveries for unit tests of handlers, in the requests of each framework."""

import json
from uuid import UUID

import pytest
from exchange import http_scope
from flask import Flask
from flask import request as flask_request
from starlette.requests import Request
from werkzeug.test import EnvironBuilder

from mg_middleware import AnalysisFailed, AnalysisSucceeded, Delivery, UnknownEvent, delivery_of, verify
from mg_middleware.testing import make_delivery, verified_environ, verified_scope


def test_a_success_has_the_documented_body():
    delivery = make_delivery("success", meeting_id="5e0a3b1c")
    assert isinstance(delivery, Delivery)
    assert json.loads(delivery.body) == {"message": "File analyzed successfully", "meeting_id": "5e0a3b1c"}
    assert delivery.event == AnalysisSucceeded("5e0a3b1c")
    assert delivery.key_id is None
    assert len(delivery.signature) == 64


def test_each_success_is_another_meeting():
    one, two = make_delivery("success").event, make_delivery("success").event
    assert UUID(one.meeting_id) != UUID(two.meeting_id)


def test_a_failure_has_the_documented_body():
    delivery = make_delivery("failed")
    assert json.loads(delivery.body) == {"message": "File analyzed failed"}
    assert delivery.event == AnalysisFailed()


@pytest.mark.parametrize("kind", ["success", "failed"])
def test_a_body_of_ones_own_is_taken_as_it_is(kind):
    delivery = make_delivery(kind, body=b'{"message": "new"}')
    assert delivery.body == b'{"message": "new"}'
    assert delivery.event == UnknownEvent(payload={"message": "new"})


def test_the_key_may_have_a_name():
    assert make_delivery("failed", key_id="tenant").key_id == "tenant"


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("succeeded", {}, ValueError, 'kind must be "success" or "failed", not \'succeeded\''),
        ("failed", {"meeting_id": "one"}, TypeError, "meeting_id only works with make_delivery"),
        ("success", {"meeting_id": "one", "body": b"{}"}, TypeError, "meeting_id only works with make_delivery"),
        ("success", {"body": "{}"}, TypeError, "body must be bytes, not str"),
    ],
)
def test_a_wrong_argument_is_refused(kind, options, error, message):
    with pytest.raises(error) as raised:
        make_delivery(kind, **options)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("secret", ["meetgeek-test-secret", "whsec", "secret"])
def test_no_guard_with_a_likely_secret_takes_it(secret):
    delivery = make_delivery("success")
    assert not verify(secret, delivery.body, delivery.signature)


def test_flask_finds_it_by_environ_overrides():
    app = Flask(__name__)

    @app.post("/hook")
    def hook():
        assert delivery_of(flask_request).body == flask_request.get_data()
        return flask_request.get_json()["meeting_id"]

    delivery = make_delivery("success", meeting_id="one")
    response = app.test_client().post("/hook", environ_overrides=verified_environ(delivery))
    assert response.text == "one"
    with app.test_request_context("/hook", method="POST", environ_overrides=verified_environ(delivery)):
        assert delivery_of(flask_request) is delivery


def test_a_wsgi_environ_is_updated_with_it():
    delivery = make_delivery("failed")
    environ = EnvironBuilder(method="POST").get_environ() | verified_environ(delivery)
    assert delivery_of(environ) is delivery
    assert environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])) == delivery.body


def test_starlette_finds_it_in_the_scope():
    delivery = make_delivery("success")
    request = Request(http_scope())
    request.scope.update(verified_scope(delivery))
    assert delivery_of(request) is delivery


def test_no_part_of_it_is_shared_between_requests():
    delivery = make_delivery("success")
    one, two = verified_environ(delivery), verified_environ(delivery)
    assert one["wsgi.input"].read() == two["wsgi.input"].read() == delivery.body
