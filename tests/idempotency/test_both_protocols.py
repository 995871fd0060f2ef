"""What a store changes about deliveries, on ASGI and WSGI alike."""

import logging
import math

import pytest
from once_per_meeting import (
    FAILED_BODY,
    SECRET,
    UNKNOWN_BODY,
    Answer,
    BlockingStore,
    BrokenStore,
    CoroutineStore,
    signature,
    succeeded,
)

from mg_middleware import ConfigurationError, MemoryStore, Outcome, RedisStore, SQLiteStore
from mg_middleware.idempotency import InProgress


class Handler:
    """Counts its runs; each answers with the next of the given statuses or raises it, the last one for ever."""

    def __init__(self, *statuses):
        self.bodies = []
        self._statuses = list(statuses) or [200]

    @property
    def runs(self):
        return len(self.bodies)

    def __call__(self, body):
        self.bodies.append(body)
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        if isinstance(status, BaseException):
            raise status
        return status


def test_a_second_delivery_of_a_meeting_is_acknowledged_and_does_not_run(protocol, store):
    handler = Handler()
    guarded = protocol.guard(handler, idempotency_store=store)
    first = protocol.deliver(guarded, succeeded())
    second = protocol.deliver(guarded, succeeded())
    assert (first.status, first.body) == (200, b"done")
    assert (second.status, second.body, second.headers["content-length"]) == (200, b"", "0")
    assert handler.bodies == [succeeded()]


def test_the_same_meeting_in_other_bytes_is_the_same_meeting(protocol):
    handler = Handler()
    guarded = protocol.guard(handler, idempotency_store=MemoryStore())
    protocol.deliver(guarded, succeeded("m-1"))
    protocol.deliver(guarded, succeeded("m-1").replace(b": ", b":\t").replace(b"}", b', "team": "two"}'))
    assert handler.runs == 1


def test_another_meeting_runs(protocol, store):
    handler = Handler()
    guarded = protocol.guard(handler, idempotency_store=store)
    protocol.deliver(guarded, succeeded("m-1"))
    protocol.deliver(guarded, succeeded("m-2"))
    assert handler.runs == 2


@pytest.mark.parametrize("body", [FAILED_BODY, UNKNOWN_BODY, b"", b"[]", b"\xff"])
def test_an_event_that_is_no_success_always_runs(protocol, body):
    handler = Handler()
    guarded = protocol.guard(handler, idempotency_store=MemoryStore())
    assert [protocol.deliver(guarded, body).body for _ in range(2)] == [b"done", b"done"]
    assert handler.runs == 2


def test_two_secrets_without_names_are_two_receivers(protocol, store):
    handlers = Handler(), Handler()
    for handler, secret in zip(handlers, [SECRET, "another secret"], strict=True):
        guarded = protocol.guard(handler, secret, idempotency_store=store)
        for _ in range(2):
            assert protocol.deliver(guarded, succeeded(), secret).status == 200
    assert [handler.runs for handler in handlers] == [1, 1]


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "HEAD", "PUT"])
def test_only_a_post_is_remembered(protocol, method):
    """A framework answers OPTIONS by itself, so a replay could mark a meeting as processed that no handler saw."""
    handler = Handler()
    guarded = protocol.guard(handler, idempotency_store=MemoryStore())
    assert [protocol.deliver(guarded, succeeded(), method=method).status for _ in range(2)] == [200, 200]
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert handler.runs == 3


def test_two_tenants_meetings_of_one_id_are_two(protocol):
    handler = Handler()
    guarded = protocol.guard(handler, {"one": "secret one", "two": "secret two"}, idempotency_store=MemoryStore())
    for secret in ("secret one", "secret two", "secret one"):
        protocol.deliver(guarded, succeeded(), secret)
    assert handler.runs == 2


def test_without_a_store_nothing_is_remembered(protocol):
    handler = Handler()
    guarded = protocol.guard(handler)
    protocol.deliver(guarded, succeeded())
    protocol.deliver(guarded, succeeded())
    assert handler.runs == 2


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_completes(protocol, status):
    handler = Handler(status)
    guarded = protocol.guard(handler, idempotency_store=MemoryStore())
    assert protocol.deliver(guarded, succeeded()).status == status
    assert protocol.deliver(guarded, succeeded()).status == 200
    assert handler.runs == 1


@pytest.mark.parametrize("status", [300, 302, 400, 404, 409, 500, 503])
def test_any_other_answer_releases(protocol, store, status):
    handler = Handler(status, 200)
    guarded = protocol.guard(handler, idempotency_store=store)
    assert protocol.deliver(guarded, succeeded()).status == status
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert protocol.deliver(guarded, succeeded()).body == b""
    assert handler.runs == 2


def test_an_exception_passes_untouched_and_releases(protocol, store):
    failure = RuntimeError("the handler failed")
    handler = Handler(failure, 200)
    guarded = protocol.guard(handler, idempotency_store=store)
    with pytest.raises(RuntimeError) as raised:
        protocol.deliver(guarded, succeeded())
    assert raised.value is failure
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert handler.runs == 2


def test_a_delivery_that_is_being_processed_is_to_be_sent_again(protocol, store_kind):
    answers = []
    guarded = protocol.guard(
        lambda body: protocol.deliver_within_handler(guarded, body, answers),
        idempotency_store=store_kind.make(lease=7.5),
    )
    assert protocol.deliver(guarded, succeeded()).status == 200
    (answer,) = answers
    assert answer.status == 409
    assert answer.headers["retry-after"] == "8"
    assert protocol.deliver(guarded, succeeded()).body == b""


def test_three_posts_of_which_the_first_fails(protocol, store):
    handler = Handler(500, 200)
    guarded = protocol.guard(handler, idempotency_store=store)
    assert [protocol.deliver(guarded, succeeded()).status for _ in range(3)] == [500, 200, 200]
    assert handler.runs == 2


def test_a_team_of_five_whose_first_delivery_fails(protocol, store):
    handler = Handler(RuntimeError(), 200)
    guarded = protocol.guard(handler, idempotency_store=store)
    with pytest.raises(RuntimeError):
        protocol.deliver(guarded, succeeded())
    assert {protocol.deliver(guarded, succeeded()).status for _ in range(4)} == {200}
    assert handler.runs == 2


def test_acknowledging_and_remembering_compose(protocol, store):
    handler = Handler(500, 202)
    guarded = protocol.guard(handler, idempotency_store=store, acknowledge=True)
    answers = [protocol.deliver(guarded, succeeded()) for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(500, b"done"), (200, b""), (200, b"")]
    assert handler.runs == 2


def test_the_operator_is_told_what_was_decided(protocol):
    verdicts, answers = [], []
    guarded = protocol.guard(
        lambda body: protocol.deliver_within_handler(guarded, body, answers),
        {"tenant": SECRET},
        idempotency_store=MemoryStore(),
        on_verdict=verdicts.append,
    )
    protocol.deliver(guarded, succeeded())
    protocol.deliver(guarded, succeeded())
    assert [(verdict.outcome, verdict.status) for verdict in verdicts] == [
        (Outcome.ACCEPTED, None),
        (Outcome.IN_PROGRESS, 409),
        (Outcome.DUPLICATE, 200),
    ]
    assert {(verdict.key_id, verdict.body_size) for verdict in verdicts} == {("tenant", len(succeeded()))}


@pytest.mark.parametrize("broken", ["claim", "complete", "release"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "asynchronous"])
def test_a_store_that_fails_is_logged_and_the_event_is_processed(protocol, caplog, asynchronous, broken):
    store = BrokenStore(MemoryStore(), broken)
    handler = Handler(500 if broken == "release" else 200)
    # WSGI cannot wait for an asynchronous store.
    wraps = asynchronous and protocol.name != "WSGI"
    guarded = protocol.guard(handler, idempotency_store=CoroutineStore(store) if wraps else store)
    name = "CoroutineStore" if wraps else "BrokenStore"
    with caplog.at_level(logging.INFO, logger="mg_middleware"):
        answer = protocol.deliver(guarded, succeeded("m-secret"))
    assert answer.body == b"done"
    assert handler.runs == 1
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("mg_middleware", "ERROR")
    message = record.getMessage()
    assert message == (
        f"the idempotency store {name} failed to {broken}: OSError: [Errno 28] No space left on device; "
        "the event is processed, perhaps more than once"
    )
    assert record.exc_info is None
    for hidden in (SECRET, "m-secret", signature(succeeded("m-secret"))):
        assert hidden not in message


def test_a_store_that_answers_nonsense_has_failed(protocol, caplog):
    class Nonsense(BrokenStore):
        def claim(self, key):
            return True

    handler = Handler()
    guarded = protocol.guard(handler, idempotency_store=Nonsense(MemoryStore(), None))
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert "must return a Claim, not bool" in caplog.text


@pytest.mark.parametrize("seconds_left", [math.inf, math.nan, None, "5"])
def test_a_store_that_says_no_number_of_seconds_has_failed(protocol, caplog, seconds_left):
    class Endless(BrokenStore):
        def claim(self, key):
            return InProgress(seconds_left)

    guarded = protocol.guard(Handler(), idempotency_store=Endless(MemoryStore(), None))
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert "InProgress of a store must have a finite number of seconds_left" in caplog.text


@pytest.mark.parametrize("step", ["claim", "complete"])
def test_an_error_of_a_store_that_has_no_text_is_logged_all_the_same(protocol, caplog, step):
    class NoTextError(Exception):
        def __str__(self):
            return self.args[0]

    class Raises(BrokenStore):
        def _take(self, name, *arguments):
            if name == step:
                raise NoTextError({"code": 503})
            return super()._take(name, *arguments)

    guarded = protocol.guard(Handler(), idempotency_store=Raises(MemoryStore(), None))
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert f"failed to {step}: NoTextError: its text can't be read; the event is processed" in caplog.text


def test_a_store_that_answers_an_awaitable_unasked_is_told_what_to_say(protocol, caplog):
    class Later:
        def __await__(self):
            raise AssertionError("nobody awaits this")

    class Unasked(BrokenStore):
        def claim(self, key):
            return Later()

    guarded = protocol.guard(Handler(), idempotency_store=Unasked(MemoryStore(), None))
    assert protocol.deliver(guarded, succeeded()).body == b"done"
    assert 'not Later; a store whose plain methods return awaitables has the attribute execution = "asyn' in caplog.text


def test_a_store_full_of_live_claims_is_logged_and_the_event_is_processed(protocol, caplog):
    answers = []
    handler = Handler()

    def handle(body):
        if handler(body) and body == succeeded("m-1"):
            return protocol.deliver_within_handler(guarded, succeeded("m-2"), answers)
        return 200

    guarded = protocol.guard(handle, idempotency_store=MemoryStore(max_entries=1))
    protocol.deliver(guarded, succeeded("m-1"))
    assert [answer.body for answer in answers] == [b"done"]
    assert "all 1 entries of the MemoryStore are live claims" in caplog.text


def test_a_users_own_store_serves(protocol):
    handler = Handler(500, 200)
    guarded = protocol.guard(handler, idempotency_store=BlockingStore(MemoryStore()))
    answers = [protocol.deliver(guarded, succeeded()) for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(500, b"done"), (200, b"done"), (200, b"")]


def test_what_is_no_store_is_refused(protocol):
    class OnlyClaims:
        def claim(self, key): ...

    for wrong in (OnlyClaims(), "redis://127.0.0.1", {}):
        words = f"^idempotency_store takes an object that can claim, complete and release, not {type(wrong)}$"
        with pytest.raises(TypeError, match=words):
            protocol.guard(Handler(), idempotency_store=wrong)


def test_the_class_of_a_store_is_refused(protocol):
    with pytest.raises(ConfigurationError, match=r"write MemoryStore\("):
        protocol.guard(Handler(), idempotency_store=MemoryStore)


def test_a_store_that_says_something_unknown_of_itself_is_refused(protocol):
    class Odd(MemoryStore):
        execution = "quick"

    with pytest.raises(ConfigurationError, match=r"Odd\.execution"):
        protocol.guard(Handler(), idempotency_store=Odd())


def test_two_middlewares_may_share_a_store(protocol, tmp_path):
    handler = Handler()
    path = tmp_path / "deliveries.sqlite3"
    one = protocol.guard(handler, idempotency_store=SQLiteStore(path))
    other = protocol.guard(handler, idempotency_store=SQLiteStore(path))
    assert protocol.deliver(one, succeeded()).body == b"done"
    assert protocol.deliver(other, succeeded()).body == b""


def test_a_redis_store_made_from_a_url_serves(protocol, redis_server):
    handler = Handler()
    guarded = protocol.guard(handler, idempotency_store=RedisStore(redis_server.url))
    assert [protocol.deliver(guarded, succeeded()) for _ in range(2)][1] == Answer(
        200, {"content-type": "text/plain; charset=utf-8", "content-length": "0"}, b""
    )
    assert handler.runs == 1
