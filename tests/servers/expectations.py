"""What each server is expected to do with each case: the whole table, as data.

An answer is written as its status and who gave it: the application, the guard, or the server by itself. Where a cell
has several answers, each may be seen. `docs/explanation/what-your-server-does.md` shows this table; a test compares the
two.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from servers.programs import SECRET
from servers.wire import chunked_request, request

if TYPE_CHECKING:
    from collections.abc import Callable

RAN = "200 application"
LIMIT = 1_048_576


def genuine_signature(body):
    """Sign a body without the package, so that the test and the guard cannot share a mistake."""
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def forged_signature(body):
    return hmac.new(b"another secret", body, hashlib.sha256).hexdigest()


def delivery(meeting):
    """Write a body that no other test sends."""
    return b'{"message": "File analyzed successfully", "meeting_id": "%b"}' % meeting.encode()


@dataclass(frozen=True)
class Case:
    """One request and the answer that is expected of every server that `DIFFERENCES` does not name."""

    title: str
    write: Callable[[bytes], bytes]
    expected: tuple[str, ...]
    method: str = "POST"
    late: int = 0  # this many bytes are sent a moment after the others


def _signed(body, **options):
    return request(body, signatures=[genuine_signature(body)], **options)


def _of_size(size):
    def write(body):
        whole = body.ljust(size)
        return _signed(whole)

    return write


def _chunked(body, **options):
    return chunked_request(body, signatures=[genuine_signature(body)], **options)


def _with_trailer(body):
    return chunked_request(body, trailers=[("X-MG-Signature", genuine_signature(body))])


def _in_two(body, between):
    """Break the signature in two, which some servers put together again."""
    signature = genuine_signature(body)
    return request(body, signatures=[f"{signature[:32]}{between}{signature[32:]}"])


def _unsigned(title, **options):
    """Write a request without a signature that is odd enough for some servers to refuse it by themselves."""
    return Case(title, lambda body: request(body, **options), ("401 guard", "400 server"))


def _junk_length(written):
    """Declare a length that is no plain number; the body has five bytes, as `int()` would read most of them."""
    return Case(
        f"Content-Length: {written}",
        lambda _: request(b"12345", signatures=[genuine_signature(b"12345")], length=written),
        ("400 guard", "400 server"),
    )


CASES = {
    "genuine": Case("genuine", _signed, (RAN,)),
    "forged": Case("forged", lambda body: request(body, signatures=[forged_signature(body)]), ("401 guard",)),
    "missing": Case("no signature", request, ("401 guard",)),
    "duplicate-genuine-first": Case(
        "two signatures, the first one genuine",
        lambda body: request(body, signatures=[genuine_signature(body), forged_signature(body)]),
        ("401 guard",),
    ),
    "duplicate-genuine-last": Case(
        "two signatures, the last one genuine",
        lambda body: request(body, signatures=[forged_signature(body), genuine_signature(body)]),
        ("401 guard",),
    ),
    "duplicate-same": Case(
        "the genuine signature twice",
        lambda body: request(body, signatures=[genuine_signature(body)] * 2),
        ("401 guard",),
    ),
    "two-halves": Case(
        "half of the signature in each of two fields",
        lambda body: _in_two(body, "\r\nX-MG-Signature: "),
        ("401 guard",),
    ),
    "folded": Case("signature folded into two lines", lambda body: _in_two(body, "\r\n "), ("401 guard", "400 server")),
    "spaces": Case(
        "spaces and tabs round the signature",
        lambda body: request(body, signatures=[f" \t{genuine_signature(body)} \t "]),
        (RAN,),
    ),
    "chunked": Case("chunked body", _chunked, (RAN,)),
    "chunked-forged": Case(
        "chunked body, forged",
        lambda body: chunked_request(body, signatures=[forged_signature(body)]),
        ("401 guard",),
    ),
    "chunked-signed-as-empty": Case(
        "chunked body, with the signature of an empty one",
        lambda body: chunked_request(body, signatures=[genuine_signature(b"")]),
        ("401 guard",),
    ),
    "chunked-and-length": Case(
        "chunked body, with a Content-Length of 5",
        lambda body: _chunked(body, headers=[("Content-Length", "5")]),
        (RAN, "400 server"),
    ),
    "chunked-junk": Case(
        "chunked body, one chunk's size is no number",
        lambda body: _chunked(body, end=False) + b"five\r\n12345\r\n0\r\n\r\n",
        ("400 guard", "400 server"),
    ),
    "signature-in-trailer": Case("chunked body, the signature only in a trailer", _with_trailer, ("401 guard",)),
    "signature-in-late-trailer": Case(
        "chunked body, the signature only in a trailer that comes late", _with_trailer, ("401 guard",), late=100
    ),
    "upgrade": Case(
        "Connection: Upgrade, genuine",
        lambda body: _signed(body, headers=[("Connection", "Upgrade"), ("Upgrade", "other")]),
        (RAN,),
    ),
    "head-missing": Case("HEAD, no signature", lambda _: request(method="HEAD"), ("401 guard",), "HEAD"),
    "head-genuine": Case("HEAD, genuine", lambda _: _signed(b"", method="HEAD"), (RAN,), "HEAD"),
    "absolute-form": Case(
        "absolute-form target, genuine", lambda body: _signed(body, target="http://receiver.test/hook"), (RAN,)
    ),
    "absolute-form-forged": Case(
        "absolute-form target, forged",
        lambda body: request(body, signatures=[forged_signature(body)], target="http://receiver.test/hook"),
        ("401 guard",),
    ),
    "method-lower-case": _unsigned("post in lower case, no signature", method="post"),
    "path-upper-case": _unsigned("/HOOK, no signature", target="/HOOK"),
    "path-double-slash": _unsigned("//hook, no signature", target="//hook"),
    "path-encoded-slash": _unsigned("/%2Fhook, no signature", target="/%2Fhook"),
    "path-dot-segments": _unsigned("/x/../hook, no signature", target="/x/../hook"),
    "path-control-character": _unsigned("/hook%0A, no signature", target="/hook%0A"),
    "path-no-slash": _unsigned("hook without its slash, no signature", target="hook"),
    "at-limit": Case("genuine, 1 MiB", _of_size(LIMIT), (RAN,)),
    "over-limit": Case("genuine, one byte more", _of_size(LIMIT + 1), ("413 guard",)),
    "length-word": _junk_length("five"),
    "length-negative": _junk_length("-5"),
    "length-plus": _junk_length("+5"),
    "length-underscore": _junk_length("0_5"),
    "length-list": _junk_length("5, 5"),
    "length-hexadecimal": _junk_length("0x5"),
    "length-endless": Case(
        "Content-Length: 5555... (5 000 digits)",
        lambda _: request(b"12345", signatures=[genuine_signature(b"12345")], length="5" * 5000),
        ("413 guard", "400 server"),
    ),
}
# The properties that take more than one request and one answer: their titles, and what is expected of them.
_NEXT = (f"401 guard; then {RAN}",)
EXCHANGES = {
    "expect-genuine": ("Expect: 100-continue, genuine", (f"100, {RAN}",)),
    "expect-missing": ("Expect: 100-continue, no signature", ("401 guard",)),
    "pipelined": (
        "a genuine, a forged and a genuine delivery in one packet",
        (f"{RAN}; then 401 guard; then {RAN}",),
    ),
    "websocket": ("websocket", ("403 server",)),
    "half-closed": ("genuine, the client ends its sending side", (RAN,)),
    "refused-unread": ("next request after a refusal, the body unread", _NEXT),
    "refused-unread-large": ("next request after a refusal, 100 KiB unread", _NEXT),
    "refused-chunked": ("next request after a refusal, a chunked body unread", _NEXT),
    "refused-extension": (
        "next request after a refusal, a chunk unread that begins like a request",
        _NEXT,
    ),
    "refused-too-large": ("next request after a refusal for its length, 1 MiB unread", (f"413 guard; then {RAN}",)),
    "refused-forged": ("next request after a forgery, the body read", _NEXT),
    "gone-end": ("client gone in mid-body", ("incomplete_body",)),
    "gone-reset": ("client gone in mid-body, by a reset", ("incomplete_body",)),
    "gone-chunked": ("client gone between chunks, the part correctly signed", ("incomplete_body",)),
    "upload-1": ("1 MiB without a signature", ("401 guard",)),
    "upload-20": ("20 MiB without a signature", ("401 guard",)),
    "http2-upload-20": (
        "HTTP/2: 20 MiB without a signature, then a genuine delivery",
        (f"401 guard or server; then {RAN}; on a new connection {RAN}",),
    ),
    "http2-gone": ("HTTP/2: stream reset in mid-body", ("incomplete_body",)),
    "http2-gone-no-length": ("HTTP/2: stream reset in mid-body, no Content-Length", ("incomplete_body",)),
}

_TAKEN_FOR_GONE = {"half-closed": ("closed", RAN)}
_FIRST_ONLY = {"pipelined": (f"{RAN}; then closed",)}
_LAST_WORD = {  # servers that close every connection after one answer, or after any that left a body unread
    "refused-unread": ("401 guard; then closed",),
    "refused-unread-large": ("401 guard; then closed",),
    "refused-chunked": ("401 guard; then closed",),
    "refused-extension": ("401 guard; then closed",),
    "refused-too-large": ("413 guard; then closed",),
    "refused-forged": ("401 guard; then closed",),
}
_LARGE_LAST = {name: _LAST_WORD[name] for name in ("refused-unread-large", "refused-chunked", "refused-too-large")}
_CHUNKED = ("chunked", "chunked-forged", "chunked-signed-as-empty", "chunked-and-length", "chunked-junk")
_NO_CHUNKED = {**dict.fromkeys(_CHUNKED, ("411 guard",)), "gone-chunked": ("length_required",)}
_ASKED_AT_ONCE = {"expect-missing": ("100, 401 guard",)}
_ASKED_TO_THE_END = {"expect-missing": ("100, late; with the body 401 guard",)}
_WHOLE_BODY_FIRST = {
    **_ASKED_TO_THE_END,
    "gone-end": ("not called",),
    "gone-reset": ("not called",),
    "gone-chunked": ("not called",),
}
_MALFORMED = {"refused-extension": ("400 server; then closed",)}
_DIGITS = {"length-endless": ("closed",)}
_UWSGI = {
    **_FIRST_ONLY,
    **_NO_CHUNKED,
    **_DIGITS,
    **{name: (*answers, "closed; then closed") for name, answers in _LAST_WORD.items()},
    "expect-genuine": (RAN,),
    "over-limit": ("413 guard", "closed"),
    "upload-1": ("401 guard", "closed"),
    "upload-20": ("401 guard", "closed"),
}
DIFFERENCES = {
    "uvicorn-h11": {"length-list": (RAN,)},
    "uvicorn-httptools": {
        **_MALFORMED,
        "signature-in-trailer": (RAN, "401 guard"),
        "upgrade": ("400 guard",),  # it drops the body
    },
    "hypercorn-asyncio": {
        **_ASKED_AT_ONCE,
        "length-list": (RAN,),
        "refused-chunked": ("401 guard; then late", "401 guard; then closed", *_NEXT),
        "refused-too-large": ("413 guard; then closed",),
        "http2-upload-20": (f"closed; on a new connection {RAN}",),
    },
    "hypercorn-trio": {
        **_ASKED_AT_ONCE,
        "length-list": (RAN,),
        "refused-chunked": ("401 guard; then closed", *_NEXT),
        "refused-too-large": ("413 guard; then closed",),
        "http2-upload-20": ("closed; on a new connection closed",),
    },
    "granian-asgi": {
        **_LARGE_LAST,
        **_TAKEN_FOR_GONE,
        "chunked-junk": ("500 server",),
        "path-no-slash": ("404 application",),
        "http2-gone": ("accepted",),
        "http2-gone-no-length": ("accepted",),
    },
    "daphne": {**_WHOLE_BODY_FIRST, **_DIGITS, **_TAKEN_FOR_GONE},
    "gunicorn-asgi": {
        **_MALFORMED,
        **_DIGITS,
        **_TAKEN_FOR_GONE,
        "refused-too-large": ("413 guard; then closed",),
    },
    "gunicorn-sync": {**_ASKED_AT_ONCE, **_FIRST_ONLY, **_LAST_WORD},
    "gunicorn-gthread": {
        **_ASKED_AT_ONCE,
        **_LARGE_LAST,
        "refused-extension": ("401 guard; then unasked; then closed; then unasked", "401 guard; then 400 server"),
    },
    "gunicorn-gevent": {
        **_ASKED_AT_ONCE,
        "refused-extension": ("401 guard; then unasked; then closed; then unasked", "401 guard; then 400 server"),
    },
    "waitress": {**_WHOLE_BODY_FIRST, **_MALFORMED, **_DIGITS},
    "cheroot": {
        **_ASKED_TO_THE_END,
        "duplicate-genuine-last": (RAN,),
        "duplicate-same": (RAN,),
        "absolute-form": ("400 server",),
        "absolute-form-forged": ("400 server",),
        "refused-too-large": ("413 guard; then closed",),
        "refused-chunked": ("401 guard; then unasked; then closed; then unasked", "401 guard; then 400 server"),
        "refused-extension": (
            "401 guard; then unasked; then closed; then unasked; then smuggled",
            f"401 guard; then {RAN}; then smuggled",
            f"401 guard; then {RAN}; then unasked; then smuggled",
        ),
    },
    "granian-wsgi": {
        **_LARGE_LAST,
        **_TAKEN_FOR_GONE,
        "chunked-junk": (RAN,),
        "path-no-slash": ("404 application",),
        "gone-chunked": ("accepted",),
    },
    "uwsgi-http-socket": _UWSGI,
    "uwsgi-http": {**_UWSGI, **_TAKEN_FOR_GONE},
    "mod_wsgi": {
        **_ASKED_TO_THE_END,
        **dict.fromkeys((*_CHUNKED, "signature-in-trailer", "signature-in-late-trailer"), ("411 server",)),
        "path-encoded-slash": ("404 server",),
        "refused-chunked": ("411 server; then closed",),
        "refused-extension": ("411 server; then closed",),
        "refused-too-large": ("413 guard; then closed",),
        "gone-chunked": ("not called",),
    },
    "bjoern": {
        **_WHOLE_BODY_FIRST,
        **_FIRST_ONLY,
        **{name: (EXCHANGES[name][1][0], f"{RAN}; then closed") for name in _LAST_WORD},
        "two-halves": (RAN,),
        "folded": (RAN,),
        "upgrade": ("400 server",),
        "head-missing": ("401 guard with a body",),
        "signature-in-trailer": (RAN,),
        "signature-in-late-trailer": (RAN,),
        "length-endless": ("late",),
    },
    "werkzeug": {
        **_FIRST_ONLY,
        **_LAST_WORD,
        "expect-genuine": (f"100, 100, {RAN}",),
        "expect-missing": ("100, 100, 401 guard",),
    },
    "wsgiref": {**_FIRST_ONLY, **_LAST_WORD, **_NO_CHUNKED, "expect-genuine": (RAN,)},
}


def expected(program, name):
    usual = CASES[name].expected if name in CASES else EXCHANGES[name][1]
    return DIFFERENCES.get(program, {}).get(name, usual)
