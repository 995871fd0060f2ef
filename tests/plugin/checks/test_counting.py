"""A receiver at a URL, in any language: what it processed is counted by a command."""

import hashlib
import hmac
import json
import shlex
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar

import pytest
from plugin_receivers import SECRET

from pytest_meetgeek import CHECKS, MeetGeek, Receiver, Spy
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import CheckContext, Memory
from pytest_meetgeek.checks.counter import CommandCounter, CommandError, SpyCounter
from pytest_meetgeek.plugin.settings import GENUINE_EVENTS

COUNTED = ["rep.processed", "rep.idempotent", "rep.fail-then-retry", "rep.two-meetings", "rep.concurrent"]


class Shop(BaseHTTPRequestHandler):
    """A right receiver on a socket; one line of a file for each meeting that it processed."""

    genuine = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        values = self.headers.get_all("X-MG-Signature", [])
        true = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if len(values) != 1 or not hmac.compare_digest(values[0].encode("latin-1"), true.encode()):
            return self.respond(self.refuse(body))
        type(self).genuine += 1
        return self.respond(self.process(body))

    def do_GET(self):
        self.respond(401)

    def refuse(self, body):
        return 401

    def process(self, body):
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            event = None
        meeting = event.get("meeting_id") if isinstance(event, dict) else None
        if not isinstance(meeting, str):
            return 200
        with self.server.lock:
            known = self.server.file.read_text().splitlines()
            if meeting in known and meeting:
                return 200
            if self.server.broken.exists():
                return self.fail(meeting)
            self.write(meeting)
        return 200

    def write(self, meeting):
        with self.server.file.open("a") as file:
            file.write(f"{meeting or 'empty'}\n")

    def fail(self, meeting):
        return 500

    def respond(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Say nothing."""


class Forgetful(Shop):
    def process(self, body):
        with self.server.lock:
            self.write("again")
        return 200


class Swallows(Shop):
    def fail(self, meeting):
        return 200


class RemembersFailures(Shop):
    failed: ClassVar = set()

    def process(self, body):
        return 200 if body in self.failed else super().process(body)

    def fail(self, meeting):
        self.failed.add(MeetGeek(SECRET).analyzed(meeting).body)
        return 500


class ProcessesForgeries(Shop):
    def refuse(self, body):
        self.write("forged")
        return 401


class DropsForgeries(Shop):
    def refuse(self, body):
        return 200


class LooksUpTooEarly(Shop):
    def process(self, body):
        event = json.loads(body) if body.startswith(b'{"m') else {}
        meeting = event.get("meeting_id") or "none"
        known = meeting in self.server.file.read_text().splitlines()
        time.sleep(0.05)
        if not known:
            with self.server.lock:
                self.write(meeting)
        return 200


class Later(Shop):
    """Responds first and writes later."""

    def write(self, meeting):
        threading.Timer(0.15, super().write, [meeting]).start()


@pytest.fixture
def found(tmp_path):
    """Run checks against a receiver on a socket."""
    with ExitStack() as running:

        def found(shop, *check_ids, counted=True, seed=""):
            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), shop))
            server.lock, server.file, server.broken = threading.RLock(), tmp_path / "done", tmp_path / "broken"
            server.file.touch()
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            running.callback(thread.join)
            running.callback(server.shutdown)
            thread.start()
            memory, results = Memory(), {}
            with Receiver(f"http://127.0.0.1:{server.server_port}/hook") as receiver:
                for check_id in check_ids or CHECKS:
                    counter = CommandCounter(
                        f"wc -l {shlex.quote(str(server.file))}",
                        f"touch {shlex.quote(str(server.broken))}",
                        f"rm {shlex.quote(str(server.broken))}",
                    )
                    context = CheckContext(
                        MeetGeek(SECRET, seed=f"{seed}{check_id}"),
                        receiver,
                        memory=memory,
                        strict=True,
                        command=counter if counted else None,
                    )
                    results[check_id] = run_check(CHECKS[check_id], context)
            return results

        yield found


def outcomes(results):
    return {check_id: (result.outcome, result.reason) for check_id, result in results.items()}


@pytest.mark.parametrize("counted", [True, False])
def test_a_right_receiver_passes_all(found, counted):
    class Counting(Shop):
        genuine = 0

    results = found(Counting, counted=counted)
    assert {name: result.text for name, result in results.items() if result.outcome == "failed"} == {}
    skipped = {check_id for check_id, result in results.items() if result.outcome == "skipped"}
    elsewhere = {"raw.chunked", "cfg.unset-secret", "cfg.padded-secret"}
    elsewhere |= {"ack.before-work", "rej.no-log", "rep.fail-no-leak", "rep.lost-worker"}
    assert skipped == elsewhere | (set() if counted else {*COUNTED} - {"rep.concurrent"})
    assert any(result.unproven for result in results.values()) != counted
    assert Counting.genuine <= GENUINE_EVENTS


@pytest.mark.parametrize(
    ("shop", "check_id", "detail"),
    [
        (Forgetful, "rep.idempotent", "sent in turn, it was processed 3 times"),
        (LooksUpTooEarly, "rep.idempotent", "sent at once, it was processed 3 times"),
        (Swallows, "rep.fail-then-retry", "another status than 200: the handler failed"),
        (RemembersFailures, "rep.fail-then-retry", "processed at the second POST"),
        (ProcessesForgeries, "sig.zeros", "nothing processed: the handler ran"),
        (DropsForgeries, "rej.status", "forgeries of every kind get it; none was processed"),
    ],
)
def test_a_broken_receiver_is_caught(shop, check_id, detail, found):
    result = found(shop, "rep.processed", check_id)[check_id]
    assert result.outcome == "failed"
    assert detail in result.reason


def test_what_is_processed_late_is_not_taken_for_another_s(found):
    results = found(Later, "rep.processed", "rep.two-meetings", "sig.zeros", "rej.then-ack", "rej.empty")
    assert {name: result.text for name, result in results.items() if result.outcome != "passed"} == {}


def test_what_is_counted_late_is_waited_for_and_what_is_not_counted_not_long():
    counted = []

    def app(environ, start_response):
        if environ["wsgi.input"].read() not in sent:
            threading.Timer(0.1, counted.append, [1]).start()
        start_response("200 OK", [])
        return []

    counter = SimpleNamespace(
        given=True, pauses=(0.0, *(0.01,) * 100), read=lambda: len(counted), forget=lambda: None, spy=None
    )
    sent = []
    with Receiver(app) as receiver:
        context = CheckContext(MeetGeek(SECRET), receiver, command=counter)
        assert context.sees_handler()
        request = context.meetgeek.analyzed()
        context.send(request)
        assert context.processed_before() == 2
        sent.append(request.body)
        context.send(request)
        begun = time.monotonic()
        assert context.processed_before() == 2
        assert 0.1 < time.monotonic() - begun < 5


def test_meetings_of_an_earlier_run_are_not_processed_again(found):
    assert found(Shop, "rep.processed", seed="one")["rep.processed"].outcome == "passed"
    again = found(Shop, "rep.processed", seed="one")["rep.processed"]
    assert again.outcome == "failed"
    assert "give another --meetgeek-seed (this one: 'onerep.processed')" in again.note
    assert found(Shop, "rep.processed", seed="two")["rep.processed"].outcome == "passed"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo nothing here", "'echo nothing here' printed no number, but 'nothing here'"),
        ("true", "'true' printed no number, but nothing"),
        ("echo no table >&2; exit 3", "ended with status 3: 'no table'"),
        ("no-such-command-at-all", "'no-such-command-at-all' ended with status 127: '*not found*'"),
        ("sleep 20", "'sleep 20' did not end within 0 s, and printed nothing"),
        ("echo wait a moment; sleep 20", "did not end within 0 s, and printed 'wait a moment'"),
    ],
)
def test_a_command_that_counts_nothing_is_named(command, message, monkeypatch):
    monkeypatch.setattr("pytest_meetgeek.checks.counter._COMMAND_PATIENCE", 0.2)
    with pytest.raises(CommandError) as raised:
        CommandCounter(command).read()
    start, _, end = message.partition("*")
    assert str(raised.value).startswith("--meetgeek-count: ")
    assert start in str(raised.value)
    assert end.strip("'*") in str(raised.value)


def test_the_first_number_counts():
    assert CommandCounter("echo '  12 /tmp/file-3'").read() == 12


def test_a_count_that_never_settles_is_read_all_the_same(tmp_path):
    path = str(tmp_path / "n")
    script = f"import pathlib; p = pathlib.Path({path!r}); p.open('a').write('x'); print(p.stat().st_size)"
    assert CommandCounter(f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}").read() > 1


def test_a_receiver_that_was_broken_is_healed_whatever_happens(tmp_path):
    counter = CommandCounter("echo 1", f"touch {tmp_path}/broken", f"rm {tmp_path}/broken")
    broken = []

    def fail():
        with counter.failing():
            broken.append(tmp_path.joinpath("broken").exists())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert broken == [True]
    assert not tmp_path.joinpath("broken").exists()


def test_without_a_command_to_break_it_nothing_can_fail():
    assert not CommandCounter("echo 1").can_fail
    with Receiver("http://127.0.0.1:1/") as receiver:
        context = CheckContext(MeetGeek(SECRET), receiver, command=CommandCounter("echo 1"))
        context.memory.results["rep.processed"] = run_check(CHECKS["hdr.case"], context)
        context.memory.results["rep.processed"].blocked_by = ""
        result = run_check(CHECKS["rep.fail-then-retry"], context)
    assert result.reason.startswith("nothing makes the receiver fail: give --meetgeek-break")


def test_a_spy_fails_once():
    spy = Spy()
    with SpyCounter(spy).failing():
        assert spy.fail_next == 1
    assert spy.fail_next == 0
