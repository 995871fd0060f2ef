"""The catalogue of forged requests: every way a signature can be wrong that a receiver has been seen to accept."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pytest_meetgeek.nearest import did_you_mean
from pytest_meetgeek.request import WebhookRequest, keyed_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        level: MUST and SHOULD are to be refused; MAY holds the true MAC in another spelling, so 401 and taking it as
            genuine are both right.
        why: The mistake in a receiver that accepts it.
        make: Takes a genuine request and the key, gives the forged request.
        any_client_error: A server in front of the receiver may refuse it first, with another status of the 4xx class.
    """

    id: str
    level: Level
    why: str
    make: Callable[[WebhookRequest, bytes], WebhookRequest]
    any_client_error: bool = False

    def refused_by(self, status: int) -> bool:
        """Tell whether a status is a right refusal.

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
    Forgery("missing", "MUST", "the check is skipped when the header is absent", lambda base, _: base.with_signature()),
    Forgery(
        "empty", "MUST", "an empty header counts as no header, and no header as no check", _signed_as(lambda _: "")
    ),
    Forgery(
        "blank", "MUST", "the header is stripped to nothing, and nothing is not checked", _signed_as(lambda _: "   ")
    ),
    Forgery("other-header", "MUST", "another provider's header is accepted as well", _other_header),
    Forgery(
        "wrong-secret",
        "MUST",
        "the MAC is computed but its result not used",
        lambda base, key: base.with_signature(keyed_digest(b"not-" + key, base.body).hex()),
    ),
    Forgery("empty-secret", "MUST", 'os.environ.get("SECRET", "") signs with an empty key', _keyed_with(b"", b" ")),
    Forgery(
        "none-secret", "MUST", 'str(os.environ.get("SECRET")) signs with the key "None"', _keyed_with(b"None", b"null")
    ),
    Forgery(
        "test-secret",
        "MUST",
        "a public test secret is left in as a fallback",
        _keyed_with(TEST_SECRET.encode(), b"test-secret"),
    ),
    Forgery(
        "truncated", "MUST", "only as many characters are compared as were sent", _signed_as(lambda value: value[:32])
    ),
    Forgery(
        "one-char",
        "MUST",
        "expected.startswith(received), or zip(), compares one character",
        _signed_as(lambda value: value[:1]),
    ),
    Forgery(
        "extended", "MUST", "received.startswith(expected) ignores what follows", _signed_as(lambda value: value + "00")
    ),
    Forgery("one-bit", "MUST", "only a part of the value is compared", _signed_as(_one_bit)),
    Forgery("zeros", "MUST", "a failed computation is replaced by zeros", _signed_as(_zeros)),
    Forgery(
        "non-hex",
        "MUST",
        "bytes.fromhex() raises on what is not hexadecimal: a 500",
        _signed_as(lambda _: "z" * _HEX_DIGITS),
    ),
    Forgery("odd-length", "MUST", "bytes.fromhex() raises on half a byte: a 500", _signed_as(lambda value: value[:-1])),
    Forgery(
        "non-ascii",
        "MUST",
        "hmac.compare_digest() raises TypeError on a str that is not ASCII: a 500",
        _signed_as(lambda value: value[:-1] + "é"),
        any_client_error=True,
    ),
    Forgery(
        "huge",
        "MUST",
        "a value of 16 KiB is parsed before it is measured",
        _signed_as(lambda _: "a" * 16384),
        any_client_error=True,
    ),
    Forgery("secret-itself", "MUST", "the header is compared with the secret, as with an API key", _secret_itself),
    Forgery("sha1", "MUST", "the sender may choose a weaker hash", _hashed_with("sha1")),
    Forgery("sha512", "MUST", "the sender may choose another hash", _hashed_with("sha512")),
    Forgery(
        "plain-hash",
        "MUST",
        "sha256(secret + body) is no MAC: it can be extended",
        lambda base, key: base.with_signature(hashlib.sha256(key + base.body).hexdigest()),
    ),
    Forgery(
        "unkeyed",
        "MUST",
        "sha256(body) can be computed by anyone",
        lambda base, _: base.with_signature(hashlib.sha256(base.body).hexdigest()),
    ),
    Forgery(
        "swapped",
        "MUST",
        "key and message are mixed up",
        lambda base, key: base.with_signature(keyed_digest(base.body, key).hex()),
    ),
    Forgery(
        "of-empty-body",
        "MUST",
        "the stream was read before: the MAC of nothing is checked",
        lambda base, key: base.with_signature(keyed_digest(key, b"").hex()),
    ),
    Forgery("of-other-body", "MUST", "the value is looked up among those seen, not computed", _of_other_body),
    Forgery("body-changed", "MUST", "the MAC covers a part of the body", _body_as(_change_one_digit)),
    Forgery(
        "body-appended", "MUST", "what follows the signed bytes is not covered", _body_as(lambda body: body + b"x")
    ),
    Forgery("body-newline", "MUST", "the body is stripped before it is checked", _body_as(lambda body: body + b"\n")),
    Forgery("body-emptied", "MUST", "an empty body is not checked", _body_as(lambda _: b"")),
    Forgery(
        "body-bom",
        "MUST",
        "the body is decoded as utf-8-sig before it is checked",
        _body_as(lambda body: b"\xef\xbb\xbf" + body),
    ),
    Forgery("body-reserialised", "MUST", "the MAC covers json.dumps(json.loads(body))", _body_as(_reserialise)),
    Forgery("body-key-order", "MUST", "the MAC covers the sorted keys", _body_as(_reverse_keys)),
    Forgery(
        "body-garbage",
        "MUST",
        "the body is parsed first: an error other than 401",
        _body_as(lambda _: b"\xff\xfe{not json"),
    ),
    Forgery("two-bad-first", "SHOULD", "the last of several headers is taken", _two(_zeros, _unchanged)),
    Forgery("two-bad-last", "SHOULD", "the first of several headers is taken", _two(_unchanged, _zeros)),
    Forgery(
        "list-value", "SHOULD", "any member of a list is accepted", _signed_as(lambda value: f"{_zeros(value)},{value}")
    ),
    Forgery("two-same", "MAY", "a proxy may repeat a header", _two(_unchanged, _unchanged)),
    Forgery("upper-case", "MAY", "the true MAC, in capitals", _signed_as(str.upper)),
    Forgery("prefixed", "MAY", "the true MAC, in GitHub's spelling", _signed_as(lambda value: f"sha256={value}")),
    Forgery("base64", "MAY", "the true MAC, in base64", _signed_as(_base64)),
    Forgery(
        "inner-space", "MAY", "the true MAC, in two halves", _signed_as(lambda value: f"{value[:32]} {value[32:]}")
    ),
    Forgery("quoted", "MAY", "the true MAC, in quotes", _signed_as(lambda value: f'"{value}"')),
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
