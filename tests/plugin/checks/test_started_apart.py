"""cfg: the app in a process of its own, with another value in the variable of its secret."""

import textwrap
from fnmatch import fnmatch

import pytest
from plugin_receivers import SECRET, Right

from pytest_meetgeek import CHECKS, MeetGeek, Receiver
from pytest_meetgeek.checks.apart import StartedApart
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import CheckContext

APPS = """
    import os
    from plugin_receivers import SECRET, Right

    given = os.environ.get("SHOP_SECRET", "")

    class Open(Right):
        secret = given.encode()
        def is_genuine(self, headers, body):
            return not self.secret or super().is_genuine(headers, body)

    class EmptyKey(Right):
        secret = given.encode()

    class NoneKey(Right):
        secret = str(os.environ.get("SHOP_SECRET")).encode()

    class Fallback(Right):
        secret = (given or "a fallback").encode()

    class Stripped(Right):
        secret = (given.strip() or "a fallback").encode()

    open_door, empty_key, none_key, fallback = Open().asgi, EmptyKey().wsgi, NoneKey().asgi, Fallback().asgi
    stripped, elsewhere = Stripped().asgi, Right().asgi

    async def stays_down(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            failed = "SHOP_SECRET" not in os.environ or given != given.strip()
            await send({"type": "lifespan.startup." + ("failed" if failed else "complete")})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await fallback(scope, receive, send)
"""


class Lax(Right):
    def is_genuine(self, headers, body):
        return True


@pytest.fixture
def apart(tmp_path, monkeypatch):
    def apart(check_id, app, source=APPS, receiver=None):
        tmp_path.joinpath("plugin_apart_app.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("SHOP_SECRET", SECRET.decode())
        started = StartedApart(f"plugin_apart_app:{app}", "SHOP_SECRET", "/", "auto")
        with Receiver(receiver or Right().asgi) as running:
            context = CheckContext(MeetGeek(SECRET), running, apart=started, strict=True)
            return run_check(CHECKS[check_id], context)

    return apart


@pytest.mark.parametrize(
    ("app", "outcome", "detail"),
    [
        ("open_door", "failed", "required anything but acceptance: SHOP_SECRET is removed"),
        ("empty_key", "failed", "required anything but acceptance: SHOP_SECRET is removed"),
        ("none_key", "failed", "required anything but acceptance: SHOP_SECRET is removed"),
        ("fallback", "passed", ""),
        ("stays_down", "passed", ""),
        ("elsewhere", "skipped", "the app reads its secret elsewhere: with SHOP_SECRET removed, it accepts what *"),
    ],
)
def test_an_app_that_is_open_without_its_secret_is_caught(app, outcome, detail, apart):
    result = apart("cfg.unset-secret", app)
    assert result.outcome == outcome
    assert fnmatch(result.reason, detail)
    if outcome == "failed":
        assert result.received == "HTTP 200, no body"


def test_a_receiver_that_verifies_nothing_is_not_found_twice(apart):
    result = apart("cfg.unset-secret", "open_door", receiver=Lax().asgi)
    assert (result.outcome, result.blocked_by) == ("skipped", "rej.status")


def test_a_receiver_that_never_needs_a_signature_is_not_found_twice(apart):
    class Unsigned(Right):
        def is_genuine(self, headers, body):
            return not self.signatures(headers) or super().is_genuine(headers, body)

    result = apart("cfg.unset-secret", "open_door", receiver=Unsigned().asgi)
    assert result.outcome == "skipped"
    assert result.reason.startswith("blocked by rej.status or sig.missing")


@pytest.mark.parametrize(
    ("app", "outcome", "detail"),
    [
        (
            "fallback",
            "failed",
            "required HTTP 200, or an app that does not start: SHOP_SECRET has a newline at its end",
        ),
        ("stripped", "passed", ""),
        ("stays_down", "passed", ""),
        ("elsewhere", "skipped", "the app reads its secret elsewhere: *"),
        ("open_door", "skipped", "blocked by cfg.unset-secret"),
    ],
)
def test_a_secret_with_a_newline_is_stripped_or_refused(app, outcome, detail, apart):
    result = apart("cfg.padded-secret", app)
    assert result.outcome == outcome
    assert fnmatch(result.reason, detail)


@pytest.mark.parametrize(
    ("statement", "outcome", "reason"),
    [
        ("os.environ['NO_SUCH_VARIABLE']", "passed", ""),
        ("print('loading'); sys.exit('no secret')", "passed", ""),
        ("os._exit(3)", "skipped", "the app, started apart, ended with status 3: no message"),
        ("app = 5", "skipped", "*, ended with status 1: TypeError: not an ASGI app, a WSGI app or a URL: int"),
        ("time.sleep(60)", "skipped", "the app, started apart, was not done in 3 s"),
    ],
)
def test_an_app_that_does_not_start_passes_only_if_it_says_no(statement, outcome, reason, apart, monkeypatch):
    monkeypatch.setattr("pytest_meetgeek.checks.apart._PATIENCE", 3 if "sleep" in statement else 60)
    result = apart("cfg.unset-secret", "app", f"import os, sys, time\n{statement}\n")
    assert result.outcome == outcome
    assert fnmatch(result.reason, reason)


@pytest.mark.parametrize("check_id", ["cfg.unset-secret", "cfg.padded-secret"])
def test_without_a_name_and_a_variable_it_is_skipped(check_id):
    with Receiver(Right().asgi) as receiver:
        result = run_check(CHECKS[check_id], CheckContext(MeetGeek(SECRET), receiver))
    assert result.reason.startswith("give --meetgeek-secret-env, the variable the app reads")
