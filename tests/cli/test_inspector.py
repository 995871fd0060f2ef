"""The inspector's application: who may talk to it, what it keeps, what it shows and what it hides."""

import asyncio
import base64
import json
import time
from datetime import UTC, datetime

import pytest
from command_line_harness import SECRET
from starlette.testclient import TestClient

from mg_middleware import MeetGeekASGIMiddleware, MemoryStore, Outcome, Verdict, sign
from mg_middleware.cli import _inspector
from mg_middleware.cli._inspector import Deliveries, Inspector, written_as_test
from mg_middleware.cli._observer import Observation, Observed, note_verdict
from pytest_meetgeek import FORGERIES, MeetGeek, Receiver

PORT = 8001
BODY = b'{"message": "File analyzed successfully", "meeting_id": "6f1c"}'
FAILED = b'{"message": "File analyzed failed"}'


def observed(outcome=Outcome.ACCEPTED, body=BODY, *, headers=(), status=200, method="POST", path="/hook", **fields):
    return Observation(
        method=method,
        path=path,
        headers=[(b"x-mg-signature", sign(SECRET, body).encode()), *headers],
        client="127.0.0.1",
        server=("127.0.0.1", 8000),
        received=datetime(2026, 11, 30, 16, 20, 49, 123456, UTC),
        body=bytearray(body),
        verdict=Verdict(outcome, status, None, len(body), method, path),
        status=status,
        **({"seconds": 0.01} | fields),
    )


@pytest.fixture
def deliveries():
    return Deliveries(SECRET, remembers=True)


@pytest.fixture
def inspector(deliveries):
    return Inspector(deliveries, SECRET, path="/hook", address=("127.0.0.1", 9), port=PORT)


@pytest.fixture
def client(inspector):
    address = f"http://127.0.0.1:{PORT}"
    return TestClient(inspector.app, base_url=address, headers={"Origin": address})


def shown(deliveries, observation):
    deliveries.decided(observation)
    asyncio.run(deliveries.finished(observation))
    return deliveries.details(observation)


ADDRESSES = ["/", "/news", "/deliveries/1", "/deliveries/1/body", "/deliveries/1/recording", "/deliveries/1/test"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": f"attacker.example:{PORT}"},
        {"Host": "127.0.0.1:8000"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{PORT}"},
        {"Origin": f"https://127.0.0.1:{PORT}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Forwarded-Host": "127.0.0.1"},
        {"Forwarded": "for=192.0.2.1"},
    ],
    ids=lambda headers: " ".join(map(": ".join, headers.items())),
)
def test_refuses_what_another_page_or_name_may_have_caused(client, deliveries, address, headers):
    shown(deliveries, observed())
    response = client.get(address, headers=headers)
    assert response.status_code == 403
    assert "6f1c" not in response.text


@pytest.mark.parametrize("address", ["/deliveries/1/again", "/send/success"])
@pytest.mark.parametrize("origin", [None, "null", "https://attacker.example"])
def test_sends_nothing_for_another_page(client, deliveries, monkeypatch, address, origin):
    shown(deliveries, observed())
    monkeypatch.setattr(Receiver, "send", lambda *_, **__: pytest.fail("it sent"))
    del client.headers["Origin"]
    response = client.post(address, headers={} if origin is None else {"Origin": origin})
    assert response.status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_serves_each_name_of_loopback(client, host):
    del client.headers["Origin"]
    assert client.get("/", headers={"Host": f"{host}:{PORT}"}).status_code == 200


def test_two_hosts_are_refused(client):
    response = client.get("/", headers=[("Host", f"127.0.0.1:{PORT}"), ("Host", f"localhost:{PORT}")])
    assert response.status_code == 403


def test_a_websocket_is_an_error(client):
    with pytest.raises(RuntimeError, match="only HTTP"), client.websocket_connect("/news"):
        pytest.fail("it was accepted")


def test_the_page_loads_nothing_and_runs_only_its_own_script(client):
    pages = [client.get("/") for _ in range(2)]
    policies = [page.headers["content-security-policy"] for page in pages]
    assert policies[0] != policies[1]
    assert policies[0].startswith("default-src 'none'; script-src 'nonce-")
    for page, policy in zip(pages, policies, strict=True):
        nonce = policy.partition("'nonce-")[2].partition("'")[0]
        assert page.text.count(f'nonce="{nonce}"') == 2
        assert "{{" not in page.text
        assert "http://" not in page.text
        assert "https://" not in page.text
        assert SECRET not in page.text
    assert pages[0].headers["x-content-type-options"] == "nosniff"
    assert pages[0].headers["cache-control"] == "no-store"


def test_keeps_the_last_thousand(deliveries):
    for number in range(1, 1011):
        shown(deliveries, observed(Outcome.MISSING_SIGNATURE, b"", status=401, path=f"/{number}"))
    revision, lines = deliveries.changes_since(0)
    assert [line["number"] for line in lines] == list(range(11, 1011))
    assert deliveries.changes_since(revision) == (revision, [])
    with pytest.raises(LookupError):
        deliveries.find(10)
    assert deliveries.find(11).path == "/11"


def test_keeps_no_more_bytes_than_fit(deliveries, monkeypatch):
    monkeypatch.setattr(_inspector, "_MOST_BYTES", 1000)
    for size in (400, 400, 400, 5000):
        shown(deliveries, observed(body=bytes(size)))
    assert [line["number"] for line in deliveries.changes_since(0)[1]] == [4]


def test_a_change_is_told_once(deliveries):
    delivery = observed(seconds=None, status=None)
    deliveries.decided(delivery)
    revision, [line] = deliveries.changes_since(0)
    assert (line["seconds"], line["status"], line["processing"]) == (None, None, "claimed")
    delivery.seconds, delivery.status = 0.5, 200
    asyncio.run(deliveries.finished(delivery))
    later, [line] = deliveries.changes_since(revision)
    assert (line["seconds"], line["status"], line["processing"]) == (0.5, 200, "processed")
    assert deliveries.changes_since(later) == (later, [])


@pytest.mark.parametrize(
    ("delivery", "processing"),
    [
        (observed(), "processed"),
        (observed(status=500), "released"),
        (observed(status=None), "released"),
        (observed(seconds=None, status=None), "claimed"),
        (observed(body=FAILED), "not remembered"),
        (observed(method="PUT"), ""),
        (observed(Outcome.DUPLICATE), "duplicate"),
        (observed(Outcome.IN_PROGRESS, status=409), "in progress elsewhere"),
        (observed(Outcome.SIGNATURE_MISMATCH, status=401), ""),
    ],
)
def test_says_what_became_of_the_meeting(deliveries, delivery, processing):
    assert shown(deliveries, delivery)["processing"] == processing


def test_without_a_store_nothing_is_claimed():
    assert shown(Deliveries(SECRET, remembers=False), observed())["processing"] == ""


def test_explains_a_mismatch_after_the_response(deliveries):
    delivery = observed(Outcome.SIGNATURE_MISMATCH, BODY, status=401)
    delivery.body += b"\n"
    details = shown(deliveries, delivery)
    assert [found["cause"] for found in details["explanations"]] == ["body_trailing_newline"]
    assert details["explained_body"]


def test_explains_a_malformed_header_without_the_body(deliveries):
    delivery = observed(Outcome.MALFORMED_SIGNATURE, b"", status=401)
    delivery.headers = [(b"X-MG-Signature", b"sha256=" + sign(SECRET, BODY).encode())]
    assert [found["cause"] for found in shown(deliveries, delivery)["explanations"]] == ["signature_prefix"]


def test_a_large_body_is_not_explained(deliveries):
    delivery = observed(Outcome.SIGNATURE_MISMATCH, bytes(70_000), status=401)
    delivery.body += b"\n"
    details = shown(deliveries, delivery)
    assert (details["explanations"], details["explained_body"]) == ([], False)


def test_what_fits_is_not_explained(deliveries):
    assert shown(deliveries, observed())["explanations"] is None


def test_shows_neither_the_secret_nor_a_signature_nor_a_login(deliveries):
    headers = [
        (b"authorization", b"Bearer token-of-a-user"),
        (b"cookie", b"session=cookie-of-a-user"),
        (b"x-api-key", b"key-of-a-user"),
        (b"x-odd", SECRET.encode()),
        (b"x-hub-signature-256", b"sha256=" + sign(SECRET, BODY).encode()),
    ]
    delivery = observed(headers=headers, path=f"/hook/{SECRET}", error=f"ValueError: {SECRET}")
    delivery.body += SECRET.encode()
    delivery.response += SECRET.encode()
    delivery.response_headers = [(b"x-echo", SECRET.encode())]
    details = shown(deliveries, delivery)
    texts = json.dumps([details, deliveries.changes_since(0)])
    texts += "".join(base64.b64decode(details[name]).decode() for name in ("body", "response"))
    for hidden in (SECRET, sign(SECRET, BODY), "token-of-a-user", "cookie-of-a-user", "key-of-a-user"):
        assert hidden not in texts
    assert dict(details["headers"])["x-mg-signature"] == f"{sign(SECRET, BODY)[:12]}… (64 characters)"
    assert dict(details["headers"])["authorization"] == "(not shown, 22 characters)"


def test_shows_odd_bytes(deliveries, client):
    delivery = observed(body=b"\xff\x00", headers=[(b"x-odd", b"\xe9\x01")], path="/\xe9", error="lone \ud800")
    details = shown(deliveries, delivery)
    assert base64.b64decode(details["body"]) == b"\xff\x00"
    assert dict(details["headers"])["x-odd"] == "\\xe9\x01"
    assert client.get("/deliveries/1").json()["path"] == "/\\xe9"
    assert client.get("/deliveries/1/body").content == b"\xff\x00"


@pytest.mark.parametrize(
    "address", ["/deliveries/7", "/deliveries/7/body", "/deliveries/7/recording", "/deliveries/7/test"]
)
def test_what_is_not_kept_is_not_found(client, address):
    assert client.get(address).status_code == 404


def test_saves_a_verified_delivery_alone(client, deliveries):
    shown(deliveries, observed())
    shown(deliveries, observed(Outcome.SIGNATURE_MISMATCH, status=401))
    saved = client.get("/deliveries/1/recording")
    assert saved.headers["content-disposition"] == 'attachment; filename="20261130T162049.123456Z.json"'
    assert saved.json() == {
        "received": "2026-11-30T16:20:49.123456+00:00",
        "method": "POST",
        "path": "/hook",
        "headers": [],
        "body": BODY.decode(),
    }
    assert client.get("/deliveries/2/recording").status_code == 409


@pytest.fixture
def sent(monkeypatch):
    """What the page sends, in place of a network."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    inside = Receiver(MeetGeekASGIMiddleware(app, SECRET), lifespan=False)

    def send(receiver, request, *, path):
        sent.append((receiver.app, path, request))
        return inside.send(request)

    original = Receiver.send
    monkeypatch.setattr(
        Receiver, "send", lambda receiver, *a, **k: (original if receiver is inside else send)(receiver, *a, **k)
    )
    yield sent
    inside.close()


@pytest.mark.parametrize(
    ("event", "status"),
    [("success", 202), ("failed", 202), *((name, None) for name in ("missing", "one-bit", "body-changed"))],
)
def test_sends_an_event(client, sent, event, status):
    response = client.post(f"/send/{event}", params={"path": "/hook?tenant=1"})
    assert response.json() == {"status": status or 401, "error": None}
    [(url, path, _)] = sent
    assert (url, path) == ("http://127.0.0.1:9", "/hook?tenant=1")


def test_sends_to_the_guarded_path_unless_told_otherwise(client, sent):
    client.post("/send/failed")
    assert [path for _, path, _ in sent] == ["/hook"]


@pytest.mark.parametrize("path", ["hook", "", "/a b", "/a\r\nX: y", "/é", "http://192.0.2.1/"])
def test_an_impossible_path_is_refused(client, sent, path):
    assert client.post("/send/success", params={"path": path}).status_code == 400
    assert sent == []


def test_an_unknown_event_is_not_found(client, sent):
    assert client.post("/send/nothing").status_code == 404
    assert sent == []


def test_sends_a_delivery_again_as_it_came(client, deliveries, sent):
    headers = [(b"host", b"a.example"), (b"content-length", b"5"), (b"connection", b"close"), (b"x-odd", b"\xe9")]
    shown(deliveries, observed(headers=headers, method="PUT", path="/hook/%2F"))
    assert client.post("/deliveries/1/again").json() == {"status": 202, "error": None}
    [(_, path, request)] = sent
    assert (path, request.method, request.body) == ("/hook/%2F", "PUT", BODY)
    assert request.headers == (("x-mg-signature", sign(SECRET, BODY)), ("x-odd", "\xe9"))


def test_says_that_the_app_does_not_listen(client):
    assert client.post("/send/success").json() == {"status": 0, "error": "ConnectionRefusedError"}


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (("0.0.0.0", 80), "http://127.0.0.1:80"),  # noqa: S104 - nothing listens
        (("::", 80), "http://[::1]:80"),
        (("192.0.2.1", 80), "http://192.0.2.1:80"),
    ],
)
def test_sends_to_the_address_that_is_served(deliveries, sent, address, url):
    inspector = Inspector(deliveries, SECRET, path="/hook", address=address, port=PORT)
    client = TestClient(
        inspector.app, base_url=f"http://127.0.0.1:{PORT}", headers={"Origin": f"http://127.0.0.1:{PORT}"}
    )
    client.post("/send/success")
    assert [url for url, _, _ in sent] == [url]


@pytest.mark.parametrize(
    "delivery",
    [
        observed(),
        observed(body=b"\xff\"'\\\r\n\x00", headers=[(b"content-type", b'text/plain; charset="x\'"')]),
        observed(body=b""),
        *(
            observed(outcome, status=401)
            for outcome in (
                Outcome.MISSING_SIGNATURE,
                Outcome.REPEATED_SIGNATURE,
                Outcome.MALFORMED_SIGNATURE,
                Outcome.SIGNATURE_MISMATCH,
            )
        ),
    ],
    ids=lambda delivery: delivery.verdict.outcome.value,
)
def test_a_copied_test_passes(delivery):
    delivery.number = 3
    names = {}
    exec(written_as_test(delivery), names)  # noqa: S102 - this is what it is for

    async def app(scope, receive, send):
        if delivery.is_verified and delivery.body:
            assert (await receive())["body"] == delivery.body
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with Receiver(MeetGeekASGIMiddleware(app, SECRET), lifespan=False) as receiver:
        names["test_delivery_3"](MeetGeek(SECRET), receiver)


def test_a_copied_test_of_a_large_body_names_a_recording(client, deliveries):
    shown(deliveries, observed(body=bytes(20_000)))
    written = client.get("/deliveries/1/test").text
    assert "meetgeek.recorded(" in written
    assert len(written) < 1000


def test_the_news_are_the_settings_and_each_delivery():
    deliveries = Deliveries(SECRET, remembers=False)
    inspector = Inspector(deliveries, SECRET, path="/hook", address=("127.0.0.1", 9), port=PORT)
    shown(deliveries, observed())

    async def read():
        news = []
        async for line in inspector._news():  # noqa: SLF001 - an endless response, which the client cannot read
            news.append(line)
            inspector.is_closing = len(news) == 2
        return news

    settings, delivery = asyncio.run(read())
    assert settings.startswith("event: settings\ndata: {")
    assert json.loads(settings.partition("data: ")[2])["forgeries"] == list(FORGERIES)
    assert delivery.startswith("event: delivery\ndata: {")
    assert json.loads(delivery.partition("data: ")[2])["outcome"] == "accepted"


def test_the_news_end_with_the_server(client, inspector):
    inspector.is_closing = True  # a client for tests can't read an endless response
    news = client.get("/news")
    assert news.headers["content-type"].startswith("text/event-stream")
    assert news.text.startswith("event: settings\n")


class Noted:
    def __init__(self):
        self.decisions, self.ends = [], []

    def decided(self, observation):
        self.decisions.append((observation.verdict.outcome, observation.status))

    async def finished(self, observation):
        self.ends.append(observation)


async def answering(scope, receive, send):
    if scope["path"] == "/raises":
        raise ValueError("no such meeting")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-odd", b"1")]})
    await send({"type": "http.response.body", "body": b"a" * 40_000, "more_body": True})
    await send({"type": "http.response.body", "body": b"b" * 40_000})


@pytest.fixture
def noted():
    return Noted()


@pytest.fixture
def receiver(noted):
    guarded = MeetGeekASGIMiddleware(answering, SECRET, paths=["/hook", "/raises"], on_verdict=note_verdict)
    with Receiver(Observed(guarded, [noted]), lifespan=False) as receiver:
        yield receiver


def test_a_delivery_is_observed(receiver, noted):
    before = datetime.now(UTC)
    receiver.send(MeetGeek(SECRET).raw(BODY), path="/hook/%2e?tenant=1")
    assert noted.decisions == [("accepted", None)]
    [delivery] = noted.ends
    assert (delivery.method, delivery.path, delivery.client) == ("POST", "/hook/%2e", "127.0.0.1")
    assert (bytes(delivery.body), delivery.status, delivery.response_size) == (BODY, 200, 80_000)
    assert bytes(delivery.response) == b"a" * 40_000 + b"b" * (65_536 - 40_000)
    assert delivery.response_headers == ((b"x-odd", b"1"),)
    assert delivery.received >= before
    assert 0 < delivery.seconds < 60
    assert delivery.is_verified
    assert delivery.succeeded


def test_what_the_app_raises_is_noted_and_raised(receiver, noted):
    assert isinstance(receiver.send(MeetGeek(SECRET).raw(BODY), path="/raises").error, ValueError)
    assert [(end.error, end.status) for end in noted.ends] == [("ValueError: no such meeting", None)]


def test_what_is_not_guarded_is_not_noted(receiver, noted):
    assert receiver.send(MeetGeek(SECRET).raw(BODY), path="/elsewhere").status == 200
    assert (noted.decisions, noted.ends) == ([], [])


def test_a_large_body_is_not_kept_where_nothing_is_guarded(receiver, noted):
    receiver.send(MeetGeek(SECRET).raw(bytes(2_000_000)), path="/hook")
    assert noted.decisions == [("body_too_large", None)]
    assert len(noted.ends[0].body) <= 1024 * 1024


def test_other_scopes_and_bare_ones_pass(noted):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope["type"])
        note_verdict(Verdict(Outcome.ACCEPTED, None, None, 0, "GET", "/"))

    async def nothing(*_):
        """Send nothing, receive nothing."""

    observed = Observed(app, [noted])
    asyncio.run(observed({"type": "lifespan"}, nothing, nothing))
    asyncio.run(
        observed({"type": "http", "method": "GET", "path": "/é", "headers": [], "client": None}, nothing, nothing)
    )
    assert scopes == ["lifespan", "http"]
    assert noted.decisions == [("accepted", None)]
    [delivery] = noted.ends
    assert (delivery.path, delivery.client, delivery.server) == ("/Ã©", "", ("127.0.0.1", None))


def test_no_more_of_a_body_is_kept_than_the_guard_reads(noted):
    async def app(scope, receive, send):
        for _ in range(3):
            await receive()
        note_verdict(Verdict(Outcome.ACCEPTED, None, None, 0, "POST", "/"))
        await send({"type": "http.response.trailers", "headers": []})

    async def receive():
        return {"type": "http.request", "body": bytes(500_000), "more_body": True}

    async def send(message):
        """Send nothing."""

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(Observed(app, [noted])(scope, receive, send))
    [delivery] = noted.ends
    assert (len(delivery.body), delivery.status) == (1_000_000, None)


def test_a_claim_is_seen_while_the_app_runs():
    deliveries = Deliveries(SECRET, remembers=True)
    seen = []

    async def app(scope, receive, send):
        seen.extend(line["processing"] for line in deliveries.changes_since(0)[1])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = MeetGeekASGIMiddleware(app, SECRET, idempotency_store=MemoryStore(), on_verdict=note_verdict)
    with Receiver(Observed(guarded, [deliveries]), lifespan=False) as receiver:
        for _ in range(2):
            receiver.send(MeetGeek(SECRET).raw(BODY))
    assert seen == ["claimed"]
    assert [line["processing"] for line in deliveries.changes_since(0)[1]] == ["processed", "duplicate"]


def test_many_deliveries_are_kept_quickly(deliveries):
    started = time.thread_time()
    for _ in range(200):
        delivery = observed()
        deliveries.decided(delivery)
        deliveries.changes_since(0)
    assert time.thread_time() - started < 5
