import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from command_line_harness import COMMAND, PATIENCE, SECRET

from mg_middleware import Delivery
from mg_middleware.cli.serve import EventPrinter, Service, guarded_in_worker

SUCCEEDED = b'{"message": "File analyzed successfully", "meeting_id": "6f1c"}'
FAILED = b'{"message": "File analyzed failed"}'
UNKNOWN = b"\xff"
FORGED = "0" * 64


def test_without_an_application_each_verified_event_is_a_line_of_json(serve):
    with serve("--path", "/hook") as server:
        assert [server.post(body, path="/hook") for body in (SUCCEEDED, FAILED, UNKNOWN)] == [(200, b"")] * 3
        assert server.post(SUCCEEDED, path="/hook", signature=FORGED)[0] == 401
        assert server.post(SUCCEEDED, path="/elsewhere")[0] == 404
        server.stop()
        status, out, log = server.end()
    assert status == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "AnalysisSucceeded", "meeting_id": "6f1c", "payload": json.loads(SUCCEEDED)},
        {"event": "AnalysisFailed", "meeting_id": None, "payload": json.loads(FAILED)},
        {"event": "UnknownEvent", "meeting_id": None, "payload": None},
    ]
    assert log.count("verified POST /hook") == 3
    assert log.count("refused POST /hook from 127.0.0.1: signature_mismatch") == 1
    assert "Traceback" not in log


def test_an_asgi_application_runs_behind_the_guard(serve):
    with serve("shop:app", "--path", "/hook", "--path", "/other-hook") as server:
        assert server.post(SUCCEEDED, path="/hook") == (200, b"AnalysisSucceeded(meeting_id='6f1c')")
        assert server.post(SUCCEEDED, path="/other-hook", signature=FORGED)[0] == 401
        assert server.post(SUCCEEDED, path="/health", signature=FORGED) == (200, b"not guarded")


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_a_wsgi_application_runs_behind_the_guard(serve, chunked):
    with serve("shop:wsgi", "--path", "/hook") as server:
        assert server.post(SUCCEEDED, path="/hook", chunked=chunked) == (
            200,
            b"(AnalysisSucceeded(meeting_id='6f1c'), 63, '63', None)",
        )
        assert server.post(SUCCEEDED, path="/hook", chunked=chunked, signature=FORGED)[0] == 401
        length = b"None" if chunked else b"'63'"
        assert server.post(SUCCEEDED, path="/health", chunked=chunked) == (200, b"(None, 63, %s, None)" % length)
        server.stop()
        assert "Traceback" not in server.end()[2]


def test_with_a_store_each_meeting_is_processed_once(serve, folder):
    for expected in (["in hand\n"], []):  # the second time in another process
        with serve("shop:app", "--store", "meetings.db") as server:
            assert server.post(SUCCEEDED)[0] == 200
            assert server.post(SUCCEEDED) == (200, b"")
            server.stop()
            assert server.end()[1] == "".join(expected)
    assert (folder / "meetings.db").exists()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_stops_it_after_the_request_in_hand(serve, workers, signal_number):
    with serve("shop:app", "--workers", workers) as server, ThreadPoolExecutor() as pool:
        server.wait_for_workers(workers)
        answer = pool.submit(server.post, SUCCEEDED, path="/slow")
        assert server.line() == "in hand\n"
        server.stop(signal_number)
        assert answer.result() == (200, b"AnalysisSucceeded(meeting_id='6f1c')")
        status, _, log = server.end()
        with pytest.raises(ConnectionRefusedError):
            server.post(SUCCEEDED)
    assert status == 0
    assert "Traceback" not in log


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads the process list of Linux")
def test_the_secret_shows_neither_in_the_log_nor_in_the_process_list(serve, folder, monkeypatch):
    (folder / "secret").write_text(SECRET)
    monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET")
    with serve("--workers", 2, "--secret-file", "secret") as server:
        assert server.post(SUCCEEDED) == (200, b"")
        group = [entry for entry in Path("/proc").glob("[0-9]*") if in_group(entry, server.process.pid)]
        assert len(group) >= 3
        shown = b"".join((entry / kind).read_bytes() for entry in group for kind in ("cmdline", "environ"))
        server.stop()
        _, out, log = server.end()
    assert b"mg_middleware" in shown
    assert SECRET.encode() not in shown
    assert SECRET not in out + log


def in_group(entry, group):
    try:
        return os.getpgid(int(entry.name)) == group
    except ProcessLookupError:
        return False


def test_a_busy_port_is_one_line(command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = command("serve", "--port", port)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"mg-middleware serve: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host", "no-such-host.invalid"], "cannot listen on no-such-host.invalid"),
        (["nothing_here:app"], "No module named 'nothing_here'"),
        (["broken:app"], "No module named 'a_module_that_is_not_there', at broken.py:1"),
        (["stubborn:app"], "cannot import 'stubborn'"),
        (["shop"], "not of the form module:attribute"),
        (["shop:ap"], "did you mean 'app'"),
        (["shop:number"], "'shop:number' is not an ASGI or WSGI application"),
        (["shop:of_four"], "'shop:of_four' is not an ASGI or WSGI application"),
        (
            ["shop:create_app"],
            "'shop:create_app' is not an ASGI or WSGI application: if it is a factory, write 'shop:create_app()'",
        ),
        (["shop:create_failing()"], "'shop:create_failing()' raised OSError: no database"),
        (["--path", ""], "--path: "),
        (["--path", "/hook", "--path", ""], "--path: "),
        (["--store", "."], "--store: "),
        (["--store", "missing/meetings.db"], "--store: "),
        (["--store", "redis://127.0.0.1:port"], "--store: "),
        (["--store", "https://127.0.0.1/"], "--store: SQLAlchemyStore's URL must be a valid database URL"),
    ],
)
def test_what_cannot_be_served_is_one_line(command, words, says):
    ended = command("serve", "--port", "0", *words)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert says in ended.err


def test_an_application_that_does_not_start_ends_it(process):
    ended = process("serve", "shop:does_not_start", "--port", "0")
    assert (ended.status, ended.out) == (2, "")
    assert "no database" in ended.err
    assert ended.err.splitlines()[-1] == "mg-middleware serve: the server did not start; its log says why"


def test_workers_that_do_not_start_end_it(command, monkeypatch):
    # uvicorn looks after its workers, by default for five seconds, before it sees that they have ended.
    monkeypatch.setattr("uvicorn.run", partial(uvicorn.run, timeout_worker_healthcheck=1))
    monkeypatch.setenv("MG_MIDDLEWARE_SERVE", "to be put back")
    ended = command("serve", "shop:does_not_start", "--port", "0", "--workers", "2")
    assert (ended.status, ended.out) == (2, "")
    assert "no database" in ended.err
    assert ended.err.splitlines()[-1] == "mg-middleware serve: the server did not start; its log says why"


@pytest.mark.parametrize(("url", "extra"), [("redis://127.0.0.1/", "redis"), ("sqlite:///meetings.db", "sqlalchemy")])
def test_a_store_at_a_url_needs_its_extra(command, monkeypatch, url, extra):
    monkeypatch.setattr("mg_middleware.cli.serve.find_spec", lambda name: None if name == extra else True)
    ended = command("serve", "--store", url)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"mg-middleware serve: --store: this URL needs an extra: pip install 'mg-middleware[{extra}]'\n"


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite:///shop.db", "sqlite+aiosqlite:///shop.db"])
def test_the_application_s_own_database_remembers_meetings(serve, url):
    with serve("shop:app", "--store", url, "--workers", 2) as server:
        assert server.post(SUCCEEDED)[0] == 200
        assert server.post(SUCCEEDED) == (200, b"")
        server.stop()
        status, out, log = server.end()
    assert (status, out) == (0, "in hand\n")
    assert "--store" not in log
    assert "ERROR" not in log


def test_a_worker_builds_what_the_command_was_asked_for(folder, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    Service(None, ("/hook",), "meetings.db", None, None).leave_for_workers()
    assert isinstance(guarded_in_worker().app, EventPrinter)
    assert (folder / "meetings.db").exists()


@pytest.mark.parametrize("name", ["create_app()", "create_wsgi()"])
def test_a_factory_is_called(serve, name):
    with serve(f"shop:{name}", "--path", "/hook") as server:
        assert server.post(SUCCEEDED, path="/hook")[0] == 200
        assert server.post(SUCCEEDED, path="/hook", signature=FORGED)[0] == 401


def test_it_warns_if_the_store_does_not_work_and_serves_all_the_same(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # free as soon as it is closed
    with serve("--store", f"redis://:{SECRET}@127.0.0.1:{port}/0") as server:
        (warning,) = [line for line in server.log if "--store" in line]
        assert warning.startswith(
            "mg-middleware serve: --store does not work: events are processed without it until it does (ConnectionError"
        )
        assert server.post(SUCCEEDED) == (200, b"")
        server.stop()
        assert SECRET not in server.end()[2]


def test_it_does_not_warn_if_the_store_works(serve):
    with serve("--store", "meetings.db") as server:
        assert [line for line in server.log if "--store" in line] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to the full disk of Linux")
def test_an_event_that_cannot_be_printed_is_not_acknowledged(serve):
    with Path("/dev/full").open("wb") as full, serve(stdout=full) as server:
        assert server.post(SUCCEEDED) == (500, b"")
        assert server.post(SUCCEEDED) == (500, b"")
        server.stop()
        status, _, log = server.end()
    assert status == 0  # there is nothing left to write
    assert log.count("ERROR an event was not printed, so it is not acknowledged: No space left on device") == 2
    assert "Traceback" not in log


def test_without_a_standard_output_nothing_is_acknowledged(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    exchange = asyncio.run(exchange_with(EventPrinter()))
    assert exchange[0]["status"] == 500


def test_an_event_after_a_half_printed_one_is_on_a_line_of_its_own(monkeypatch):
    space = [10]

    def write_while_there_is_space(_, data):
        if not space[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[: space[0]]
        space[0] -= len(part)
        printed.extend(part)
        return len(part)

    printed = bytearray()
    monkeypatch.setattr("mg_middleware.cli.serve.os", SimpleNamespace(write=write_while_there_is_space))
    printer = EventPrinter()
    assert asyncio.run(exchange_with(printer))[0]["status"] == 500
    space[0] = 1000
    assert asyncio.run(exchange_with(printer))[0]["status"] == 200
    assert asyncio.run(exchange_with(printer))[0]["status"] == 200
    half, first, second = printed.decode().splitlines()
    assert half == '{"event": '
    assert json.loads(first) == json.loads(second)


async def exchange_with(printer):
    sent = []
    scope = {"type": "http", "meetgeek.delivery": Delivery([SUCCEEDED], b"0" * 64, None)}

    async def send(message):
        sent.append(message)

    await printer(scope, None, send)
    return sent


@pytest.mark.parametrize("workers", [1, 2])
def test_it_ends_with_141_when_the_reader_of_the_events_leaves(serve, workers):
    with serve("--workers", workers) as server:
        server.wait_for_workers(workers)
        assert server.post(SUCCEEDED) == (200, b"")
        assert "AnalysisSucceeded" in server.line()
        server.process.stdout.close()
        assert server.post(FAILED) == (500, b"")
        status = server.process.wait(PATIENCE)
        server.end()
    assert status == 141
    assert "an event was not printed, so it is not acknowledged: Broken pipe" in "".join(server.log)


def test_ctrl_c_ends_it_with_0_though_the_reader_of_the_events_has_left(serve):
    with serve() as server:
        server.process.stdout.close()
        server.stop(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_while_the_application_is_imported_ends_it_with_0(folder, signal_number):
    (folder / "shop.py").write_text("import time\nprint('waiting', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [*COMMAND, "serve", "shop:app", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout.readline() == "waiting\n"
        running.send_signal(signal_number)
        assert running.wait(PATIENCE) == 0
        assert running.stderr.read() == ""
