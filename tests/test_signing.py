"""Signing and verifying one body in hand."""

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

from mg_middleware import ConfigurationError, sign, verify

SIGNATURE = GENUINE.decode()
SECRETS = {
    "str": SECRET,
    "bytes": SECRET.encode(),
    "list": [SECRET, OTHER_SECRET],
    "tuple": (SECRET.encode(), OTHER_SECRET),
    "mapping": {"tenant": SECRET, "other": OTHER_SECRET},
    "mapping to sequences": {"tenant": [SECRET, OTHER_SECRET]},
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


@pytest.mark.parametrize("secrets", [[OTHER_SECRET, SECRET], {"a": OTHER_SECRET, "b": [OTHER_SECRET, SECRET]}])
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
