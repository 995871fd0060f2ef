"""rep.lost-worker: the process that handles an event is killed, and the event comes again."""

import os
import signal
import subprocess
import sys
import textwrap
from fnmatch import fnmatch

import pytest
from plugin_receivers import SECRET

from pytest_meetgeek import MeetGeek, Spy, run_checks
from pytest_meetgeek.checks.apart import StartedApart, _Mortal

CHECK = "rep.lost-worker"

# Receivers with claims on the disk: one file for each meeting, beside this module.
APPS = """
    import hashlib
    import sys
    import threading
    import time
    from contextlib import suppress
    from pathlib import Path

    from plugin_receivers import SECRET, Right

    FOLDER = Path(__file__).parent
    APART = sys.argv[0].endswith("apart.py")

    def process(event):
        print("working", end="")

    class Durable(Right):
        lease = 1.5
        busy = (409, b"")

        def process(self, body):
            event = self.parse(body)
            key = event.get("meeting_id") if isinstance(event, dict) else None
            if not isinstance(key, str):
                return self.success
            claim = FOLDER / hashlib.sha256(key.encode()).hexdigest()
            while claim.exists():
                if claim.read_text() == "done":
                    return self.success
                if time.time() - claim.stat().st_mtime > self.lease:
                    break
                if self.busy:
                    return self.busy
                time.sleep(0.05)
            claim.write_text("claimed")
            try:
                self.handle(event)
            except Exception:
                claim.unlink()
                raise
            claim.write_text("done")
            return self.success

        def handle(self, event):
            process(event)

    class Waits(Durable):
        busy = None

    class HoldsForEver(Durable):
        lease = 3600

    class CountsAsDone(HoldsForEver):
        busy = (200, b"")

    class WorksAfterwards(Durable):
        def handle(self, event):
            threading.Timer(0.1, self.work, [event]).start()

        def work(self, event):
            with suppress(Exception):
                process(event)

    class Refuses(Waits):
        # After its work, and in a process of its own only.
        def process(self, body):
            status = super().process(body)
            return (500, b"") if APART else status

    class WorksHereOnly(Waits):
        def handle(self, event):
            if not APART:
                process(event)

    waits, holds, counts_as_done = Waits().wsgi, HoldsForEver().wsgi, CountsAsDone().asgi
    afterwards, refuses, works_here_only = WorksAfterwards().wsgi, Refuses().wsgi, WorksHereOnly().wsgi

    def locked():
        lock = FOLDER / "lock"
        if APART:
            lock.touch(exist_ok=False)
        return waits

    def only_once():
        if APART:
            raise RuntimeError("one process only")
        return waits
"""


@pytest.fixture
def importable(tmp_path, monkeypatch):
    tmp_path.joinpath("plugin_lost_app.py").write_text(textwrap.dedent(APPS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plugin_lost_app", raising=False)


@pytest.fixture
def found(importable, monkeypatch):
    monkeypatch.setattr("pytest_meetgeek.checks.apart._LEASE", 5.0)
    sent = []
    start = subprocess.run

    def counted(*arguments, **options):
        sent.append(arguments)
        return start(*arguments, **options)

    monkeypatch.setattr("subprocess.run", counted)

    def found(app):
        (result,) = run_checks(
            f"plugin_lost_app:{app}", SECRET, handler="plugin_lost_app:process", only=[CHECK], strict=True
        )
        found.processes = len(sent)
        return result

    return found


@pytest.mark.parametrize(
    ("app", "outcome", "reason", "processes"),
    [
        ("waits", "passed", "", 2),
        (
            "holds",
            "failed",
            "required processed when it comes again: none of 3 further POSTs was: what the killed process noted down *",
            2,
        ),
        (
            "counts_as_done",
            "failed",
            "required processed when it comes again: what the killed process noted down counts as done",
            2,
        ),
        ("refuses", "failed", "required HTTP 200 when it comes again", 2),
        (
            "locked()",
            "failed",
            "*after its process was killed, the app does not start again: *FileExistsError: *",
            2,
        ),
        ("only_once()", "skipped", "the app does not start in a process of its own: *one process only*", 1),
        ("works_here_only", "skipped", "the handler did not run in a process of its own (seed: ':rep.lost-worker')", 1),
        (
            "afterwards",
            "failed",
            "blocked by rep.fail-then-retry; * was not chosen, and failed: *",
            0,
        ),
    ],
)
def test_an_event_outlives_the_process_that_worked_on_it(app, outcome, reason, processes, found):
    result = found(app)
    assert (result.outcome, fnmatch(result.reason, reason)) == (outcome, True), result.reason
    assert found.processes == processes


def test_the_guard_with_a_durable_store_loses_nothing(tmp_path, monkeypatch):
    tmp_path.joinpath("plugin_lost_guard.py").write_text(
        "from pathlib import Path\n"
        "from mg_middleware import MeetGeekASGIMiddleware, SQLiteStore\n"
        "def process(delivery): pass\n"
        "store = SQLiteStore(Path(__file__).with_name('done.sqlite'), lease=0.5)\n"
        f"app = MeetGeekASGIMiddleware(handler=lambda delivery: process(delivery), secret={SECRET!r}, "
        "idempotency_store=store)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (result,) = run_checks("plugin_lost_guard:app", SECRET, handler="plugin_lost_guard:process", only=[CHECK])
    assert (result.outcome, result.reason) == ("passed", "")


def test_what_works_after_its_response_is_waited_for(importable):
    apart = StartedApart("plugin_lost_app:afterwards", None, "/", "auto")
    request = MeetGeek(SECRET).analyzed()
    assert apart.kill(request, ["plugin_lost_app:process"]).killed
    story = apart.retry(MeetGeek(SECRET, seed="another").analyzed(), ["plugin_lost_app:process"])
    assert ([response.status for response in story.responses], story.runs, story.killed) == ([200], [1], False)


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        ("plugin_shop:app", {}),
        ("http://127.0.0.1:1/", {}),
        ("plugin_shop:app", {"handler": Spy()}),
    ],
)
def test_without_an_app_and_a_handler_by_name_it_is_skipped(app, arguments, found):
    (result,) = run_checks(app, "meetgeek-test-secret", only=[CHECK], **arguments)
    assert result.outcome == "skipped"


def test_the_process_is_killed_as_soon_as_the_handler_is_called(monkeypatch, capsys):
    killed = []
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    _Mortal()({"meeting_id": "x"})
    assert killed == [(os.getpid(), signal.SIGKILL)]
    assert capsys.readouterr().out == "\nmeetgeek-killed\n"
