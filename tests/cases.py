"""The tables that drive both protocols, and signatures from another source than the package."""

import hashlib
import hmac

SECRET = "whsec_5f1d0c9ab7"
OTHER_SECRET = "whsec_another"
SUCCEEDED = b'{"message": "File analyzed successfully", "meeting_id": "5e0a3b1c-7d2f-4c6e-9a8b-0f1e2d3c4b5a"}'
FAILED = b'{"message": "File analyzed failed"}'
LIMIT = 1_048_576  # bytes: the documented default of max_body_size
LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def signature_of(body, secret=SECRET):
    """Sign with the standard library's hmac, which test_signature.py holds against other implementations."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def signed(body, secret=SECRET):
    """The header fields of a genuine request."""
    return [(b"x-mg-signature", signature_of(body, secret))]


GENUINE = signature_of(SUCCEEDED)

# Values of X-MG-Signature that are no signature, whatever the body: each holds the genuine one as far as it can.
MALFORMED_SIGNATURES = {
    "empty": b"",
    "only white space": b" \t ",
    "one digit short": GENUINE[:-1],
    "one digit too many": GENUINE + b"0",
    "half": GENUINE[:32],
    "upper case": GENUINE.upper(),
    "one upper-case digit": GENUINE[:63] + b"A",
    "not hexadecimal at the start": b"g" + GENUINE[1:],
    "not hexadecimal at the end": GENUINE[:63] + b"g",
    "a digit below 0": GENUINE[:63] + b"/",
    "a digit above 9": GENUINE[:63] + b":",
    "a letter below a": GENUINE[:63] + b"`",
    "prefixed": b"sha256=" + GENUINE,
    "0x": b"0x" + GENUINE,
    "0x within 64": b"0x" + GENUINE[2:],
    "double quotes": b'"' + GENUINE + b'"',
    "single quotes": b"'" + GENUINE + b"'",
    "base64": b"3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=",
    "base64 of 64 characters": b"3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSor",
    "list with a comma": GENUINE + b"," + GENUINE,
    "list with comma and space": GENUINE + b", " + GENUINE,
    "glued": GENUINE + GENUINE,
    "list with an empty member": GENUINE + b",",
    "parameter": GENUINE + b";v=1",
    "space inside": GENUINE[:32] + b" " + GENUINE[32:],
    "space in place of a digit": GENUINE[:32] + b" " + GENUINE[33:],
    "final newline": GENUINE + b"\n",
    "first newline": b"\n" + GENUINE,
    "final carriage return": GENUINE + b"\r",
    "final CRLF": GENUINE + b"\r\n",
    "obsolete folding": GENUINE[:32] + b"\r\n " + GENUINE[32:],
    "vertical tab": GENUINE + b"\x0b",
    "form feed": GENUINE + b"\x0c",
    "next line": GENUINE + b"\x85",
    "no-break space": b"\xa0" + GENUINE,
    "final NUL": GENUINE + b"\0",
    "NUL inside": GENUINE[:32] + b"\0" + GENUINE[33:],
    "byte order mark": b"\xef\xbb\xbf" + GENUINE,
    "bytes over ASCII": b"\xff\xe9" + GENUINE[2:],
    "64 bytes over ASCII": b"\xe9" * 64,
    "full-width digits": "\uff11".encode() * 64,
    "long": b"0" * 100_000,
}

# What the white space of RFC 9110, section 5.6.3, may leave round a genuine value.
PADDED_SIGNATURES = {
    "none": GENUINE,
    "space and tab behind": GENUINE + b" \t",
    "space and tab before": b"\t " + GENUINE,
    "much on both sides": b" \t" * 20 + GENUINE + b"\t " * 20,
}

# Declared lengths that are no plain ASCII digits.
INVALID_LENGTHS = {
    "word": b"abc",
    "negative": b"-5",
    "minus zero": b"-0",
    "plus sign": b"+5",
    "underscore": b"1_0",
    "list": b"5, 5",
    "list without space": b"5,5",
    "space before": b" 5",
    "space behind": b"5 ",
    "only a space": b" ",
    "newline": b"5\n",
    "float": b"5.0",
    "exponent": b"1e3",
    "hexadecimal": b"0x5",
    "hexadecimal digits": b"ff",
    "superscript two": b"\xb2",
    "Arabic digit": "\u0665".encode(),
    "NUL": b"5\0",
}

# How a fine length may be written that is the length of the body given with it.
SPELT_LENGTHS = {
    "plain": (b"%d", 5),
    "leading zeros": (b"000%d", 5),
    "hundreds of leading zeros": (b"0" * 500 + b"%d", 5),
    "zero": (b"%d", 0),
    "zeros": (b"000%d", 0),
    "thousands of zeros": (b"0" * 5000 + b"%d", 0),
}
