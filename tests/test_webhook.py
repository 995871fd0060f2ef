"""Signing and verifying one body in hand."""

from email.message import Message

import pytest
from cases import (
    FAILED,
    GENUINE,
    LINE_ENDS,
    MALFORMED_SIGNATURES,
    OTHER_SECRET,
    PADDED_SIGNATURES,
    SECRET,
    SUCCEEDED,
    signature_of,
)
from exchange import each
from hypothesis import given
from hypothesis import strategies as st

from mg_middleware import AnalysisSucceeded, ConfigurationError, Outcome, VerificationError, Webhook, sign, verify

SIGNATURE = GENUINE.decode()
SECRETS = {
    "str": SECRET,
    "bytes": SECRET.encode(),
    "list": [SECRET, OTHER_SECRET],
    "tuple": (SECRET.encode(), OTHER_SECRET),
    "mapping": {"tenant": SECRET, "other": OTHER_SECRET},
    "mapping to sequences": {"tenant": [SECRET, OTHER_SECRET]},
}

HEADERS = {
    "mapping": {"X-MG-Signature": SIGNATURE},
    "lower case": {"x-mg-signature": SIGNATURE},
    "upper case": {"X-MG-SIGNATURE": SIGNATURE},
    "bytes in a mapping": {b"X-MG-Signature": GENUINE},
    "a list as value": {"X-MG-Signature": [SIGNATURE]},
    "a tuple as value": {"X-MG-Signature": (GENUINE,)},
    "among others": {"content-type": "application/json", "x-mg-signature": SIGNATURE, "x-mg-signatur": "0" * 64},
    "pairs": [("Host", "receiver.test"), ("X-MG-Signature", SIGNATURE)],
    "pairs of bytes": [(b"host", b"receiver.test"), (b"x-mg-signature", GENUINE)],
    "pairs that can be read once": iter([iter(("X-MG-Signature", SIGNATURE))]),
    "a message of the standard library": Message(),
    "text": SIGNATURE,
    "bytes": GENUINE,
    "a bytearray": bytearray(GENUINE),
    "white space around": {"X-MG-Signature": f" \t{SIGNATURE} "},
}
HEADERS["a message of the standard library"]["X-MG-Signature"] = SIGNATURE
REFUSED_HEADERS = {
    "None": (None, "missing_signature"),
    "an empty mapping": ({}, "missing_signature"),
    "no pairs": ([], "missing_signature"),
    "another header": ({"X-Signature": SIGNATURE}, "missing_signature"),
    "an empty list as value": ({"X-MG-Signature": []}, "missing_signature"),
    "twice": ([("X-MG-Signature", SIGNATURE), ("x-mg-signature", SIGNATURE)], "repeated_signature"),
    "twice in a mapping": ({"X-MG-Signature": SIGNATURE, "x-mg-signature": SIGNATURE}, "repeated_signature"),
    "two values": ({"X-MG-Signature": [SIGNATURE, SIGNATURE]}, "repeated_signature"),
    "empty": ("", "malformed_signature"),
    "prefixed": ({"X-MG-Signature": f"sha256={SIGNATURE}"}, "malformed_signature"),
    "None as value": ({"X-MG-Signature": None}, "malformed_signature"),
    "another body's": (signature_of(FAILED), "signature_mismatch"),
}


class Text(str):
    """A str whose methods are not to be trusted."""

    __slots__ = ()

    def encode(self, *arguments):
        raise RuntimeError("called")


# Beside these, every malformed header value of the table, as bytes and as text.
JUNK = {
    "None": None,
    "a number": 5,
    "an object": object(),
    "a list": [SIGNATURE],
    "a set": {SIGNATURE},
    "a memoryview": memoryview(GENUINE),
    "text over ASCII": "é" * 64,
    "full-width digits": "\uff11" * 64,
    "a lone surrogate": SIGNATURE[:63] + "\ud800",
    "a str with methods of its own": Text("é" * 64),
    "an astral character": "\U0001f600" + SIGNATURE[1:],
    **{f"followed by {character!r}": SIGNATURE + character for character in LINE_ENDS},
    "preceded by a no-break space": "\xa0" + SIGNATURE,
    "preceded by an ideographic space": "\u3000" + SIGNATURE,
}


@pytest.mark.parametrize("secret", each(SECRETS))
def test_the_first_secret_signs(secret):
    assert sign(secret, SUCCEEDED) == SIGNATURE


@pytest.mark.parametrize("secret", each(SECRETS))
def test_what_was_signed_is_genuine(secret):
    assert verify(secret, SUCCEEDED, SIGNATURE) is True


@pytest.mark.parametrize("body_type", [bytes, bytearray, memoryview])
def test_a_body_may_be_any_kind_of_bytes(body_type):
    assert sign(SECRET, body_type(SUCCEEDED)) == SIGNATURE
    assert verify(SECRET, body_type(SUCCEEDED), SIGNATURE) is True


def test_an_empty_body_can_be_signed():
    assert sign(SECRET, b"") == signature_of(b"").decode()
    assert verify(SECRET, b"", signature_of(b"")) is True


@pytest.mark.parametrize("secrets", [[OTHER_SECRET, SECRET], {"a": "whsec_third", "b": [OTHER_SECRET, SECRET]}])
def test_any_secret_may_match(secrets):
    assert verify(secrets, SUCCEEDED, SIGNATURE) is True


def test_another_secret_matches_nothing():
    assert verify(OTHER_SECRET, SUCCEEDED, SIGNATURE) is False


def test_another_body_does_not_match():
    assert verify(SECRET, FAILED, SIGNATURE) is False


def test_a_signature_may_be_of_bytes_or_text():
    assert verify(SECRET, SUCCEEDED, GENUINE) is True
    assert verify(SECRET, SUCCEEDED, bytearray(GENUINE)) is True
    assert verify(SECRET, SUCCEEDED, Text(SIGNATURE)) is True


@pytest.mark.parametrize("value", each(PADDED_SIGNATURES))
def test_spaces_and_tabs_round_a_signature_do_no_harm(value):
    assert verify(SECRET, SUCCEEDED, value) is True
    assert verify(SECRET, SUCCEEDED, value.decode()) is True


@pytest.mark.parametrize("value", each(MALFORMED_SIGNATURES))
def test_a_malformed_signature_is_false(value):
    assert verify(SECRET, SUCCEEDED, value) is False
    assert verify(SECRET, SUCCEEDED, value.decode("latin-1")) is False


@pytest.mark.parametrize("value", each(JUNK))
def test_junk_in_place_of_a_signature_is_false(value):
    assert verify(SECRET, SUCCEEDED, value) is False


@given(st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.lists(st.text())))
def test_nothing_given_as_signature_raises(value):
    assert verify(SECRET, SUCCEEDED, value) is False


@pytest.mark.parametrize("use", [sign, lambda secret, body: verify(secret, body, SIGNATURE)], ids=["sign", "verify"])
class TestWrongArguments:
    def test_a_body_of_text_is_a_type_error(self, use):
        with pytest.raises(TypeError):
            use(SECRET, SUCCEEDED.decode())

    def test_an_empty_secret_is_refused(self, use):
        with pytest.raises(ConfigurationError, match=r"^the secret is empty or blank$"):
            use("", SUCCEEDED)

    def test_no_secret_at_all_is_refused(self, use, monkeypatch):
        monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET", raising=False)
        monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET_FILE", raising=False)
        with pytest.raises(ConfigurationError, match=r"^no secret is configured"):
            use(None, SUCCEEDED)

    def test_a_callable_is_a_type_error(self, use):
        with pytest.raises(TypeError, match=r"^a secret must be str or bytes, not function$"):
            use(lambda request: SECRET, SUCCEEDED)

    def test_the_environment_is_read_where_no_secret_is_given(self, use, monkeypatch):
        monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
        assert use(None, SUCCEEDED) in {SIGNATURE, True}


def test_a_malformed_signature_does_not_hide_a_wrong_secret():
    with pytest.raises(ConfigurationError):
        verify("", SUCCEEDED, None)


class TestWebhook:
    @pytest.mark.parametrize("secret", each(SECRETS))
    def test_it_signs_and_verifies(self, secret):
        webhook = Webhook(secret)
        assert webhook.sign(SUCCEEDED) == SIGNATURE
        delivery = webhook.verify(SUCCEEDED, {"X-MG-Signature": SIGNATURE})
        assert (delivery.body, delivery.signature) == (SUCCEEDED, SIGNATURE)
        assert delivery.key_id == ("tenant" if isinstance(secret, dict) else None)
        assert delivery.event == AnalysisSucceeded("5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a")

    @pytest.mark.parametrize("headers", each(HEADERS))
    def test_header_fields_may_come_in_any_form(self, headers):
        assert Webhook(SECRET).verify(SUCCEEDED, headers).body == SUCCEEDED

    @pytest.mark.parametrize(
        ("headers", "outcome"), [pytest.param(*row, id=name) for name, row in REFUSED_HEADERS.items()]
    )
    def test_what_is_not_genuine_raises_with_its_reason(self, headers, outcome):
        with pytest.raises(VerificationError) as raised:
            Webhook(SECRET).verify(SUCCEEDED, headers)
        assert raised.value.outcome is Outcome(outcome)
        assert str(raised.value) == f"the delivery is not genuine: {outcome}"
        assert isinstance(raised.value, ValueError)

    @pytest.mark.parametrize(
        "headers",
        [5, object(), [5], [GENUINE.decode()], [("X-MG-Signature", GENUINE.decode(), "more")]],
        ids=["a number", "an object", "no pairs", "a list of signatures", "triples"],
    )
    def test_other_forms_are_type_errors(self, headers):
        with pytest.raises(TypeError, match=r"^headers must be a mapping, pairs or the signature, not \w+$"):
            Webhook(SECRET).verify(SUCCEEDED, headers)

    @pytest.mark.parametrize("body", [SUCCEEDED.decode(), None, 5, [SUCCEEDED]])
    def test_a_body_that_is_not_bytes_is_a_type_error(self, body):
        for use in (Webhook(SECRET).sign, lambda body: Webhook(SECRET).verify(body, SIGNATURE)):
            with pytest.raises(TypeError, match=r"^body must be the raw bytes of the request, not "):
                use(body)

    def test_a_missing_secret_raises_where_it_is_written(self, monkeypatch):
        monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET", raising=False)
        monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET_FILE", raising=False)
        with pytest.raises(ConfigurationError):
            Webhook()

    def test_it_may_be_given_wherever_a_secret_is_taken(self):
        webhook = Webhook(SECRET)
        for secret in (webhook, [OTHER_SECRET, webhook], {"tenant": webhook}, {"tenant": [webhook]}, Webhook(webhook)):
            assert verify(secret, SUCCEEDED, SIGNATURE) is True
        assert Webhook({"tenant": webhook}).verify(SUCCEEDED, SIGNATURE).key_id == "tenant"

    def test_it_shows_no_secret(self):
        assert repr(Webhook(SECRET)) == "<Webhook with 1 key>"
        assert repr(Webhook([SECRET, OTHER_SECRET])) == "<Webhook with 2 keys>"


class SecretStr:
    """As pydantic's."""

    def __init__(self, secret):
        self._secret = secret

    def get_secret_value(self):
        return self._secret


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode()], ids=["str", "bytes"])
def test_a_wrapped_secret_is_taken_in_every_place(secret):
    wrapped = SecretStr(secret)
    for form in (wrapped, [OTHER_SECRET, wrapped], {"tenant": wrapped}, {"tenant": [wrapped]}):
        assert verify(form, SUCCEEDED, SIGNATURE) is True


@pytest.mark.parametrize(("secret", "error"), [("", ConfigurationError), (" ", ConfigurationError), (5, TypeError)])
def test_what_it_wraps_must_be_a_secret(secret, error):
    with pytest.raises(error):
        Webhook(SecretStr(secret))


def test_a_view_with_gaps_is_signed_and_verified_as_its_bytes():
    view = memoryview(GENUINE * 2)[::2]
    webhook = Webhook(SECRET)
    assert webhook.sign(view) == webhook.sign(bytes(view))
    assert webhook.verify(view, webhook.sign(view)).body == bytes(view)
