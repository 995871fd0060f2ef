"""Requests per second of real servers, with and without the guard, under wrk (the Debian package of that name).

The servers run at the same time and are asked in turn, so that what disturbs the machine disturbs all.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from measuring import Row
from served import PATH, SECRET

from pytest_meetgeek import MeetGeek

TURNS = 7
SECONDS = 2
CONNECTIONS = 16
PATIENCE = 30

BARE, GUARDED, SNIPPET = "not guarded", "guarded", "the snippet in the application"

pytestmark = pytest.mark.skipif(
    shutil.which("wrk") is None, reason="the program wrk is not on PATH (apt-get install wrk)"
)

PYTHON = [sys.executable, "-m"]
UVICORN = "uvicorn {app} --port {port} --http httptools --loop uvloop --log-level error --no-access-log"
GRANIAN = "granian {app} --port {port} --interface asgi --log-level error --no-access-log"
# The words of each command line, the module and the protocol of what it runs, and which part of the requests per second
# is to be left.
SERVERS = {
    "uvicorn (httptools, uvloop)": (UVICORN, "served", "asgi", 0.95),
    "uvicorn (httptools, uvloop), FastAPI": (UVICORN, "served_fastapi", "asgi", 0.95),
    "granian": (GRANIAN, "served", "asgi", 0.95),
    "granian, FastAPI": (GRANIAN, "served_fastapi", "asgi", 0.95),
    "gunicorn (gthread)": (
        "gunicorn {app} --bind 127.0.0.1:{port} --threads 4 --log-level error",
        "served",
        "wsgi",
        None,
    ),
    "waitress": ("waitress --listen 127.0.0.1:{port} {app}", "served", "wsgi", None),
}


class Server:
    """One server on a free port of loopback. Use it as a context manager."""

    def __init__(self, words, app):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{PATH}"
        self._address = ("127.0.0.1", port)
        self._command = [*PYTHON, *words.format(app=app, port=port).split()]

    def __enter__(self):
        # A session of its own, by which its processes are found.
        self._process = subprocess.Popen(self._command, cwd=Path(__file__).parent, start_new_session=True)
        end = time.monotonic() + PATIENCE
        while socket.socket().connect_ex(self._address):
            assert self._process.poll() is None, f"{self._command} ended with {self._process.returncode}"
            assert time.monotonic() < end, f"{self._command} does not listen"
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(PATIENCE)

    def processor_time(self):
        """Sum up the seconds that its processes have had (man 5 proc, /proc/pid/stat)."""
        ticks = 0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # the process has ended meanwhile
                fields = file.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def asked(self, script, seconds):
        """Let wrk send requests; tell how many were answered in a second, and in a second of processor time."""
        before = self.processor_time()
        output = subprocess.run(
            [
                "wrk",
                "--threads",
                "1",
                "--connections",
                str(CONNECTIONS),
                "--duration",
                f"{seconds}s",
                "-s",
                script,
                self.url,
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        ).stdout
        assert "Non-2xx" not in output, output
        count = int(re.search(r"(\d+) requests in", output)[1])
        return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), count / (self.processor_time() - before)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """What wrk sends: a genuine delivery."""
    request = MeetGeek(SECRET).analyzed()
    lines = ['wrk.method = "POST"', f"wrk.body = [[{request.body.decode()}]]"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in request.headers]
    path = tmp_path_factory.mktemp("wrk") / "genuine.lua"
    path.write_text("\n".join(lines))
    return str(path)


@pytest.fixture(scope="module", params=SERVERS)
def asked(request, script):
    """Ask a server bare, guarded and with the snippet, in turn: its name, and what came of each turn."""
    words, module, protocol, _ = SERVERS[request.param]
    apps = {BARE: protocol, GUARDED: f"guarded_{protocol}", SNIPPET: f"{protocol}_with_snippet"}
    with ExitStack() as running:
        servers = {name: running.enter_context(Server(words, f"{module}:{app}")) for name, app in apps.items()}
        for server in servers.values():
            server.asked(script, 1)  # so that all are warm
        turns = []
        for turn in range(TURNS):
            order = [*servers][:: 1 if turn % 2 else -1]
            turns.append({name: servers[name].asked(script, SECONDS) for name in order})
    return request.param, turns


@pytest.mark.parametrize("what", [GUARDED, SNIPPET])
def test_requests_per_second(benchmark, asked, what):
    server, turns = asked
    at_least = SERVERS[server][3] if what == GUARDED else None
    record(benchmark, Row("Requests per second of a server", f"{server}, {what}", BARE, at_least=at_least), turns, 0)


@pytest.mark.parametrize("what", [GUARDED, SNIPPET])
def test_requests_per_second_of_processor_time(benchmark, asked, what):
    """Steadier than the former where the machine has other work."""
    server, turns = asked
    record(benchmark, Row("Requests per second of a server's processor time", f"{server}, {what}", BARE), turns, 1)


def record(benchmark, row, turns, which):
    name = row.name.rpartition(", ")[2]
    benchmark.pedantic(lambda: None)  # wrk has done the timing
    row.record(benchmark, [turn[name][which] / turn[BARE][which] for turn in turns])
