"""Requests that a hostile sender, or an odd server, may make: one strategy, and which part of it runs wild."""

import json
import re
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from cases import signature_of
from hypothesis import strategies as st

SECRETS = ["whsec_fuzzing_first", "whsec_fuzzing_second \U0001f511"]
FOREIGN_SECRET = "whsec_of_somebody_else"
GUARDED_PATHS = ["/hook", "/webhooks/meetgeek"]


class Request(NamedTuple):
    """What is sent, and what the guard is told before."""

    signatures: tuple[bytes, ...]  # the values of X-MG-Signature
    pieces: tuple[Any, ...]  # the body: bytes, bytearray or memoryview
    declared: bytes | None = None  # the value of Content-Length
    leaves: bool = False  # the client is gone before the end of the body
    terminated: bool = True  # WSGI: the server ends the stream
    chunked: bool = False  # WSGI: Transfer-Encoding is there
    sparse: bool = False  # ASGI: the server leaves out the keys that may be left out
    method: str = "POST"
    path: str = "/hook"
    mount: str = ""
    guards_all: bool = True  # else GUARDED_PATHS
    limit: int | None = 1_048_576
    remembers: bool = False  # with a store
    sender: str = "known"  # to the callable that looks the secrets up

    @property
    def body(self):
        return b"".join(self.pieces)


# How a true signature is spoilt, or spelt in another way that is to be taken as it.
_SPELLINGS = st.one_of(
    st.just(lambda value: value),
    st.tuples(st.text(" \t", max_size=4), st.text(" \t", max_size=4)).map(
        lambda around: lambda value: around[0].encode() + value + around[1].encode()
    ),
    st.tuples(st.integers(0, 63), st.binary(max_size=2)).map(
        lambda change: lambda value: value[: change[0]] + change[1] + value[change[0] + 1 :]
    ),
    st.tuples(st.binary(max_size=3), st.binary(max_size=3)).map(
        lambda around: lambda value: around[0] + value + around[1]
    ),
    st.sampled_from([bytes.upper, lambda value: value * 2, lambda value: value[:32], lambda value: b"sha256=" + value]),
)
_VALUES = st.one_of(st.binary(max_size=80), st.from_regex(rb"[0-9a-f]{64}", fullmatch=True))
_LENGTHS = st.one_of(
    st.none(),
    st.integers(0, 2**70).map(lambda number: str(number).encode()),
    st.from_regex(rb"0{0,30}[0-9]{1,8}", fullmatch=True),
    st.sampled_from([b"", b" ", b"+5", b"-0", b"1_0", b"5, 5", b"0x5", b"\xb2", b"9" * 5000, b"0" * 5000]),
    st.binary(max_size=8),
)
_PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.binary(min_size=1000, max_size=1050),
        st.binary(max_size=40).map(bytearray),
        st.binary(max_size=40).map(memoryview),
        st.binary(max_size=10).map(lambda content: memoryview(content * 2).cast("H")),
    ),
    max_size=6,
).map(tuple)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.sampled_from(["message", "meeting_id", "x"]), children)
    ),
    max_leaves=8,
)
_EVENTS = st.one_of(
    st.fixed_dictionaries(
        {"message": st.just("File analyzed successfully"), "meeting_id": st.one_of(st.text(max_size=12), _JSON)},
        optional={"x": _JSON},
    ),
    st.fixed_dictionaries({"message": st.one_of(st.just("File analyzed failed"), _JSON)}, optional={"x": _JSON}),
    _JSON,
)


@st.composite
def _json_bodies(draw):
    """Make JSON, near-JSON, and what breaks parsers: depth, digits, lone surrogates, encodings, broken ends."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        depth = draw(st.integers(0, 20_000))
        return b'{"message":' * depth if draw(st.booleans()) else b"[" * depth + b"]" * depth
    if kind == 1:
        return b'{"message": "File analyzed successfully", "meeting_id": %s}' % (b"9" * draw(st.integers(1, 6000)))
    text = json.dumps(draw(_EVENTS), ensure_ascii=draw(st.booleans()))
    body = text.encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-32-le", "utf-8-sig"])), "surrogatepass")
    if kind == 2:
        position = draw(st.integers(0, len(body)))
        return body[:position] + draw(st.binary(max_size=3)) + body[position + draw(st.integers(0, 3)) :]
    return body


# One change to the spelling of a path that some router undoes.
_RESPELLINGS = st.sampled_from(
    [
        str.upper,
        str.title,
        lambda path: path.replace("/", "//"),
        lambda path: path.replace("/", "/./"),
        lambda path: path.replace("/", "\\"),
        lambda path: path.replace("/", "%2F"),
        lambda path: path.replace("/", "/x/../", 1),
        lambda path: path.replace("o", "%6f"),
        lambda path: path + "/",
        lambda path: path + "/below",
        lambda path: path + ";v=1",
        lambda path: path + "\n",
        lambda path: path + "?x",
        lambda path: path.lstrip("/"),
        lambda path: path.replace("/", "/@@"),
        lambda path: "http://host" + path,
        lambda path: "//host" + path,
        quote,
    ]
)


@st.composite
def _paths(draw):
    path = draw(st.one_of(st.sampled_from(GUARDED_PATHS), st.text(max_size=30)))
    for respell in draw(st.lists(_RESPELLINGS, max_size=3)):
        path = respell(path)
    if draw(st.booleans()):
        position = draw(st.integers(0, len(path)))
        path = path[:position] + draw(st.text("/.%;\\@:?# \n\x00\xe9\ud800aH", max_size=3)) + path[position:]
    return path


_MOUNTS = st.one_of(st.sampled_from(["", "/", "/app", "/app/", "/hook", "/webhooks", "//x", "/%2F", "app"]), _paths())

# The targets. What a target leaves alone is such that it does not hide what the target is about.
TARGETS = {
    "header value": {"values", "sender"},
    "body chunks": {"pieces", "limit", "framing"},
    "declared length": {"declared", "limit", "framing"},
    "path": {"path", "framing"},
    "JSON body": {"json"},
    "everything": {"values", "sender", "pieces", "declared", "limit", "framing", "path", "json"},
}


@st.composite
def requests(draw, wild):
    """Make a request.

    Args:
        draw: Hypothesis's.
        wild: which of its parts run wild.
    """

    def choose(part, strategy, otherwise):
        return draw(strategy) if part in wild else otherwise

    pieces = choose("pieces", _PIECES, (b'{"message": ', b'"File analyzed failed"}'))
    if "json" in wild and draw(st.integers(0, 3)):
        pieces = (draw(_json_bodies()),)
    signed_by = draw(st.sampled_from([*SECRETS, SECRETS[0], FOREIGN_SECRET]))
    true = signature_of(b"".join(pieces), signed_by)
    values = st.lists(st.one_of(_SPELLINGS.map(lambda spell: spell(true)), _VALUES), min_size=1, max_size=2)
    size = sum(memoryview(piece).nbytes for piece in pieces)
    near = st.integers(-2, 2).map(lambda off: max(0, size + off))
    return Request(
        signatures=tuple(
            choose("values", st.one_of(st.just([]), values, *[values.map(lambda each: each[:1])] * 4), [true])
        ),
        pieces=pieces,
        declared=choose("declared", st.one_of(near.map(lambda number: b"%d" % number), _LENGTHS), None),
        leaves=choose("framing", st.booleans(), False),  # noqa: FBT003 - what it is otherwise
        terminated=choose("framing", st.booleans(), True),  # noqa: FBT003
        chunked=choose("framing", st.booleans(), False),  # noqa: FBT003
        sparse=choose("framing", st.booleans(), False),  # noqa: FBT003
        method=choose("values", st.one_of(st.sampled_from(["POST", "HEAD", "post"]), st.text(max_size=5)), "POST"),
        path=choose("path", _paths(), "/hook"),
        mount=choose("path", _MOUNTS, ""),
        guards_all=choose("path", st.booleans(), True),  # noqa: FBT003
        limit=choose("limit", st.one_of(st.none(), near), 1_048_576),
        remembers=choose("json", st.booleans(), False),  # noqa: FBT003
        sender=choose("sender", st.sampled_from(["known", "known", "known", "unknown", "blank"]), "known"),
    )


def is_surely_guarded(request):
    """Tell whether a simple router, which decodes once and knows views as Pyramid does, leads to a guarded path."""

    def segments_of(text):
        segments = unquote(text).replace("\\", "/").lower().split("/")
        return [segment.removeprefix("@@") for segment in segments if segment not in {"", "."}]

    path, mount = segments_of(request.path), segments_of(request.mount)
    prefixes = [segments_of(path) for path in GUARDED_PATHS]
    return request.guards_all or any(
        found[: len(prefix)] == prefix for found in (path, mount + path) for prefix in prefixes
    )


def is_surely_elsewhere(request):
    """Tell whether a path is spelt so plainly, and stands so clearly elsewhere, that it must be let through."""
    plain = not request.guards_all and not request.mount and re.fullmatch(r"(/[a-z0-9]+)+", request.path)
    return bool(plain) and not is_surely_guarded(request)
