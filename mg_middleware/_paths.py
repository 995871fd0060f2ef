"""Which requests are guarded: from a request's path, in whatever spelling, to yes or no.

Routers disagree about what a path says. Werkzeug drops surplus leading slashes, Litestar all surplus ones, Quart the
scheme and host of an absolute URL, Bottle the bytes that are no UTF-8; BlackSheep ignores case, a route pattern that
ends in `$` a final newline, Pyramid's traversal dot segments and `@@`; each has its own view of `root_path`. A guard
that compares strings lets pass what the router behind it then finds. So a path is read in every way that one of them
would read it, and the request is guarded if any reading says so.

Nearly every real path is spelt plainly, though, and all readings of it agree: one pattern tells, the rest is skipped.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import unquote

from mg_middleware.errors import ConfigurationError

# Segments of what RFC 3986 allows in them, without "%" and ";", none of them empty or beginning with "." or "@".
# The quantifiers are possessive, so that the time is linear whatever the path.
_PLAIN_PATH = r"(?:/[A-Za-z0-9_~!$&'()*+,=:-][A-Za-z0-9_~!$&'()*+,=:.@-]*+)*+/?"
_is_plain = re.compile(_PLAIN_PATH).fullmatch

# A longer odd spelling is guarded unread, in characters: no route looks like that, and every reading costs time.
_LONGEST_READ = 2048

# Route patterns, dot segments and URLs: they would be compared letter by letter, and guard nothing.
_NO_PATH = re.compile(r"[*?#<>{}]|^[^/]*:|(?:^|/)\.\.(?:/|$)")

# For how many paths the answer is remembered, since most requests are for the same few: working it out takes four times
# as long. Servers bound the length of a path, most at 8 or 64 KiB, and so what strangers can have remembered.
_REMEMBERED = 256

# One for a server that decodes less than all (cheroot leaves %2F), one for what was encoded twice, one to spare.
_DECODING_ROUNDS = 3

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_AUTHORITY = re.compile(r"[/\\]{2,}[^/\\]*+")
_SEGMENT_TAIL = re.compile(r"[;?#\x00-\x1f\x7f][^/\\]*+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*+:")
# Control characters, white space, and what decoders put in the place of bytes that they cannot read.
_DROPPED = re.compile(r"[\x00-\x20\x7f-\x9f\s\ufffd\ud800-\udfff]")
# `re.IGNORECASE` takes these two for the letter i, case folding does not.
_TURKISH_I = str.maketrans("\u0130\u0131", "ii")


class GuardedPaths:
    """The paths that the guard stands before, each with all below it.

    Not for letting single requests off the check: what is not included here reaches the application unverified.

    A path is included in every spelling that a known router would lead to the same handler; an odd spelling (dot
    segments, an absolute URL) may be included although no router would. A plainly spelt path is included only if it is,
    by whole segments, a guarded one or below it, whether the mount is counted in, left out or cut off.

    Args:
        paths: A path such as `"/webhooks/meetgeek"`, or several. `"/"` includes everything.

    Attributes:
        includes: Tells whether a request is guarded, however its path is spelt. It takes `scope["path"]` or `PATH_INFO`
            as the server gives it, and the mount: `scope["root_path"]` or `SCRIPT_NAME`. The path may begin with the
            mount or not: by the ASGI specification it does, by PEP 3333 it does not, and servers differ. It is not for
            finding a handler: it says yes to paths that no router knows.

    Raises:
        ConfigurationError: There is no path, or one is blank, a URL, or a route pattern.
        TypeError: A path is not a `str`.
    """

    def __init__(self, paths: str | Iterable[str]) -> None:
        prefixes = tuple(_prefix_of(path) for path in ([paths] if isinstance(paths, str) else paths))
        if not prefixes:
            raise ConfigurationError("paths is empty: nothing would be guarded; to guard everything, leave paths out")
        guarded = "|".join(re.escape(prefix.rstrip("/")) for prefix in prefixes)
        # To be asked first: None for a plain path elsewhere, as most are. Asked this way round, the usual answer needs
        # no match object.
        self._may_include = re.compile(rf"(?i:{guarded})(?:/|\Z)|(?!{_PLAIN_PATH}\Z)").match
        self._prefixes = prefixes
        self.includes: Callable[[str, str], bool] = lru_cache(_REMEMBERED)(self._includes)

    def _includes(self, path: str, mount: str) -> bool:
        found = self._may_include(path)
        if found is None:
            if not mount:
                return False
            # What is below asks of every reading, asked of the only one that plain spelling leaves.
            lowered, mounted_at = mount.lower(), mount.rstrip("/")
            rest = _behind(lowered, path.lower())
            if not any(map(self._may_include, (mounted_at + path, rest, mounted_at + rest, _behind(lowered, rest)))):
                return False
        elif found.end():
            return True  # one of ours, spelt as it was given: for an odd spelling nothing but a look-ahead matches
        if len(path) + len(mount) > _LONGEST_READ:
            return True
        readings = _readings(path) | _readings(_behind(mount, path)) if mount else _readings(path)
        mounts = _readings(mount)
        return any(self._cover(reading, mounted_at) for reading in readings for mounted_at in mounts)

    def _cover(self, reading: str, mounted_at: str) -> bool:
        mount = mounted_at.rstrip("/")
        whole = mount + reading
        if reading.startswith(self._prefixes) or whole.startswith(self._prefixes):
            return True
        if mount and _behind(mount, reading).startswith(self._prefixes):
            return True
        # Whatever a router makes of "..", it only takes segments away: the guarded ones must be there in their order.
        return "/../" in whole and any(_stand_in_order(prefix, whole) for prefix in self._prefixes)


def _prefix_of(path: object) -> str:
    if not isinstance(path, str):
        raise TypeError(f"paths takes str, not {type(path).__name__}")
    if not path.strip():
        raise ConfigurationError("paths holds a blank path; to guard everything, leave paths out")
    decoded = _decode(path)  # as the paths are that it is compared with
    if _NO_PATH.search(decoded):
        raise ConfigurationError(f"paths takes plain paths, not patterns, dot segments or URLs: {path!r}")
    return _canonical(decoded)


def _behind(mount: str, path: str) -> str:
    """Cut the mount off a path: wherever it stands, as Litestar does, and within a segment, as Quart and Django do."""
    return f"/{path.partition(mount)[2].lstrip('/')}"


def _readings(path: str) -> set[str]:
    """Give each reading of a path as a text with one slash before, between and after its segments."""
    if _is_plain(path):
        return {path.rstrip("/").lower() + "/"}
    texts = {_decode(text) for text in {path, _decode_latin_1(path)}}
    # Each line adds what one more reader makes of them: "//host/path" may mean "/path"; a control character may be
    # dropped (by urlsplit, in Quart) or end the text (in C); a segment may have parameters, or a query may be left.
    texts |= {_AUTHORITY.sub("", text, count=1) for text in texts}
    texts |= {_CONTROL_CHARACTER.sub("", text) for text in texts}
    texts |= {_SEGMENT_TAIL.sub("", text) for text in texts}
    return {_canonical(text) for text in texts}


def _decode(text: str) -> str:
    for _ in range(_DECODING_ROUNDS):
        text = unquote(text, errors="ignore")
    return text


def _decode_latin_1(path: str) -> str:
    """Turn a WSGI string into text (PEP 3333), dropping bytes that are no UTF-8 as Bottle does."""
    try:
        return path.encode("latin-1").decode("utf-8", errors="ignore")
    except UnicodeEncodeError:
        return path


def _canonical(text: str) -> str:
    text = _DROPPED.sub("", text.replace("\\", "/")).translate(_TURKISH_I).casefold()
    if _SCHEME.match(text):
        # Where the host ends depends on the reader: like "..", it may take away any number of segments.
        text = _SCHEME.sub("/../", text, count=1)
    # "@@name" is how Pyramid's traversal spells a view called "name".
    segments = [segment for segment in f"/{text}".replace("/@@", "/").split("/") if segment not in {"", "."}]
    return "/".join(("", *segments, ""))


def _stand_in_order(prefix: str, whole: str) -> bool:
    remaining = iter(whole.split("/"))
    return all(segment in remaining for segment in prefix.strip("/").split("/"))
