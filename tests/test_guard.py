"""What holds on both protocols: the options, the decision, the answers, the log and `on_verdict`."""

import logging
import math
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest
from cases import (
    FAILED,
    GENUINE,
    INVALID_LENGTHS,
    LIMIT,
    MALFORMED_SIGNATURES,
    OTHER_SECRET,
    PADDED_SIGNATURES,
    SECRET,
    SPELT_LENGTHS,
    SUCCEEDED,
    signature_of,
    signed,
)
from exchange import CLIENT, PATH, each, on_both_protocols
from hypothesis import given
from hypothesis import strategies as st

from mg_middleware import AnalysisSucceeded, ConfigurationError, Outcome, Verdict
from mg_middleware._refusals import INVALID_LENGTH
from mg_middleware._verification import check_header

UNAUTHORIZED = b"The request carries no valid signature.\n"
UNAUTHORIZED_HEADERS = {
    "content-type": "text/plain; charset=utf-8",
    "content-length": str(len(UNAUTHORIZED)),
    "www-authenticate": 'MeetGeek-Signature realm="webhook"',
}


def length_field(value):
    return (b"content-length", value)


class Refused(NamedTuple):
    """A request that is refused, and how: the same on both protocols but for what WSGI servers join."""

    fields: list
    outcome: str
    status: int = 401
    chunks: tuple = (SUCCEEDED,)
    body_size: int = 0  # bytes read
    options: Mapping = MappingProxyType({})
    wsgi_outcome: str | None = None


REFUSED = {
    "no signature": Refused([], "missing_signature"),
    "no signature but a valid length": Refused([length_field(b"95")], "missing_signature"),
    "another header": Refused([(b"x-mg-signatures", GENUINE)], "missing_signature"),
    "another header of as many letters": Refused([(b"x-mg-signatura", GENUINE)], "missing_signature"),
    "the header twice, both genuine": Refused(
        signed(SUCCEEDED) * 2, "repeated_signature", wsgi_outcome="malformed_signature"
    ),
    "genuine and then forged": Refused(
        [*signed(SUCCEEDED), (b"X-MG-Signature", b"0" * 64)], "repeated_signature", wsgi_outcome="malformed_signature"
    ),
    "forged and then genuine": Refused(
        [(b"X-MG-Signature", b"0" * 64), *signed(SUCCEEDED)], "repeated_signature", wsgi_outcome="malformed_signature"
    ),
    "genuine and then empty": Refused(
        [*signed(SUCCEEDED), (b"x-mg-signature", b"")], "repeated_signature", wsgi_outcome="malformed_signature"
    ),
    "not hexadecimal": Refused([(b"x-mg-signature", b"junk")], "malformed_signature"),
    "empty": Refused([(b"x-mg-signature", b"")], "malformed_signature"),
    "malformed, and the length is, too": Refused(
        [(b"x-mg-signature", b"junk"), length_field(b"junk")], "malformed_signature"
    ),
    "missing, and the length is too much": Refused([length_field(b"9" * 30)], "missing_signature"),
    "an invalid length": Refused([*signed(SUCCEEDED), length_field(b"junk")], "invalid_length", 400),
    "a length over the limit": Refused(
        [*signed(SUCCEEDED), length_field(b"11")], "body_too_large", 413, options={"max_body_size": 10}
    ),
    "a length over any limit": Refused([*signed(SUCCEEDED), length_field(b"9" * 5000)], "body_too_large", 413),
    "a body over the limit": Refused(
        signed(b"x" * 11), "body_too_large", 413, (b"x" * 10, b"x"), 11, {"max_body_size": 10}
    ),
    "a body over the default limit": Refused(
        signed(b"x" * (LIMIT + 1)), "body_too_large", 413, (b"x" * LIMIT, b"x"), LIMIT + 1
    ),
    "nobody known": Refused(signed(SUCCEEDED), "unknown_sender", options={"secret": lambda request: None}),
    "another secret": Refused(signed(SUCCEEDED, OTHER_SECRET), "signature_mismatch", body_size=len(SUCCEEDED)),
    "another body": Refused(signed(SUCCEEDED), "signature_mismatch", chunks=(FAILED,), body_size=len(FAILED)),
    "no body where one was signed": Refused(signed(SUCCEEDED), "signature_mismatch", chunks=()),
    "a body where none was signed": Refused(signed(b""), "signature_mismatch", body_size=len(SUCCEEDED)),
    "the MD5 of nothing twice": Refused(
        [(b"x-mg-signature", b"d41d8cd98f00b204e9800998ecf8427e" * 2)], "signature_mismatch", chunks=()
    ),
}
on_each_refusal = pytest.mark.parametrize("case", each(REFUSED))


def outcome_of(case, receiver):
    return case.wsgi_outcome or case.outcome if receiver.protocol == "wsgi" else case.outcome


def headers_of(answer):
    assert len({name.lower() for name, _ in answer.headers}) == len(answer.headers)
    return {name.lower(): value for name, value in answer.headers}


@on_both_protocols
class TestDecision:
    def test_a_genuine_request_reaches_the_application_with_its_exact_bytes(self, receiver_class):
        receiver = receiver_class()
        answer = receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        assert answer.status == 200
        assert answer.body == b"processed"
        assert receiver.bodies == [SUCCEEDED]
        [delivery] = receiver.deliveries
        assert delivery.body == SUCCEEDED
        assert delivery.signature == GENUINE.decode()
        assert delivery.key_id is None
        assert delivery.event == AnalysisSucceeded("5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a")

    @on_each_refusal
    def test_a_refused_request_is_answered_and_never_reaches_the_application(self, receiver_class, case):
        receiver = receiver_class(**case.options)
        answer = receiver.ask(case.fields, *case.chunks)
        assert answer.status == case.status
        assert receiver.deliveries == []

    @on_each_refusal
    def test_no_body_is_read_once_the_headers_have_decided(self, receiver_class, case):
        receiver = receiver_class(**case.options)
        receiver.ask(case.fields, *case.chunks)
        assert receiver.is_body_read == (case.body_size > 0 or case.outcome == "signature_mismatch")

    @pytest.mark.parametrize("value", each(MALFORMED_SIGNATURES))
    def test_every_malformed_header_is_refused_before_the_body(self, receiver_class, value):
        receiver = receiver_class()
        assert receiver.ask([(b"x-mg-signature", value)], SUCCEEDED).status == 401
        assert receiver.deliveries == []
        assert not receiver.is_body_read

    @pytest.mark.parametrize("value", each(PADDED_SIGNATURES))
    def test_spaces_and_tabs_round_the_signature_are_not_part_of_it(self, receiver_class, value):
        receiver = receiver_class()
        assert receiver.ask([(b"x-mg-signature", value)], SUCCEEDED).status == 200
        assert [delivery.signature for delivery in receiver.deliveries] == [GENUINE.decode()]

    @pytest.mark.parametrize("name", [b"x-mg-signature", b"X-MG-Signature", b"X-Mg-SIGNATURE"])
    def test_the_header_may_be_in_any_letter_case(self, receiver_class, name):
        assert receiver_class().ask([(name, GENUINE)], SUCCEEDED).status == 200

    def test_every_bit_of_the_body_counts(self, receiver_class):
        receiver = receiver_class()
        for position in range(len(SUCCEEDED) * 8):
            flipped = bytearray(SUCCEEDED)
            flipped[position // 8] ^= 1 << position % 8
            assert receiver.ask(signed(SUCCEEDED), bytes(flipped)).status == 401, position
        assert receiver.deliveries == []

    def test_every_bit_of_the_signature_counts(self, receiver_class):
        receiver = receiver_class()
        for position in range(len(GENUINE) * 8):
            flipped = bytearray(GENUINE)
            flipped[position // 8] ^= 1 << position % 8
            assert receiver.ask([(b"x-mg-signature", bytes(flipped))], SUCCEEDED).status == 401, position
        assert receiver.deliveries == []

    @pytest.mark.parametrize("length", range(len(SUCCEEDED)))
    def test_no_part_of_the_body_is_enough(self, receiver_class, length):
        assert receiver_class().ask(signed(SUCCEEDED), SUCCEEDED[:length]).status == 401

    @pytest.mark.parametrize("value", each(INVALID_LENGTHS))
    def test_a_declared_length_that_is_no_plain_digits_is_refused(self, receiver_class, value):
        receiver = receiver_class()
        assert receiver.ask([*signed(SUCCEEDED), length_field(value)], SUCCEEDED).status == 400
        assert receiver.deliveries == []
        assert not receiver.is_body_read

    @pytest.mark.parametrize(("spelling", "size"), SPELT_LENGTHS.values(), ids=SPELT_LENGTHS)
    @pytest.mark.parametrize("limit", [5, None], ids=["limited", "unlimited"])
    def test_leading_zeros_of_a_length_do_no_harm(self, receiver_class, spelling, size, limit):
        receiver = receiver_class(max_body_size=limit)
        body = b"x" * size
        assert receiver.ask([*signed(body), length_field(spelling % size)], body).status == 200
        assert receiver.bodies == [body]

    @pytest.mark.parametrize("size", [0, 1, 9, 10])
    @pytest.mark.parametrize("declares", [True, False], ids=["declared", "not declared"])
    def test_a_body_up_to_the_limit_passes(self, receiver_class, size, declares):
        body = b"x" * size
        receiver = receiver_class(max_body_size=10)
        fields = [*signed(body), *([length_field(b"%d" % size)] if declares else [])]
        assert receiver.ask(fields, body).status == 200
        assert receiver.bodies == [body]

    def test_a_body_of_the_default_limit_passes(self, receiver_class):
        body = bytes(LIMIT)
        assert receiver_class().ask([*signed(body), length_field(b"%d" % LIMIT)], body).status == 200
        assert receiver_class().ask([*signed(body), length_field(b"%d" % (LIMIT + 1))], body).status == 413

    def test_without_a_limit_a_larger_body_passes(self, receiver_class):
        body = bytes(LIMIT + 1)
        receiver = receiver_class(max_body_size=None)
        assert receiver.ask([*signed(body), length_field(b"%d" % len(body))], body).status == 200
        assert receiver.ask(signed(body), body).status == 200

    def test_a_limit_of_nothing_lets_an_empty_body_pass_alone(self, receiver_class):
        receiver = receiver_class(max_body_size=0)
        assert receiver.ask(signed(b"")).status == 200
        assert receiver.ask(signed(b"x"), b"x").status == 413

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "CONNECT", "post", "BREW"])
    def test_every_method_is_verified(self, receiver_class, method):
        receiver = receiver_class()
        assert receiver.ask(signed(b""), method=method).status == 200
        assert receiver.ask(signed(b"", OTHER_SECRET), method=method).status == 401
        assert receiver.ask([], method=method).status == 401
        assert len(receiver.deliveries) == 1

    @pytest.mark.parametrize(
        "body",
        [b"\xff\x00", b"", b" ", b'{ "a":\r\n1 }', b"\x1f\x8b\x08\x00", "\u2028".encode(), FAILED + b"\n"],
        ids=["no text", "empty", "a space", "odd spacing", "compressed", "line separator", "final newline"],
    )
    def test_bytes_are_verified_as_they_come(self, receiver_class, body):
        receiver = receiver_class()
        assert receiver.ask(signed(body), body).status == 200
        assert receiver.ask(signed(body.strip() + b"x"), body).status == 401
        assert receiver.bodies == [body]


@on_both_protocols
@given(chunks=st.lists(st.binary(max_size=40), max_size=12), limit=st.integers(0, 200))
def test_any_body_in_any_chunks_comes_out_equal_or_is_refused(receiver_class, chunks, limit):
    receiver = receiver_class(max_body_size=limit)
    body = b"".join(chunks)
    answer = receiver.ask(signed(body), *chunks)
    assert answer.status == (200 if len(body) <= limit else 413)
    assert receiver.bodies == ([body] if len(body) <= limit else [])
    assert [delivery.body for delivery in receiver.deliveries] == receiver.bodies


@on_both_protocols
@given(value=st.binary(max_size=80) | st.text("0123456789abcdef", min_size=63, max_size=65).map(str.encode))
def test_any_header_is_answered(receiver_class, value):
    receiver = receiver_class()
    assert receiver.ask([(b"x-mg-signature", value)], SUCCEEDED).status == 401
    assert receiver.deliveries == []


@on_both_protocols
@given(value=st.binary(min_size=1, max_size=30) | st.integers(0).map(lambda number: b"%d" % number))
def test_any_declared_length_is_answered(receiver_class, value):
    receiver = receiver_class(max_body_size=100)
    status = receiver.ask([*signed(SUCCEEDED), length_field(value)], SUCCEEDED).status
    length = int(value) if value.isdigit() else None
    if length is None:
        assert status == 400
    elif length > 100:
        assert status == 413
    elif length == len(SUCCEEDED):
        assert status == 200
    else:
        # A WSGI stream that the server does not end is never read past the declared length.
        assert status == (401 if length < len(SUCCEEDED) and receiver.protocol == "wsgi" else 400)
    assert receiver.bodies == ([SUCCEEDED] if status == 200 else [])


@on_both_protocols
class TestAnswers:
    @pytest.mark.parametrize("case", each({name: case for name, case in REFUSED.items() if case.status == 401}))
    def test_every_401_is_the_same(self, receiver_class, case):
        answer = receiver_class(**case.options).ask(case.fields, *case.chunks)
        assert answer.body == UNAUTHORIZED
        assert headers_of(answer) == UNAUTHORIZED_HEADERS

    @on_each_refusal
    def test_an_answer_has_the_right_length_and_no_connection_field(self, receiver_class, case):
        answer = receiver_class(**case.options).ask(case.fields, *case.chunks)
        headers = headers_of(answer)
        assert headers["content-length"] == str(len(answer.body))
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert "connection" not in headers
        assert ("www-authenticate" in headers) == (case.status == 401)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("an invalid length", b"The Content-Length is not a number.\n"),
            ("a length over the limit", b"The body is too large.\n"),
            ("a body over the limit", b"The body is too large.\n"),
        ],
    )
    def test_other_refusals_say_what_is_wrong(self, receiver_class, name, text):
        case = REFUSED[name]
        assert receiver_class(**case.options).ask(case.fields, *case.chunks).body == text

    @on_each_refusal
    def test_no_answer_hints_at_the_expected_value(self, receiver_class, case):
        answer = receiver_class(**case.options).ask(case.fields, *case.chunks)
        for hint in (SECRET, OTHER_SECRET, signature_of(b"".join(case.chunks)).decode(), "mismatch", "malformed"):
            assert hint not in f"{answer}"

    @on_each_refusal
    def test_head_gets_no_body(self, receiver_class, case):
        answer = receiver_class(**case.options).ask(case.fields, *case.chunks, method="HEAD")
        assert answer.status == case.status
        assert answer.body == b""

    def test_an_answer_that_is_changed_outside_does_not_change_the_next(self, receiver_class):
        receiver = receiver_class()
        first = receiver.ask([], SUCCEEDED)
        expected = list(first.headers)
        first.headers.append(("X-Added", "outside"))
        assert receiver.ask([], SUCCEEDED).headers == expected


@on_both_protocols
class TestSecrets:
    @pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), [OTHER_SECRET, SECRET], (SECRET, OTHER_SECRET)])
    def test_any_of_the_secrets_may_match(self, receiver_class, secret):
        receiver = receiver_class(secret)
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED).status == 200
        assert receiver.deliveries[0].key_id is None

    @pytest.mark.parametrize("signing", [SECRET, OTHER_SECRET, "third"])
    def test_the_name_of_the_secret_that_matched_is_the_key_id(self, receiver_class, signing):
        receiver = receiver_class({"a": [SECRET, OTHER_SECRET], "b": "third"})
        receiver.ask(signed(SUCCEEDED, signing), SUCCEEDED)
        assert receiver.deliveries[0].key_id == ("b" if signing == "third" else "a")

    def test_the_first_of_two_names_for_one_secret_is_the_key_id(self, receiver_class):
        with pytest.warns(UserWarning, match=r"^the secrets named 'b' and 'a' are the same HMAC key: every delivery"):
            receiver = receiver_class({"b": SECRET, "a": f"{SECRET}\0"})
        receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        assert receiver.deliveries[0].key_id == "b"

    @pytest.mark.parametrize(
        "secret", [SECRET, [OTHER_SECRET, SECRET], {"tenant": SECRET}], ids=["str", "list", "dict"]
    )
    def test_a_callable_may_return_any_form(self, receiver_class, secret):
        receiver = receiver_class(lambda request: secret)
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED).status == 200
        assert receiver.ask(signed(SUCCEEDED, "third"), SUCCEEDED).status == 401
        assert receiver.deliveries[0].key_id == ("tenant" if isinstance(secret, dict) else None)

    def test_a_callable_chooses_by_the_request(self, receiver_class):
        secrets = {"/a": SECRET, "/b": OTHER_SECRET}
        receiver = receiver_class(lambda request: secrets.get(request.get("path") or request.get("PATH_INFO")))
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED, path="/a").status == 200
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED, path="/b").status == 401
        assert receiver.ask(signed(SUCCEEDED, OTHER_SECRET), SUCCEEDED, path="/b").status == 200
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED, path="/c").status == 401

    @pytest.mark.parametrize(
        "name", ["no signature", "not hexadecimal", "an invalid length", "a length over any limit"]
    )
    def test_a_callable_is_not_asked_about_what_the_headers_have_decided(self, receiver_class, name):
        asked = []
        receiver_class(asked.append).ask(REFUSED[name].fields, SUCCEEDED)
        assert asked == []

    def test_what_a_callable_raises_goes_to_the_server(self, receiver_class):
        def secret(request):
            raise KeyError("nobody")

        receiver = receiver_class(secret)
        with pytest.raises(KeyError, match="nobody"):
            receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        assert receiver.deliveries == []

    @pytest.mark.parametrize(
        ("returned", "error", "message"),
        [
            ("", ConfigurationError, "the secret is empty or blank"),
            (b"", ConfigurationError, "the secret is empty or blank"),
            ("\0", ConfigurationError, "the secret is empty or blank"),
            ([], ConfigurationError, "secret is an empty collection"),
            ({}, ConfigurationError, "secret is an empty collection"),
            ({"tenant": []}, ConfigurationError, "no secret is given under the name 'tenant'"),
            (5, TypeError, "a secret must be str or bytes, not int"),
            (False, TypeError, "a secret must be str or bytes, not bool"),
            ([None], TypeError, "a secret must be str or bytes, not NoneType"),
        ],
    )
    def test_junk_from_a_callable_is_an_error_and_no_open_door(self, receiver_class, returned, error, message):
        receiver = receiver_class(lambda request: returned)
        with pytest.raises(error) as raised:
            receiver.ask(signed(SUCCEEDED, ""), SUCCEEDED)
        assert str(raised.value) == message
        assert receiver.deliveries == []

    def test_a_callable_does_not_fall_back_to_the_environment(self, receiver_class, monkeypatch):
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
        assert receiver_class(lambda request: None).ask(signed(SUCCEEDED), SUCCEEDED).status == 401

    def test_the_environment_is_read_when_the_middleware_is_built(self, receiver_class, monkeypatch):
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
        receiver = receiver_class(None)
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", OTHER_SECRET)
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED).status == 200

    def test_a_collection_that_changes_later_changes_nothing(self, receiver_class):
        secrets = [SECRET]
        receiver = receiver_class(secrets)
        secrets[:] = [OTHER_SECRET]
        assert receiver.ask(signed(SUCCEEDED), SUCCEEDED).status == 200
        assert receiver.ask(signed(SUCCEEDED, OTHER_SECRET), SUCCEEDED).status == 401

    def test_no_repr_shows_a_secret(self, receiver_class):
        middleware = receiver_class("whsec_shown_nowhere").middleware
        assert "shown_nowhere" not in f"{middleware!r} {vars(middleware)!r}"

    def test_no_traceback_shows_a_secret(self, receiver_class):
        secrets = ["whsec_shown_nowhere", "whsec_shown_nowhere\ud800", ""]
        with pytest.raises(ConfigurationError) as raised:
            receiver_class(secrets)
        assert "shown_nowhere" not in "".join(traceback.format_exception(raised.value))

    def test_a_warning_about_white_space_shows_no_secret(self, receiver_class):
        with pytest.warns(UserWarning, match="white space") as caught:
            receiver = receiver_class("whsec_shown_nowhere\n")
        assert "shown_nowhere" not in str(caught[0].message)
        assert receiver.ask(signed(SUCCEEDED, "whsec_shown_nowhere\n"), SUCCEEDED).status == 200
        assert receiver.ask(signed(SUCCEEDED, "whsec_shown_nowhere"), SUCCEEDED).status == 401


WRONG_OPTIONS = {
    "no app": ({"app": None}, TypeError, "app is missing: give the application to protect, or a handler="),
    "an app of text": ({"app": "shop:app"}, TypeError, "app must be an application, not an object of type str"),
    "a limit of text": ({"max_body_size": "1"}, TypeError, "max_body_size must be an int or None, not str"),
    "a float limit": ({"max_body_size": 1.0}, TypeError, "max_body_size must be an int or None, not float"),
    "a limit of true": ({"max_body_size": True}, TypeError, "max_body_size must be an int or None, not bool"),
    "a negative limit": ({"max_body_size": -1}, ConfigurationError, "max_body_size must not be negative"),
    "acknowledge of 1": ({"acknowledge": 1}, TypeError, "acknowledge must be a bool, not int"),
    "acknowledge of None": ({"acknowledge": None}, TypeError, "acknowledge must be a bool, not NoneType"),
    "on_verdict of text": ({"on_verdict": "log"}, TypeError, "on_verdict must be callable or None, not str"),
    "an empty secret": ({"secret": ""}, ConfigurationError, "the secret is empty or blank"),
    "a number as secret": ({"secret": 5}, TypeError, "a secret must be str or bytes, not int"),
    "no path": (
        {"paths": []},
        ConfigurationError,
        "paths is empty: nothing would be guarded; to guard everything, leave paths out",
    ),
    "a number as path": ({"paths": [5]}, TypeError, "each path must be a str, not int"),
}


def never_called(*arguments):
    raise AssertionError("called")


@on_both_protocols
class TestOptions:
    @pytest.mark.parametrize(("options", "error", "message"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
    def test_a_wrong_option_is_an_error_when_the_middleware_is_built(self, receiver_class, options, error, message):
        with pytest.raises(error) as raised:
            receiver_class.middleware_class(**{"app": never_called, "secret": SECRET, **options})
        assert str(raised.value) == message

    def test_options_are_given_by_name(self, receiver_class):
        with pytest.raises(TypeError, match="positional argument"):
            receiver_class.middleware_class(never_called, SECRET, "/webhooks")

    def test_the_application_can_be_found(self, receiver_class):
        middleware = receiver_class.middleware_class(never_called, SECRET)
        assert middleware.app is never_called

    def test_nothing_is_written_to_the_middleware_after_it_is_built(self, receiver_class):
        receiver = receiver_class()
        before = vars(receiver.middleware).copy()
        receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        receiver.ask([], SUCCEEDED)
        assert vars(receiver.middleware) == before

    def test_paths_choose_what_is_guarded(self, receiver_class):
        receiver = receiver_class(paths=["/webhooks", "/other"])
        for path in ("/webhooks", "/webhooks/meetgeek", "/WEBHOOKS/", "//webhooks", "/other"):
            assert receiver.ask([], path=path).status == 401, path
        for path in ("/", "/web", "/webhooks-status", "/third"):
            with pytest.raises(LookupError):  # of delivery_of, in the application
                receiver.ask([], path=path)

    def test_without_paths_everything_is_guarded(self, receiver_class):
        for path in ("/", "", "*", "/anything"):
            assert receiver_class().ask([], path=path).status == 401

    def test_an_iterable_of_paths_may_be_read_once(self, receiver_class):
        receiver = receiver_class(paths=(path for path in ["/webhooks"]))
        assert receiver.ask([], path="/webhooks").status == 401


@on_both_protocols
class TestVerdicts:
    @on_each_refusal
    def test_a_refused_request_gets_one_verdict(self, receiver_class, case):
        verdicts = []
        receiver = receiver_class(**case.options, on_verdict=verdicts.append)
        receiver.ask(case.fields, *case.chunks)
        outcome = outcome_of(case, receiver)
        assert verdicts == [Verdict(Outcome(outcome), case.status, None, case.body_size, "POST", PATH)]

    def test_an_accepted_request_gets_one_verdict(self, receiver_class):
        verdicts = []
        receiver = receiver_class({"tenant": SECRET}, on_verdict=verdicts.append)
        receiver.ask(signed(SUCCEEDED), SUCCEEDED, method="PUT", path="/elsewhere\n")
        assert verdicts == [Verdict(Outcome.ACCEPTED, None, "tenant", len(SUCCEEDED), "PUT", "/elsewhere\n")]

    def test_the_verdict_comes_before_the_application_runs(self, receiver_class):
        seen = []
        receiver = receiver_class(on_verdict=lambda verdict: seen.append(list(receiver.deliveries)))
        receiver.ask(signed(SUCCEEDED), SUCCEEDED)
        assert seen == [[]]

    def test_an_unguarded_request_gets_none(self, receiver_class):
        verdicts = []
        receiver = receiver_class(paths="/elsewhere", on_verdict=verdicts.append)
        with pytest.raises(LookupError):  # of delivery_of, in the application
            receiver.ask([])
        assert verdicts == []

    @pytest.mark.parametrize(("fields", "status"), [(signed(SUCCEEDED), 200), ([], 401)], ids=["accepted", "refused"])
    def test_what_on_verdict_raises_is_logged_and_changes_nothing(self, receiver_class, caplog, fields, status):
        def on_verdict(verdict):
            raise ValueError("the operator's own error")

        with caplog.at_level(logging.ERROR, "mg_middleware"):
            answer = receiver_class(on_verdict=on_verdict).ask(fields, SUCCEEDED)
        assert answer == receiver_class().ask(fields, SUCCEEDED)
        assert answer.status == status
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.name == "mg_middleware"
        first, second, *_, last = record.getMessage().splitlines()
        assert first == "on_verdict raised; the response stays as decided"
        assert second == "Traceback (most recent call last):"
        assert last == "ValueError: the operator's own error"
        assert record.exc_info is None  # handlers would store the local variables of each frame

    def test_what_ends_the_process_passes(self, receiver_class):
        def on_verdict(verdict):
            raise SystemExit

        with pytest.raises(SystemExit):
            receiver_class(on_verdict=on_verdict).ask([])

    def test_it_is_told_whatever_the_level_of_the_log(self, receiver_class, caplog):
        verdicts = []
        with caplog.at_level(logging.CRITICAL, "mg_middleware"):
            receiver_class(on_verdict=verdicts.append).ask([])
        assert [verdict.outcome for verdict in verdicts] == ["missing_signature"]
        assert caplog.records == []


def test_outcomes_are_these_strings():
    assert [str(outcome) for outcome in Outcome] == [
        "accepted",
        "duplicate",
        "in_progress",
        "ignored",
        "missing_signature",
        "repeated_signature",
        "malformed_signature",
        "signature_mismatch",
        "unknown_sender",
        "body_too_large",
        "invalid_length",
        "length_required",
        "incomplete_body",
        "websocket_refused",
    ]
    assert Outcome.ACCEPTED == "accepted"


@pytest.fixture
def logged(caplog):
    """The records of the guard's logger, as (level, text)."""
    with caplog.at_level(logging.DEBUG, "mg_middleware"):
        yield lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


@on_both_protocols
class TestLog:
    @on_each_refusal
    def test_a_refused_request_is_one_warning(self, receiver_class, logged, case):
        receiver = receiver_class(**case.options)
        receiver.ask(case.fields, *case.chunks)
        outcome = outcome_of(case, receiver)
        [(level, line)] = logged()
        assert (level, line.partition(" (")[0]) == ("WARNING", f"refused POST {PATH} from {CLIENT}: {outcome}")
        assert ("declared" in line) == (outcome in {"incomplete_body", "signature_mismatch"})

    def test_an_accepted_request_is_one_line_for_debugging(self, receiver_class, logged):
        receiver_class().ask(signed(SUCCEEDED), SUCCEEDED)
        assert logged() == [("DEBUG", f"verified POST {PATH} from {CLIENT}: accepted")]

    def test_at_the_level_of_warnings_an_accepted_request_is_not_logged(self, receiver_class, caplog):
        with caplog.at_level(logging.WARNING, "mg_middleware"):
            receiver_class().ask(signed(SUCCEEDED), SUCCEEDED)
            assert caplog.records == []
            receiver_class().ask([], SUCCEEDED)
            assert len(caplog.records) == 1

    def test_an_unknown_client_is_called_so(self, receiver_class, logged):
        receiver_class().ask([], client=None)
        assert logged() == [("WARNING", f"refused POST {PATH} from an unknown client: missing_signature")]

    @pytest.mark.parametrize(
        ("character", "shown"),
        [
            ("\n", r"\n"),
            ("\r", r"\r"),
            ("\t", r"\t"),
            ("\x1b", r"\x1b"),
            ("\0", r"\x00"),
            ("\x7f", r"\x7f"),
            ("\x85", r"\x85"),
            ("\u2028", r"\u2028"),
            ("\u202e", r"\u202e"),
            ("\ud800", r"\ud800"),
            ("\\", r"\\"),
            ("%s", "%s"),
            ("\U0001f600", r"\U0001f600"),
        ],
    )
    def test_what_a_stranger_writes_is_escaped(self, receiver_class, logged, character, shown):
        hostile = f"a{character}b"
        receiver_class().ask([], method=hostile, path=f"/{hostile}", client=(hostile, 1))
        escaped = f"a{shown}b"
        assert logged() == [("WARNING", f"refused {escaped} /{escaped} from {escaped}: missing_signature")]

    @pytest.mark.parametrize(("length", "shown"), [(199, 199), (200, 200), (201, 200), (100_000, 200)])
    def test_a_line_is_bounded(self, receiver_class, logged, length, shown):
        receiver_class().ask([], method="M" * length, path="p" * length, client=("c" * length, 1))
        method, path, client = (letter * shown + "..." * (length > shown) for letter in "Mpc")
        assert logged() == [("WARNING", f"refused {method} {path} from {client}: missing_signature")]


@pytest.mark.parametrize("value", each(INVALID_LENGTHS))
def test_what_is_no_digits_is_no_length(value):
    assert check_header([b"0" * 64], value, math.inf) is INVALID_LENGTH


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"0", 0),
        (b"7", 7),
        (b"0010", 10),
        (b"1048576", 1_048_576),
        (b"9" * 20, 10**20 - 1),
        (b"0" * 20 + b"7", 7),
        (b"0" * 10_000 + b"7", 7),
        (b"0" * 10_000, 0),
        (b"1" + b"0" * 20, 10**19),  # cut to as many digits as tell that it is too much
        (b"123456789" * 1000, 12345678912345678912),
    ],
)
def test_digits_are_a_length(value, length):
    assert check_header([b"0" * 64], value, math.inf) == (b"0" * 64, length)
