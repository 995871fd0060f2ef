"""The catalogue of forged requests: every way a signature can be wrong that a receiver has been seen to accept."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_meetgeek._nearest import did_you_mean
from pytest_meetgeek.request import WebhookRequest, keyed_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FORGERIES", "Forgery"]

Level = Literal["MUST", "SHOULD", "MAY"]

# The public default of the fixture `meetgeek_secret`: a receiver must not accept it in place of its own.
TEST_SECRET = "meetgeek-test-secret"  # noqa: S105  # public on purpose

_FIRST_ERROR = 400
_FIRST_SERVER_ERROR = 500
_UNAUTHORIZED = 401
_HEX_DIGITS = 64
_BEYOND_ASCII = 0x80
_DOCUMENTED_FAILURE = b'{"message": "File analyzed failed"}'


@dataclass(frozen=True)
class Forgery:
    """One way to forge a request.

    Not for genuine requests: `MeetGeek.raw` signs any bytes.

    Args:
        id: The stable name.
        level: MUST and SHOULD are to be refused. MAY holds the true signature in another spelling: to refuse it and to
            accept it are both right.
        why: The mistake in a receiver that accepts it.
        crash: The mistake in a receiver that fails with an error; empty if there is no usual one.
        make: Takes a genuine request and the key, gives the forged request.
        any_client_error: A server in front of the receiver may refuse it first, with another status of the 4xx class.
    """

    id: str
    level: Level
    why: str
    make: Callable[[WebhookRequest, bytes], WebhookRequest]
    crash: str = ""
    any_client_error: bool = False

    def refused_by(self, status: int) -> bool:
        """Return whether a status is a right refusal.

        Args:
            status: The HTTP status of the response.
        """
        if self.any_client_error:
            return _FIRST_ERROR <= status < _FIRST_SERVER_ERROR
        return status == _UNAUTHORIZED


def _true_signature(base: WebhookRequest, key: bytes) -> str:
    return keyed_digest(key, base.body).hex()


def _signed_as(value: Callable[[str], str]) -> Callable[[WebhookRequest, bytes], WebhookRequest]:
    """Change the text of the true signature."""
    return lambda base, key: base.with_signature(value(_true_signature(base, key)))


def _keyed_with(wrong: bytes, instead: bytes) -> Callable[[WebhookRequest, bytes], WebhookRequest]:
    """Sign with a key that is not the secret; `instead` where the secret happens to be just that."""
    return lambda base, key: base.with_signature(keyed_digest(instead if key == wrong else wrong, base.body).hex())


def _body_as(change: Callable[[bytes], bytes]) -> Callable[[WebhookRequest, bytes], WebhookRequest]:
    """Change the body after it was signed."""
    return lambda base, key: base.with_signature(_true_signature(base, key)).with_body(change(base.body))


def _other_header(base: WebhookRequest, key: bytes) -> WebhookRequest:
    return base.with_signature().with_header("X-Signature", _true_signature(base, key))


def _one_bit(signature: str) -> str:
    return signature[:-1] + format(int(signature[-1], 16) ^ 1, "x")


def _secret_itself(base: WebhookRequest, key: bytes) -> WebhookRequest:
    # A header cannot hold line breaks or NUL; without them it is still the secret to a receiver that compares it.
    value = key.decode("latin-1").translate({0: None, 10: None, 13: None})
    return replace(base.with_signature(value), confidential=True)


def _hashed_with(algorithm: str) -> Callable[[WebhookRequest, bytes], WebhookRequest]:
    return lambda base, key: base.with_signature(keyed_digest(key, base.body, algorithm).hex())


def _of_other_body(base: WebhookRequest, key: bytes) -> WebhookRequest:
    other = _DOCUMENTED_FAILURE if base.body != _DOCUMENTED_FAILURE else _DOCUMENTED_FAILURE + b" "
    return base.with_signature(keyed_digest(key, other).hex())


def _change_one_digit(body: bytes) -> bytes:
    """Another meeting in a body that is still JSON: the last letter or digit changes."""
    for position in range(len(body) - 1, -1, -1):
        if chr(body[position]).isalnum() and body[position] < _BEYOND_ASCII:  # ASCII ends there
            other = b"1" if body[position : position + 1] == b"0" else b"0"
            return body[:position] + other + body[position + 1 :]
    return body + b"0"


def _reserialise(body: bytes) -> bytes:
    decoded: object = json.loads(body)
    compact = json.dumps(decoded, separators=(",", ":")).encode()
    return json.dumps(decoded).encode() if compact == body else compact


def _reverse_keys(body: bytes) -> bytes:
    decoded: dict[str, object] = json.loads(body)
    return json.dumps(dict(reversed(decoded.items()))).encode()


def _two(
    first: Callable[[str], str], second: Callable[[str], str]
) -> Callable[[WebhookRequest, bytes], WebhookRequest]:
    def make(base: WebhookRequest, key: bytes) -> WebhookRequest:
        signature = _true_signature(base, key)
        return base.with_signature(first(signature), second(signature))

    return make


def _unchanged(signature: str) -> str:
    return signature


def _zeros(_: str) -> str:
    return "0" * _HEX_DIGITS


def _base64(signature: str) -> str:
    return base64.b64encode(bytes.fromhex(signature)).decode()


_CATALOGUE = (
    Forgery("missing", "MUST", "a request without the header is not checked", lambda base, _: base.with_signature()),
    Forgery(
        "empty", "MUST", "an empty header counts as no header, and no header as no check", _signed_as(lambda _: "")
    ),
    Forgery(
        "blank",
        "MUST",
        "a header of white space counts as no header, and no header as no check",
        _signed_as(lambda _: "   "),
    ),
    Forgery("other-header", "MUST", "another provider's header is accepted as well", _other_header),
    Forgery(
        "wrong-secret",
        "MUST",
        "the signature of another secret is accepted: it is computed but not compared",
        lambda base, key: base.with_signature(keyed_digest(b"not-" + key, base.body).hex()),
    ),
    Forgery(
        "empty-secret",
        "MUST",
        "an empty key is accepted: a secret that is not set becomes the empty string",
        _keyed_with(b"", b" "),
    ),
    Forgery(
        "none-secret",
        "MUST",
        "the key 'None' is accepted: a secret that is not set becomes a word of the language",
        _keyed_with(b"None", b"null"),
    ),
    Forgery(
        "test-secret",
        "MUST",
        "the public test secret of this plugin is accepted",
        _keyed_with(TEST_SECRET.encode(), b"test-secret"),
    ),
    Forgery(
        "truncated",
        "MUST",
        "only as many characters are compared as were sent",
        _signed_as(lambda value: value[:32]),
        crash="a value that is too short causes an error instead of a refusal",
    ),
    Forgery(
        "one-char",
        "MUST",
        "one right character is enough",
        _signed_as(lambda value: value[:1]),
        crash="a value that is too short causes an error instead of a refusal",
    ),
    Forgery(
        "extended",
        "MUST",
        "what follows the right value is ignored",
        _signed_as(lambda value: value + "00"),
        crash="a value that is too long causes an error instead of a refusal",
    ),
    Forgery("one-bit", "MUST", "only a part of the value is compared", _signed_as(_one_bit)),
    Forgery("zeros", "MUST", "a value of zeros is accepted, as if a failed computation gave it", _signed_as(_zeros)),
    Forgery(
        "non-hex",
        "MUST",
        "a value that is not hexadecimal is accepted",
        _signed_as(lambda _: "z" * _HEX_DIGITS),
        crash="decoding a value that is not hexadecimal raises an error: compare the texts, or refuse it first",
    ),
    Forgery(
        "odd-length",
        "MUST",
        "the last digit is ignored",
        _signed_as(lambda value: value[:-1]),
        crash="decoding half a byte raises an error: compare the texts, or refuse it first",
    ),
    Forgery(
        "non-ascii",
        "MUST",
        "a character beyond ASCII is accepted in place of the last digit",
        _signed_as(lambda value: value[:-1] + "é"),
        crash="comparing text that is not ASCII raises an error (Python's hmac.compare_digest): compare bytes",
        any_client_error=True,
    ),
    Forgery(
        "huge",
        "MUST",
        "a value of 16 KiB is accepted",
        _signed_as(lambda _: "a" * 16384),
        crash="a value of 16 KiB is processed before its length is checked",
        any_client_error=True,
    ),
    Forgery("secret-itself", "MUST", "the header is compared with the secret, as an API key would be", _secret_itself),
    Forgery("sha1", "MUST", "a weaker hash is accepted: the sender may choose", _hashed_with("sha1")),
    Forgery("sha512", "MUST", "another hash is accepted: the sender may choose", _hashed_with("sha512")),
    Forgery(
        "plain-hash",
        "MUST",
        "a hash of secret and body is accepted: without HMAC it can be extended",
        lambda base, key: base.with_signature(hashlib.sha256(key + base.body).hexdigest()),
    ),
    Forgery(
        "unkeyed",
        "MUST",
        "a hash of the body alone is accepted: anyone can compute it",
        lambda base, _: base.with_signature(hashlib.sha256(base.body).hexdigest()),
    ),
    Forgery(
        "swapped",
        "MUST",
        "key and message are swapped",
        lambda base, key: base.with_signature(keyed_digest(base.body, key).hex()),
    ),
    Forgery(
        "of-empty-body",
        "MUST",
        "the signature of an empty body is accepted: the body was already consumed when it was hashed",
        lambda base, key: base.with_signature(keyed_digest(key, b"").hex()),
    ),
    Forgery("of-other-body", "MUST", "a signature that was seen before is accepted for another body", _of_other_body),
    Forgery(
        "body-changed",
        "MUST",
        "the signature does not cover the whole body, or is not compared with it",
        _body_as(_change_one_digit),
    ),
    Forgery(
        "body-appended", "MUST", "what follows the signed bytes is not covered", _body_as(lambda body: body + b"x")
    ),
    Forgery(
        "body-newline",
        "MUST",
        "the body is stripped before it is hashed: hash the raw bytes",
        _body_as(lambda body: body + b"\n"),
    ),
    Forgery("body-emptied", "MUST", "an empty body is not checked", _body_as(lambda _: b"")),
    Forgery(
        "body-bom",
        "MUST",
        "a byte order mark is dropped before the body is hashed: hash the raw bytes, not text",
        _body_as(lambda body: b"\xef\xbb\xbf" + body),
    ),
    Forgery(
        "body-reserialised",
        "MUST",
        "the JSON is parsed and written again before it is hashed: hash the raw bytes",
        _body_as(_reserialise),
    ),
    Forgery(
        "body-key-order",
        "MUST",
        "the fields are put in order before they are hashed: hash the raw bytes",
        _body_as(_reverse_keys),
    ),
    Forgery(
        "body-garbage",
        "MUST",
        "a body that is not JSON is not checked",
        _body_as(lambda _: b"\xff\xfe{not json"),
        crash="the body is parsed before the signature is checked",
    ),
    Forgery("two-bad-first", "SHOULD", "of several headers, the last one counts", _two(_zeros, _unchanged)),
    Forgery("two-bad-last", "SHOULD", "of several headers, the first one counts", _two(_unchanged, _zeros)),
    Forgery(
        "list-value", "SHOULD", "any value of a list is accepted", _signed_as(lambda value: f"{_zeros(value)},{value}")
    ),
    Forgery(
        "two-same",
        "MAY",
        "a proxy may repeat a header",
        _two(_unchanged, _unchanged),
        crash="two headers cause an error instead of a decision",
    ),
    Forgery(
        "upper-case",
        "MAY",
        "the true signature in capitals",
        _signed_as(str.upper),
        crash="capitals cause an error instead of a decision",
    ),
    Forgery(
        "prefixed",
        "MAY",
        "the true signature, spelled as GitHub does",
        _signed_as(lambda value: f"sha256={value}"),
        crash="a prefix causes an error instead of a decision",
    ),
    Forgery(
        "base64",
        "MAY",
        "the true signature in base64",
        _signed_as(_base64),
        crash="base64 causes an error instead of a decision",
    ),
    Forgery(
        "inner-space",
        "MAY",
        "the true signature in two halves",
        _signed_as(lambda value: f"{value[:32]} {value[32:]}"),
        crash="white space causes an error instead of a decision",
    ),
    Forgery(
        "quoted",
        "MAY",
        "the true signature in quotes",
        _signed_as(lambda value: f'"{value}"'),
        crash="quotes cause an error instead of a decision",
    ),
)

FORGERIES: Mapping[str, Forgery] = MappingProxyType({forgery.id: forgery for forgery in _CATALOGUE})
"""Every forgery by its id, in the order in which the suite sends them."""


def forge(how: str, base: WebhookRequest, key: bytes) -> WebhookRequest:
    """Forge a request.

    Args:
        how: The id of the forgery.
        base: A genuine request.
        key: The key it was signed with.

    Raises:
        LookupError: There is no such forgery.
        ValueError: This body cannot be forged in this way: the result would be genuine.
    """
    __tracebackhide__ = True
    if how not in FORGERIES:
        raise LookupError(f"unknown forgery {how!r}: {did_you_mean(how, FORGERIES)}")
    forgery = FORGERIES[how]
    forged = forgery.make(base, key)
    if forgery.level != "MAY" and forged.signatures == (keyed_digest(key, forged.body).hex(),):
        raise ValueError(f"{how!r} leaves this body as it was: the request would be genuine; give another base")
    return replace(forged, expected=_UNAUTHORIZED, label=how)
