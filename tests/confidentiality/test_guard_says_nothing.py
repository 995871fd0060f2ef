"""Nothing that a guard logs, warns of, raises, answers or shows holds a secret, a signature or the body."""

import logging
import math
import sqlite3
import sys
import traceback
import warnings
from pathlib import Path

import pytest
from exchange import each, http_scope, websocket_scope, wsgi_environ

sys.path.insert(0, str(Path(__file__).parent))

from driving import ASGI, PROTOCOLS, WSGI, Request
from searching import (
    BODY,
    FORGED,
    GENUINE,
    MEETING,
    SECOND_SECRET,
    SECRET,
    WORD,
    WORDS,
    found_in,
    listening,
    reprs_of,
    spellings,
)

from mg_middleware import (
    AnalysisFailed,
    ConfigurationError,
    Delivery,
    MeetGeekASGIMiddleware,
    MeetGeekWSGIMiddleware,
    MemoryStore,
    Outcome,
    RedisStore,
    SQLiteStore,
    UnknownEvent,
    Webhook,
    delivery_of,
    sign,
    verify,
)
from mg_middleware._keys import keys_from
from mg_middleware._verification import Verification
from mg_middleware.events import AnalysisSucceeded, parse_event
from mg_middleware.idempotency import StoreError, store_key

on_both_protocols = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)

SECRETS = {"first": SECRET, "second": [SECOND_SECRET]}
REQUEST = Request((GENUINE.encode(),), (BODY[:20], BODY[20:]))
FORGERY = Request((FORGED.encode(),), (BODY,))


@pytest.fixture
def heard(capfd):
    """Listens while the test runs, and searches at its end."""
    with listening(capfd) as heard:
        yield heard
    assert heard.texts
    assert found_in(heard.text()) == []


def raised_and_hidden(word, heard):
    error = KeyError()
    error.__context__, error.__suppress_context__ = ValueError(word), True
    heard.raised(error)


@pytest.mark.parametrize(
    "say",
    each(
        {
            "logged": lambda word, _: logging.getLogger("mg_middleware").debug("%s", word),
            "logged as a field": lambda word, _: logging.getLogger("another").debug("", extra={"field": word}),
            "warned of": lambda word, _: warnings.warn(word, UserWarning, stacklevel=1),
            "written": lambda word, _: sys.stderr.write(word),
            "raised, and hidden by another error": raised_and_hidden,
        }
    ),
)
def test_every_word_is_found_wherever_it_stands(capfd, say):
    for word in WORDS:
        with listening(capfd) as heard:
            say(word, heard)
        assert word in found_in(heard.text())


def guard_of(protocol, work=lambda delivery: delivery.event, secret=SECRETS, **options):
    return protocol.middleware_class(protocol.application(work), secret, **options)


# Each outcome, on the protocols that have it.
OUTCOMES = {
    "accepted": (Outcome.ACCEPTED, REQUEST, {}, PROTOCOLS),
    "no signature": (Outcome.MISSING_SIGNATURE, Request(pieces=(BODY,)), {}, PROTOCOLS),
    "two signatures": (
        Outcome.REPEATED_SIGNATURE,
        Request((GENUINE.encode(), FORGED.encode()), (BODY,)),
        {},
        PROTOCOLS[:1],
    ),
    "malformed": (Outcome.MALFORMED_SIGNATURE, Request((b"sha256=" + GENUINE.encode(),), (BODY,)), {}, PROTOCOLS),
    "the secret as signature": (Outcome.MALFORMED_SIGNATURE, Request((SECRET.encode(),), (BODY,)), {}, PROTOCOLS),
    "forged": (Outcome.SIGNATURE_MISMATCH, FORGERY, {}, PROTOCOLS),
    "nobody known": (Outcome.UNKNOWN_SENDER, REQUEST, {"secret": lambda _: None}, PROTOCOLS),
    "declared as too large": (
        Outcome.BODY_TOO_LARGE,
        REQUEST._replace(declared=b"9" * 9),
        {},
        PROTOCOLS,
    ),
    "too large": (Outcome.BODY_TOO_LARGE, REQUEST, {"max_body_size": 30}, PROTOCOLS),
    "the signature as length": (
        Outcome.INVALID_LENGTH,
        REQUEST._replace(declared=GENUINE.encode()),
        {},
        PROTOCOLS,
    ),
    "left": (Outcome.INCOMPLETE_BODY, REQUEST._replace(leaves=True), {}, PROTOCOLS),
    "HEAD": (Outcome.SIGNATURE_MISMATCH, FORGERY._replace(method="HEAD"), {}, PROTOCOLS),
}


@pytest.mark.parametrize(
    ("protocol", "outcome", "request_", "options"),
    [
        pytest.param(protocol, outcome, request, options, id=f"{name}-{protocol.name}")
        for name, (outcome, request, options, protocols) in OUTCOMES.items()
        for protocol in protocols
    ],
)
def test_outcomes(heard, protocol, outcome, request_, options):
    verdicts = []
    guard = guard_of(protocol, on_verdict=verdicts.append, **options)
    assert protocol.ask(guard, request_, heard) is None
    assert [verdict.outcome for verdict in verdicts] == [outcome]
    heard.texts += [repr(verdicts), "".join(map(str, verdicts[0]))]


def test_a_websocket(heard):
    verdicts = []
    guard = guard_of(ASGI(), on_verdict=verdicts.append)
    ASGI().send(guard, websocket_scope(headers=[(b"x-mg-signature", GENUINE.encode())]), [], heard)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.WEBSOCKET_REFUSED]
    heard.texts.append(repr(verdicts))


def test_a_chunked_request_that_the_server_does_not_end(heard):
    verdicts = []
    environ = wsgi_environ([(b"x-mg-signature", GENUINE.encode())], HTTP_TRANSFER_ENCODING="chunked")
    WSGI().send(guard_of(WSGI(), on_verdict=verdicts.append), environ, heard)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.LENGTH_REQUIRED]


@on_both_protocols
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_duplicates_and_deliveries_in_progress(heard, protocol, store, tmp_path):
    verdicts = []
    store = MemoryStore() if store == "memory" else SQLiteStore(tmp_path / "meetings.db")
    key = store_key(MEETING, key_id="first")
    guard = guard_of(protocol, idempotency_store=store, on_verdict=verdicts.append)
    protocol.ask(guard, REQUEST, heard)
    protocol.ask(guard, REQUEST, heard)
    store = MemoryStore()
    store.claim(key)
    guard = guard_of(protocol, idempotency_store=store, idempotency_wait=0, on_verdict=verdicts.append)
    protocol.ask(guard, REQUEST, heard)
    assert [verdict.outcome for verdict in verdicts] == ["accepted", "duplicate", "in_progress"]
    heard.texts += [repr(verdicts), repr(store), repr(vars(store))]


def test_every_outcome_is_driven():
    elsewhere = {"websocket_refused", "length_required", "duplicate", "in_progress", "ignored"}
    assert {outcome for outcome, *_ in OUTCOMES.values()} | elsewhere == set(Outcome)


def raising(error):
    def work(_):
        raise error

    return work


@on_both_protocols
def test_an_application_that_fails(heard, protocol):
    guard = guard_of(protocol, raising(RuntimeError("no database")), acknowledge=True, idempotency_store=MemoryStore())
    error = protocol.ask(guard, REQUEST, heard)
    assert str(error) == "no database"


@on_both_protocols
@pytest.mark.parametrize(
    "secret", [SECRET, SECRET.encode(), [SECRET, SECOND_SECRET], SECRETS], ids=lambda s: type(s).__name__
)
def test_a_report_with_local_variables_shows_no_secret_of_the_guard(heard, protocol, secret):
    guard = guard_of(protocol, raising(RuntimeError("no database")), secret, idempotency_store=MemoryStore())
    del secret
    error = protocol.ask(guard, REQUEST, heard)
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in report.stack if "mg_middleware" in Path(frame.filename).parts]
    shown = "".join(f"{frame.locals}" for frame in frames)
    assert len(frames) > 1
    assert [word for word in (SECRET, SECOND_SECRET, WORD) if word in shown] == []


class FailingStore:
    """A store of which one step fails, in one of the ways in which stores fail."""

    def __init__(self, failing, error):
        self._failing, self._error, self._store = failing, error, MemoryStore()

    def __getattr__(self, step):
        if step not in {"claim", "complete", "release"}:
            raise AttributeError(step)

        def run(key, *arguments):
            if step == self._failing:
                raise self._error(f"cannot {step} {key}")
            return getattr(self._store, step)(key, *arguments)

        return run


def asynchronous(store):
    class Asynchronous:
        async def claim(self, key):
            return store.claim(key)

        async def complete(self, key, token):
            store.complete(key, token)

        async def release(self, key, token):
            store.release(key, token)

    return Asynchronous()


@on_both_protocols
@pytest.mark.parametrize("error", [KeyError, OSError, StoreError, sqlite3.OperationalError])
@pytest.mark.parametrize("step", ["claim", "complete", "release"])
def test_a_store_that_fails(heard, protocol, step, error):
    # A store each: what failed to complete is still claimed, and the next delivery would wait for it.
    stores = [FailingStore(step, error)]
    if protocol.name == "asgi":
        stores.append(asynchronous(FailingStore(step, error)))
    # The application's error holds the body: what the store does while it is handled must not log it.
    work = raising(ValueError(BODY.decode())) if step == "release" else lambda delivery: delivery.event
    for each_store in stores:
        quiet = type(heard)()
        protocol.ask(guard_of(protocol, work, idempotency_store=each_store), REQUEST, quiet)
    assert f"failed to {step}: {error.__name__}" in heard.text()


def test_a_redis_server_that_is_not_there(heard):
    store = RedisStore(f"redis://:{SECRET}@127.0.0.1:1/0")
    for protocol in PROTOCOLS:
        protocol.ask(guard_of(protocol, idempotency_store=store), REQUEST, heard)
    assert "failed to claim: ConnectionError" in heard.text()
    heard.texts += reprs_of(store)


@on_both_protocols
def test_a_failing_on_verdict(heard, protocol):
    for request in (REQUEST, FORGERY):
        protocol.ask(guard_of(protocol, on_verdict=raising(KeyError("metric"))), request, heard)
    assert "KeyError: 'metric'" in heard.text()


async def answer_later(_):
    return SECRET


@on_both_protocols
@pytest.mark.parametrize(
    "given",
    each(
        {
            "raises": raising(LookupError("no such tenant")),
            "a blank one among others": lambda _: [SECRET, " "],
            "no text": lambda _: [SECRET, 5],
            "not encodable": lambda _: SECRET + "\ud800",
            "a mapping of mappings": lambda _: {"name": {"nested": SECRET}},
            "a name that is none": lambda _: {5: SECRET},
            "bytearray": lambda _: bytearray(SECRET.encode()),
            "a newline at its end": lambda _: SECRET + "\n",
            "later": answer_later,
        }
    ),
)
def test_a_callable_that_gives_no_good_secret(heard, protocol, given):
    if given is answer_later and protocol.name == "wsgi":
        given = lambda request: answer_later(request)  # noqa: E731 - that it is async can't be seen
    protocol.ask(guard_of(protocol, secret=given), REQUEST, heard)


async def app(scope, receive, send):
    pass


MISCONFIGURED = {
    "the secret where the application belongs": lambda: MeetGeekASGIMiddleware(SECRET, app),
    "a limit below zero": lambda: MeetGeekASGIMiddleware(app, SECRET, max_body_size=-1),
    "the secret as limit": lambda: MeetGeekASGIMiddleware(app, SECRET, max_body_size=SECRET),
    "the secret as flag": lambda: MeetGeekASGIMiddleware(app, SECRET, acknowledge=SECRET),
    "the secret as on_verdict": lambda: MeetGeekASGIMiddleware(app, SECRET, on_verdict=SECRET),
    "the secret as store": lambda: MeetGeekASGIMiddleware(app, SECRET, idempotency_store=SECRET),
    "the class of a store": lambda: MeetGeekASGIMiddleware(app, SECRET, idempotency_store=MemoryStore),
    "an asynchronous store on WSGI": lambda: MeetGeekWSGIMiddleware(
        app, SECRET, idempotency_store=asynchronous(MemoryStore())
    ),
    "no paths": lambda: MeetGeekASGIMiddleware(app, SECRET, paths=[]),
    "the secret as bytes in paths": lambda: MeetGeekASGIMiddleware(app, SECRET, paths=[SECRET.encode()]),
    "no text": lambda: MeetGeekASGIMiddleware(app, [SECRET, 5]),
    "a set": lambda: MeetGeekASGIMiddleware(app, {SECRET}),
    "bytearray": lambda: MeetGeekASGIMiddleware(app, bytearray(SECRET.encode())),
    "memoryview": lambda: MeetGeekASGIMiddleware(app, memoryview(SECRET.encode())),
    "a blank one among others": lambda: MeetGeekASGIMiddleware(app, [SECRET, ""]),
    "a blank one behind its name": lambda: MeetGeekASGIMiddleware(app, {"a": SECRET, "b": [SECOND_SECRET, b"\0"]}),
    "a name that is none": lambda: MeetGeekASGIMiddleware(app, {5: SECRET}),
    "not encodable": lambda: MeetGeekASGIMiddleware(app, SECRET + "\udc80"),
    "not encodable, to sign": lambda: sign(SECRET + "\udc80", BODY),
    "text to sign": lambda: sign(SECRET, BODY.decode()),
    "text to verify": lambda: verify(SECRET, BODY.decode(), GENUINE),
    "nothing to verify with": lambda: verify("", BODY, GENUINE),
    "the delivery of a body": lambda: delivery_of(BODY.decode()),
    "the delivery of what was not verified": lambda: delivery_of(http_scope([(b"x-mg-signature", GENUINE.encode())])),
    "a bad URL with a password": lambda: RedisStore(f"redis://:{SECRET}@host:port/0"),
    "a URL of no scheme": lambda: RedisStore(f"rediss:/{SECRET}@host"),
}


@pytest.mark.parametrize("build", each(MISCONFIGURED))
def test_misconfigurations(heard, build):
    with pytest.raises((ConfigurationError, TypeError, LookupError)) as caught:
        build()
    heard.raised(caught.value)


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        ("MEETGEEK_WEBHOOK_SECRET_FILE", SECRET.encode() + b"\xff"),
        ("MEETGEEK_WEBHOOK_SECRET_FILE", SECRET.encode("utf-16")),
        ("MEETGEEK_WEBHOOK_SECRET_FILE", None),
        ("MEETGEEK_WEBHOOK_SECRET", b"\xff"),
    ],
    ids=["no UTF-8", "UTF-16", "the secret in place of the file's name", "not decodable"],
)
def test_environments(heard, monkeypatch, tmp_path, variable, content):
    monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET", raising=False)
    value = SECRET
    if variable.endswith("FILE") and content is not None:
        (tmp_path / "secret").write_bytes(content)
        value = str(tmp_path / "secret")
    elif content is not None:
        value = SECRET + content.decode("utf-8", "surrogateescape")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        MeetGeekASGIMiddleware(app)
    heard.raised(caught.value)


@pytest.mark.parametrize("secret", [f"{SECRET}\n", [SECRET, f" {SECOND_SECRET}"]], ids=["one", "of two"])
def test_the_warning_of_white_space(heard, secret):
    MeetGeekASGIMiddleware(app, secret)


BROKEN_SCOPES = {
    "text as body": ({}, [{"type": "http.request", "body": BODY.decode()}]),
    "a list as body": ({}, [{"type": "http.request", "body": [BODY]}]),
    "another event": ({}, [{"type": "websocket.receive", "text": BODY.decode()}]),
    "no event at all": ({}, []),
    "a signature that is text": ({"headers": [(b"x-mg-signature", GENUINE)]}, []),
    "a field of three parts": ({"headers": [(b"x-mg-signature", GENUINE.encode(), BODY)]}, []),
    "no headers": ({"headers": None}, []),
}


@pytest.mark.parametrize(("changes", "events"), BROKEN_SCOPES.values(), ids=BROKEN_SCOPES)
def test_servers_that_break_the_specification_of_asgi(heard, changes, events):
    scope = http_scope([(b"x-mg-signature", GENUINE.encode())], **changes)
    assert ASGI().send(guard_of(ASGI()), scope, events, heard) is not None


class BrokenStream:
    def __init__(self, answer):
        self._answer = answer

    def read(self, _):
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    "changes",
    each(
        {
            "text as body": ({"wsgi.input": BrokenStream(BODY.decode())}, type(None)),
            "a read that fails": ({"wsgi.input": BrokenStream(ZeroDivisionError("in the server"))}, type(None)),
            "a signature that is bytes": ({"HTTP_X_MG_SIGNATURE": GENUINE.encode()}, AttributeError),
            "a length that is a number": ({"CONTENT_LENGTH": 5}, type(None)),
        }
    ),
)
def test_servers_that_break_the_specification_of_wsgi(heard, changes):
    changes, raised = changes
    environ = wsgi_environ([(b"x-mg-signature", GENUINE.encode()), (b"content-length", b"5")], **changes)
    assert isinstance(WSGI().send(guard_of(WSGI()), environ, heard), raised)


def test_what_objects_show_of_themselves(heard, tmp_path):
    delivery = Delivery([BODY[:20], BODY[20:]], GENUINE.encode(), "first")
    keys = keys_from(SECRETS)
    verification = Verification(keys, GENUINE.encode(), None, math.inf)
    verification.update(BODY)
    shown = [delivery, keys, verification, verification.finish(), keys_from(SECRET), Webhook(SECRET)]
    shown += [vars(MeetGeekASGIMiddleware(app, SECRETS)), vars(MeetGeekWSGIMiddleware(lambda *_: (), SECRETS))]
    delivery.event  # noqa: B018 - it is kept, and must not show
    shown += [parse_event(b'{"message": "File analyzed failed", "x": "%s"}' % WORD.encode()), parse_event(BODY * 2)]
    shown += [AnalysisFailed(payload={"x": WORD}), UnknownEvent(payload=WORD), delivery.event.payload is not None]
    shown += [SQLiteStore(tmp_path / "meetings.db"), MemoryStore(), RedisStore(f"redis://:{SECRET}@127.0.0.1/0")]
    heard.texts += [text for each_object in shown for text in (repr(each_object), str(each_object))]


def test_a_success_shows_its_meeting_and_nothing_else_of_the_body():
    event = parse_event(BODY)
    assert repr(event) == str(event) == f"AnalysisSucceeded(meeting_id={MEETING!r})"
    assert type(event) is AnalysisSucceeded


@on_both_protocols
@pytest.mark.parametrize(
    "secret", [SECRET, SECRET.encode(), [SECRET, SECOND_SECRET], SECRETS], ids=lambda s: type(s).__name__
)
def test_no_attribute_of_a_guard_shows_a_secret(protocol, secret):
    guard = guard_of(protocol, secret=secret, paths="/hook", idempotency_store=MemoryStore(), on_verdict=print)
    shown = list(reprs_of(guard))
    assert len(shown) > 15
    words = [*spellings(SECRET), *spellings(SECOND_SECRET)]
    assert [text for text in shown if any(word in text for word in words)] == []
