"""An ASGI application under AWS Lambda, through Mangum: the events of each kind of gateway, in process."""

from __future__ import annotations

import asyncio
import base64

import pytest
from mangum import Mangum
from servers.expectations import SECRET, delivery, forged_signature, genuine_signature

from mg_middleware import MeetGeekASGIMiddleware, delivery_of

BODY = delivery("mangum")
BINARY = b"\xff\x00" + BODY


class Context:
    """What Lambda gives beside the event; Mangum hands it on."""


def _http_api(headers, body, *, encoded, method):
    """Write an event of an HTTP API or a function URL (payload format 2.0), which joins repeated fields by commas."""
    joined = {}
    for name, value in headers:
        joined[name.lower()] = f"{joined[name.lower()]},{value}" if name.lower() in joined else value
    return {
        "version": "2.0",
        "rawPath": "/hook",
        "rawQueryString": "",
        "headers": {"host": "receiver.test", **joined},
        "requestContext": {"http": {"method": method, "path": "/hook", "sourceIp": "192.0.2.1"}, "stage": "$default"},
        "body": body,
        "isBase64Encoded": encoded,
    }


def _rest_api(headers, body, *, encoded, method):
    """Write an event of a REST API (payload format 1.0), which keeps repeated fields apart."""
    several = {}
    for name, value in headers:
        several.setdefault(name, []).append(value)
    return {
        "version": "1.0",
        "resource": "/{proxy+}",
        "path": "/hook",
        "httpMethod": method,
        "headers": {"Host": "receiver.test", **{name: values[-1] for name, values in several.items()}},
        "multiValueHeaders": {"Host": ["receiver.test"], **several},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"identity": {"sourceIp": "192.0.2.1"}, "stage": "prod"},
        "body": body,
        "isBase64Encoded": encoded,
    }


def _load_balancer(headers, body, *, encoded, method):
    """Write an event of an application load balancer, which keeps the last one of repeated fields."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:none"}},
        "httpMethod": method,
        "path": "/hook",
        "queryStringParameters": {},
        "headers": {"host": "receiver.test", **{name.lower(): value for name, value in headers}},
        "body": body,
        "isBase64Encoded": encoded,
    }


@pytest.fixture
def current_event_loop():
    """Give Mangum, which runs its own, a current event loop."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(params=[_http_api, _rest_api, _load_balancer], ids=["http-api", "rest-api", "load-balancer"])
def invoke(request, current_event_loop):
    """Return a function that invokes the Lambda and tells the status and the bodies that reached the application."""
    ran = []

    async def application(scope, receive, send):
        event = await receive()
        assert delivery_of(scope).body == event["body"]
        ran.append(event["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    handler = Mangum(MeetGeekASGIMiddleware(application, SECRET), lifespan="off")

    def invoke(headers, body=BODY, *, encoded=True, method="POST"):
        text = base64.b64encode(body).decode() if encoded else body.decode()
        return handler(request.param(headers, text, encoded=encoded, method=method), Context())["statusCode"], ran

    return invoke


def _signature(value):
    return ("X-MG-Signature", value)


@pytest.mark.parametrize("encoded", [True, False], ids=["base64", "text"])
def test_genuine_delivery_reaches_the_application(invoke, encoded):
    assert invoke([_signature(genuine_signature(BODY))], encoded=encoded) == (200, [BODY])


def test_genuine_delivery_of_bytes_that_are_no_text_reaches_the_application(invoke):
    assert invoke([_signature(genuine_signature(BINARY))], BINARY) == (200, [BINARY])


def test_genuine_delivery_with_spaces_round_the_signature_reaches_the_application(invoke):
    assert invoke([_signature(f" {genuine_signature(BODY)}\t")]) == (200, [BODY])


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param(401, [_signature(forged_signature(BODY))], id="forged"),
        pytest.param(401, [], id="missing"),
        pytest.param(
            401, [_signature(genuine_signature(BODY)), _signature(forged_signature(BODY))], id="duplicate-genuine-first"
        ),
        pytest.param(401, [_signature(genuine_signature(b""))], id="signed-as-empty"),
        pytest.param(400, [_signature(genuine_signature(BODY)), ("Content-Length", "1_0")], id="length-underscore"),
        pytest.param(
            413, [_signature(genuine_signature(BODY)), ("Content-Length", "20971520")], id="over-limit-declared"
        ),
    ],
)
def test_refused_request_never_reaches_the_application(invoke, status, headers):
    assert invoke(headers) == (status, [])


def test_body_over_the_limit_never_reaches_the_application(invoke):
    body = BODY.ljust(1_048_577)

    assert invoke([_signature(genuine_signature(body))], body) == (413, [])


def test_head_without_a_signature_is_refused(invoke):
    assert invoke([], b"", encoded=False, method="HEAD") == (401, [])
