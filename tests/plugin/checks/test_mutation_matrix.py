"""Every broken receiver is caught, every check catches one, and one fault gives few findings."""

import asyncio
import statistics
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain

import plugin_shop
import pytest
from plugin_findings import failed, findings
from plugin_receivers import SECRET, WRONG, Right

from pytest_meetgeek import CHECKS, CheckResult, MeetGeek, Receiver, Spy
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import CheckContext, Memory

# How many checks find something, where it is not just the ones that must.
FINDINGS = {
    "remembers-signatures-asgi": 2,
    "does-nothing-asgi": 2,
    "does-nothing-wsgi": 2,
    "starts-with-asgi": 3,
    "all-but-the-last-digit-asgi": 2,
    "decodes-hex-asgi": 2,
    "decodes-hex-wsgi": 2,
    "reserialised-too-asgi": 3,
    "any-key-order-asgi": 3,
    "any-of-a-list-wsgi": 3,
    "asserts-one-asgi": 3,
    "lower-case-only-asgi": 2,
    "lower-case-only-wsgi": 2,
}

# Checks of level MAY that tell how a receiver behaves, and fail for none; test_notes.py has theirs.
NOTES = {"ack.before-work", "rej.no-log"}

# These need more than an app in this process; other tests are theirs.
ELSEWHERE = {"hdr.case", "rep.lost-worker", "cfg.unset-secret", "cfg.padded-secret"}


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
    skipped = {check_id for check_id, result in found.items() if result.outcome == "skipped"}
    assert failed(found) == set()
    assert skipped == ELSEWHERE | (set() if interface == "asgi" else {"raw.chunked"})


def test_every_check_must_catch_at_least_one_receiver():
    caught = set(chain.from_iterable(caught_by for _, _, caught_by in WRONG.values()))
    assert set(CHECKS) - caught == ELSEWHERE | NOTES


def test_one_fault_gives_few_findings():
    counts = [FINDINGS.get(name, len(caught_by)) for name, (_, _, caught_by) in WRONG.items()]
    assert len(counts) >= 80
    assert set(FINDINGS) <= set(WRONG)
    assert statistics.mean(counts) <= 2
    assert statistics.median(counts) == 1
    assert max(counts) <= 6


class Folded(BaseHTTPRequestHandler):
    """A right receiver on a socket."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        genuine = Right().matches(self.signature() or "", body)
        self.answer(200 if genuine else 401)

    def signature(self):
        values = self.headers.get_all("X-MG-Signature", [])
        return values[0] if len(values) == 1 else None

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Say nothing."""


class CaseSensitive(Folded):
    """Looks the header up in a plain dict."""

    def signature(self):
        return dict(self.headers.items()).get("X-MG-Signature")


class HangsUp(Folded):
    """Closes the connection on a forgery, and says nothing."""

    def answer(self, status):
        if status == 200:
            super().answer(status)


@pytest.fixture
def serve():
    with ExitStack() as running:

        def serve(handler):
            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            running.callback(thread.join)
            running.callback(server.shutdown)
            thread.start()
            return f"http://127.0.0.1:{server.server_port}/hook"

        yield serve


@pytest.mark.parametrize(("server", "outcome"), [(CaseSensitive, "failed"), (Folded, "passed")])
def test_a_header_looked_up_by_one_spelling_is_caught(server, outcome, serve):
    context = CheckContext(MeetGeek(SECRET), Receiver(serve(server)), secret_variable="SHOP_SECRET")
    result = run_check(CHECKS["hdr.case"], context)
    assert result.outcome == outcome
    assert ('-H "x-mg-signature: $(printf' in result.text) == (outcome == "failed")
    assert not [word for word in result.text.split() if len(word.strip("'\"")) == 64]


@pytest.mark.parametrize(("server", "caught_by"), [(HangsUp, {"rej.status"}), (Folded, set())])
def test_a_forgery_that_gets_no_answer_at_all_is_no_skip(server, caught_by, serve):
    # And http.server's 501 to a GET is no finding at all.
    assert failed(findings(serve(server))) == caught_by


def test_who_hangs_up_on_forgeries_is_caught_by_one_check_alone(serve):
    result = run_check(CHECKS["rej.status"], CheckContext(MeetGeek(SECRET), Receiver(serve(HangsUp))))
    assert result.outcome == "failed"


async def hangs(scope, receive, send):
    assert scope["type"] == "http"
    await asyncio.Event().wait()


def test_a_receiver_that_never_answers_is_waited_for_once():
    began = time.monotonic()
    found = findings(hangs)
    assert time.monotonic() - began < 5
    assert failed(found) == {"ack.status"}
    assert found["sig.missing"].reason == "blocked by ack.status: the receiver does not respond"


class Late(Right):
    """Works a while after its answer."""

    def handle(self, event):
        asyncio.get_running_loop().call_later(0.05, lambda: plugin_shop.process(event))


@pytest.mark.parametrize("check_id", ["sig.missing", "rej.status", "rej.no-leak", "rej.get"])
def test_a_receiver_that_never_answers_blocks_any_check(check_id):
    memory = Memory()
    with Receiver(hangs, timeout=0.1) as receiver:
        result = run_check(CHECKS[check_id], CheckContext(MeetGeek(SECRET), receiver, memory=memory))
    assert result.outcome == "skipped"
    assert memory.timed_out


class HangsOnForgeries(Right):
    async def asgi(self, scope, receive, send):
        async def wait_or_send(message):
            await (hangs(scope, receive, send) if message.get("status") == 401 else send(message))

        await super().asgi(scope, receive, wait_or_send)


def test_a_receiver_that_hangs_on_forgeries_blocks_nothing():
    memory = Memory()
    with Receiver(HangsOnForgeries().asgi, timeout=0.1) as receiver:
        for check_id, outcome in (("rej.status", "failed"), ("sig.wrong-secret", "passed")):
            result = run_check(CHECKS[check_id], CheckContext(MeetGeek(SECRET), receiver, memory=memory, strict=True))
            assert result.outcome == outcome


def test_a_handler_that_no_longer_runs_blocks_what_counts_it():
    memory, right = Memory(), Right()
    memory.results["rep.processed"] = CheckResult("rep.processed", "MUST")
    with Receiver(right.asgi) as receiver:
        spy = Spy().watch("plugin_shop:process")
        result = run_check(CHECKS["rep.idempotent"], CheckContext(MeetGeek(SECRET), receiver, spy, memory))
        spy.undo()
    assert (result.outcome, result.blocked_by) == ("skipped", "rep.processed")


def test_a_handler_that_nobody_counted_yet_is_still_waited_for():
    memory = Memory()
    spy = Spy()
    with Receiver(Late().asgi) as receiver:
        context = CheckContext(MeetGeek(SECRET), receiver, spy, memory)
        assert run_check(CHECKS["rep.processed"], context).outcome == "skipped"
        spy.watch("plugin_shop:process")
        assert run_check(CHECKS["rep.processed"], context).outcome == "passed"
    spy.undo()


def test_a_lock_out_is_no_skip_once_something_was_accepted():
    right = Right()
    memory = Memory()
    with Receiver(right.asgi) as receiver:
        context = CheckContext(MeetGeek(SECRET), receiver, memory=memory)
        right.success = (429, b"")
        assert run_check(CHECKS["raw.compact"], context).outcome == "skipped"
        right.success = (200, b"")
        assert run_check(CHECKS["ack.status"], context).outcome == "passed"
        right.success = (429, b"")
        result = run_check(CHECKS["raw.compact"], context)
    assert (result.outcome, result.reason) == ("failed", "required HTTP 200, as to earlier deliveries")


def test_a_check_belongs_to_the_group_that_its_id_begins_with():
    assert {check.id: check.group for check in CHECKS.values()} == {name: name.split(".")[0] for name in CHECKS}
