"""What goes wrong between a signature and its check, one row for each way, and what the explanation calls it.

A row tells a story: the secret and the body that were signed, what the receiver was configured with, what it received.
The signatures come from the standard library alone.
"""

import base64
import gzip
import hashlib
import hmac
import json
import zlib
from dataclasses import dataclass
from unicodedata import normalize

import pytest

from mg_middleware import explain_mismatch, verify

SECRET = "mg-5f0c1e_Zürich"
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bfb4c3dd2b0f00a08f00c"
BASE64 = base64.b64encode(bytes(range(3, 35))).decode()
ASCII_SECRET = "whsec-0123456789-Alpha"

EVENT = {"message": "File analyzed successfully", "meeting_id": "0b0f2c3e-5d0a-4a5c-8f6e-3e1d2c4b5a69"}
BODY = json.dumps(EVENT).encode()
COMPACT = json.dumps(EVENT, separators=(",", ":")).encode()
WORDY = {"title": "Zoë & Åsa, Q3", "link": "https://example.org/a/b", "n": [1, 2.5, None, True]}
WORDY_BODY = json.dumps(WORDY, ensure_ascii=False).encode()


def mac(secret, body, algorithm="sha256"):
    secret = secret if isinstance(secret, bytes) else secret.encode()
    return hmac.new(secret, body, algorithm)


@dataclass
class Row:
    name: str
    cause: str
    signed_with: str | bytes = SECRET
    configured: str | bytes = SECRET
    signed: bytes = BODY
    received: bytes = BODY
    header: str | bytes | None = None  # as received; what the sender should have sent if None

    def signature(self):
        return mac(self.signed_with, self.signed).hexdigest() if self.header is None else self.header


def secret(name, cause, signed_with, configured):
    return Row(name, cause, signed_with=signed_with, configured=configured)


def body(name, cause, signed, received):
    return Row(name, cause, signed=signed, received=received)


def header(name, cause, value):
    return Row(name, cause, header=value)


RIGHT = mac(SECRET, BODY)
PLAIN_MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
LINES = b'{\n  "message": "File analyzed failed"\n}'
ACCENTED = json.dumps({"title": "Zoë"}, ensure_ascii=False).encode()

SECRETS = [
    secret("newline pasted", "secret_trailing_newline", SECRET, SECRET + "\n"),
    secret("file with Windows line end", "secret_trailing_newline", SECRET, SECRET + "\r\n"),
    secret("two newlines", "secret_white_space", SECRET, SECRET + "\n\n"),
    secret("carriage return left over", "secret_trailing_newline", SECRET, SECRET + "\r"),
    secret("space before it", "secret_white_space", SECRET, " " + SECRET),
    secret("space behind it", "secret_white_space", SECRET, SECRET + " "),
    secret("tab behind it", "secret_white_space", SECRET, SECRET + "\t"),
    secret("no-break space from a web page", "secret_white_space", SECRET, "\N{NO-BREAK SPACE}" + SECRET),
    secret("zero-width space from a chat", "secret_white_space", SECRET, SECRET + "\N{ZERO WIDTH SPACE}"),
    secret("newline given to the sender", "secret_missing_newline", SECRET + "\n", SECRET),
    secret("Windows line end given to the sender", "secret_missing_newline", SECRET + "\r\n", SECRET),
    secret("space given to the sender", "secret_missing_white_space", SECRET + " ", SECRET),
    secret("space before, given to the sender", "secret_missing_white_space", " " + SECRET, SECRET),
    secret("double quotes kept by an env file", "secret_quotes", SECRET, f'"{SECRET}"'),
    secret("single quotes kept by an env file", "secret_quotes", SECRET, f"'{SECRET}'"),
    secret("typographic quotes", "secret_quotes", SECRET, f"“{SECRET}”"),
    secret("backticks from a README", "secret_quotes", SECRET, f"`{SECRET}`"),
    secret("double quotes given to the sender", "secret_missing_quotes", f'"{SECRET}"', SECRET),
    secret("single quotes given to the sender", "secret_missing_quotes", f"'{SECRET}'", SECRET),
    secret("byte order mark of an editor", "secret_byte_order_mark", SECRET, "\ufeff" + SECRET),
    secret("byte order mark given to the sender", "secret_missing_byte_order_mark", "\ufeff" + SECRET, SECRET),
    secret("hex stands for the key", "secret_hex_decoded", bytes.fromhex(HEX), HEX),
    secret("hex was decoded too early", "secret_hex_encoded", HEX, bytes.fromhex(HEX)),
    secret("hex in upper case at the sender", "secret_letter_case", HEX.upper(), HEX),
    secret("hex in upper case here", "secret_letter_case", HEX, HEX.upper()),
    secret("base64 stands for the key", "secret_base64_decoded", base64.b64decode(BASE64), BASE64),
    secret("base64 without padding", "secret_base64_decoded", base64.b64decode(BASE64), BASE64.rstrip("=")),
    secret(
        "URL-safe base64", "secret_base64_decoded", b"\xfb\xff" * 8, base64.urlsafe_b64encode(b"\xfb\xff" * 8).decode()
    ),
    secret("base64 was decoded too early", "secret_base64_encoded", BASE64, base64.b64decode(BASE64)),
    secret("secret prefix of Standard Webhooks", "secret_prefix", base64.b64decode(BASE64), "whsec_" + BASE64),
    secret("prefix that only one side has", "secret_prefix", "abc-defg", "whsec_abc-defg"),
    secret("whole line of an env file", "secret_prefix", SECRET, f"MEETGEEK_WEBHOOK_SECRET={SECRET}"),
    secret("exported, with quotes", "secret_prefix", SECRET, f'export MEETGEEK_WEBHOOK_SECRET="{SECRET}"'),
    secret("empty at the sender", "secret_empty", b"", SECRET),
    secret("None turned to text", "secret_literal", "None", SECRET),
    secret("null turned to text", "secret_literal", "null", SECRET),
    secret("undefined turned to text", "secret_literal", "undefined", SECRET),
    secret("test secret of the plugin", "secret_of_the_tests", "meetgeek-test-secret", SECRET),
    secret("UTF-16 by PowerShell", "secret_encoding", SECRET, b"\xff\xfe" + SECRET.encode("utf-16-le")),
    secret("Latin-1 at the sender", "secret_encoding", SECRET.encode("latin-1"), SECRET),
    secret("Latin-1 here", "secret_encoding", SECRET, SECRET.encode("latin-1")),
    secret("decomposed by macOS", "secret_normalization", normalize("NFC", SECRET), normalize("NFD", SECRET)),
    secret("decomposed at the sender", "secret_normalization", normalize("NFD", SECRET), normalize("NFC", SECRET)),
    secret("percent-encoded from a URL", "secret_escapes", "a/b+c=d", "a%2Fb%2Bc%3Dd"),
    secret("backslash n kept as two characters", "secret_escapes", "line-1\nline-2", r"line-1\nline-2"),
    secret("dollars doubled for compose", "secret_escapes", "pa$word$", "pa$$word$$"),
    secret("comma of a list copied", "secret_punctuation", SECRET, SECRET + ","),
    secret("pasted twice", "secret_doubled", ASCII_SECRET, ASCII_SECRET * 2),
    secret("lower-cased by a form", "secret_letter_case", ASCII_SECRET.lower(), ASCII_SECRET),
]

BODIES = [
    body("compacted by JSON.stringify", "body_json_default", BODY, COMPACT),
    body("spaced by json.dumps", "body_json_compact", COMPACT, BODY),
    body("indented by a proxy", "body_json_default", BODY, json.dumps(EVENT, indent=2).encode()),
    body("indented by the sender", "body_json_indented", json.dumps(EVENT, indent=4).encode(), BODY),
    body("indented by two by the sender", "body_json_indented", json.dumps(EVENT, indent=2).encode(), COMPACT),
    body("indented by tabs by the sender", "body_json_indented", json.dumps(EVENT, indent="\t").encode(), BODY),
    body(
        "keys sorted by the sender",
        "body_json_compact",
        json.dumps(EVENT, sort_keys=True, separators=(",", ":")).encode(),
        COMPACT,
    ),
    body("keys sorted on the way", "body_json_default", BODY, json.dumps(EVENT, sort_keys=True).encode()),
    body(
        "keys sorted on the way, and spacing dropped",
        "body_json_default",
        BODY,
        json.dumps(EVENT, sort_keys=True, separators=(",", ":")).encode(),
    ),
    body(
        "keys sorted and indented on the way",
        "body_json_compact",
        COMPACT,
        json.dumps(EVENT, sort_keys=True, indent=2).encode(),
    ),
    body("keys sorted, default spacing", "body_json_default", json.dumps(EVENT, sort_keys=True).encode(), COMPACT),
    body("compacted by Go, with its newline", "body_json_compact", COMPACT + b"\n", BODY),
    body("escaped by json.dumps", "body_json_default", WORDY_BODY, json.dumps(WORDY, separators=(",", ":")).encode()),
    body("unescaped on the way", "body_json_compact", json.dumps(WORDY, separators=(",", ":")).encode(), WORDY_BODY),
    body("slashes escaped by PHP", "body_escaped_slashes", WORDY_BODY.replace(b"/", rb"\/"), WORDY_BODY),
    body("slashes unescaped on the way", "body_escaped_slashes", WORDY_BODY, WORDY_BODY.replace(b"/", rb"\/")),
    body(
        "compact, escaped slashes and all, by PHP",
        "body_json_compact",
        json.dumps(WORDY, separators=(",", ":")).replace("/", r"\/").encode(),
        WORDY_BODY,
    ),
    body(
        "ampersand escaped by Go",
        "body_json_compact",
        json.dumps(WORDY, separators=(",", ":"), ensure_ascii=False).replace("&", r"\u0026").encode(),
        WORDY_BODY,
    ),
    body("newline appended by an editor", "body_trailing_newline", BODY, BODY + b"\n"),
    body("Windows line end appended", "body_trailing_newline", BODY, BODY + b"\r\n"),
    body("newline taken off by curl --data", "body_missing_newline", BODY + b"\n", BODY),
    body("Windows line end taken off", "body_missing_newline", BODY + b"\r\n", BODY),
    body("white space trimmed", "body_white_space", BODY, b"  " + BODY + b" "),
    body("line ends turned to Windows'", "body_line_ends", LINES, LINES.replace(b"\n", b"\r\n")),
    body("line ends turned from Windows'", "body_line_ends", LINES.replace(b"\n", b"\r\n"), LINES),
    body("byte order mark added", "body_byte_order_mark", BODY, b"\xef\xbb\xbf" + BODY),
    body("byte order mark lost", "body_missing_byte_order_mark", b"\xef\xbb\xbf" + BODY, BODY),
    body("UTF-8 read as Latin-1", "body_encoding", ACCENTED, ACCENTED.decode("latin-1").encode()),
    body("UTF-8 read as Windows-1252", "body_encoding", "“é“".encode(), "“é“".encode().decode("cp1252").encode()),
    body("written as Latin-1", "body_encoding", ACCENTED, ACCENTED.decode().encode("latin-1")),
    body("written as UTF-16", "body_encoding", BODY, BODY.decode().encode("utf-16")),
    body("signed as UTF-16", "body_encoding", BODY.decode().encode("utf-16-le"), BODY),
    body("invalid bytes dropped by the sender", "body_invalid_bytes", b'{"a": "x"}', b'{"a": "x\xff"}'),
    body("invalid bytes replaced by the sender", "body_invalid_bytes", '{"a": "x\ufffd"}'.encode(), b'{"a": "x\xff"}'),
    body("accents turned to question marks", "body_invalid_bytes", b'{"title": "Zo?"}', ACCENTED),
    body("accents dropped", "body_invalid_bytes", b'{"title": "Zo"}', ACCENTED),
    body("left compressed by the server", "body_compressed", BODY, gzip.compress(BODY)),
    body("left deflated by the server", "body_compressed", BODY, zlib.compress(BODY)),
    body("inflated by the proxy", "body_inflated", gzip.compress(BODY, mtime=0), BODY),
    body(
        "percent-encoded on the way",
        "body_percent_encoding",
        BODY,
        b"%7B%22message%22%3A%20%22File%20analyzed%20successfully%22%2C%20%22meeting_id%22%3A%20%22"
        + EVENT["meeting_id"].encode()
        + b"%22%7D",
    ),
    body("percent-decoded on the way", "body_percent_encoding", b"%7B%7D", b"{}"),
    body("plus signs for spaces", "body_percent_encoding", b'{"a b": 1}', b"%7B%22a+b%22:+1%7D"),
    body(
        "form field of the payload",
        "body_percent_encoding",
        BODY,
        b"payload=" + BODY.replace(b'"', b"%22").replace(b" ", b"+"),
    ),
    body("base64 in a Lambda event", "body_base64", BODY, base64.b64encode(BODY)),
    body("decoded from base64", "body_base64", base64.b64encode(BODY), BODY),
    body(
        "whole Lambda event",
        "body_enveloped",
        BODY,
        json.dumps({"body": BODY.decode(), "isBase64Encoded": False}).encode(),
    ),
    body(
        "whole Lambda event with base64",
        "body_enveloped",
        BODY,
        json.dumps({"body": base64.b64encode(BODY).decode(), "isBase64Encoded": True}).encode(),
    ),
    body("JSON in a JSON string", "body_enveloped", BODY, json.dumps(BODY.decode()).encode()),
    body("read twice, empty the second time", "body_lost", b'{"message": "File analyzed failed"}', b""),
    body("signed before it was written", "body_empty", b"", BODY),
    body("object turned to text by JavaScript", "body_literal", b"[object Object]", BODY),
    body("parsed away by a body parser", "body_literal", b"{}", BODY),
    body(
        "decomposed on the way",
        "body_normalization",
        normalize("NFC", "Zoë").encode(),
        normalize("NFD", "Zoë").encode(),
    ),
    body(
        "composed on the way", "body_normalization", normalize("NFD", "Zoë").encode(), normalize("NFC", "Zoë").encode()
    ),
]

HEADERS = [
    header("upper case", "signature_upper_case", RIGHT.hexdigest().upper()),
    header("mixed case", "signature_upper_case", RIGHT.hexdigest().replace("a", "A")),
    header("prefix of GitHub", "signature_prefix", "sha256=" + RIGHT.hexdigest()),
    header("prefix with a space", "signature_prefix", "sha256= " + RIGHT.hexdigest()),
    header(
        "prefix of Standard Webhooks",
        "signature_prefix+signature_base64",
        "v1," + base64.b64encode(RIGHT.digest()).decode(),
    ),
    header("prefix of Stripe", "signature_prefix", "v1=" + RIGHT.hexdigest()),
    header("prefix of SHA-1 before the right one", "signature_prefix", "sha1=" + RIGHT.hexdigest()),
    header("hexadecimal prefix", "signature_prefix", "0x" + RIGHT.hexdigest()),
    header("base64", "signature_base64", base64.b64encode(RIGHT.digest()).decode()),
    header("base64 without its padding", "signature_base64", base64.b64encode(RIGHT.digest()).decode().rstrip("=")),
    header("base64 for URLs", "signature_base64", base64.urlsafe_b64encode(RIGHT.digest()).decode()),
    header("base64 of the hex digits", "signature_base64", base64.b64encode(RIGHT.hexdigest().encode()).decode()),
    header("double quotes", "signature_quotes", f'"{RIGHT.hexdigest()}"'),
    header("single quotes", "signature_quotes", f"'{RIGHT.hexdigest()}'"),
    header("repr of Python bytes", "signature_quotes", repr(RIGHT.hexdigest().encode())),
    header("newline inside", "signature_white_space", RIGHT.hexdigest()[:32] + "\n" + RIGHT.hexdigest()[32:]),
    header("newline behind", "signature_white_space", RIGHT.hexdigest() + "\n"),
    header("spaces between bytes", "signature_white_space", RIGHT.digest().hex(" ")),
    header("colons between bytes", "signature_white_space", RIGHT.digest().hex(":")),
    header("list of two", "signature_list", "0" * 64 + ", " + RIGHT.hexdigest()),
    header("bytes instead of text", "signature_upper_case", RIGHT.hexdigest().upper().encode()),
    header("SHA-1", "signature_algorithm", mac(SECRET, BODY, "sha1").hexdigest()),
    header(
        "SHA-1 of GitHub's old field",
        "signature_prefix+signature_algorithm",
        "sha1=" + mac(SECRET, BODY, "sha1").hexdigest(),
    ),
    header("MD5", "signature_algorithm", mac(SECRET, BODY, "md5").hexdigest()),
    header("SHA-224", "signature_algorithm", mac(SECRET, BODY, "sha224").hexdigest()),
    header("SHA-384", "signature_algorithm", mac(SECRET, BODY, "sha384").hexdigest()),
    header("SHA-512", "signature_algorithm", mac(SECRET, BODY, "sha512").hexdigest()),
    header("SHA3-256, as long as the right one", "signature_algorithm", mac(SECRET, BODY, "sha3_256").hexdigest()),
    header("hash without a key", "signature_unkeyed", hashlib.sha256(BODY).hexdigest()),
    header("hash without a key, MD5", "signature_unkeyed+signature_algorithm", PLAIN_MD5),
    header("key and message swapped", "signature_swapped", mac(BODY, SECRET.encode()).hexdigest()),
    header("hash of secret and body", "signature_concatenated", hashlib.sha256(SECRET.encode() + BODY).hexdigest()),
    header("hash of body and secret", "signature_concatenated", hashlib.sha256(BODY + SECRET.encode()).hexdigest()),
]

COMBINED = [
    Row("newline and compact", "secret_trailing_newline+body_json_default", configured=SECRET + "\n", received=COMPACT),
    Row(
        "quotes and trailing newline",
        "secret_quotes+body_trailing_newline",
        configured=f'"{SECRET}"',
        received=BODY + b"\n",
    ),
    Row(
        "newline and upper case",
        "secret_trailing_newline+signature_upper_case",
        configured=SECRET + "\n",
        header=RIGHT.hexdigest().upper(),
    ),
    Row(
        "compact and prefix",
        "body_json_default+signature_prefix",
        received=COMPACT,
        header="sha256=" + RIGHT.hexdigest(),
    ),
    Row(
        "quotes, compact and base64",
        "secret_quotes+body_json_default+signature_base64",
        configured=f"'{SECRET}'",
        received=COMPACT,
        header=base64.b64encode(RIGHT.digest()).decode(),
    ),
    Row(
        "newline, byte order mark and SHA-512",
        "secret_trailing_newline+body_byte_order_mark+signature_algorithm",
        configured=SECRET + "\n",
        received=b"\xef\xbb\xbf" + BODY,
        header=mac(SECRET, BODY, "sha512").hexdigest(),
    ),
    Row(
        "newline, compact and swapped",
        "secret_trailing_newline+body_json_default+signature_swapped",
        configured=SECRET + "\n",
        received=COMPACT,
        header=mac(BODY, SECRET.encode()).hexdigest(),
    ),
    Row(
        "test secret and compact",
        "secret_of_the_tests+body_json_default",
        received=COMPACT,
        header=mac("meetgeek-test-secret", BODY).hexdigest(),
    ),
]

TABLE = [*SECRETS, *BODIES, *HEADERS, *COMBINED]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
@pytest.mark.filterwarnings("ignore:the secret begins or ends with white space")
def test_names_what_went_wrong_first(row):
    assert not verify(row.configured, row.received, row.signature())
    explanations = explain_mismatch(row.configured, row.received, row.signature())
    assert [explanation.cause for explanation in explanations[:1]] == [row.cause]


def test_tells_at_least_eighty_stories():
    assert len({row.name for row in TABLE}) == len(TABLE) >= 80
