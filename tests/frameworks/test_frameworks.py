"""Each framework, guarded by one line: genuine deliveries arrive whole, forged ones never, the rest is left alone."""

import hashlib
import hmac

import pytest

# Connexion 3.3 asks asyncio, which Python 3.14 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")

BODY = b'{"message": "File analyzed successfully",\n "meeting_id": "5e0a3b1c-\xc3\xa9"}  '


def signed(body, secret=b"whsec_frameworks"):
    return [("x-mg-signature", hmac.new(secret, body, hashlib.sha256).hexdigest())]


def test_a_genuine_delivery_reaches_the_handler_with_its_exact_bytes(framework):
    answer = framework.ask("/webhooks/meetgeek", headers=signed(BODY), chunks=[BODY])
    assert answer.status == 200
    assert answer.body == b"received"
    [(delivery, body)] = framework.handled
    assert delivery.body == body == BODY
    assert delivery.event.meeting_id == "5e0a3b1c-é"


def test_a_body_without_declared_length_in_many_pieces_arrives_whole(framework):
    chunks = [b"", *(BODY[at : at + 7] for at in range(0, len(BODY), 7)), b""]
    answer = framework.ask("/webhooks/meetgeek", headers=signed(BODY), chunks=chunks, has_length=False)
    assert answer.status == 200
    [(delivery, body)] = framework.handled
    assert delivery.body == body == BODY


def test_an_empty_body_is_delivered_when_signed(framework):
    assert framework.ask("/webhooks/meetgeek", headers=signed(b"")).status == 200
    [(delivery, body)] = framework.handled
    assert delivery.body == body == b""


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "OPTIONS", "post", "BREW"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="unsigned"),
        pytest.param(signed(BODY, b"another secret"), id="signed with another secret"),
        pytest.param(signed(BODY + b" "), id="signed for another body"),
        pytest.param([*signed(BODY, b"another secret"), ("x-http-method-override", "PUT")], id="method overridden"),
    ],
)
def test_a_forged_delivery_never_reaches_the_handler(framework, method, headers):
    answer = framework.ask("/webhooks/meetgeek", method=method, headers=headers, chunks=[BODY])
    assert answer.status == 401
    assert framework.handled == []


def test_a_streamed_answer_is_complete(framework):
    answer = framework.ask("/webhooks/meetgeek/stream", headers=signed(BODY), chunks=[BODY])
    assert answer.status == 200
    assert answer.body == b"".join(framework.pieces)


def test_other_routes_need_no_signature(framework):
    for route in framework.other_routes:
        assert framework.ask(route, method="GET") == framework.ask(route, method="GET", application=framework.bare)
        assert framework.ask(route, method="GET").body == b"elsewhere", route


def test_what_lies_below_the_webhook_needs_a_signature_whether_a_route_takes_it_or_not(framework):
    below = "/webhooks/meetgeek/nowhere"
    assert framework.ask(below, chunks=[BODY]).status == 401
    answer = framework.ask(below, headers=signed(BODY), chunks=[BODY])
    assert answer == framework.ask(below, chunks=[BODY], application=framework.bare)


def test_the_handler_of_an_unguarded_application_is_told_that_nothing_was_verified(framework):
    framework.ask("/webhooks/meetgeek", headers=signed(BODY), chunks=[BODY], application=framework.bare)
    assert framework.handled == [(None, BODY)]
