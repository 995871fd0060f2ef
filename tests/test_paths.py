"""Which requests are guarded: every spelling of a guarded path, and no plain path that stands elsewhere."""

import asyncio
import string
import sys
import time
import timeit
import tracemalloc
from types import ModuleType
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mg_middleware import MeetGeekASGIMiddleware
from mg_middleware._paths import GuardedPaths, virtual_roots_of
from mg_middleware.errors import ConfigurationError

WEBHOOK = "/webhooks/meetgeek"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/webhooks/meetgeek", id="as configured"),
        pytest.param("/webhooks/meetgeek/", id="slash at the end"),
        pytest.param("/webhooks/meetgeek/team/7", id="below"),
        pytest.param("/webhooks/meetgeek/team member", id="below, oddly spelt"),
        pytest.param("/WEBHOOKS/MeetGeek", id="letter case"),
        pytest.param("webhooks/meetgeek", id="no slash at the beginning"),
        pytest.param("//webhooks/meetgeek", id="two slashes at the beginning"),
        pytest.param("/webhooks///meetgeek//", id="slashes within and at the end"),
        pytest.param("/webhooks%2Fmeetgeek", id="encoded slash"),
        pytest.param("/%2fwebhooks/meetgeek", id="encoded slash at the beginning"),
        pytest.param("/webhooks%252Fmeetgeek", id="slash encoded twice"),
        pytest.param("/webhooks%25252Fmeetgeek", id="slash encoded three times"),
        pytest.param("/%77ebhooks/meetgee%6B", id="encoded letters"),
        pytest.param("/webhooks\\meetgeek", id="backslash"),
        pytest.param("\\webhooks\\meetgeek", id="backslash at the beginning"),
        pytest.param("/webhooks%5Cmeetgeek", id="encoded backslash"),
        pytest.param("/./webhooks/./meetgeek/.", id="single dots"),
        pytest.param("./webhooks/meetgeek", id="relative path"),
        pytest.param("/x/../webhooks/meetgeek", id="double dots before"),
        pytest.param("/../webhooks/meetgeek", id="double dots above the root"),
        pytest.param("/webhooks/x/../meetgeek", id="double dots within"),
        pytest.param("/webhooks//../meetgeek", id="double dots that take an empty segment away"),
        pytest.param("/webhooks/meetgeek/..", id="double dots after"),
        pytest.param("/x/%2e%2E/webhooks/meetgeek", id="encoded dots"),
        pytest.param("/webhooks/..;/webhooks/meetgeek", id="double dots with parameters"),
        pytest.param("/webhooks/meetgeek;v=1", id="parameters at the end"),
        pytest.param("/webhooks;v=1/meetgeek;", id="parameters within"),
        pytest.param("/webhooks/meetgeek?page=1", id="query left in the path"),
        pytest.param("/webhooks/meetgeek%3Fpage", id="encoded question mark"),
        pytest.param("/webhooks/meetgeek#top", id="fragment left in the path"),
        pytest.param("http://localhost/webhooks/meetgeek", id="absolute URL"),
        pytest.param("HTTPS://user:word@LOCALHOST:8443//webhooks/meetgeek?x", id="absolute URL with all its parts"),
        pytest.param("http://[::1]/webhooks/meetgeek", id="absolute URL of an IPv6 host"),
        pytest.param("http:webhooks/meetgeek", id="scheme alone"),
        pytest.param("x-1.y+z:/webhooks/meetgeek", id="unknown scheme"),
        pytest.param("http://a\\b/webhooks/meetgeek", id="absolute URL with a backslash in the host"),
        pytest.param("http://a%2Fb/webhooks/meetgeek", id="absolute URL with an encoded slash in the host"),
        pytest.param("http://;/webhooks/meetgeek", id="absolute URL with parameters for a host"),
        pytest.param("//localhost/webhooks/meetgeek", id="URL without scheme"),
        pytest.param("/webhooks/meetgeek\n", id="newline at the end"),
        pytest.param("/webhooks/meetgeek%0d%0a", id="encoded newline at the end"),
        pytest.param("\t/webhooks/meetgeek", id="tab at the beginning"),
        pytest.param("/web\r\nhooks/meetgeek", id="newline within"),
        pytest.param("/webhooks/meetgeek\x00", id="null at the end"),
        pytest.param("/webhooks/meetgeek\x00.png", id="null that ends the path"),
        pytest.param("/webhooks/meetgeek%00/x", id="encoded null"),
        pytest.param("/ webhooks/meetgeek ", id="spaces"),
        pytest.param("/webhooks/meetgeek\x85\xa0\u2028", id="spaces of other scripts"),
        pytest.param("/web\xffhooks/meetgeek", id="byte that is no UTF-8, of a WSGI server"),
        pytest.param("/web\ufffdhooks/meetgeek", id="byte that is no UTF-8, of an ASGI server"),
        pytest.param("/web%FFhooks/meetgeek", id="byte that is no UTF-8, encoded"),
        pytest.param("/webhooks%2%FFFmeetgeek", id="byte that is no UTF-8, encoded within an encoded slash"),
        pytest.param("/web\udcffhooks/meetgeek", id="byte that is no UTF-8, escaped by a surrogate"),
        pytest.param("/webhook\u017f/meetgee\u212a", id="long s and Kelvin sign"),
        pytest.param("/webhook\xc5\xbf/meetgeek", id="long s of a WSGI server"),
        pytest.param("/webhooks/@@meetgeek", id="view of Pyramid's traversal"),
        pytest.param("@@webhooks/meetgeek", id="view of Pyramid's traversal, no slash at the beginning"),
        pytest.param("x:/Web\nhooks%252Fmeet%FFgeek;v=1/..", id="many at once"),
        pytest.param("/webhooksmeetgeek", id="no slash between two segments"),
        pytest.param("/WebhooksMeetgeek/", id="no slash between two segments, letter case"),
        pytest.param("/webhooks%0Ameetgeek", id="a newline between two segments"),
        pytest.param("/webhooksx:meetgeek", id="a scheme between two segments"),
        pytest.param("/webhooksx:/meetgeek", id="a scheme and a slash between two segments"),
        pytest.param("/webhooks%2E/meetgeek", id="a dot before a slash between two segments"),
        pytest.param("/webhooks@@meetgeek", id="view of Pyramid's traversal, no slash between two segments"),
        pytest.param("/webhooks-x/../meetgeek", id="double dots behind more than a segment"),
        pytest.param("/webhooks/meetgeek.json", id="suffix"),
        pytest.param("/webhooks/meetgeek.JSON/", id="suffix with a slash at the end"),
        pytest.param("/webhooks/meetgeek.tar.gz", id="two suffixes"),
        pytest.param("/webhooks/meetgeek.", id="suffix of nothing"),
        pytest.param("/webhooks/meetgeek%2Ejson", id="encoded suffix"),
        pytest.param("/webhooksmeetgeek.json\n", id="suffix, and no slash between two segments"),
    ],
)
def test_every_spelling_of_a_guarded_path_is_guarded(path):
    assert GuardedPaths(WEBHOOK).includes(path, "") is True


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "*",
        "/health",
        "/HEALTH/",
        "//health",
        "/webhooks",
        "/webhooks/",
        "/webhooks/other",
        "/webhooks/meetgeek-status",
        "/webhooks/meetgeek status",
        "/webhooks/meetgeek%20status",
        "/webhooks/meetgeeks",
        "/webhooks.meetgeek",
        "/webhooks@meetgeek",
        "/web/hooks/meetgeek",
        "/webhooks/meet/geek",
        "/webhooks/x:meetgeek",
        "/webhooks-meetgeek",
        "/api/users/7",
        "/docs/webhooks/meetgeek",
        "/docs//webhooks/meetgeek",
        "/meetgeek/webhooks",
        "/users/someone@example.com",
        "/@someone",
        "/.well-known/security.txt",
        "/files/My Report (1).pdf",
        "/files/100%",
        "/caf\xe9",
        "/caf\xc3\xa9/\u65e5\u672c",
        "/docs/../health",
        "/meetgeek/../webhooks",
        "http://localhost/health",
        "//first//second/webhooks/meetgeek",
        "/webhooks%2525252Fmeetgeek",
        "example.com:443",
        "/" + "a" * 100_000,
        "/" + "A" * 100_000,
    ],
)
def test_a_path_elsewhere_is_not_guarded(path):
    assert GuardedPaths(WEBHOOK).includes(path, "") is False


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        pytest.param("/webhooks/meetgeek", "/api", id="the mount is not in the path"),
        pytest.param("/api/webhooks/meetgeek", "/api", id="the mount is in the path"),
        pytest.param("/api/webhooks/meetgeek", "/api/", id="the mount ends in a slash"),
        pytest.param("/API/webhooks/meetgeek", "/api", id="the mount is in the path, in other letters"),
        pytest.param("/webhooks%2Fmeetgeek", "/api", id="the mount is not in the path, which is oddly spelt"),
        pytest.param("/meetgeek", "/webhooks", id="the mount is the first half"),
        pytest.param("meetgeek", "/webhooks/", id="the mount is the first half, with the slash"),
        pytest.param("/MeetGeek/", "/Webhooks", id="the mount is the first half, in other letters"),
        pytest.param("", "/webhooks/meetgeek", id="the mount is all"),
        pytest.param("/", "/webhooks/meetgeek/", id="the mount is all, with the slash"),
        pytest.param("/below", "/webhooks/meetgeek", id="the mount is guarded"),
        pytest.param("/webhooks/meetgeek", "/webhooks/meetgeek", id="the mount is guarded, and in the path"),
        pytest.param("/webhooks/meetgeek", "/", id="the mount is the root"),
        pytest.param("/vwebhooks/meetgeek", "/v", id="the mount is cut off within a segment"),
        pytest.param("/x/api/webhooks/meetgeek", "/api", id="the mount stands within the path"),
        pytest.param("x/webhooks/meetgeek", "/", id="the mount is the first slash of the path"),
        pytest.param("http://api/api/webhooks/meetgeek", "/api", id="the mount stands in an absolute URL"),
        pytest.param("x:/a\tpiwebhooks/meetgeek", "/api", id="the mount is cut off a URL after it was read"),
        pytest.param("/a;webhooks/meetgeek", "/a;", id="the mount ends in a semicolon"),
        pytest.param("/x/webhooks/meetgeek", "/x/..", id="the mount has double dots"),
        pytest.param("/caf\xe9/webhooks/meetgeek", "/caf\xe9", id="the mount has letters beyond ASCII"),
        pytest.param("/apiwebhooksmeetgeek", "/api", id="no slash behind the mount"),
        pytest.param("/webhooks-x/apimeetgeek", "/api", id="the mount stands between two segments"),
        pytest.param("/x/api/webhooks-x/api/meetgeek", "/api", id="the mount stands before and between two segments"),
        pytest.param("/webhooks-x/meetgeek", "/", id="the mount is a slash between two segments"),
        pytest.param("/webhooks/meetgeek-x/api", "/api", id="the mount stands behind, so that the root is left"),
        pytest.param("/webhooksx/webhooksmeetgeek", "/webhooks", id="the mount is the first half, and stands within"),
    ],
)
def test_a_path_is_guarded_with_and_without_its_mount(path, mount):
    assert GuardedPaths(WEBHOOK).includes(path, mount) is True


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/users", "/api"),
        ("/api/users", "/api"),
        ("/apikeys", "/api"),
        ("/apikeys/" + "a" * 100_000, "/api"),
        ("/" + "a" * 100_000, "/api/"),
        ("/webhooks/other", "/api"),
        ("/api/webhooks/meetgeek-status", "/api"),
        ("/docs/webhooks/meetgeek", "/"),
        ("/meetgeek-status", "/webhooks"),
        ("/other", "/webhooks/"),
        ("/My Report.pdf", "/files"),
        ("/api/X/webhooks%2Fmeetgeek", "/api"),
        ("/", "/api"),
        ("", "/api"),
    ],
)
def test_a_path_elsewhere_is_not_guarded_under_a_mount(path, mount):
    assert GuardedPaths(WEBHOOK).includes(path, mount) is False


@pytest.mark.parametrize(
    ("path", "mount", "roots"),
    [
        pytest.param("/meetgeek", "", ["/webhooks"], id="before the path"),
        pytest.param("/meetgeek", "", ["webhooks/"], id="before the path, slashes elsewhere"),
        pytest.param("geek", "", ["/webhooks/meet"], id="before the path, within a segment"),
        pytest.param("/", "", ["/webhooks/meetgeek"], id="all of the path"),
        pytest.param("", "", ["/webhooks/meetgeek/"], id="all of the path, which is empty"),
        pytest.param("/x", "", ["/webhooks/meetgeek"], id="below"),
        pytest.param("/x", "", ["/webhooks/@@meetgeek"], id="the name of a view"),
        pytest.param("/api/meetgeek", "/api", ["/webhooks"], id="behind the mount, which is in the path"),
        pytest.param("/meetgeek", "/api", ["/webhooks"], id="behind the mount, which is not in the path"),
        pytest.param("/", "/webhooks", ["/meetgeek"], id="behind the mount, which is the first half"),
        pytest.param("/webhooks/", "", ["/meetgeek"], id="behind the path"),
        pytest.param("/webhooks/x", "", ["/meetgeek"], id="within the path"),
        pytest.param("/webhooksgeek", "", ["meet"], id="within the path, and within a segment"),
        pytest.param("/web/meetgeek", "", ["hooks"], id="within the path, and within a segment, before a slash"),
        pytest.param("/MeetGeek", "", ["/WEBHOOKS"], id="letter case"),
        pytest.param("/meetgeek.json", "", ["/webhooks"], id="suffix"),
        pytest.param("/meetgeek", "", ["/x/../webhooks"], id="double dots in it"),
        pytest.param("/x/../meetgeek", "", ["/webhooks"], id="double dots in the path"),
        pytest.param("/meetgeek", "", ["/x,/../webhooks", "/x", "/../webhooks"], id="two of them"),
        pytest.param("/meetgeek", "", ["/x,/y", "/webhooks", "/y"], id="the first of two"),
        pytest.param("/meetgeek", "", ["/web%68ooks"], id="encoded letters"),
        pytest.param("/meetgeek", "", ["/web\xffhooks"], id="byte that is no UTF-8"),
        pytest.param("/meetgeek", "", ["/webhooks/%20".ljust(8193, "x")], id="too long to be read"),
    ],
)
def test_a_path_is_guarded_if_a_virtual_root_leads_it_there(path, mount, roots):
    assert GuardedPaths(WEBHOOK).includes(path, mount, tuple(roots)) is True


@pytest.mark.parametrize(
    ("path", "mount", "roots"),
    [
        ("/users", "", ["/site"]),
        ("/users", "/api", ["/site"]),
        ("/meetgeek", "", ["/site"]),
        ("/webhooks", "", ["/site"]),
        ("/webhooks/other", "", ["/site", "/webhooks"]),
        ("/webhooks/meetgeek-status", "", ["/site"]),
        ("/meetgeek-status", "", ["/webhooks"]),
        ("/My Report.pdf", "", ["/site"]),
        ("/", "", ["/"]),
        ("/users", "", [""]),
        ("/meetgeek", "", ["/webhooks/" + "x" * 100]),
        ("/users", "", ["/" + "x" * 10_000]),
    ],
)
def test_a_path_elsewhere_is_not_guarded_under_a_virtual_root(path, mount, roots):
    assert GuardedPaths(WEBHOOK).includes(path, mount, tuple(roots)) is False


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"h"), (b"x-vhm-root", b"/webhooks")],
        [(b"x_vhm_root", b"/webhooks")],
        ((b"X-Vhm-Root", b"/webhooks"),),
        [[b"X_VHM-rOOT", b"/webhooks"]],
        [(bytearray(b"x-vhm-root"), bytearray(b"/webhooks"))],
        [iter([b"host", b"h"]), (b"x-vhm-root", b"/webhooks")],
        {b"x-vhm-root": b"/webhooks"}.items(),
    ],
)
def test_a_virtual_root_is_found_among_header_fields(headers):
    assert virtual_roots_of(headers) == ("/webhooks",)


def test_two_virtual_roots_are_given_as_a_gateway_joins_them_and_each_by_itself():
    headers = [(b"x-vhm-root", b"/x"), (b"host", b"h"), (b"x_vhm_root", b"/../caf\xe9")]
    assert virtual_roots_of(headers) == ("/x,/../caf\xe9", "/x", "/../caf\xe9")


@pytest.mark.parametrize(
    "headers",
    [[], [(b"host", b"h"), (b"user-agent", b"x-vhm-root"), (b"x-vhm-roots", b"/x"), (b"x.vhm-root", b"/x")]],
)
def test_no_virtual_root_is_found_where_none_is(headers):
    assert virtual_roots_of(headers) == ()


def test_looking_for_a_virtual_root_consumes_nothing():
    pairs = [(b"host", b"h"), (b"x-vhm-root", b"/webhooks")]
    once = iter(pairs)
    assert virtual_roots_of(once) == ()
    assert list(once) == pairs
    iterators = [iter(pair) for pair in pairs]
    assert virtual_roots_of(iterators) == ()
    assert [tuple(pair) for pair in iterators] == pairs


def test_a_path_may_be_given_with_its_mount():
    guarded = GuardedPaths("/api/webhooks/meetgeek")
    assert guarded.includes("/webhooks/meetgeek", "/api")
    assert guarded.includes("/api/webhooks/meetgeek", "/api")
    assert not guarded.includes("/webhooks/meetgeek", "")
    assert GuardedPaths("/apix/webhooks").includes("/webhooks", "/apiX")


@pytest.mark.parametrize("configured", ["/hooks/caf\xe9", "/hooks/caf%C3%A9", "hooks/Caf\xc9/", " /hooks//caf\xe9\n"])
@pytest.mark.parametrize("path", ["/hooks/caf\xe9", "/hooks/caf\xc3\xa9", "/hooks/caf%c3%a9/x"])
def test_a_path_beyond_ascii_is_guarded_on_both_protocols(configured, path):
    assert GuardedPaths(configured).includes(path, "")


@pytest.mark.parametrize("path", ["/f\u0130les", "/f\u0131les", "/FILE\u017f", "/f\xc4\xb1les"])
def test_letters_that_a_pattern_without_letter_case_takes_for_others_are_those_others(path):
    assert GuardedPaths("/files").includes(path, "")


def test_each_of_several_paths_is_guarded():
    guarded = GuardedPaths(path for path in ["/first", "/second/hook"])
    assert guarded.includes("/first", "")
    assert guarded.includes("/second/hook/x", "")
    assert guarded.includes("/x/../second/hook", "")
    assert not guarded.includes("/second", "")


def test_paths_that_begin_alike_are_told_apart():
    guarded = GuardedPaths(["/web/hooks", "/webhooks/first", "/webhooks/second/x", "/webhooks/second", "/a.b/c"])
    for path in ("/web/hooks", "/webhooks", "/webhooks/first", "/webhooksfirst", "/webhooks/second/y", "/A.B/C"):
        assert guarded.includes(path, "")
        assert guarded.includes(f"{path}/%20", "")
    for path in ("/web", "/web/first", "/webhooks-x", "/a-b/c", "/hooks", "/first", "/second"):
        assert not guarded.includes(path, "")
        assert not guarded.includes(f"{path}/%20", "")


@pytest.mark.parametrize("path", ["/", "", "*", "/health", "//x", "http://localhost/x", "/%2e%2e/x"])
def test_the_root_guards_everything(path):
    assert GuardedPaths("/").includes(path, "")
    assert GuardedPaths("/").includes(path, "/api")


BLANK = "paths holds a blank path; to guard everything, leave paths out"


@pytest.mark.parametrize("paths", ["", " \n", ["/first", ""]], ids=["empty", "white space", "among others"])
def test_a_blank_path_is_a_configuration_error(paths):
    with pytest.raises(ConfigurationError, match=f"^{BLANK}$"):
        GuardedPaths(paths)


def test_no_path_is_a_configuration_error():
    words = r"^paths is empty: nothing would be guarded; to guard everything, leave paths out$"
    with pytest.raises(ConfigurationError, match=words):
        GuardedPaths([])


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/webhooks/*", id="wildcard"),
        pytest.param("/webhooks/{team}", id="route pattern of Starlette"),
        pytest.param("/webhooks/{team", id="half a route pattern of Starlette"),
        pytest.param("/webhooks/team}", id="the other half"),
        pytest.param("/webhooks/<team>", id="route pattern of Flask"),
        pytest.param("/webhooks/<team", id="half a route pattern of Flask"),
        pytest.param("/webhooks/team>", id="the other half of it"),
        pytest.param("/webhooks/meetgeek?x=1", id="query"),
        pytest.param("/webhooks/meetgeek#x", id="fragment"),
        pytest.param("/webhooks/../meetgeek", id="dot segments"),
        pytest.param("../webhooks", id="dot segments first"),
        pytest.param("/webhooks/..", id="dot segments last"),
        pytest.param("/webhooks/%2e%2e/meetgeek", id="encoded dot segments"),
        pytest.param("https://example.com/webhooks/meetgeek", id="URL"),
        pytest.param("example.com:443/webhooks/meetgeek", id="host and port"),
    ],
)
def test_what_would_guard_nothing_is_a_configuration_error(path):
    with pytest.raises(ConfigurationError) as raised:
        GuardedPaths(path)
    assert str(raised.value) == f"paths takes plain paths, not patterns, dot segments or URLs: {path!r}"


@pytest.mark.parametrize("wrong", [b"/webhooks", 7, None])
def test_a_path_of_a_wrong_type_is_a_type_error(wrong):
    with pytest.raises(TypeError, match=f"^each path must be a str, not {type(wrong).__name__}$"):
        GuardedPaths(["/webhooks", wrong])


@pytest.mark.parametrize("paths", [b"/webhooks", 7, None])
def test_paths_of_a_wrong_type_are_a_type_error(paths):
    with pytest.raises(TypeError):
        GuardedPaths(paths)


@pytest.mark.parametrize(
    "piece",
    [
        "/",
        ".",
        "/.",
        "/..",
        "\\",
        "%",
        "%25",
        "%2f",
        "%25252525",
        ";",
        "/;",
        "\x00",
        "\xff",
        "\u0130",
        "a:",
        "//a\x00;%25",
    ],
)
@pytest.mark.parametrize("mount", ["", "/api"])
def test_a_long_hostile_path_is_decided_at_once(piece, mount):
    guarded = GuardedPaths(WEBHOOK)
    for length in (2_000, 65_536):
        path = (piece * length)[:length]
        started = time.perf_counter()
        guarded.includes(path, mount)
        # A hundredth of it is usual; quadratic time would be many seconds.
        assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("mount", ["", "/api"])
def test_a_path_elsewhere_passes_up_to_8_KiB_and_a_longer_one_only_if_it_is_plain(mount):  # noqa: N802
    guarded = GuardedPaths(WEBHOOK)
    for odd in ("/files/%20", "/files/YWJj//", "/files/\u0442\u0435\u0441\u0442 "):
        assert not guarded.includes(odd.ljust(8192, "a"), mount)
        assert guarded.includes(odd.ljust(8193, "a"), mount)
    assert not guarded.includes("/files/".ljust(100_000, "a"), mount)


def test_an_oddly_spelled_root_path_is_read_up_to_8_KiB():  # noqa: N802
    guarded = GuardedPaths(WEBHOOK)
    assert not guarded.includes("/files", "/%20".ljust(8192, "a"))
    assert guarded.includes("/files", "/%20".ljust(8193, "a"))


@pytest.mark.parametrize(
    "piece", ["%20", "//a", "YWJj//", "\u0442\u0435\u0441\u0442", "%D1%82", "/../", "/api/", "webhooks/", "/;x/\n%2525"]
)
@pytest.mark.parametrize(("mount", "roots"), [("", ()), ("/api", ()), ("", ("/site",))], ids=["", "mount", "root"])
def test_the_time_for_a_path_of_8_KiB_is_linear(piece, mount, roots):  # noqa: N802
    guarded = GuardedPaths(WEBHOOK)

    def time_for(length):
        path = f"/files {piece * 8192}"[:length]
        return min(timeit.repeat(lambda: guarded.includes.__wrapped__(path, mount, roots), number=1, repeat=5))

    # Eight times the length; quadratic time would be sixty-four times as much.
    assert time_for(8192) < 30 * time_for(1024)


def test_a_hundred_paths_cost_little_more_than_one():
    def time_for(count):
        guarded = GuardedPaths([f"/hooks/team-{number}/meetgeek" for number in range(count)])
        return min(
            timeit.repeat(lambda: guarded.includes.__wrapped__("/hooks/team-x/%20", "", ()), number=100, repeat=5)
        )

    assert time_for(100) < 3 * time_for(1)


plain_segments = st.text(string.ascii_letters + string.digits + "-_~=+", min_size=1, max_size=8)
plain_paths = st.lists(st.sampled_from(["webhooks", "MEETGEEK", "api"]) | plain_segments, max_size=5).map(
    lambda segments: "/" + "/".join(segments)
)


@given(path=plain_paths, end=st.sampled_from(["", "/"]))
def test_a_plain_path_is_guarded_only_by_whole_segments(path, end):
    expected = path.lower().split("/")[1:3] == ["webhooks", "meetgeek"]
    assert GuardedPaths(WEBHOOK).includes(path + end, "") is expected


@given(path=plain_paths, mount=plain_paths)
@example(path="/0/webhooks/meetgeek", mount="/webhooks")  # Litestar, mounted there, finds its route "/meetgeek"
@example(path="/meetgeek/meetgeek/webhooks/meetgeek", mount="/meetgeek")
def test_a_plain_path_is_judged_like_the_same_path_oddly_spelt(path, mount):
    guarded = GuardedPaths(WEBHOOK)
    assert guarded.includes(path, mount) is guarded.includes(f"{path}/%20", mount)


@given(path=st.text(), mount=st.text())
def test_any_text_is_answered(path, mount):
    assert GuardedPaths(WEBHOOK).includes(path, mount) in {True, False}


@given(text=st.text(), mount=plain_paths)
def test_what_is_below_a_guarded_path_is_guarded_whatever_follows(text, mount):
    guarded = GuardedPaths(WEBHOOK)
    assert guarded.includes(f"{WEBHOOK}/{text}", "")
    assert guarded.includes(f"{mount}{WEBHOOK}/{text}", mount)


def test_strangers_cannot_fill_the_memory_with_paths():
    guarded = GuardedPaths(WEBHOOK)
    length, count = 10_000, 2_000
    tracemalloc.start()
    try:
        for number in range(count):
            assert not guarded.includes(f"/{number:0{length}}", "")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < length * count / 5


@given(path=st.text("/%25aAoO41;.@\\\u0130 \n", max_size=12))
@example(path="/a%2541")  # "%25" is the percent sign
@example(path="%%A1111")  # what isn't UTF-8 comes between a "%" and its digits
def test_a_path_that_may_be_given_is_guarded_as_it_is_given(path):
    try:
        guarded = GuardedPaths(path)
    except ConfigurationError:
        return
    for spelling in (path, f"/{path}", unquote(path), f"//{unquote(path)}"):
        assert guarded.includes(spelling, "")


def run_guarded(scope):
    """The scopes that the application sees."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    async def send(message):
        assert message.get("status", 401) == 401

    asyncio.run(MeetGeekASGIMiddleware(app, "a secret", paths=WEBHOOK)({"type": "http", **scope}, None, send))
    return seen


@pytest.mark.parametrize(("is_loaded", "runs"), [(True, 0), (False, 1)])
def test_a_virtual_root_leads_to_the_path_if_the_only_reader_is_loaded(monkeypatch, is_loaded, runs):
    monkeypatch.delitem(sys.modules, "pyramid", raising=False)
    if is_loaded:
        monkeypatch.setitem(sys.modules, "pyramid", ModuleType("pyramid"))
    scope = {"method": "POST", "path": "/meetgeek", "headers": [(b"x-vhm-root", b"/webhooks")]}
    assert len(run_guarded(scope)) == runs


@pytest.mark.parametrize("once", [iter, list], ids=["fields", "pairs"])
def test_header_fields_of_a_request_elsewhere_are_not_consumed(monkeypatch, once):
    monkeypatch.setitem(sys.modules, "pyramid", ModuleType("pyramid"))
    pairs = [(b"host", b"h"), (b"x-mg-signature", b"0" * 64)]
    [seen] = run_guarded({"method": "POST", "path": "/elsewhere", "headers": once(list(map(iter, pairs)))})
    assert [tuple(pair) for pair in seen["headers"]] == pairs


def test_the_scope_of_a_request_elsewhere_is_not_copied(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyramid", ModuleType("pyramid"))
    scope = {"type": "http", "method": "POST", "path": "/elsewhere", "headers": [(b"x-vhm-root", b"/site")]}
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    asyncio.run(MeetGeekASGIMiddleware(app, "a secret", paths=WEBHOOK)(scope, None, None))
    assert seen[0] is scope


def test_what_is_known_to_be_elsewhere_is_asked_anew_with_a_root_path_and_with_a_virtual_root(monkeypatch):
    monkeypatch.delitem(sys.modules, "pyramid", raising=False)
    ran = []

    async def app(scope, receive, send):
        ran.append(scope)

    async def send(message):
        assert message.get("status", 401) == 401

    guarded = MeetGeekASGIMiddleware(app, "a secret", paths=WEBHOOK)

    def run(**scope):
        scope = {"type": "http", "method": "POST", "path": "/meetgeek", "headers": [], **scope}
        ran.clear()
        asyncio.run(guarded(scope, None, send))
        return len(ran)

    assert [run(), run()] == [1, 1]
    assert run(root_path="/webhooks") == 0
    monkeypatch.setitem(sys.modules, "pyramid", ModuleType("pyramid"))
    assert run(headers=[(b"x-vhm-root", b"/webhooks")]) == 0
    assert run() == 1


def test_no_more_paths_than_a_few_hundred_are_known_to_be_elsewhere():
    guarded = GuardedPaths(WEBHOOK)
    for number in range(1_000):
        guarded.includes(f"/{number}")
        assert len(guarded.elsewhere) <= 256
    assert "/999" in guarded.elsewhere
