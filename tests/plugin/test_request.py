"""One request: its signature against vectors from openssl, its forms, its words."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pytest_meetgeek import FORGERIES, MeetGeek, WebhookRequest
from pytest_meetgeek.request import keyed_digest, sign

# printf '%s' BODY | openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY, with OpenSSL 3.
VECTORS = [
    (
        "6d6565746765656b2d746573742d736563726574",
        "7b226d657373616765223a202246696c6520616e616c797a6564206661696c6564227d",
        "0b8040aa8b2d7d8891bfdfca1bdd7bb82e977658f14a44023dcaadf6ecef1ac4",
    ),
    ("6b", "", "8bb990c40a7d61cb97597a942125025be50ac8beb74436e3735b98893a7f6620"),
    (
        "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878",
        "00ff",
        "a99b127ffe36cd772f7ef07b47c5d755f6bae03bf131b3a85ca0f9096f226229",
    ),
    (
        "7979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979797979",
        "6c6f6e67206b6579",
        "2049a8bcd91e70463fb2c1c45378da883b433bdec3899ce0bfaa34c26cb8d48a",
    ),
    (
        "676568c3a4696d",
        "7b226d657373616765223a202246696c6520616e616c797a6564207375636365737366756c6c79222c20226d656574696e675f6964223a202230227d",
        "50504d622fe3645ca0b2251a27d867d5cd9555e39a4172d7b3a79fe76c139172",
    ),
]


@pytest.fixture
def meetgeek():
    return MeetGeek("a-shared-secret", seed="x")


@pytest.mark.parametrize(("key", "body", "signature"), VECTORS)
def test_the_signature_is_what_openssl_computes(key, body, signature):
    assert sign(bytes.fromhex(key), bytes.fromhex(body)) == signature


def test_a_text_secret_is_its_utf_8():
    assert sign("gehäim", b"{}") == sign("gehäim".encode(), b"{}")


@given(
    some.binary(min_size=1, max_size=200), some.binary(max_size=300), some.sampled_from(["sha1", "sha256", "sha512"])
)
def test_the_digest_follows_rfc_2104(key, body, algorithm):
    block = hashlib.new(algorithm).block_size
    padded = (hashlib.new(algorithm, key).digest() if len(key) > block else key).ljust(block, b"\0")
    inner = hashlib.new(algorithm, bytes(byte ^ 0x36 for byte in padded) + body).digest()
    outer = hashlib.new(algorithm, bytes(byte ^ 0x5C for byte in padded) + inner).digest()
    assert keyed_digest(key, body, algorithm) == outer


@given(some.binary(max_size=60), some.binary(max_size=60))
def test_any_other_body_has_another_signature(body, other):
    assert (sign("secret", body) == sign("secret", other)) == (body == other)


@pytest.mark.parametrize("secret", [None, 5, bytearray(b"x")])
def test_a_secret_of_another_type_is_refused(secret):
    with pytest.raises(TypeError, match="a secret is str or bytes, not"):
        MeetGeek(secret)


@pytest.mark.parametrize("secret", ["", b""])
def test_an_empty_secret_is_refused(secret, meetgeek):
    with pytest.raises(ValueError, match="the secret is empty"):
        MeetGeek(secret)
    with pytest.raises(ValueError, match="the secret is empty"):
        meetgeek.raw(b"", secret=secret)


def test_a_request_cannot_be_changed(meetgeek):
    with pytest.raises(FrozenInstanceError):
        meetgeek.failed().body = b""


def test_the_documented_bodies(meetgeek):
    assert meetgeek.failed().body == b'{"message": "File analyzed failed"}'
    assert json.loads(meetgeek.analyzed("id-1").body) == {"message": "File analyzed successfully", "meeting_id": "id-1"}
    assert meetgeek.failed().meeting_id is None
    assert meetgeek.analyzed("id-1", more=1).body.endswith(b'"meeting_id": "id-1", "more": 1}')
    assert meetgeek.json({"a": "é"}, ensure_ascii=False, separators=(",", ":")).body == '{"a":"é"}'.encode()


def test_headers_are_replaced_whatever_their_case(meetgeek):
    request = meetgeek.failed().with_header("CONTENT-TYPE", "text/plain")
    assert [name for name, _ in request.headers] == ["X-MG-Signature", "CONTENT-TYPE"]
    assert request.with_header("x-mg-signature", None).signature is None
    assert request.with_signature("a", "b").signatures == ("a", "b")
    assert request.with_body(b"other").signature == request.signature


def test_the_asgi_form(meetgeek):
    request = replace(meetgeek.failed(), chunks=(1, 0, 7))
    scope = request.asgi_scope("/a%20b?c=d")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert (b"transfer-encoding", b"chunked") in scope["headers"]
    assert (b"content-length", b"35") in meetgeek.failed().asgi_scope()["headers"]
    assert [len(message["body"]) for message in request.asgi_messages()] == [1, 0, 7, 27]
    assert [message["more_body"] for message in request.asgi_messages()] == [True, True, True, False]
    hosts = [value for name, value in request.with_header("Host", "shop").asgi_scope()["headers"] if name == b"host"]
    assert hosts == [b"shop"]


def test_the_wsgi_form(meetgeek):
    environ = meetgeek.forged("two-bad-last").wsgi_environ("/a%20b?c=d")
    first, second = environ["HTTP_X_MG_SIGNATURE"].split(",")
    assert (len(first), second) == (64, "0" * 64)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["CONTENT_TYPE"]) == (
        "/a b",
        "c=d",
        "application/json",
    )
    assert environ["wsgi.input"].read() == meetgeek.analyzed(json.loads(_body(environ))["meeting_id"]).body


def _body(environ):
    environ["wsgi.input"].seek(0)
    body = environ["wsgi.input"].read()
    environ["wsgi.input"].seek(0)
    return body


def test_the_repr_abbreviates_the_signature(meetgeek):
    request = meetgeek.failed()
    shown = f"'{request.signature[:12]}…{request.signature[-6:]} (64 chars)'"
    assert repr(request) == f"<WebhookRequest POST failed, 35 bytes, X-MG-Signature: {shown}>"
    assert repr(meetgeek.forged("missing")).endswith("no X-MG-Signature>")
    assert repr(meetgeek.forged("empty")).endswith("X-MG-Signature: ' (0 chars)'>")


def test_the_secret_shows_nowhere(meetgeek):
    request = meetgeek.forged("secret-itself")
    assert request.signature == "a-shared-secret"
    for text in (repr(meetgeek), repr(request), request.curl("http://127.0.0.1/")):
        assert "a-shared-secret" not in text
    assert '-H "X-MG-Signature: $MEETGEEK_SECRET"' in request.curl("http://127.0.0.1/")


def test_the_command_line_sends_the_same(meetgeek):
    url = "http://127.0.0.1:8000/hook"
    request = meetgeek.failed()
    assert shlex.split(request.curl(url)) == [
        *("curl", "-i", "-X", "POST", "-H", "Content-Type: application/json"),
        *("-H", f"X-MG-Signature: {request.signature}", "--data-binary", request.body.decode(), url),
    ]
    assert "'X-MG-Signature;'" in meetgeek.forged("empty").curl(url)
    assert "-H Content-Type: " in meetgeek.raw(b"x", content_type=None).curl(url)
    assert meetgeek.raw(b"\xff").curl(url).startswith("echo /w== | base64 -d | curl")
    assert "base64 -d" in meetgeek.raw(b"@file").curl(url)
    assert meetgeek.raw(b"x" * 5000).curl(url).endswith("# BODY: a file of the 5000 bytes")


def test_the_catalogue():
    levels = [forgery.level for forgery in FORGERIES.values()]
    assert (levels.count("MUST"), levels.count("SHOULD"), levels.count("MAY")) == (33, 3, 6)
    assert all(forgery.why for forgery in FORGERIES.values())


@pytest.mark.parametrize("how", FORGERIES)
@pytest.mark.parametrize("secret", ["a-shared-secret", "meetgeek-test-secret", "None", b"\x00\n\xff"])
def test_no_forgery_is_genuine(how, secret):
    request = MeetGeek(secret, seed="x").forged(how)
    assert (request.expected, request.label) == (401, how)
    assert request.signatures != (sign(secret, request.body),)


@pytest.mark.parametrize("how", ["of-empty-body", "body-emptied"])
def test_a_forgery_that_would_be_genuine_is_refused(how, meetgeek):
    with pytest.raises(ValueError, match="would be genuine; give another base"):
        meetgeek.forged(how, meetgeek.raw(b""))


def test_forgeries_of_other_bases(meetgeek):
    assert meetgeek.forged("body-changed", meetgeek.raw(b"")).body == b"0"
    assert meetgeek.forged("body-changed", meetgeek.raw("é".encode())).body == "é0".encode()
    assert meetgeek.forged("body-changed", meetgeek.raw(b'{"a": 0}')).body == b'{"a": 1}'
    compact = meetgeek.raw(b'{"a":0}')
    assert meetgeek.forged("body-reserialised", compact).body == b'{"a": 0}'
    assert meetgeek.forged("of-other-body", meetgeek.failed()).signature != meetgeek.failed().signature


def test_a_mistyped_forgery_names_the_nearest(meetgeek):
    with pytest.raises(LookupError, match="unknown forgery 'one-bti': did you mean 'one-bit'"):
        meetgeek.forged("one-bti")
    with pytest.raises(LookupError, match="known: missing, empty"):
        meetgeek.forged("qqqqqq")


def test_a_team_shares_one_meeting(meetgeek):
    requests = meetgeek.team(3)
    assert len({request.body for request in requests}) == 1
    assert {request.meeting_id for request in meetgeek.team(2, "m")} == {"m"}


def test_ids_follow_from_the_seed():
    assert MeetGeek("s", seed="a").new_meeting_id() == MeetGeek("t", seed="a").new_meeting_id()
    assert MeetGeek("s", seed="a").new_meeting_id() != MeetGeek("s", seed="b").new_meeting_id()


def test_nothing_foreign_is_imported():
    script = """
import asyncio, sys
import pytest_meetgeek as p
assert set(p.__all__) <= set(dir(p))
meetgeek = p.MeetGeek("s", seed="x")
request = meetgeek.analyzed()
request.httpx, request.requests, request.werkzeug, request.django
request.asgi_scope(), request.asgi_messages(), request.wsgi_environ(), request.curl("http://127.0.0.1/")
def wsgi(environ, start_response):
    start_response("200 OK", [])
    return []
async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})
for app in (wsgi, asgi):
    meetgeek.assert_acknowledged(meetgeek.deliver(app, request))
for check in p.CHECKS.values():
    assert check.why
for how in p.FORGERIES:
    meetgeek.forged(how)
foreign = {"httpx", "requests", "django", "flask", "werkzeug", "starlette", "asgiref", "anyio", "trio", "pytest",
           "hypothesis", "mg_middleware"}
print(sorted(foreign & set(sys.modules)))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_the_package_has_no_other_names():
    import pytest_meetgeek

    with pytest.raises(AttributeError, match="no attribute 'MetGeek'"):
        _ = pytest_meetgeek.MetGeek
    assert WebhookRequest(b"", ()).expected == 200
    assert set(pytest_meetgeek.__all__) <= set(dir(pytest_meetgeek))
