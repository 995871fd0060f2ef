"""Every broken receiver is caught, every check catches one, and one fault gives few findings."""

import statistics
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain

import pytest
from plugin_receivers import SECRET, WRONG, Right

from pytest_meetgeek import CHECKS, MeetGeek, Receiver, Spy
from pytest_meetgeek.examination import Examination, Memory, examine
from pytest_meetgeek.unset_secret import UnsetSecret

# How many checks find something, where it is not just the ones that must.
FINDINGS = {
    "reserialises-asgi": 8,
    "reserialises-wsgi": 8,
    "squeezes-space-asgi": 4,
    "reads-ascii-asgi": 2,
    "receives-once-asgi": 2,
    "stops-at-an-empty-message-asgi": 2,
    "trusts-json-asgi": 2,
    "trusts-json-wsgi": 2,
    "does-nothing-asgi": 2,
    "does-nothing-wsgi": 2,
    "bad-signature-gets-200-asgi": 39,
    "parses-first-asgi": 3,
    "parses-first-wsgi": 3,
    "tenant-from-the-body-asgi": 3,
    "leaks-the-signature-asgi": 2,
    "leaks-the-signature-wsgi": 2,
    "leaks-base64-asgi": 2,
    "no-verification-asgi": 39,
    "skips-the-check-asgi": 5,
    "skips-the-check-wsgi": 5,
    "empty-is-none-asgi": 2,
    "checks-the-form-only-asgi": 22,
    "starts-with-asgi": 4,
    "half-is-enough-asgi": 2,
    "all-but-the-last-digit-asgi": 2,
    "decodes-hex-asgi": 6,
    "decodes-hex-wsgi": 6,
    "remembers-signatures-asgi": 10,
    "reserialised-too-asgi": 3,
    "any-key-order-asgi": 3,
    "any-of-a-list-wsgi": 3,
    "asserts-one-asgi": 3,
    "lower-case-only-asgi": 2,
    "lower-case-only-wsgi": 2,
}

# These two need more than an app in this process; the tests below are theirs.
ELSEWHERE = {"hdr.case", "cfg.unset-secret"}

OPEN_WITHOUT_A_SECRET = """
    import os
    from plugin_receivers import Right

    class Open(Right):
        secret = os.environ.get("SHOP_SECRET", "").encode()
        def is_genuine(self, headers, body):
            return not self.secret or super().is_genuine(headers, body)

    class EmptyKey(Right):
        secret = os.environ.get("SHOP_SECRET", "").encode()

    class NoneKey(Right):
        secret = str(os.environ.get("SHOP_SECRET")).encode()

    class Fallback(Right):
        secret = (os.environ.get("SHOP_SECRET") or "a fallback").encode()

    open_door, empty_key, none_key, fallback = Open().asgi, EmptyKey().wsgi, NoneKey().asgi, Fallback().asgi

    async def stays_down(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            failed = "SHOP_SECRET" not in os.environ
            await send({"type": "lifespan.startup." + ("failed" if failed else "complete")})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await fallback(scope, receive, send)
"""


def findings(app, interface="auto", handlers=None, path="/"):
    """Run the suite as the plugin does: one life of the app, a spy for each check, one memory."""
    memory = Memory()
    found = {}
    with Receiver(app, path=path, interface=interface, timeout=0.5) as receiver:
        for check in CHECKS.values():
            spy = Spy()
            if handlers is not None:
                handlers.handler = spy
            meetgeek = MeetGeek(SECRET, seed=check.id)
            found[check.id] = examine(check, Examination(meetgeek, receiver, spy, memory))
    return found


def failed(found):
    return {check_id for check_id, finding in found.items() if finding.verdict == "failed"}


@pytest.mark.parametrize("name", WRONG)
def test_a_broken_receiver_is_caught_by_its_checks(name):
    make, interface, caught_by = WRONG[name]
    receiver = make()
    caught = failed(findings(getattr(receiver, interface), interface, receiver))
    assert caught >= caught_by
    assert len(caught) == FINDINGS.get(name, len(caught_by)), sorted(caught - caught_by)


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_right_receiver_passes_all(interface):
    receiver = Right()
    found = findings(getattr(receiver, interface), interface, receiver)
    skipped = {check_id for check_id, finding in found.items() if finding.verdict == "skipped"}
    assert failed(found) == set()
    assert skipped == ELSEWHERE | (set() if interface == "asgi" else {"raw.chunked", "rep.concurrent"})


def test_every_check_must_catch_at_least_one_receiver():
    caught = set(chain.from_iterable(caught_by for _, _, caught_by in WRONG.values()))
    assert set(CHECKS) - caught == ELSEWHERE


def test_one_fault_gives_few_findings():
    counts = [FINDINGS.get(name, len(caught_by)) for name, (_, _, caught_by) in WRONG.items()]
    assert len(counts) >= 80
    assert set(FINDINGS) <= set(WRONG)
    assert statistics.mean(counts) <= 4
    assert statistics.median(counts) == 1


@pytest.mark.parametrize(
    ("app", "verdict"),
    [
        ("open_door", "failed"),
        ("empty_key", "failed"),
        ("none_key", "failed"),
        ("fallback", "passed"),
        ("stays_down", "passed"),
    ],
)
def test_an_app_that_is_open_without_its_secret_is_caught(app, verdict, tmp_path, monkeypatch):
    tmp_path.joinpath("plugin_open_app.py").write_text(textwrap.dedent(OPEN_WITHOUT_A_SECRET))
    monkeypatch.syspath_prepend(tmp_path)
    unset_secret = UnsetSecret(f"plugin_open_app:{app}", "SHOP_SECRET", "/", "auto")
    examination = Examination(MeetGeek(SECRET), Receiver(Right().asgi), unset_secret=unset_secret)
    assert examine(CHECKS["cfg.unset-secret"], examination).verdict == verdict


class CaseSensitive(BaseHTTPRequestHandler):
    """Looks the header up in a plain dict; `folded` is the right receiver."""

    folded = False

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = dict(self.headers.items())
        found = self.headers["X-MG-Signature"] if self.folded else headers.get("X-MG-Signature", "")
        self.send_response(200 if Right().matches(found or "", body) else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Say nothing."""


class Folded(CaseSensitive):
    folded = True


@pytest.mark.parametrize(("server", "verdict"), [(CaseSensitive, "failed"), (Folded, "passed")])
def test_a_header_looked_up_by_one_spelling_is_caught(server, verdict):
    with ThreadingHTTPServer(("127.0.0.1", 0), server) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        receiver = Receiver(f"http://127.0.0.1:{running.server_port}/hook")
        finding = examine(CHECKS["hdr.case"], Examination(MeetGeek(SECRET), receiver))
        running.shutdown()
        thread.join()
    assert finding.verdict == verdict
    assert ("again:    curl" in finding.text) == (verdict == "failed")


def test_a_lock_out_is_no_skip_once_something_was_accepted():
    right = Right()
    memory = Memory()
    with Receiver(right.asgi) as receiver:
        examination = Examination(MeetGeek(SECRET), receiver, memory=memory)
        right.success = (429, b"")
        assert examine(CHECKS["raw.compact"], examination).verdict == "skipped"
        right.success = (200, b"")
        assert examine(CHECKS["ack.status"], examination).verdict == "passed"
        right.success = (429, b"")
        finding = examine(CHECKS["raw.compact"], examination)
    assert (finding.verdict, finding.reason) == ("failed", "required HTTP 200, as to earlier deliveries")


def test_a_check_belongs_to_the_group_that_its_id_begins_with():
    assert {check.id: check.group for check in CHECKS.values()} == {name: name.split(".")[0] for name in CHECKS}
