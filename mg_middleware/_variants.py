"""What usually goes wrong with a secret, a body and a signature, each as the bytes that it would have come from.

Every function here yields pairs of a cause and a value, the likeliest first. None of them raises for any value: what
a stranger sent may be hostile.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from unicodedata import combining, normalize
from urllib.parse import quote_from_bytes, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cause(NamedTuple):
    """One thing that went wrong.

    Attributes:
        name: a stable name.
        clause: what makes the signature fit, to follow the word "if". "{secret}" is replaced by a description of it.
        remedy: what to do, as sentences.
    """

    name: str
    clause: str
    remedy: str


class Reading(NamedTuple):
    """One digest that a received signature may mean, and what was wrong with its spelling."""

    digest: bytes
    causes: tuple[Cause, ...]


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INVISIBLE = " \t\n\r\v\f\0\u00a0\u200b\u200c\u200d\u2060\ufeff"
_QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "\u00ab\u00bb")

# The public secret of the pytest plugin's tests, which has no business anywhere else.
TEST_SECRET = b"meetgeek-test-secret"

# Above this size, forms that take long for each byte, or that grow out of proportion, aren't tried.
_LARGE = 128 * 1024
_LARGEST_INFLATED = 1024 * 1024
_LONGEST_SIGNATURE = 1024
# Unicode's Stream-Safe Text Format (UAX 15): more marks on one letter aren't text, and take quadratic time to sort.
_MOST_MARKS = 30
_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")

_CHECK_SENDER = "Give the sender the same secret as the receiver."
_SAME_SECRET = "Configure the secret exactly as MeetGeek shows it."


def secret_variants(secret: bytes) -> Iterator[tuple[Cause, bytes]]:
    """Yield what the sender may have signed with instead of the configured secret.

    Args:
        secret: the configured secret.
    """
    text = _text(secret)
    yield from _secret_ends(secret, text)
    yield from _secret_encodings(secret, text)
    if text is not None:
        yield from _secret_texts(text)
    lower, upper = secret.lower(), secret.upper()
    case = "Compare upper and lower case of the secret on both sides."
    yield Cause("secret_letter_case", "{secret} is written in lower case", case), lower
    yield Cause("secret_letter_case", "{secret} is written in upper case", case), upper


def _secret_ends(secret: bytes, text: str | None) -> Iterator[tuple[Cause, bytes]]:
    """Extra or missing characters around the secret."""
    for end in (b"\r\n", b"\n", b"\r"):
        if secret.endswith(end):
            yield (
                Cause(
                    "secret_trailing_newline",
                    "the line end behind {secret} is removed",
                    "Configure the secret without the line end: strip what you read from a file or a command.",
                ),
                secret.removesuffix(end),
            )
    if secret.startswith(_BYTE_ORDER_MARK):
        yield (
            Cause(
                "secret_byte_order_mark",
                "the byte order mark before {secret} is removed",
                "Save the file with the secret as UTF-8 without a byte order mark.",
            ),
            secret.removeprefix(_BYTE_ORDER_MARK),
        )
    if text is not None:
        yield (
            Cause(
                "secret_white_space",
                "the white space around {secret} is removed",
                "Configure the secret without white space at its ends; some of it may be invisible.",
            ),
            _bytes(text.strip(_INVISIBLE).strip()),
        )
        inside = text.strip(_INVISIBLE).strip()
        if inside[:1] + inside[1:][-1:] in _QUOTES:
            yield (
                Cause(
                    "secret_quotes",
                    "the quotes around {secret} are removed",
                    "Configure the secret without quotes: `docker run --env-file` and many other readers keep them.",
                ),
                _bytes(inside[1:-1]),
            )
        yield from _secret_prefixes(inside)
        if inside.endswith((",", ";")):
            yield (
                Cause(
                    "secret_punctuation",
                    "the comma or semicolon behind {secret} is removed",
                    _SAME_SECRET,
                ),
                _bytes(inside[:-1]),
            )
    for end in (b"\n", b"\r\n"):
        yield (
            Cause(
                "secret_missing_newline",
                "a line end is added to {secret}",
                "The sender's secret ends with a line end: enter it there again without one.",
            ),
            secret + end,
        )
    for padded in (secret + b" ", b" " + secret):
        yield (
            Cause(
                "secret_missing_white_space",
                "a space is added to {secret}",
                "The sender's secret has a space at one end: enter it there again without one.",
            ),
            padded,
        )
    for quotation_mark in (b'"', b"'"):
        yield (
            Cause(
                "secret_missing_quotes",
                "quotes are put around {secret}",
                "The sender's secret has quotes around it: enter it there again without them.",
            ),
            quotation_mark + secret + quotation_mark,
        )
    yield (
        Cause(
            "secret_missing_byte_order_mark",
            "a byte order mark is put before {secret}",
            "The sender's secret begins with a byte order mark: enter it there again without one.",
        ),
        _BYTE_ORDER_MARK + secret,
    )


def _secret_prefixes(text: str) -> Iterator[tuple[Cause, bytes]]:
    """What a secret was copied together with: the name of its variable, or a prefix that names its type."""
    assignment = re.fullmatch(r"(?:(?:export|set)\s+)?\w{1,100}\s*[=:]\s*(\S.*)", text, re.DOTALL)
    if assignment:
        value = assignment[1]
        if value[0] == value[-1] and value[0] in "\"'" and len(value) > 1:
            value = value[1:-1]
        yield (
            Cause(
                "secret_prefix",
                "the variable's name is removed from {secret}",
                "Configure only the part after the equals sign, without the name of the variable.",
            ),
            _bytes(value),
        )
    prefix = re.match(r"[A-Za-z]{2,10}_", text)
    if prefix:
        rest = text[prefix.end() :]
        cause = Cause(
            "secret_prefix",
            "{secret} is taken without its prefix",
            "MeetGeek uses the whole secret as it is: configure the same text on both sides.",
        )
        yield cause, _bytes(rest)
        decoded = _from_base64(rest)
        if decoded:
            yield cause._replace(clause="{secret} is taken without its prefix and decoded from base64"), decoded


def _secret_encodings(secret: bytes, text: str | None) -> Iterator[tuple[Cause, bytes]]:
    """What other bytes the same secret may be: hexadecimal, base64, another character encoding."""
    stripped = secret.strip()
    as_is = "MeetGeek uses the secret as text, not decoded: use the same form on both sides."
    if re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", stripped):
        yield (
            Cause("secret_hex_decoded", "{secret} is decoded from hexadecimal", as_is),
            bytes.fromhex(stripped.decode()),
        )
    decoded = _from_base64(stripped.decode("ascii", "replace"))
    if decoded:
        yield Cause("secret_base64_decoded", "{secret} is decoded from base64", as_is), decoded
    encoded = "Configure the secret as text, not the bytes that it decodes to."
    yield Cause("secret_hex_encoded", "{secret} is written in hexadecimal", encoded), secret.hex().encode()
    yield Cause("secret_base64_encoded", "{secret} is written in base64", encoded), base64.b64encode(secret)
    encoding = "Save and send the secret as UTF-8."
    if text is None:
        yield (
            Cause("secret_encoding", "{secret} is read as Latin-1 and written as UTF-8", encoding),
            secret.decode("latin-1").encode(),
        )
    else:
        with suppress(UnicodeError):
            yield (
                Cause("secret_encoding", "{secret} is written as Latin-1, not as UTF-8", encoding),
                text.encode("latin-1"),
            )
    with suppress(UnicodeError):
        wide = secret.decode("utf-16" if secret.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-16-le")
        yield Cause("secret_encoding", "{secret} is read as UTF-16", encoding), _bytes(wide.strip(_INVISIBLE))


def _secret_texts(text: str) -> Iterator[tuple[Cause, bytes]]:
    """Other spellings of the same text."""
    escapes = "Configure the secret itself, not an escaped form of it."
    yield Cause("secret_escapes", "{secret} is percent-decoded", escapes), unquote_to_bytes(text)
    newlines = text.replace("\\r\\n", "\\n").replace("\\n", "\n")
    yield Cause("secret_escapes", r"each \n in {secret} is a line end", escapes), _bytes(newlines)
    yield Cause("secret_escapes", r"the \n behind {secret} is removed", escapes), _bytes(newlines.rstrip("\n"))
    yield Cause("secret_escapes", "each $$ in {secret} is a single $", escapes), _bytes(text.replace("$$", "$"))
    for form in _FORMS:
        normal = _normal(form, text)
        if normal is not None:
            yield (
                Cause(
                    "secret_normalization",
                    f"{{secret}} is in Unicode's form {form}",
                    "An accented letter of the secret is written in two ways: copy the secret from its source again.",
                ),
                _bytes(normal),
            )
    half = len(text) // 2
    if text[:half] == text[half:]:
        yield (
            Cause("secret_doubled", "{secret} is taken only once", "The secret was pasted twice."),
            _bytes(text[:half]),
        )


def constant_secrets() -> Iterator[tuple[Cause, bytes]]:
    """Yield what senders sign with that have no secret at all."""
    for word in ("None", "null", "undefined"):
        yield (
            Cause(
                "secret_literal",
                f"the secret is the word {word}",
                "The sender's secret isn't set, and its absence was turned into text.",
            ),
            word.encode(),
        )
    yield Cause("secret_empty", "the secret is empty", "The sender's secret isn't set. " + _CHECK_SENDER), b""
    yield (
        Cause(
            "secret_of_the_tests",
            "the secret is the public one of the tests",
            "The sender is a test that wasn't given the real secret. Never configure the public one in production.",
        ),
        TEST_SECRET,
    )


_KEEP_BYTES = "Verify the bytes as received, before anything parses or changes them."
_JSON_FORMS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("body_json_compact", "without white space", {"separators": (",", ":")}),
    ("body_json_default", "with a space after each comma and colon", {}),
    ("body_json_compact", "with a space after each colon", {"separators": (",", ": ")}),
    ("body_json_compact", "with a space after each comma", {"separators": (", ", ":")}),
    ("body_json_indented", "indented by 2 spaces", {"indent": 2}),
    ("body_json_indented", "indented by 4 spaces", {"indent": 4}),
    ("body_json_indented", "indented by tabs", {"indent": "\t"}),
)


def body_variants(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    """Yield what the sender may have signed instead of the body that was received.

    Args:
        body: the received body.
    """
    text = _text(body)
    if body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        yield (
            Cause("body_encoding", "the body is read as UTF-16", f"Something decoded and encoded it. {_KEEP_BYTES}"),
            body.decode("utf-16", "replace").encode("utf-8", "replace"),
        )
    yield from _body_ends(body)
    yield from _escaped_slashes(body)
    yield from _json_forms(body)
    yield from _compressed(body)
    yield from _transfer_forms(body)
    yield from _text_forms(body, text)
    for literal in (b"", b"{}", b"null", b"undefined", b"[object Object]"):
        if literal:
            cause = Cause(
                "body_literal", f"the body is {literal.decode()}", f"The body was parsed and is gone. {_KEEP_BYTES}"
            )
        else:
            cause = Cause(
                "body_empty",
                "the body is empty",
                "The sender signs an empty body, or the body had been read already when it was verified.",
            )
        yield cause, literal
    # Last, since they are rare and take longest.
    yield from _inflated(body)
    if not body:
        # The other documented event holds an id, which can't be guessed.
        for failed in (b'{"message": "File analyzed failed"}', b'{"message":"File analyzed failed"}'):
            cause = Cause(
                "body_lost",
                "the body is the documented one of a failed analysis",
                f"The body had been read already when it was verified. {_KEEP_BYTES}",
            )
            yield cause, failed


def _body_ends(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    for end in (b"\r\n", b"\n"):
        if body.endswith(end):
            yield (
                Cause(
                    "body_trailing_newline",
                    "the line end behind the body is removed",
                    f"Something added a line end: an editor, `echo` or a proxy. {_KEEP_BYTES}",
                ),
                body.removesuffix(end),
            )
    for end in (b"\n", b"\r\n"):
        yield (
            Cause(
                "body_missing_newline",
                "a line end is added to the body",
                f"Something took a line end off, such as `curl --data` (use `--data-binary`). {_KEEP_BYTES}",
            ),
            body + end,
        )
    yield Cause("body_white_space", "the white space around the body is removed", _KEEP_BYTES), body.strip()
    if body.startswith(_BYTE_ORDER_MARK):
        yield (
            Cause("body_byte_order_mark", "the byte order mark before the body is removed", _KEEP_BYTES),
            body.removeprefix(_BYTE_ORDER_MARK),
        )
    yield (
        Cause("body_missing_byte_order_mark", "a byte order mark is put before the body", _KEEP_BYTES),
        _BYTE_ORDER_MARK + body,
    )
    lines = Cause(
        "body_line_ends",
        "the line ends of the body are {}",
        f"Something changed the line ends, such as a text-mode file. {_KEEP_BYTES}",
    )
    plain = body.replace(b"\r\n", b"\n")
    yield lines._replace(clause=lines.clause.format("LF")), plain
    yield lines._replace(clause=lines.clause.format("CRLF")), plain.replace(b"\n", b"\r\n")
    yield lines._replace(clause=lines.clause.format("LF")), plain.replace(b"\r", b"\n")


def _escaped_slashes(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    remedy = f"The JSON was parsed and written again. {_KEEP_BYTES}"
    plain = body.replace(rb"\/", b"/")
    yield Cause("body_escaped_slashes", "the slashes in the body are not escaped", remedy), plain
    yield (
        Cause("body_escaped_slashes", r"the slashes in the body are escaped as \/", remedy),
        plain.replace(b"/", rb"\/"),
    )


def _json_forms(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    """Write the JSON of the body again, in the ways of the usual writers."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):  # not JSON; or nested too deeply, with a number of too many digits
        return
    remedy = f"The JSON was parsed and written again on the way. {_KEEP_BYTES}"
    orders: list[tuple[Any, bool, str]] = [(value, False, ""), (value, True, ", its keys sorted")]
    event = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if list(event)[:2] == ["meeting_id", "message"]:  # many writers sort the keys; MeetGeek documents their order
        orders.append(({"message": event["message"], **event}, False, ", its keys in the documented order"))
    for ascii_only in (True, False):
        for ordered, sort_keys, order in orders:
            for name, form, options in _JSON_FORMS:
                if "indent" in options and len(body) > _LARGE:
                    continue
                escaping = {"ensure_ascii": ascii_only, "sort_keys": sort_keys}
                written = _written(ordered, len(body), {**escaping, **options})
                if written is None:
                    continue
                clause = f"the JSON of the body is written {form}{order}"
                if not written.isascii():
                    clause += ", its characters not escaped"
                yield Cause(name, clause, remedy), written
                if sort_keys or "indent" in options:
                    continue
                yield Cause(name, f"{clause}, its slashes escaped", remedy), written.replace(b"/", rb"\/")
                yield Cause(name, f"{clause}, with a line end", remedy), written + b"\n"
                markup = written.replace(b"&", rb"\u0026").replace(b"<", rb"\u003c").replace(b">", rb"\u003e")
                yield Cause(name, f"{clause}, its & < > escaped", remedy), markup


def _written(value: object, size: int, options: dict[str, Any]) -> bytes | None:
    """Write JSON; `None` where it can't be written, or grows out of proportion: deep nesting makes wide indents."""
    limit = 6 * size + 4096
    try:
        if "indent" not in options:
            return json.dumps(value, **options).encode()
        pieces: list[str] = []
        written = 0
        for piece in json.JSONEncoder(**options).iterencode(value):
            written += len(piece)
            if written > limit:
                return None
            pieces.append(piece)
        return "".join(pieces).encode()
    except (ValueError, RecursionError, TypeError):
        # ValueError: a lone surrogate isn't UTF-8. RecursionError: nested more deeply than can be written.
        return None


def _compressed(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    """Inflate a body that was received compressed: gzip (RFC 1952) or zlib (RFC 1950)."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    with suppress(zlib.error):
        inflated = inflater.decompress(body, _LARGEST_INFLATED)
        if inflater.eof:
            yield (
                Cause(
                    "body_compressed",
                    "the body is decompressed",
                    "Something compressed the body on its way. Decompress it before it is verified.",
                ),
                inflated,
            )


def _inflated(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    """Compress a body that was signed compressed, in the ways of the usual programs, which write no time."""
    if len(body) > _LARGE:
        return
    cause = Cause(
        "body_inflated",
        "the body is compressed",
        f"Something decompressed the body before it was verified. {_KEEP_BYTES}",
    )
    for level in (6, 9, 1):
        deflater = zlib.compressobj(level, wbits=zlib.MAX_WBITS | 16)
        written = deflater.compress(body) + deflater.flush()
        yield cause, written
        for system in (b"\xff", b"\x00"):  # the header's last byte, which names the operating system
            for speed in (written[8:9], b"\x00"):
                yield cause, written[:8] + speed + system + written[10:]
    yield cause, zlib.compress(body)


def _transfer_forms(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    """Percent-encoding, base64, and envelopes."""
    decode_once = f"Something percent-encoded or percent-decoded the body. {_KEEP_BYTES}"
    plus = body.replace(b"+", b" ")
    for encoded in (body, plus, plus.partition(b"=")[2] or body):
        yield Cause("body_percent_encoding", "the body is percent-decoded", decode_once), unquote_to_bytes(encoded)
    if len(body) <= _LARGE:
        quoted = quote_from_bytes(body, safe="")
        for encoded_text in (quoted, quoted.replace("%20", "+"), quote_from_bytes(body)):
            yield Cause("body_percent_encoding", "the body is percent-encoded", decode_once), encoded_text.encode()
    with suppress(binascii.Error, ValueError):
        yield (
            Cause(
                "body_base64",
                "the body is decoded from base64",
                "Decode the body first: AWS Lambda hands it over as base64 where `isBase64Encoded` is true.",
            ),
            base64.b64decode(body, validate=True),
        )
    yield (
        Cause("body_base64", "the body is written in base64", "The sender signs the base64 of the body."),
        base64.b64encode(body),
    )
    yield from _enveloped(body)


def _enveloped(body: bytes) -> Iterator[tuple[Cause, bytes]]:
    """A body within JSON: a JSON string, or the event of a gateway."""
    if not body.lstrip().startswith((b'"', b"{")):
        return
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    cause = Cause(
        "body_enveloped",
        "the body is what the JSON holds",
        "The received body is an envelope, such as a gateway's event: verify the body inside it.",
    )
    inner = value.get("body") if isinstance(value, dict) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(inner, str):
        yield cause, inner.encode("utf-8", "replace")
        decoded = _from_base64(inner)
        if decoded:
            yield cause, decoded


def _text_forms(body: bytes, text: str | None) -> Iterator[tuple[Cause, bytes]]:
    """Character encodings, and what was lost in them."""
    remedy = f"Something decoded and encoded the body on its way. {_KEEP_BYTES}"
    if text is None:
        yield (
            Cause("body_encoding", "the body is read as Latin-1 and written as UTF-8", remedy),
            body.decode("latin-1").encode(),
        )
        yield (
            Cause("body_invalid_bytes", "its invalid bytes are removed", remedy),
            body.decode("utf-8", "ignore").encode(),
        )
        replaced = body.decode("utf-8", "replace")
        yield Cause("body_invalid_bytes", "its invalid bytes are U+FFFD", remedy), replaced.encode()
        yield (
            Cause("body_invalid_bytes", "its invalid bytes are question marks", remedy),
            replaced.replace("\ufffd", "?").encode(),
        )
    elif not text.isascii():
        for encoding in ("latin-1", "cp1252"):
            with suppress(UnicodeError):
                yield (
                    Cause("body_encoding", "the body is written as Latin-1, not as UTF-8", remedy),
                    text.encode(encoding),
                )
            yield (
                Cause("body_encoding", "the UTF-8 of the body is read as Latin-1", remedy),
                body.decode(encoding, "replace").encode(),
            )
        for errors, form in (("replace", "question marks"), ("ignore", "removed")):
            yield (
                Cause("body_invalid_bytes", f"its characters beyond ASCII are {form}", remedy),
                text.encode("ascii", errors),
            )
        yield Cause("body_invalid_bytes", "its U+FFFD are removed", remedy), text.replace("\ufffd", "").encode()
        yield Cause("body_invalid_bytes", "its U+FFFD are question marks", remedy), text.replace("\ufffd", "?").encode()
        for form in _FORMS:
            normal = _normal(form, text)
            if normal is not None:
                yield Cause("body_normalization", f"the body is in Unicode's form {form}", remedy), normal.encode()
    if text is not None:
        for encoding in ("utf-16-le", "utf-16"):
            yield Cause("body_encoding", "the body is written as UTF-16", remedy), text.encode(encoding)


ALGORITHMS = {16: "md5", 20: "sha1", 28: "sha224", 32: "sha256", 48: "sha384", 64: "sha512"}
"""The usual hash for each length of a digest, in bytes."""
SAME_LENGTH = ("sha3_256", "blake2s")
"""Other hashes with a digest as long as SHA-256's."""

_PREFIX = re.compile(
    r"(?:(?:(?:x-mg-)?signature|(?:hmac[-_]?)?(?:sha-?(?:1|224|256|384|512)|md5)|hmac|hex|v0|v1|bearer)\s*[=:,\s]\s*|0x)",
    re.IGNORECASE,
)
_WRAPPERS = re.compile(r"""(?:b?"(.*)"|b?'(.*)'|<(.*)>|\[(.*)\]|\u201c(.*)\u201d)""", re.DOTALL | re.IGNORECASE)
_SPACED_BYTES = re.compile(r"[0-9a-fA-F]{2}(?:[:\-\s]+[0-9a-fA-F]{2})+")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")

_SEND_AS_IS = "Send exactly 64 lower-case hexadecimal digits and nothing else."
_UPPER_CASE = Cause(
    "signature_upper_case", "its digits are written in lower case", f"The sender writes upper case. {_SEND_AS_IS}"
)
_PREFIXED = Cause("signature_prefix", "its prefix is removed", f"MeetGeek's signature has no prefix. {_SEND_AS_IS}")
_BASE64 = Cause("signature_base64", "it is decoded from base64", f"The sender writes base64. {_SEND_AS_IS}")
_QUOTED = Cause("signature_quotes", "the quotes around it are removed", f"The sender adds quotes. {_SEND_AS_IS}")
_SPACED = Cause(
    "signature_white_space",
    "the other characters between its digits are removed",
    f"The sender breaks it up. {_SEND_AS_IS}",
)
_LISTED = Cause(
    "signature_list", "one value of its list is taken", f"The header field holds several values. {_SEND_AS_IS}"
)
_ESCAPED = Cause("signature_percent_encoding", "it is percent-decoded", f"Something percent-encoded it. {_SEND_AS_IS}")
ALGORITHM = Cause("signature_algorithm", "the hash is {}", "Sign with SHA-256, as MeetGeek does.")
UNKEYED = Cause(
    "signature_unkeyed",
    "it is a plain hash of the body",
    "Anyone can compute that. Sign with HMAC and the secret, as MeetGeek does.",
)
SWAPPED = Cause(
    "signature_swapped",
    "the body is the key and the secret the message",
    "Swap the two arguments of the sender's HMAC function: the secret is the key.",
)
CONCATENATED = Cause(
    "signature_concatenated",
    "it is a plain hash of the secret and the body",
    "Sign with HMAC, as MeetGeek does, not with the hash of both.",
)


def readings_of(signature: object) -> list[Reading]:
    """Read a signature in every way that it may be meant.

    Args:
        signature: what was received, of any type.

    Returns:
        At most four digests, the likeliest first; none if it isn't a digest at all.
    """
    text = _received_text(signature)
    if len(text) > _LONGEST_SIGNATURE:
        return []
    whole = _reading(text, ())
    if whole is not None:
        return [whole]
    parts = [part for part in re.split(r"[,;\s]+", text) if part]
    listed = (_reading(part, (_LISTED,)) for part in parts[:8]) if len(parts) > 1 else ()
    return [reading for reading in listed if reading is not None][:4]


def _received_text(signature: object) -> str:
    """Take the text out of a signature of any type, without calling a method that it may have of its own."""
    kind = type(signature)  # isinstance() would ask the object for its class
    most = slice(_LONGEST_SIGNATURE + 1)
    if issubclass(kind, str):
        return str.__getitem__(cast("str", signature), most).encode("utf-8", "replace").decode()
    if issubclass(kind, bytes):
        return bytes.__getitem__(cast("bytes", signature), most).decode("utf-8", "replace")
    if issubclass(kind, bytearray):
        return bytearray.__getitem__(cast("bytearray", signature), most).decode("utf-8", "replace")
    return ""


def _reading(text: str, causes: tuple[Cause, ...]) -> Reading | None:
    """Read one value: take off what surrounds it, then decode it."""
    text = text.strip(" \t")
    stripped = text.strip().strip(_INVISIBLE)
    if stripped != text:
        causes, text = (*causes, _SPACED), stripped
    if "%" in text:
        causes, text = (*causes, _ESCAPED), unquote_to_bytes(text).decode("utf-8", "replace")
    for _ in range(2):  # a prefix may come before the quotes, or inside them
        wrapped = _WRAPPERS.fullmatch(text)
        if wrapped:
            causes, text = (*causes, _QUOTED), next(group for group in wrapped.groups() if group is not None).strip()
        prefix = _PREFIX.match(text)
        if prefix:
            causes, text = (*causes, _PREFIXED), text[prefix.end() :]
    joined = "".join(text.split())
    if _SPACED_BYTES.fullmatch(text):
        joined = re.sub(r"[:\-\s]", "", text)
    if joined != text and _SPACED not in causes:
        causes = (*causes, _SPACED)
    if _HEXADECIMAL.fullmatch(joined) and len(joined) / 2 in ALGORITHMS:
        return Reading(bytes.fromhex(joined), causes if joined == joined.lower() else (*causes, _UPPER_CASE))
    decoded = _from_base64(joined)
    if decoded is None:
        return None
    if _HEXADECIMAL.fullmatch(decoded.decode("latin-1")) and len(decoded) / 2 in ALGORITHMS:
        decoded = bytes.fromhex(decoded.decode())
    return Reading(decoded, (*causes, _BASE64)) if len(decoded) in ALGORITHMS else None


def _from_base64(text: str) -> bytes | None:
    """Decode base64 (RFC 4648), of either alphabet and with or without padding."""
    if not re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", text):
        return None
    unpadded = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error:
        return None


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _normal(form: Literal["NFC", "NFD"], text: str) -> str | None:
    """Normalise a text, if it is one: see `_MOST_MARKS`."""
    if text.isascii() or len(text) > _LARGE:
        return None
    marks = 0
    for character in text:
        marks = marks + 1 if combining(character) else 0
        if marks > _MOST_MARKS:
            return None
    return normalize(form, text)
