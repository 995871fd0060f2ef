"""The option paths= against the real routers: if the handler ran, the request was verified.

Requests are spelt in the ways that are known to lead one router or another to a handler, and in mutations of these,
then put into a scope or environ as servers do it. None is signed.
"""

import os
from contextlib import suppress
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

WEBHOOK = "/webhooks/meetgeek"
# PATH_EXAMPLES=20000 looks longer: some minutes for each framework.
search = settings(max_examples=int(os.environ.get("PATH_EXAMPLES", "50")), deadline=None)

BEGINNINGS = """
    / // /// %2F /%2F \\ /./ /../ /x/../ /x/%2e%2e/ /%2e/ ./ ?/ /;/ /@@ %20/ /%20 %09/
    //h/ http://h/ HTTP://user@h:80// x: x:/ x://a%2Fb/ x://a%5Cb/
"""
SEPARATORS = """
    / // %2F %252F %25252f /%2F/ \\ %5C /./ /%2e/ /x/../ //../ ;v=1/ /;/ /@@
    NOTHING x: x:/ x/../ ./ ../ @@ %20 %0A ? x
"""
ENDINGS = """
    .json .json/ .html .api . .json%0A %2Ejson
    / // %2F %0A %0D%0A %00 %00.png ;v=1 ?x=1 %3Fx #x %23x %20 %FF %C2%A0 %E2%80%A8
    . /. /.. /x/.. /../meetgeek /%2e%2e/meetgeek /stream/..
"""
MOUNTS = "/ /api /api/ /v /webhooks /webhooks/ /WEBHOOKS /webhooks/meetgeek"
METHODS = "POST post Post GET"
VIRTUAL_ROOT_FIELDS = "x-vhm-root x_vhm_root x-vhm_root X-Vhm-Root"
LOOKALIKES = {"s": "\u017f", "k": "\u212a", "i": "\u0131"}
# What may stand for a character, or beside it.
MUTATIONS = [
    str.upper,
    lambda character: f"%{ord(character):02x}",
    lambda character: f"%25{ord(character):02X}",
    lambda character: quote(LOOKALIKES.get(character, character)),
    lambda character: f"{character}%FF",
    lambda character: f"%C3{character}",
    lambda character: f"{character}%09",
    lambda character: f"%0A{character}",
    lambda character: f"{character}%20",
    lambda character: f"{character};",
]


@st.composite
def requests(draw):
    """Draw a path, percent-encoded as on the wire, a root path that may stand in it, a method, and header fields."""
    parts = ["beginning", "separator", "ending", "mount", "character", "virtual root"]
    odd = draw(st.sets(st.sampled_from(parts), max_size=3))

    def draw_part(name, oddities, plain):
        return draw(st.sampled_from(oddities.split())) if name in odd else plain

    beginning = draw_part("beginning", BEGINNINGS, "/")
    separator = draw_part("separator", SEPARATORS, "/").replace("NOTHING", "")
    path = f"{beginning}webhooks{separator}meetgeek{draw_part('ending', ENDINGS, '')}"
    mount = draw_part("mount", MOUNTS, "")
    before = draw(st.sampled_from(["", "", "http://h", "/x"]))
    anywhere = st.integers(0, len(path))
    at = draw(anywhere)
    path = draw(st.sampled_from([path, path.removeprefix(mount), before + mount + path, path[:at] + mount + path[at:]]))
    headers = []
    if "virtual root" in odd:
        # Some of the path is in the field instead, or in two of them.
        begin, middle, end = sorted(draw(st.tuples(anywhere, anywhere, anywhere)))
        name = draw(st.sampled_from(VIRTUAL_ROOT_FIELDS.split()))
        values = draw(st.sampled_from([[path[begin:end]], [path[begin:middle], path[middle:end]]]))
        headers = [(name, unquote_to_bytes(value).decode("latin-1")) for value in values]
        path = path[:begin] + path[end:]
    for mutate in draw(st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=2)) if "character" in odd else []:
        at = draw(st.integers(0, max(len(path) - 1, 0)))
        path = path[:at] + "".join(map(mutate, path[at : at + 1])) + path[at + 1 :]
    return path, mount, draw(st.sampled_from(METHODS.split())), headers


def run_unsigned(framework, request, application):
    """Send an unsigned request; the runs of the handler that it caused."""
    path, mount, method, headers = request
    # As uvicorn, hypercorn and daphne decode it for a scope, and as PEP 3333 has it for an environ.
    decoded = unquote(path) if framework.protocol == "asgi" else unquote_to_bytes(path).decode("latin-1")
    raw_path = path.encode("ascii")
    with suppress(Exception):  # what a framework raises is a 500 of its server, and no way in
        framework.ask(decoded, raw_path=raw_path, method=method, mount=mount, headers=headers, application=application)
    return framework.handled


@search
@given(request=requests())
def test_the_handler_never_runs_unverified(framework, request):
    assert run_unsigned(framework, request, framework.guarded) == []


def test_the_same_requests_find_the_way_round_a_guard_that_compares_strings(framework):
    """Else the test above would prove nothing."""

    def guard_asgi(scope, receive, send):
        refuse(scope["path"])
        return framework.bare(scope, receive, send)

    def guard_wsgi(environ, start_response):
        refuse(environ["PATH_INFO"])
        return framework.bare(environ, start_response)

    def refuse(path):
        if path == WEBHOOK or path.startswith(WEBHOOK + "/"):
            raise PermissionError

    guarded = guard_asgi if framework.protocol == "asgi" else guard_wsgi
    find(
        requests(),
        lambda request: run_unsigned(framework, request, guarded),
        settings=settings(search, max_examples=5_000, phases=[Phase.generate], database=None, derandomize=True),
    )


ROOT = "x-vhm-root"
# Ways that each lead one router to the handler: the framework, the path as a server decodes it, the root path, fields.
WAYS = [
    ("blacksheep-asgi", "/WEBHOOKS/meetgeek/", "", []),
    ("blacksheep-with-a-mount-asgi", "/WEBHOOKS/meetgeek", "", []),
    ("bottle-wsgi", "/web\xffhooks/meetgeek", "", []),
    ("connexion-on-Flask-asgi", "/api/webhooks/meetgeek", "/api", []),
    ("connexion-on-Starlette-asgi", "/api/webhooks/meetgeek", "/api", []),
    ("django-asgi", "/WEBHOOKS/meetgeek/", "", []),
    ("falcon-wsgi", "//webhooks/meetgeek/", "", []),
    ("flask-wsgi", "///webhooks/meetgeek/", "", []),
    ("litestar-asgi", "/webhooks//meetgeek//", "", []),
    ("litestar_mounting-falcon-asgi", "/webhooksmeetgeek", "", []),
    ("litestar_mounting-flask-asgi", "/webhooksmeetgeek", "", []),
    ("litestar_mounting-litestar-asgi", "/webhooksmeetgeek", "", []),
    ("litestar_mounting-litestar-asgi", "/v/webhooks-x/vmeetgeek", "/v", []),
    ("litestar_mounting-litestar-asgi", "/webhooks-x/meetgeek", "/", []),
    ("litestar_mounting-pyramid-asgi", "/webhooks./meetgeek", "", []),
    ("litestar_mounting-pyramid-asgi", "/webhooks@@meetgeek", "", []),
    ("litestar_mounting-pyramid-asgi", "/webhooks-x/../meetgeek", "", []),
    ("litestar_mounting-pyramid-asgi", "/webhooks", "", [(ROOT, "meetgeek")]),
    ("litestar_mounting-pyramid-asgi", "/webhooks", "", [(ROOT, "x/../meetgeek")]),
    ("litestar_mounting-quart-asgi", "/webhooksmeetgeek", "", []),
    ("litestar_mounting-quart-asgi", "/webhooksx:meetgeek", "", []),
    ("pyramid-by-route-and-traversal-wsgi", "/webhooks/meetgeek\n", "", []),
    ("pyramid-by-route-and-traversal-wsgi", "/meetgeek", "", [(ROOT, "/webhooks")]),
    ("pyramid-by-route-and-traversal-wsgi", "/meetgeek", "/api", [(ROOT, "/webhooks")]),
    ("pyramid-by-route-and-traversal-wsgi", "geek", "/api", [(ROOT, "/webhooks/meet")]),
    ("pyramid-by-route-and-traversal-wsgi", "/x", "", [(ROOT, "/webhooks/@@meetgeek")]),
    ("pyramid-by-route-and-traversal-wsgi", "/meetgeek", "", [(ROOT, "/x"), (ROOT, "/../webhooks")]),
    ("pyramid-hybrid-wsgi", "/webhooksmeetgeek", "", []),
    ("pyramid-hybrid-wsgi", "/webhooks/", "", [(ROOT, "meetgeek")]),
    ("pyramid-hybrid-wsgi", "/webhooks/x", "", [(ROOT, "/meetgeek")]),
    ("pyramid-traverse-option-wsgi", "/webhooks/", "/api", [(ROOT, "/meetgeek")]),
    ("pyramid-under-a2wsgi-asgi", "/meetgeek", "", [(ROOT, "/webhooks")]),
    ("pyramid-under-a2wsgi-asgi", "/meetgeek", "", [("x_vhm_root", "/webhooks")]),
    ("pyramid-under-a2wsgi-asgi", "/api/meetgeek", "/api", [("X-VHM_Root", "/webhooks")]),
    ("pyramid-under-a2wsgi-asgi", "/meetgeek", "", [(ROOT, "/x"), ("x_vhm_root", "/../webhooks")]),
    ("pyramid-under-asgiref-asgi", "/meetgeek", "", [(ROOT, "/webhooks")]),
    ("pyramid-under-asgiref-asgi", "/meetgeek", "", [(ROOT, "/x"), ("x_vhm_root", "/../webhooks")]),
    ("quart-asgi", "http://h/webhooks/meetgeek", "", []),
    ("rest_framework-with-a-router-asgi", "/webhooks/meetgeek.json", "", []),
    ("rest_framework-with-a-router-wsgi", "/webhooks/meetgeek.json/", "", []),
    ("rest_framework-with-suffix-patterns-wsgi", "/webhooks/meetgeek.json", "", []),
    ("rest_framework-with-suffix-patterns-wsgi", "/webhooks/meetgeek.api/", "", []),
    ("sanic-asgi", "/webhooks/meetgeek/", "", []),
    ("starlette-asgi", "/api/webhooks/meetgeek", "/api", []),
]


@pytest.mark.parametrize(("framework", "path", "root_path", "headers"), WAYS, indirect=["framework"])
def test_each_known_way_to_the_handler_is_guarded(framework, path, root_path, headers):
    raw_path = quote(path, safe="/:@").encode() if framework.protocol == "asgi" else None
    request = {"raw_path": raw_path, "mount": root_path, "headers": headers}
    framework.ask(path, **request, application=framework.bare)
    assert len(framework.handled) == 1
    framework.ask(path, **request)
    assert framework.handled == []


@pytest.mark.parametrize(
    "header", ["x-vhm-root", "x-forwarded-prefix", "x-script-name", "x-original-url", "x-rewrite-url"]
)
@pytest.mark.parametrize(
    ("value", "path"), [("/webhooks", "/meetgeek"), ("/webhooks/meet", "geek"), ("/webhooks/meetgeek", "/")]
)
def test_no_header_moves_a_request_to_the_handler(framework, header, value, path):
    with suppress(Exception):
        framework.ask(path, headers=[(header, value)])
    assert framework.handled == []


SEGMENTS = st.sampled_from(["webhooks", "meetgeek", "api"]) | st.from_regex("[a-zA-Z0-9_-]{1,8}", fullmatch=True)


@search
@given(segments=st.lists(SEGMENTS, max_size=4))
def test_a_plain_path_elsewhere_is_never_refused(framework, segments):
    assume([segment.lower() for segment in segments[:2]] != ["webhooks", "meetgeek"])
    path = f"/{'/'.join(segments)}"
    answer = framework.ask(path, method="GET")
    assert answer == framework.ask(path, method="GET", application=framework.bare)
    assert answer.status != 401
