"""What every store does."""

import hmac
import sys
from math import inf, nan

import pytest
from once_per_meeting import SECRET

from mg_middleware import ConfigurationError
from mg_middleware._keys import Key
from mg_middleware._refusals import MALFORMED_SIGNATURE
from mg_middleware._verification import check_header
from mg_middleware.idempotency import AlreadyComplete, Claimed, InProgress, store_key


def test_the_first_claim_of_a_key_gets_it(store):
    assert isinstance(store.claim("key"), Claimed)


def test_a_second_claim_is_told_how_long_the_first_may_last(store_kind):
    store = store_kind.make(lease=30)
    store.claim("key")
    store_kind.let_pass(10)
    answer = store.claim("key")
    assert isinstance(answer, InProgress)
    assert 19 < answer.seconds_left <= 20


def test_how_long_a_claim_may_last_is_told_exactly(store_kind):
    store = store_kind.make(lease=1_000_000)
    store.claim("key")
    assert 999_900 < store.claim("key").seconds_left <= 1_000_000


def test_claims_of_different_keys_do_not_meet(store):
    first, second = store.claim("one"), store.claim("two")
    assert first.token != second.token


def test_a_completed_key_stays_complete(store):
    store.complete("key", store.claim("key").token)
    assert store.claim("key") == store.claim("key") == AlreadyComplete()


def test_a_released_key_can_be_claimed_again(store):
    store.release("key", store.claim("key").token)
    assert isinstance(store.claim("key"), Claimed)


def test_a_claim_lapses_after_its_lease(store_kind):
    store = store_kind.make(lease=30)
    first = store.claim("key")
    store_kind.let_pass(30.01)
    second = store.claim("key")
    assert isinstance(second, Claimed)
    assert second.token != first.token


def test_a_completed_key_is_forgotten_after_its_time_to_live(store_kind):
    store = store_kind.make(ttl=100)
    store.complete("key", store.claim("key").token)
    store_kind.let_pass(99)
    assert store.claim("key") == AlreadyComplete()
    store_kind.let_pass(1.01)
    assert isinstance(store.claim("key"), Claimed)


def test_a_completed_key_is_remembered_for_a_day(store_kind):
    store = store_kind.make()
    store.complete("key", store.claim("key").token)
    store_kind.let_pass(86_399)
    assert store.claim("key") == AlreadyComplete()
    store_kind.let_pass(1.01)
    assert isinstance(store.claim("key"), Claimed)


def test_a_claim_expires_after_ten_seconds(store_kind):
    store = store_kind.make()
    store.claim("key")
    store_kind.let_pass(9)
    assert isinstance(store.claim("key"), InProgress)
    store_kind.let_pass(1.01)
    assert isinstance(store.claim("key"), Claimed)


def test_a_lease_may_be_less_than_a_second(store_kind):
    store = store_kind.make(lease=0.5)
    store.claim("key")
    store_kind.let_pass(0.51)
    assert isinstance(store.claim("key"), Claimed)


def test_a_completed_key_without_a_time_to_live_is_never_forgotten(store_kind):
    store = store_kind.make(ttl=None)
    store.complete("key", store.claim("key").token)
    store_kind.let_pass(10**9)
    assert store.claim("key") == AlreadyComplete()


def test_the_longest_time_to_live_serves(store_kind):
    store = store_kind.make(ttl=10**15)
    store.complete("key", store.claim("key").token)
    assert store.claim("key") == AlreadyComplete()


def test_a_key_can_be_completed_anew_after_it_was_forgotten(store_kind):
    store = store_kind.make(ttl=100)
    store.complete("key", store.claim("key").token)
    store_kind.let_pass(100.01)
    store.complete("key", store.claim("key").token)
    assert store.claim("key") == AlreadyComplete()


@pytest.mark.parametrize("step", ["complete", "release"])
def test_a_foreign_token_ends_no_live_claim(store, step):
    store.claim("key")
    getattr(store, step)("key", "foreign")
    assert isinstance(store.claim("key"), InProgress)


@pytest.mark.parametrize("step", ["complete", "release"])
def test_the_holder_of_a_lapsed_claim_does_not_end_its_successors(store_kind, step):
    store = store_kind.make(lease=30)
    lapsed = store.claim("key")
    store_kind.let_pass(30.01)
    successor = store.claim("key")
    getattr(store, step)("key", lapsed.token)
    assert isinstance(store.claim("key"), InProgress)
    store.complete("key", successor.token)
    assert store.claim("key") == AlreadyComplete()


def test_a_slow_holder_may_still_complete_a_key_that_nobody_took(store_kind):
    store = store_kind.make(lease=30)
    claim = store.claim("key")
    store_kind.let_pass(31)
    store.complete("key", claim.token)
    assert store.claim("key") == AlreadyComplete()


def test_a_slow_holder_may_complete_a_key_whose_next_claim_lapsed_as_well(store_kind):
    store = store_kind.make(lease=30)
    slow = store.claim("key")
    store_kind.let_pass(31)
    store.claim("key")
    store_kind.let_pass(31)
    store.complete("key", slow.token)
    assert store.claim("key") == AlreadyComplete()


@pytest.mark.parametrize("step", ["complete", "release"])
def test_a_late_end_does_not_change_a_completed_key(store_kind, step):
    store = store_kind.make(ttl=100, lease=30)
    slow = store.claim("key")
    store_kind.let_pass(31)
    store.complete("key", store.claim("key").token)
    store_kind.let_pass(60)
    getattr(store, step)("key", slow.token)
    assert store.claim("key") == AlreadyComplete()
    store_kind.let_pass(41)
    assert isinstance(store.claim("key"), Claimed)


def test_a_late_holder_may_complete_a_key_that_was_completed_and_forgotten_meanwhile(store_kind):
    store = store_kind.make(ttl=100, lease=30)
    slow = store.claim("key")
    store_kind.let_pass(31)
    store.complete("key", store.claim("key").token)
    store_kind.let_pass(100.01)
    store.complete("key", slow.token)
    assert store.claim("key") == AlreadyComplete()


def test_releasing_an_unknown_key_does_nothing(store):
    store.release("key", "foreign")
    assert isinstance(store.claim("key"), Claimed)


HOSTILE_MEETING_IDS = {
    "empty": "",
    "a NUL": "\0",
    "a lone surrogate": "\ud800",
    "SQL": "'; DROP TABLE deliveries; --",
    "a Redis command": "\r\n*1\r\n$8\r\nFLUSHALL\r\n",
    "a megabyte": "m" * 1_000_000,
    "all of Unicode's ends": "\x00\x7f\x80\uffff\U0010ffff",
}


@pytest.mark.parametrize("meeting_id", HOSTILE_MEETING_IDS.values(), ids=HOSTILE_MEETING_IDS.keys())
def test_a_hostile_meeting_id_is_a_key_like_any_other(store, meeting_id):
    key = store_key(meeting_id, secret=SECRET)
    assert len(key) == 64
    store.complete(key, store.claim(key).token)
    assert store.claim(key) == AlreadyComplete()
    assert isinstance(store.claim(store_key(meeting_id + "x", secret=SECRET)), Claimed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"key_id": ""}, {"secret": SECRET}),
        ({"key_id": "-"}, {"secret": SECRET}),
        ({"secret": SECRET}, {"secret": SECRET + "x"}),
        ({"key_id": "a", "message": "b"}, {"key_id": "ab", "message": ""}),
        ({"key_id": "a", "message": "1:b"}, {"key_id": "a,1:1:b", "message": ""}),
        ({"key_id": "a"}, {"key_id": "a", "meeting_id": "x\0"}),
        ({"key_id": "a", "meeting_id": "\ud83d\ude00"}, {"key_id": "a", "meeting_id": "\U0001f600"}),
    ],
)
def test_different_deliveries_never_share_a_key(one, other):
    assert store_key(**{"meeting_id": "x", **one}) != store_key(**{"meeting_id": "x", **other})


def test_a_key_is_the_same_in_every_version():
    # A file or a server outlives the version that wrote into it.
    assert store_key("m", secret=b"secret") == "0e797dd27b23c1adf6a7ea2007d638a30e545f86ebb5c3a9c1a6802dcce9c7cc"
    assert store_key("m", key_id="tenant") == "6711f48b2c50dad42dd030fbda98aa350854e08567240fd2149be9ca31d46e0a"


@pytest.mark.parametrize("arguments", [{}, {"key_id": "name", "secret": SECRET}], ids=["neither", "both"])
def test_a_key_belongs_to_a_named_secret_or_to_one_without_a_name(arguments):
    with pytest.raises(TypeError, match="either key_id= or secret="):
        store_key("m", **arguments)


def test_a_fingerprint_reveals_no_signature():
    key = Key(b"secret")
    fingerprint = hmac.new(b"secret", b"mg-middleware: fingerprint of a key", "sha256").hexdigest()[:32]
    assert key.fingerprint == fingerprint
    assert check_header([key.fingerprint.encode()], None, inf) is MALFORMED_SIGNATURE


RANGE = f"must be more than 0 and at most {10**15} seconds, not"
NUMBER = "must be a number of seconds, not"
BAD_OPTIONS = {
    "no lease": ({"lease": 0}, ConfigurationError, f"lease {RANGE} 0"),
    "a negative lease": ({"lease": -1}, ConfigurationError, f"lease {RANGE} -1"),
    "an endless lease": ({"lease": inf}, ConfigurationError, f"lease {RANGE} inf"),
    "a lease that is no number": ({"lease": nan}, ConfigurationError, f"lease {RANGE} nan"),
    "a lease of None": ({"lease": None}, TypeError, f"lease {NUMBER} NoneType"),
    "a lease of text": ({"lease": "60"}, TypeError, f"lease {NUMBER} str"),
    "no time to live": ({"ttl": 0}, ConfigurationError, f"ttl {RANGE} 0; None means no expiry"),
    "a time to live that no float holds": (
        {"ttl": 10**400},
        ConfigurationError,
        f"ttl {RANGE} {10**400}; None means no expiry",
    ),
    "a time to live that Redis cannot count": (
        {"ttl": sys.maxsize},
        ConfigurationError,
        f"ttl {RANGE} {sys.maxsize}; None means no expiry",
    ),
    "a time to live of True": ({"ttl": True}, TypeError, f"ttl {NUMBER} bool"),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_an_option_out_of_its_range_is_refused(store_kind, options, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        store_kind.make(**options)


@pytest.mark.parametrize("wrong", [0, float("inf")])
def test_who_asks_for_no_end_is_told_how(store_kind, wrong):
    with pytest.raises(ConfigurationError, match=r"ttl .*; None means no expiry"):
        store_kind.make(ttl=wrong)
