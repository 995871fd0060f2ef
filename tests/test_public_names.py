"""The public names, and what importing and using them loads."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

import mg_middleware

# What the package and its two run-time dependencies can be imported from.
FOLDERS = [str(Path(find_spec(name).origin).parents[1]) for name in ("mg_middleware", "asgiref", "werkzeug")]

# Nobody who takes a middleware asks for any of these.
UNASKED = {
    "anyio",
    "asgiref",
    "asyncio",
    "click",
    "dataclasses",
    "django",
    "hypothesis",
    "json",
    "pytest",
    "pytest_meetgeek",
    "redis",
    "sqlite3",
    "starlette",
    "trio",
    "werkzeug",
}

ASGI_REQUEST = """
import hashlib, hmac
from mg_middleware import MeetGeekASGIMiddleware, delivery_of

async def app(scope, receive, send):
    assert delivery_of(scope).body == (await receive())["body"] == b"body"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

async def receive():
    return {"type": "http.request", "body": b"body"}

async def send(event):
    sent.append(event)

sent = []
signature = hmac.new(b"whsec", b"body", hashlib.sha256).hexdigest().encode()
scope = {"type": "http", "method": "POST", "path": "/hook", "headers": [(b"x-mg-signature", signature)]}
middleware = MeetGeekASGIMiddleware(app, "whsec", paths="/hook", acknowledge=True, on_verdict=print)
for request in (scope, scope | {"headers": []}):
    try:
        middleware(request, receive, send).send(None)
    except StopIteration:
        pass
assert [event["status"] for event in sent[::2]] == [200, 401]
"""

WSGI_REQUEST = """
import hashlib, hmac, io
from mg_middleware import MeetGeekWSGIMiddleware, delivery_of

def app(environ, start_response):
    assert delivery_of(environ).body == environ["wsgi.input"].read() == b"body"
    start_response("200 OK", [])
    return [b"ok"]

statuses = []
signature = hmac.new(b"whsec", b"body", hashlib.sha256).hexdigest()
environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/hook", "CONTENT_LENGTH": "4", "wsgi.input": io.BytesIO(b"body")}
middleware = MeetGeekWSGIMiddleware(app, "whsec", paths="/hook", acknowledge=True, on_verdict=print)
for fields in ({"HTTP_X_MG_SIGNATURE": signature}, {}):
    middleware(environ | fields, lambda status, headers: statuses.append(status))
assert statuses == ["200 OK", "401 Unauthorized"]
"""


def modules_loaded_by(program):
    """What a program has loaded at its end, in an interpreter without site and so without coverage."""
    command = [sys.executable, "-I", "-S", "-W", "error", "-c"]
    prologue = f"import sys; sys.path[:0] = {FOLDERS!r}\n"
    epilogue = "\nprint('loaded:', *sorted(sys.modules))"
    printed = subprocess.run(
        [*command, prologue + program + epilogue], capture_output=True, check=True, text=True
    ).stdout
    return set(printed.rpartition("loaded:")[2].split())


def test_importing_the_package_loads_nothing_but_itself():
    prepared = "import __future__, importlib, typing"
    loaded = modules_loaded_by(f"{prepared}\nimport mg_middleware") - modules_loaded_by(prepared)
    assert loaded == {"mg_middleware"}


@pytest.mark.parametrize("program", [ASGI_REQUEST, WSGI_REQUEST], ids=["asgi", "wsgi"])
def test_using_a_middleware_loads_nothing_unasked(program):
    # From Python 3.14 on, `logging` loads `dataclasses` for the colours of a traceback.
    loaded = modules_loaded_by(program) - modules_loaded_by("import logging")
    assert {name.partition(".")[0] for name in loaded} & UNASKED == set()


@pytest.mark.parametrize(
    ("program", "other"), [(ASGI_REQUEST, "mg_middleware.wsgi"), (WSGI_REQUEST, "mg_middleware.asgi")]
)
def test_one_adapter_does_not_load_the_other(program, other):
    assert other not in modules_loaded_by(program)


def test_signing_loads_no_adapter():
    loaded = modules_loaded_by("from mg_middleware import sign, verify; assert verify('a', b'b', sign('a', b'b'))")
    assert loaded & {"mg_middleware.asgi", "mg_middleware.wsgi", "mg_middleware._options", "logging"} == set()


@pytest.mark.parametrize("program", [ASGI_REQUEST, WSGI_REQUEST], ids=["asgi", "wsgi"])
def test_the_program_that_measures_does_run(program):
    assert {"mg_middleware.delivery", "mg_middleware._verification"} <= modules_loaded_by(program)


@pytest.mark.parametrize("name", mg_middleware.__all__)
def test_a_public_name_is_what_its_module_holds(name):
    value = getattr(mg_middleware, name)
    assert value is getattr(import_module(value.__module__), name)
    assert value.__module__.startswith("mg_middleware.")


@pytest.mark.parametrize(
    "name",
    [
        "AnalysisFailed",
        "AnalysisSucceeded",
        "ConfigurationError",
        "Delivery",
        "Explanation",
        "MeetGeekASGIMiddleware",
        "MeetGeekWSGIMiddleware",
        "MemoryStore",
        "Outcome",
        "RedisStore",
        "SQLiteStore",
        "UnknownEvent",
        "Verdict",
        "delivery_of",
        "explain_mismatch",
        "sign",
        "verify",
    ],
)
def test_what_is_promised_is_public(name):
    assert name in mg_middleware.__all__
    assert name in dir(mg_middleware)


def test_all_is_sorted_and_names_nothing_twice():
    assert list(mg_middleware.__all__) == sorted(set(mg_middleware.__all__))


def test_a_name_is_imported_once_and_then_held(monkeypatch):
    monkeypatch.delitem(vars(mg_middleware), "sign", raising=False)
    assert "sign" not in vars(mg_middleware)
    assert mg_middleware.sign is vars(mg_middleware)["sign"]


def test_dir_lists_names_before_they_are_imported(monkeypatch):
    monkeypatch.delitem(vars(mg_middleware), "sign", raising=False)
    assert "sign" in dir(mg_middleware)
    assert "__all__" in dir(mg_middleware)
    assert dir(mg_middleware) == sorted(set(dir(mg_middleware)))


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError) as raised:
        _ = mg_middleware.Signature
    assert str(raised.value) == "module 'mg_middleware' has no attribute 'Signature'"


def test_a_star_import_brings_the_public_names():
    loaded = {}
    exec("from mg_middleware import *", loaded)  # noqa: S102 - a star is not allowed within a function
    assert set(mg_middleware.__all__) <= set(loaded)


def test_what_a_store_of_ones_own_needs_is_exported():
    exported = {}
    exec("from mg_middleware.idempotency import *", exported)  # noqa: S102 - a star import stands in no function
    assert set(exported) - {"__builtins__"} == {
        "AlreadyComplete",
        "Claim",
        "Claimed",
        "Execution",
        "IdempotencyStore",
        "InProgress",
        "StoreError",
        "store_key",
    }


def test_the_version_is_that_of_the_distribution():
    assert mg_middleware.__version__ == version("mg-middleware")
