"""Which requests are guarded: from a request's path, in whatever spelling, to yes or no.

Routers disagree about what a path says. Werkzeug drops surplus leading slashes, Litestar all surplus ones, Quart the
scheme and host of an absolute URL, Bottle the bytes that are not UTF-8; BlackSheep ignores case, a route pattern that
ends in `$` ignores a final newline, Pyramid's traversal resolves dot segments and `@@`, a mount of Litestar needs no
slash behind it; each has its own view of the root path. A guard that compares strings lets pass what the router behind
it then finds. So a path is read in every way that one of them would read it, and the request is guarded if any reading
says so.

Nearly every real path is spelled plainly, though, and all readings of it agree: one pattern decides, the rest is
skipped.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import unquote

from mg_middleware.errors import ConfigurationError

# Segments of what RFC 3986 allows in them, without "%" and ";", none of them empty or beginning with "." or "@".
# The quantifiers are possessive, so that the time is linear whatever the path.
_PLAIN_PATH = r"(?:/[A-Za-z0-9_~!$&'()*+,=:-][A-Za-z0-9_~!$&'()*+,=:.@-]*+)*+/?"
_is_plain = re.compile(_PLAIN_PATH).fullmatch

# In characters, for each part of an address. A longer odd spelling is guarded unread: no route looks like that, and
# every reading costs time.
_LONGEST_READ = 8192

# Route patterns, dot segments and URLs: they would be compared letter by letter, and guard nothing.
_NO_PATH = re.compile(r"[*?#<>{}]|^[^/]*:|(?:^|/)\.\.(?:/|$)")

# For how many paths the decision is remembered, since most requests are for the same few: working it out takes four
# times as long. Servers bound the length of a path, most at 8 or 64 KiB, and so what strangers can have remembered.
_REMEMBERED = 256

# One for a server that decodes less than all (cheroot leaves %2F), one for what was encoded twice, one to spare.
_DECODING_ROUNDS = 3

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_AUTHORITY = re.compile(r"[/\\]{2,}[^/\\]*+")
_SEGMENT_TAIL = re.compile(r"[;?#\x00-\x1f\x7f][^/\\]*+")
_SCHEME = r"[a-z][a-z0-9+.-]*+:"
_leading_scheme = re.compile(_SCHEME)
# What decoders put in the place of bytes that they cannot read.
_UNREADABLE = re.compile(r"[\ufffd\ud800-\udfff]")
# Control characters, white space (named one by one, which is twice as fast as a class).
_DROPPED = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")

# What may come between two segments, all of it because Litestar's mounts need no slash behind them. "/webhooksmeetgeek"
# is "meetgeek" to the application that is mounted at "/webhooks". "/webhooksx:meetgeek" is, too, if that is Quart,
# which takes a path without its slash for a URL, and so are "/webhooks./meetgeek" and "/webhooks@@meetgeek" to Pyramid.
_GAP = rf"(?:\.*+/|@@|{_SCHEME}/?)?"
_gap_at = re.compile(_GAP).match
# What may follow the last segment. A dot, since "/webhooks/meetgeek.json" reaches the same view in Django REST
# framework (by `format_suffix_patterns` and by its routers).
_END = r"(?:[/.]|\Z)"

# The segments of the guarded paths, each with those that follow it; none follows the last one of a path.
_Tree: TypeAlias = "dict[str, _Tree]"


class GuardedPaths:
    """The guarded paths, each with everything below it.

    Not for exempting single requests from the check: what is not included here reaches the application unverified.

    A path is included in every spelling that a known router would lead to the same handler; an odd spelling (dot
    segments, an absolute URL) may be included although no router would. A plainly spelled path is included only if it
    is a guarded one or below it, whether the root path is counted in, left out or cut off. Segments count as a whole,
    but the slash between two may be missing, and the last may have a suffix such as `.json`.

    Args:
        paths: A path such as `"/webhooks/meetgeek"`, or several. `"/"` includes everything.

    Attributes:
        includes: Tells whether a request is guarded, however its path is spelled. It takes `scope["path"]` or
            `PATH_INFO` as the server gives it; the root path, `scope["root_path"]` or `SCRIPT_NAME`; and the values of
            `X-Vhm-Root` (see `virtual_roots_of`). The path may begin with the root path or not: by the ASGI
            specification it does, by PEP 3333 it does not, and servers differ. Not for finding a handler: it says yes
            to paths that no router knows.
        elsewhere: Paths that are known not to be included, if there is neither a root path nor a virtual root. Looking
            here first takes a fifth of the time.

    Raises:
        ConfigurationError: There is no path, or one is blank, a URL, or a route pattern.
        TypeError: A path is not a `str`.
    """

    def __init__(self, paths: str | Iterable[str]) -> None:
        prefixes = {_segments_of(path) for path in ([paths] if isinstance(paths, str) else paths)}
        if not prefixes:
            raise ConfigurationError("paths is empty: nothing would be guarded; to guard everything, leave paths out")
        self._includes_all = () in prefixes
        self._tree = _tree_of(prefixes - {()})
        self._longest = max(len("/".join(segments)) for segments in prefixes)
        # One pattern for all, so that a hundred paths cost little more than one.
        pattern = rf"/?(?:{_pattern_of(self._tree)}){_END}"
        self._matches = re.compile(pattern).match
        # To be asked first: None for a plain path elsewhere, as most are. Asked this way round, the usual decision
        # needs no match object.
        self._may_include = re.compile(rf"(?i:{pattern})|(?!{_PLAIN_PATH}\Z)").match
        self.elsewhere: set[str] = set()
        self.includes: Callable[..., bool] = lru_cache(_REMEMBERED)(self._includes)

    def _includes(self, path: str, root_path: str = "", virtual_roots: tuple[str, ...] = ()) -> bool:
        found = self._may_include(path)
        if self._includes_all or (found is not None and found.end()):
            return True  # one of ours, spelled as it was given: for an odd spelling nothing but a look-ahead matches
        if found is None and not root_path and not virtual_roots:
            if len(self.elsewhere) >= _REMEMBERED:
                self.elsewhere.clear()
            self.elsewhere.add(path)
            return False
        if any(len(part) > _LONGEST_READ and not _is_plain(part) for part in (path, root_path, *virtual_roots)):
            return True
        readings = _readings(path) | _readings(_behind(root_path, path)) if root_path else _readings(path)
        inserted = {reading.strip("/") for root in virtual_roots for reading in _readings(root)} - {""}
        for mounted_at in _readings(root_path):
            mount = mounted_at.rstrip("/")
            cut = mount or (root_path and "/")
            for reading in readings:
                if cut and reading.find(cut, 1) > 0 and _leads_behind_cuts(self._tree, reading, cut):
                    return True
                for text in {reading, mount + reading, _behind(mount, reading)} if mount else {reading}:
                    # Whatever a router makes of "..", it only takes segments away.
                    if self._matches(text) or ("../" in text and _has_in_order(self._tree, text)):
                        return True
                    if any(self._lead_through(root, text) for root in inserted):
                        return True
        return False

    def _lead_through(self, virtual_root: str, text: str) -> bool:
        """Read a path as Pyramid does, which puts the virtual root before the path, or before what a route left of it.

        By the guard's account of the path, that is somewhere within it.
        """
        if "../" in text or "../" in f"{virtual_root}/":
            return True
        reach = self._longest + len("//")  # nothing further behind can matter
        virtual_root = virtual_root[: 2 * reach]
        splits = range(min(len(text), reach) + 1)
        return any(self._matches(f"{text[:at]}{virtual_root}{text[at : at + reach]}") for at in splits)


def virtual_roots_of(headers: Iterable[Any]) -> tuple[str, ...]:
    """Find the values of `X-Vhm-Root` among the header fields of an ASGI scope.

    Not for WSGI, where it is one string of the environ. A gateway from ASGI to WSGI makes one of "-" and "_" in names,
    and joins two fields by a comma (or keeps one of them): each is among the values.

    Nothing but Pyramid reads the field. Fields that can be read only once are left to the application. No server makes
    them, but test clients do.

    Args:
        headers: The fields, as pairs of bytes.
    """
    if iter(headers) is headers:
        return ()
    pairs: list[Any] = [pair for pair in headers if isinstance(pair, (list, tuple))]
    values = [
        bytes(value).decode("latin-1")
        for name, value in pairs
        if bytes(name).lower().replace(b"_", b"-") == b"x-vhm-root"
    ]
    return (",".join(values), *values) if len(values) > 1 else tuple(values)


def _segments_of(path: object) -> tuple[str, ...]:
    if not isinstance(path, str):
        raise TypeError(f"each path must be a str, not {type(path).__name__}")
    if not path.strip():
        raise ConfigurationError("paths holds a blank path; to guard everything, leave paths out")
    decoded = _decode(path)  # as the paths are that it is compared with
    if _NO_PATH.search(decoded):
        raise ConfigurationError(f"paths takes plain paths, not patterns, dot segments or URLs: {path!r}")
    return tuple(segment for segment in _canonical(decoded).split("/") if segment)


def _tree_of(prefixes: Iterable[tuple[str, ...]]) -> _Tree:
    tree: _Tree = {}
    for segments in sorted(prefixes, key=len, reverse=True):  # those above others come later, and replace them
        branch = tree
        for segment in segments[:-1]:
            branch = branch.setdefault(segment, {})
        branch[segments[-1]] = {}
    return tree


def _pattern_of(tree: _Tree) -> str:
    return "|".join(
        f"{re.escape(segment)}{_GAP}(?:{_pattern_of(below)})" if below else re.escape(segment)
        for segment, below in sorted(tree.items())
    )


def _has_in_order(tree: _Tree, text: str, start: int = 0) -> bool:
    """Tell whether the segments of one of the paths are in a text in their order, whatever is between them."""
    return not tree or any(
        _has_in_order(below, text, at + len(segment))
        for segment, below in tree.items()
        if (at := text.find(segment, start)) >= 0
    )


def _leads_behind_cuts(tree: _Tree, text: str, cut: str, ends: Iterable[int] = (0,)) -> bool:
    """Read a path as Litestar does, which cuts off whatever comes before the root path.

    If it mounts another application, that one cuts again, behind what the mount took.
    """
    behind = {end: text.find(cut, end) + len(cut) for end in ends}
    if not tree:
        return any(text[end] in "/." or at >= len(cut) for end, at in behind.items())
    starts = {*behind, *(at for at in behind.values() if at >= len(cut))}
    starts |= {found.end() for start in starts if (found := _gap_at(text, start))}
    for segment, below in tree.items():
        reached = [start + len(segment) for start in starts if text.startswith(segment, start)]
        if reached and _leads_behind_cuts(below, text, cut, reached):
            return True
    return False


def _behind(mount: str, path: str) -> str:
    """Cut the mount off a path: wherever it is, as Litestar does, and within a segment, as Quart and Django do."""
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
    text = _UNREADABLE.sub("", text)  # first, as for bytes that are still encoded: it may part a "%" from its digits
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
    # `re.IGNORECASE` takes the two Turkish letters for an i, case folding does not.
    text = _DROPPED.sub("", text.replace("\\", "/").replace("\u0130", "i").replace("\u0131", "i")).casefold()
    # Where the host ends depends on the reader: like "..", it may take away any number of segments.
    if scheme := _leading_scheme.match(text):
        text = f"/../{text[scheme.end() :]}"
    # "@@name" is how Pyramid's traversal spells a view called "name".
    segments = [segment for segment in f"/{text}".replace("/@@", "/").split("/") if segment not in {"", "."}]
    return "/".join(("", *segments, ""))
