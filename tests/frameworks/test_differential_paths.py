"""The paths= option against the real routers: if the handler ran, the request was verified.

Requests are spelt in every way that is known to lead some router to a handler although the path reads otherwise, and in
mutations of these; then they are put into a scope or environ as one of the known servers would do it. None is signed.
"""

from contextlib import suppress
from string import ascii_lowercase, digits
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import HealthCheck, assume, example, find, given, settings
from hypothesis import strategies as st

GUARDED = "/webhooks/meetgeek"

# The first of each is the plain one.
beginnings = st.sampled_from(
    ["/", "//", "///", "", "%2F", "/%2F", "\\", "/./", "/../", "/x/../", "/x/%2e%2e/", "/%2e/", "./", "/;/", "/@@", "?/"]
    + ["%20/", "/%20", "%09/", "http://h/", "HTTP://user@h:80//", "x:", "x:/", "x://a%2Fb/", "x://a%5Cb/", "//h/"]
)
separators = st.sampled_from(
    ["/", "//", "%2F", "%252F", "%25252f", "\\", "%5C", "/./", "/%2e/", "/x/../", "//../", ";v=1/", "/;/", "/@@", "/%2F/"]
)
endings = st.sampled_from(
    ["", "/", "//", "%2F", "%0A", "%0D%0A", "%00", "%00.png", ";v=1", "?x=1", "%3Fx", "#x", "%23x", "%20", "%FF", "."]
    + ["/.", "/..", "/x/..", "/../meetgeek", "/%2e%2e/meetgeek", "/stream/..", "%C2%A0", "%E2%80%A8"]
)
# What may stand for a character, or beside it.
mutations = st.sampled_from(
    [
        str.upper,
        lambda character: f"%{ord(character):02x}",
        lambda character: f"%25{ord(character):02X}",
        lambda character: character + "%FF",
        lambda character: "%C3" + character,
        lambda character: character + "%09",
        lambda character: "%0A" + character,
        lambda character: character + "%20",
        lambda character: character + ";",
        lambda character: quote({"s": "\u017f", "k": "\u212a", "i": "\u0131"}.get(character, character)),
    ]
)
mounts = st.sampled_from(["", "/", "/api", "/api/", "/v", "/webhooks", "/webhooks/", "/WEBHOOKS", "/webhooks/meetgeek"])
methods = st.sampled_from(["POST", "POST", "post", "Post", "GET"])
oddities = st.sets(st.sampled_from(["beginning", "separator", "ending", "characters", "mount"]), max_size=3)


@st.composite
def requests(draw):
    """Draw a path, percent-encoded as on the wire, with the mount before, within, or taken off it; a mount; a method."""
    odd = draw(oddities)
    path = "".join(
        [
            draw(beginnings) if "beginning" in odd else "/",
            "webhooks",
            draw(separators) if "separator" in odd else "/",
            "meetgeek",
            draw(endings) if "ending" in odd else "",
        ]
    )
    mount = draw(mounts) if "mount" in odd else ""
    at = draw(st.sampled_from([0, 0, len("http://h"), len("/x"), None]))
    path = path.removeprefix(mount) if at is None else path[:at] + mount + path[at:]
    for mutate in draw(st.lists(mutations, min_size=1, max_size=2)) if path and "characters" in odd else ():
        at = draw(st.integers(0, len(path) - 1))
        path = path[:at] + mutate(path[at]) + path[at + 1 :]
    return path, mount, draw(methods)


def as_a_server_gives_it(path, protocol):
    """Decode a target as uvicorn, hypercorn and daphne do for a scope, and as PEP 3333 wants it for an environ."""
    return unquote(path) if protocol == "asgi" else unquote_to_bytes(path).decode("latin-1")


def run_unsigned(framework, request, application):
    path, mount, method = request
    with suppress(Exception):  # what a framework raises is a status 500 of its server, and no way in
        framework.ask(
            as_a_server_gives_it(path, framework.protocol), mount=mount, method=method, application=application
        )
    return framework.handled


@given(request=requests())
@settings(deadline=None)
def test_the_handler_never_runs_unverified(framework, request):
    assert run_unsigned(framework, request, framework.guarded) == []


def test_the_requests_above_pass_by_a_guard_that_compares_paths(framework):
    """Else the property would show nothing: these requests do find the way round a guard that reads but one spelling."""

    def guard_asgi(scope, receive, send):
        return refuse_or(framework.bare, scope["path"], scope, receive, send)

    def guard_wsgi(environ, start_response):
        return refuse_or(framework.bare, environ["PATH_INFO"], environ, start_response)

    def refuse_or(application, path, *arguments):
        if path == GUARDED or path.startswith(GUARDED + "/"):
            raise PermissionError
        return application(*arguments)

    guard = guard_asgi if framework.protocol == "asgi" else guard_wsgi
    found = find(
        requests(), lambda request: run_unsigned(framework, request, guard), settings=settings(max_examples=5000, database=None, derandomize=True)
    )
    print(framework.name, found)


segments = st.text(ascii_lowercase + digits + "-_", min_size=1, max_size=8)


@given(path=st.lists(segments | st.sampled_from(["webhooks", "meetgeek", "api"]), max_size=4).map(lambda s: "/" + "/".join(s)))
@settings(deadline=None)
def test_a_plain_path_elsewhere_is_never_refused(framework, path):
    assume(not f"{path}/".startswith(GUARDED + "/"))
    assert framework.ask(path, method="GET") == framework.ask(path, method="GET", application=framework.bare)
    assert framework.ask(path, method="GET").status != 401
