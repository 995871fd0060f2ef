"""The core: the HMAC against published values and other implementations, the one comparison, and the body."""

import hashlib
import hmac
import json
import math
import shutil
import subprocess
from array import array

import pytest
from cases import FAILED, MALFORMED_SIGNATURES, PADDED_SIGNATURES, SUCCEEDED
from exchange import each
from hypothesis import given
from hypothesis import strategies as st

from mg_middleware._keys import Key
from mg_middleware._refusals import MALFORMED_SIGNATURE, SIGNATURE_MISMATCH
from mg_middleware._verification import Verification, check_header, verify_whole


def check_signature(value):
    return check_header([value], None, math.inf)


# RFC 4231, section 4: key, data, HMAC-SHA-256. The fifth is given there to 128 bits only.
RFC_4231 = {
    "4.2 a key shorter than the digest": (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    "4.3 a key of letters": (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    "4.4 key and data over 64 bytes together": (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    "4.5 a key of counting bytes": (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    "4.6 truncated to 128 bits": (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    "4.7 a key longer than a block": (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    "4.8 key and data longer than a block": (
        b"\xaa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. "
            b"The key needs to be hashed before being used by the HMAC algorithm."
        ),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
}

TEXT_KEYS = {"short": "whsec_5f1d0c9ab7", "not ASCII": "clé-ключ", "longer than a block": "k" * 65}
BODIES = (SUCCEEDED, FAILED, b"", bytes(range(256)), b'{ "message":"File analyzed failed" }\r\n', b"long" * 5000)

NODE_PROGRAM = """
const { createHmac } = require("node:crypto");
const { key, bodies } = JSON.parse(require("node:fs").readFileSync(0));
for (const body of bodies) {
  console.log(createHmac("sha256", key).update(Buffer.from(body, "hex")).digest("hex"));
}
"""

JAVA_PROGRAM = """
import java.util.HexFormat;
import java.util.Scanner;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

class Sign {
    public static void main(String[] arguments) throws Exception {
        var hexadecimal = HexFormat.of();
        var lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            var words = lines.nextLine().split(":", -1);
            var mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(hexadecimal.parseHex(words[0]), "HmacSHA256"));
            System.out.println(hexadecimal.formatHex(mac.doFinal(hexadecimal.parseHex(words[1]))));
        }
    }
}
"""


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def output_of(*command, entered=b""):
    return subprocess.run(command, input=entered, capture_output=True, check=True).stdout.decode()


def mac_of(key, *chunks):
    mac = key.begin()
    for chunk in chunks:
        mac.update(chunk)
    return mac


def signature_by(secret, *chunks):
    return mac_of(Key(secret), *chunks).hexdigest()


@pytest.mark.parametrize(
    ("secret", "body", "expected"), [pytest.param(*row, id=name) for name, row in RFC_4231.items()]
)
def test_signatures_are_those_of_rfc_4231(secret, body, expected):
    computed = signature_by(secret, body)
    assert computed[: len(expected)] == expected
    assert len(computed) == 64


@needs("openssl")
@pytest.mark.parametrize("secret", each(TEXT_KEYS))
def test_signatures_are_those_of_openssl(secret, tmp_path):
    files = [tmp_path / f"body{position}" for position in range(len(BODIES))]
    for file, body in zip(files, BODIES, strict=True):
        file.write_bytes(body)
    printed = output_of("openssl", "dgst", "-sha256", "-hmac", secret, *files)
    assert [signature_by(secret.encode(), body) for body in BODIES] == [
        line.rsplit("= ", 1)[1] for line in printed.splitlines()
    ]


@needs("node")
@pytest.mark.parametrize("secret", each(TEXT_KEYS))
def test_signatures_are_those_of_node(secret):
    entered = json.dumps({"key": secret, "bodies": [body.hex() for body in BODIES]}).encode()
    printed = output_of("node", "-e", NODE_PROGRAM, entered=entered)
    assert [signature_by(secret.encode(), body) for body in BODIES] == printed.splitlines()


@needs("java")
def test_signatures_are_those_of_java(tmp_path):
    program = tmp_path / "Sign.java"
    program.write_text(JAVA_PROGRAM)
    pairs = [(secret.encode(), body) for secret in TEXT_KEYS.values() for body in BODIES]
    entered = "".join(f"{secret.hex()}:{body.hex()}\n" for secret, body in pairs).encode()
    printed = output_of("java", "-XX:TieredStopAtLevel=1", program, entered=entered)
    assert [signature_by(secret, body) for secret, body in pairs] == printed.splitlines()


@given(st.binary(min_size=1, max_size=200), st.lists(st.binary(max_size=300), max_size=5))
def test_signatures_are_those_of_the_standard_library_for_any_key_and_any_chunks(secret, chunks):
    assert signature_by(secret, *chunks) == hmac.new(secret, b"".join(chunks), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 63, 64, 65, 127, 128, 129])
def test_signatures_are_right_for_keys_of_every_length_round_a_block(length):
    secret = bytes(range(1, length + 1))
    assert signature_by(secret, SUCCEEDED) == hmac.new(secret, SUCCEEDED, hashlib.sha256).hexdigest()


def test_a_key_signs_again_and_again():
    key = Key(b"whsec")
    first = mac_of(key, b"one").hexdigest()
    second = mac_of(key, b"two").hexdigest()
    assert first == mac_of(key, b"one").hexdigest()
    assert first != second


def test_a_key_knows_its_name():
    assert Key(b"whsec").key_id is None
    assert Key(b"whsec", "tenant").key_id == "tenant"


def test_a_key_keeps_its_name_when_it_is_used_and_changes_it_on_request():
    key = Key(b"whsec", "tenant").named("other")
    assert (key.key_id, mac_of(key, SUCCEEDED).hexdigest()) == ("other", signature_by(b"whsec", SUCCEEDED))


def test_a_fingerprint_tells_keys_apart_and_is_no_signature():
    first, second = Key(b"first"), Key(b"second")
    assert first.fingerprint == Key(b"first\0", "named").fingerprint
    assert first.fingerprint != second.fingerprint
    assert check_signature(first.fingerprint.encode()) is MALFORMED_SIGNATURE


def test_no_attribute_of_a_key_shows_its_secret():
    key = Key(b"whsec_shown_nowhere")
    held = [getattr(key, name) for name in type(key).__slots__]
    assert "whsec_shown_nowhere" not in repr(key)
    assert b"whsec_shown_nowhere" not in held
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("value", each(MALFORMED_SIGNATURES))
def test_what_is_no_64_lower_case_digits_is_no_signature(value):
    assert check_signature(value) is MALFORMED_SIGNATURE


@pytest.mark.parametrize("value", each(PADDED_SIGNATURES))
def test_spaces_and_tabs_at_the_ends_are_taken_off(value):
    assert check_signature(value) == (PADDED_SIGNATURES["none"], None)


def test_every_hexadecimal_digit_is_one():
    assert check_signature(b"0123456789abcdef" * 4) == (b"0123456789abcdef" * 4, None)


@pytest.mark.parametrize("byte", [bytes([byte]) for byte in range(256) if chr(byte) not in "0123456789abcdef"])
def test_no_other_byte_is_a_digit(byte):
    assert check_signature(b"0" * 63 + byte) is MALFORMED_SIGNATURE
    assert check_signature(b"0" * 31 + byte + b"0" * 32) is MALFORMED_SIGNATURE


@pytest.mark.parametrize("byte", [bytes([byte]) for byte in range(256) if byte not in b" \t"])
def test_no_other_byte_is_taken_off(byte):
    assert check_signature(PADDED_SIGNATURES["none"] + byte) is MALFORMED_SIGNATURE
    assert check_signature(byte + PADDED_SIGNATURES["none"]) is MALFORMED_SIGNATURE


def verify_in_pieces(keys, signature, body):
    verification = Verification(keys, signature, len(body), math.inf)
    for start in range(0, len(body), 10):
        assert verification.update(body[start : start + 10]) is None
    delivery = verification.finish()
    return None if delivery is SIGNATURE_MISMATCH else delivery


def compared(monkeypatch, verify, keys, received):
    """The name of the key that matches, and what the comparison was called with."""
    calls = []
    compare = hmac.compare_digest

    def compare_digest(left, right):
        calls.append((left, right))
        return compare(left, right)

    with monkeypatch.context() as patched:
        patched.setattr(hmac, "compare_digest", compare_digest)
        delivery = verify(keys, received, SUCCEEDED)
    return None if delivery is None else delivery.key_id, calls


@pytest.mark.parametrize("verify", [verify_in_pieces, verify_whole])
class TestComparing:
    @pytest.mark.parametrize("position", [0, 1, 2, None], ids=["first", "middle", "last", "none"])
    def test_every_key_is_compared_whichever_matches(self, monkeypatch, verify, position):
        names = ["first", "middle", "last"]
        keys = tuple(Key(name.encode(), name) for name in names)
        expected = [signature_by(name.encode(), SUCCEEDED).encode() for name in names]
        received = b"0" * 64 if position is None else expected[position]
        matching, calls = compared(monkeypatch, verify, keys, received)
        assert matching == (None if position is None else names[position])
        assert calls == [(one, received) for one in expected]

    def test_the_first_of_two_equal_keys_matches(self, monkeypatch, verify):
        keys = (Key(b"same", "first"), Key(b"same", "second"))
        matching, calls = compared(monkeypatch, verify, keys, signature_by(b"same", SUCCEEDED).encode())
        assert matching == "first"
        assert len(calls) == 2

    @pytest.mark.parametrize("right", [True, False])
    def test_one_key_is_compared_once(self, monkeypatch, verify, right):
        expected = signature_by(b"only", SUCCEEDED).encode()
        received = expected if right else b"0" * 64
        matching, calls = compared(monkeypatch, verify, (Key(b"only", "only"),), received)
        assert matching == ("only" if right else None)
        assert calls == [(expected, received)]


def kept(chunks):
    verification = Verification((), b"", None, math.inf)
    for chunk in chunks:
        assert verification.update(chunk) is None
    return verification.chunks


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_the_pieces_are_the_chunks(chunks):
    assert b"".join(kept(chunks)) == b"".join(chunks)


def test_large_chunks_are_kept_as_they_are():
    chunks = [bytes([byte]) * 1024 for byte in range(3)]
    assert [id(chunk) for chunk in kept(chunks)] == [id(chunk) for chunk in chunks]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([1000, 23], [1023]),
        ([1000, 24], [1024]),
        ([1000, 25], [1000, 25]),
        ([1024, 1], [1024, 1]),
        ([1, 1024], [1, 1024]),
        ([1] * 1024, [1024]),
        ([1] * 1025, [1024, 1]),
        ([2000, 1, 1], [2000, 2]),
        ([5, 0, 5], [10]),
        ([2000, 0], [2000, 0]),
    ],
)
def test_small_pieces_are_joined_up_to_a_kibibyte(sizes, expected):
    assert [len(piece) for piece in kept(b"x" * size for size in sizes)] == expected


@pytest.mark.parametrize("kind", [bytearray, lambda text: memoryview(bytearray(text))], ids=["bytearray", "memoryview"])
def test_a_mutable_chunk_is_copied(kind):
    chunk = kind(b"before")
    (copied,) = kept([chunk])
    chunk[:] = b"beyond"
    assert copied == b"before"
    assert type(copied) is bytes


def test_the_items_of_a_wide_buffer_are_bytes_in_the_end():
    numbers = array("I", [1, 2, 3])
    assert kept([memoryview(numbers)]) == [numbers.tobytes()]


def test_a_subclass_of_bytes_becomes_bytes():
    class Chunk(bytes):
        __slots__ = ()

    (copied,) = kept([Chunk(b"chunk")])
    assert (copied, type(copied)) == (b"chunk", bytes)


@pytest.mark.parametrize("chunk", [5, "text", None, [b"x"]])
def test_what_is_no_bytes_is_a_type_error(chunk):
    with pytest.raises(TypeError):
        kept([chunk])
