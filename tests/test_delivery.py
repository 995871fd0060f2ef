"""The delivery that the application gets, and how it is found in a request."""

import sys
from collections import ChainMap
from types import SimpleNamespace

import pytest
from cases import FAILED, GENUINE, SUCCEEDED

from mg_middleware import AnalysisFailed, AnalysisSucceeded, Delivery, delivery_of, events

SIGNATURE = GENUINE.decode()


def delivery_with(*chunks, key_id=None):
    return Delivery(list(chunks), SIGNATURE.encode(), key_id)


@pytest.mark.parametrize(
    ("chunks", "body"),
    [([], b""), ([b""], b""), ([b"whole"], b"whole"), ([b"in ", b"", b"three"], b"in three")],
    ids=["no chunk", "an empty chunk", "one chunk", "three chunks"],
)
def test_the_body_is_the_chunks_joined(chunks, body):
    delivery = delivery_with(*chunks)
    assert delivery.body == body
    assert type(delivery.body) is bytes
    assert delivery.body is delivery.body


def test_a_body_of_one_chunk_is_not_copied():
    chunk = bytes(range(256))
    assert delivery_with(chunk).body is chunk


def test_joining_leaves_the_chunks_to_whom_they_belong():
    chunks = [b"in ", b"two"]
    assert Delivery(chunks, SIGNATURE.encode(), None).body == b"in two"
    assert chunks == [b"in ", b"two"]


def test_a_delivery_knows_its_signature_and_the_name_of_the_secret():
    assert delivery_with(FAILED).signature == SIGNATURE
    assert delivery_with(FAILED).key_id is None
    assert delivery_with(FAILED, key_id="tenant").key_id == "tenant"


def test_the_event_is_parsed_from_the_body():
    delivery = delivery_with(SUCCEEDED[:20], SUCCEEDED[20:])
    assert delivery.event == AnalysisSucceeded("5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a")


def test_the_event_is_parsed_once_and_not_before_it_is_asked_for(monkeypatch):
    parsed = []

    def decoded(body):
        parsed.append(body)
        return {"message": "File analyzed failed"}

    monkeypatch.setattr(events, "decoded", decoded)
    received = delivery_with(FAILED)
    assert parsed == []
    assert received.event is received.event
    assert received.event == AnalysisFailed()
    assert parsed == [FAILED]


@pytest.mark.parametrize("name", ["body", "signature", "key_id", "event", "another"])
def test_a_delivery_is_read_only(name):
    with pytest.raises(AttributeError):
        setattr(delivery_with(FAILED), name, None)


def test_the_repr_shows_neither_body_nor_signature():
    assert repr(delivery_with(b"private", key_id="tenant")) == "<Delivery of 7 bytes, key_id='tenant'>"
    assert repr(delivery_with()) == "<Delivery of 0 bytes, key_id=None>"


UNVERIFIED = (
    "the request for '{path}' was not verified: no MeetGeek guard saw it. Wrap the application in "
    "MeetGeekASGIMiddleware or MeetGeekWSGIMiddleware, as the server runs it; if you give paths=, name this path, "
    "with the prefix of a router or a mount. In a unit test of a handler, use mg_middleware.testing"
)


class MappingRequest(ChainMap):
    """A request like Starlette's: a mapping over its scope."""


@pytest.mark.parametrize(
    "request_with",
    [
        dict,
        MappingRequest,
        lambda carrier: SimpleNamespace(scope=carrier),
        lambda carrier: SimpleNamespace(environ=carrier),
        lambda carrier: SimpleNamespace(env=carrier),
        lambda carrier: SimpleNamespace(scope=None, environ=None, env=carrier),
        lambda carrier: SimpleNamespace(scope="a word", environ=carrier),
    ],
    ids=["scope or environ", "mapping", "scope", "environ", "env", "others empty", "scope of another kind"],
)
class TestDeliveryOf:
    def test_the_delivery_is_found(self, request_with):
        delivery = delivery_with(FAILED)
        assert delivery_of(request_with({"meetgeek.delivery": delivery})) is delivery

    @pytest.mark.parametrize(
        "carrier",
        [
            {"path": ""},
            {"PATH_INFO": "", "meetgeek.delivery": None},
            {"path": "", "meetgeek.delivery": SimpleNamespace()},
        ],
        ids=["nothing", "None", "something else"],
    )
    def test_an_unverified_request_is_a_lookup_error_with_reason_and_remedy(self, request_with, carrier, monkeypatch):
        monkeypatch.delitem(sys.modules, "django.core.handlers.base", raising=False)
        with pytest.raises(LookupError) as raised:
            delivery_of(request_with(carrier))
        assert str(raised.value) == UNVERIFIED.format(path="")

    @pytest.mark.parametrize(
        "fields",
        [{"path": "/mounted/ho\nok"}, {"SCRIPT_NAME": "/mounted", "PATH_INFO": "/ho\nok"}],
        ids=["scope", "environ"],
    )
    def test_the_error_names_the_path_that_was_seen(self, request_with, fields, monkeypatch):
        monkeypatch.delitem(sys.modules, "django.core.handlers.base", raising=False)
        with pytest.raises(LookupError) as raised:
            delivery_of(request_with(fields))
        assert str(raised.value) == UNVERIFIED.format(path=r"/mounted/ho\\nok")

    def test_where_django_serves_the_error_names_what_goes_past_wsgi_py(self, request_with, monkeypatch):
        monkeypatch.setitem(sys.modules, "django.core.handlers.base", SimpleNamespace())
        with pytest.raises(LookupError, match=r"test clients, live_server .* mg_middleware\.django\.meetgeek_webhook"):
            delivery_of(request_with({"REQUEST_METHOD": "POST"}))

    @pytest.mark.parametrize("carrier", [{}, {"message": "File analyzed failed"}, {"x-mg-signature": SIGNATURE}])
    def test_a_mapping_that_is_no_request_asks_for_the_request_itself(self, request_with, carrier):
        with pytest.raises(LookupError) as raised:
            delivery_of(request_with(carrier))
        assert str(raised.value) == (
            "there is no delivery in this mapping, which is neither an ASGI scope nor a WSGI environ: pass delivery_of "
            "the request itself, not its headers, its form or its JSON"
        )


@pytest.mark.parametrize(
    ("request_object", "name"),
    [(None, "NoneType"), (b"body", "bytes"), (SimpleNamespace(body=b""), "SimpleNamespace"), ([], "list")],
)
def test_what_is_no_request_is_a_type_error(request_object, name):
    with pytest.raises(TypeError) as raised:
        delivery_of(request_object)
    assert str(raised.value) == (
        f"delivery_of takes an ASGI scope, a WSGI environ or a request that has one, not an object of type {name}"
    )
