"""The suite without pytest: `run_checks`."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import patch
from wsgiref.simple_server import WSGIRequestHandler, make_server

import plugin_shop
import pytest
from plugin_receivers import SECRET, Right

from pytest_meetgeek import CHECKS, CheckResult, Spy, run_checks
from pytest_meetgeek._targets import TargetError

SHOP = "meetgeek-test-secret"
FOLDER = Path(__file__).parents[1]


def by_outcome(results, *outcomes):
    return {result.id for result in results if result.outcome in outcomes}


def test_a_right_receiver_passes_all():
    receiver = Right()
    receiver.handler = spy = Spy()
    results = run_checks(receiver.asgi, SECRET, handler=spy, strict=True)
    assert [result.id for result in results] == list(CHECKS)
    assert all(isinstance(result, CheckResult) for result in results)
    assert by_outcome(results, "failed", "warned") == set()
    assert "rep.idempotent" in by_outcome(results, "passed")
    assert not any(result.unproven for result in results)


def test_a_finding_says_what_was_sent_required_and_received():
    finding = next(result for result in run_checks("plugin_shop:key_error", SHOP) if result.outcome == "failed")
    assert (finding.id, finding.level, finding.required) == ("ack.failed", "MUST", "HTTP 200")
    assert finding.sent.startswith("POST / failed, 35 bytes")
    assert finding.received.startswith("HTTP 500")
    assert finding.text.startswith("[ack.failed] a signed 'File analyzed failed'")


def test_a_should_warns_unless_strict():
    arguments = {"handler": "plugin_shop:process", "only": {"rep.idempotent"}}
    for strict, outcome in ((False, "warned"), (True, "failed")):
        (result,) = run_checks("plugin_shop:forgetful", SHOP, strict=strict, **arguments)
        assert result.outcome == outcome


class Open(Right):
    def is_genuine(self, headers, body):
        return True


def test_a_hole_that_another_check_would_report_is_reported_if_that_one_is_not_chosen():
    results = run_checks(Open().asgi, SECRET, only=["sig.zeros", "sig.one-bit", "sig.extended"])
    assert [result.outcome for result in results] == ["failed", "skipped", "skipped"]
    finding = results[0]
    assert finding.blocked_by == "rej.status"
    assert "rej.status was not chosen, and failed" in finding.reason
    assert finding.received.startswith("HTTP 200")
    assert "can't be checked, since rej.status, which was not chosen, failed:\n[rej.status]" in finding.text


def test_it_is_reported_by_its_own_check_if_that_one_is_chosen():
    results = run_checks(Open().asgi, SECRET, only=["rej.status", "sig.zeros"])
    assert [(result.id, result.outcome) for result in results] == [("rej.status", "failed"), ("sig.zeros", "skipped")]


def test_the_handler_is_put_back():
    process = plugin_shop.process
    (result,) = run_checks("plugin_shop:app", SHOP, handler="plugin_shop:process", only="rep.processed", seed="again")
    assert result.outcome == "passed"
    assert plugin_shop.process is process


def test_requests_are_sent_one_at_a_time_if_you_ask():
    (result,) = run_checks(Right().wsgi, SECRET, only=["rep.concurrent"], at_once=False)
    assert (result.outcome, result.reason) == ("skipped", "one request at a time: at_once is false")


def test_an_app_by_name_is_started_without_its_secret(tmp_path, monkeypatch):
    tmp_path.joinpath("plugin_run_app.py").write_text(
        "import os\nfrom plugin_receivers import Right\n"
        "class Shop(Right):\n    secret = (os.environ.get('SHOP_SECRET', '').strip() or 'a fallback').encode()\n"
        "app = Shop().asgi\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SHOP_SECRET", SECRET.decode())
    only = ["cfg.unset-secret", "cfg.padded-secret"]
    with patch("subprocess.run", wraps=subprocess.run) as start:
        results = run_checks("plugin_run_app:app", SECRET, secret_env="SHOP_SECRET", only=only)
    # Each start costs what the app's imports cost: without the variable, with an empty one, with a newline at its end.
    assert start.call_count == 3
    assert [(result.id, result.outcome) for result in results] == [(name, "passed") for name in only]
    assert by_outcome(run_checks(Right().asgi, SECRET, secret_env="SHOP_SECRET", only=only), "skipped") == {*only}


def test_a_command_counts_at_a_url_only():
    (result,) = run_checks("http://127.0.0.1:1/", SECRET, count="echo 1", only=["ack.status"])
    assert result.outcome == "failed"
    (result,) = run_checks(Right().asgi, SECRET, count="no-such-command", only=["ack.status"])
    assert result.outcome == "passed"
    with pytest.raises(RuntimeError, match="printed no number"):
        run_checks("http://127.0.0.1:1/", SECRET, count="echo none", only=["rep.processed"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"only": ["ack.stats"]}, ValueError, "unknown check 'ack.stats': did you mean 'ack.status'"),
        ({"break_": "touch broken", "count": "wc -l done"}, ValueError, "break_ and heal need each other, and count"),
        ({"heal": "rm broken"}, ValueError, "break_ and heal need each other, and count"),
        ({"app_or_url": "plugin_shop:ap"}, TargetError, "has no 'ap': did you mean 'app'"),
        ({"app_or_url": 5}, TypeError, "not an ASGI app, a WSGI app or a URL: int"),
        ({"app_or_url": "https://meetgeek.example/hook"}, ValueError, "meetgeek.example is not a loopback address"),
        ({"handler": "plugin_shop:proces"}, TargetError, "has no 'proces': did you mean 'process'"),
        ({"handler": "plugin_shop:number"}, TypeError, "is not a function: int"),
        ({"interface": "cgi"}, ValueError, "interface is one of"),
        ({"app_or_url": "plugin_shop:broken_start"}, RuntimeError, "no database"),
    ],
)
def test_a_mistake_is_raised(arguments, error, message):
    with pytest.raises(error, match=message):
        run_checks(**{"app_or_url": "plugin_shop:app", "secret": SHOP, **arguments})


def test_it_does_not_block_an_event_loop():
    async def call():
        run_checks(Right().wsgi, SECRET, only=["ack.status"])

    with pytest.raises(RuntimeError, match="blocks the event loop"):
        asyncio.run(call())


def test_it_works_without_pytest():
    script = (
        "import sys; sys.modules['pytest'] = None; from pytest_meetgeek import run_checks; import plugin_shop;"
        "print(run_checks('plugin_shop:app', 'meetgeek-test-secret', only=['ack.status'])[0].outcome)"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FOLDER)
    assert done.stdout == "passed\n"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("requests", [1, 12, 25, 30, 60])
def test_a_receiver_that_stops_during_the_suite_is_one_finding(requests):
    with make_server("127.0.0.1", 0, Right().wsgi, handler_class=Quiet) as server:

        def serve():
            for _ in range(requests):
                server.handle_request()
            server.server_close()

        thread = threading.Thread(target=serve)
        thread.start()
        results = run_checks(f"http://127.0.0.1:{server.server_port}", SECRET)
        thread.join(10)
    (finding,) = (result for result in results if result.outcome in {"failed", "warned"})
    assert finding.outcome == "failed"  # whatever its level
    assert finding.note == "the receiver can't be reached any more: it stopped during this check, or just before"
    later = [result for result in results if result.blocked_by == finding.id]
    assert len(later) > 40
    assert {result.reason for result in later} == {f"blocked by {finding.id}: the receiver can't be reached any more"}


def test_a_time_out_is_not_taken_for_a_receiver_that_stopped():
    hanging, unsigned = threading.Event(), []

    def receiver(environ, start_response):
        if environ.get("CONTENT_LENGTH") == "35":  # the failed analysis
            hanging.wait(0.6)
        elif "HTTP_X_MG_SIGNATURE" not in environ:
            unsigned.append(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    with make_server("127.0.0.1", 0, receiver, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        results = run_checks(url, SECRET, only=["ack.status", "ack.failed"], timeout=0.3)
        server.shutdown()
        thread.join(10)
    assert [result.outcome for result in results] == ["passed", "failed"]
    assert "no response within 0.3 s" in results[1].text
    assert unsigned == []
