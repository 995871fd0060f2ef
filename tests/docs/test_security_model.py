"""What the security model promises, and what it says the guard can't do."""

import warnings

import pytest
from docs.steps import deliver, sign
from fastapi import FastAPI, Request

from mg_middleware import MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware, delivery_of

SECRET = "a secret of the tests"
BODY = b'{"message": "File analyzed failed"}'


@pytest.fixture
def app():
    def receiver(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []

    return MeetGeekWSGIMiddleware(receiver, SECRET)


def test_all_responses_to_forgeries_are_identical(app):
    forgeries = ("", "0" * 64, "short", "é" * 64, sign(BODY, "another secret"), sign(BODY, SECRET).upper())
    responses = [deliver(app, body=BODY, signature=signature) for signature in forgeries]
    assert {response.status_code for response in responses} == {401}
    assert len({(response.content, str(response.headers)) for response in responses}) == 1
    assert sign(BODY, SECRET) not in responses[0].text


def test_the_guard_shows_no_secret(app):
    assert SECRET not in repr(vars(app))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_every_method_is_verified(app, method):
    assert deliver(app, body=BODY, signature="", method=method).status_code == 401


def test_the_signature_of_the_empty_body_is_good_for_every_method(app):
    assert deliver(app, method="GET", body=b"", signature=sign(b"", SECRET)).status_code == 200
    assert deliver(app, method="GET", body=b"", signature=sign(b"{}", SECRET)).status_code == 401


@pytest.fixture
def prefixed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of FastAPI leave it to the server
        api = FastAPI(root_path="/api")

    @api.post("/webhooks/meetgeek")
    async def receive_webhook(request: Request):
        delivery_of(request)

    return api


def test_a_prefix_that_only_the_application_knows_ends_at_delivery_of(prefixed):
    guarded = MeetGeekASGIMiddleware(prefixed, SECRET, paths="/webhooks/meetgeek")
    with pytest.raises(LookupError):
        deliver(guarded, path="/api/webhooks/meetgeek", signature="")


def test_a_path_with_its_prefix_is_guarded(prefixed):
    guarded = MeetGeekASGIMiddleware(prefixed, SECRET, paths=["/webhooks/meetgeek", "/api/webhooks/meetgeek"])
    assert deliver(guarded, path="/api/webhooks/meetgeek", signature="").status_code == 401
    assert deliver(guarded, path="/api/webhooks/meetgeek", signature=sign(b"{}", SECRET)).status_code == 200
