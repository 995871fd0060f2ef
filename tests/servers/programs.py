"""How each server is started, watched and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from servers.wire import HOST, READY_PATH, Connection, NoAnswerError, request

SECRET = "the secret of the servers' tests"
TESTS = Path(__file__).parents[1]
_ASGI = "servers.application:asgi_application"
_WSGI = "servers.application:wsgi_application"
_START_SECONDS = 30
_STOP_SECONDS = 10


@dataclass(frozen=True)
class Program:
    """One server in one configuration.

    `command` is what follows `python -m`, or a program of its own where `program` names one.
    """

    name: str
    interface: str
    command: tuple[str, ...]
    module: str
    program: str | None = None
    quick: bool = False
    http2: bool = False
    reads_first: bool = False  # it reads the whole body before it calls the application
    variables: tuple[tuple[str, str], ...] = ()

    def missing(self):
        """Say why this server cannot be started here; empty if it can."""
        if self.program is not None and find_program(self.program) is None:
            return f"{self.name}: the program {self.program} is not installed (dependency group: servers)"
        if find_spec(self.module) is None:
            return f"{self.name}: the package {self.module} is not installed (dependency group: servers)"
        if self.name == "mod_wsgi" and os.geteuid() == 0 and not _open_to_everybody(Path(sys.base_prefix)):
            return "mod_wsgi: Apache changes to a user who may not read this Python"
        return ""

    def arguments(self, port, folder):
        filled = [argument.format(host=HOST, port=port, tests=TESTS, folder=folder) for argument in self.command]
        return [find_program(self.program), *filled] if self.program else [sys.executable, "-m", *filled]


def find_program(name):
    """Find a program beside the running Python, else on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def _open_to_everybody(folder):
    return all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))


def _uvicorn(parser, *, quick=True):
    command = ("uvicorn", _ASGI, "--host={host}", "--port={port}", f"--http={parser}", "--no-access-log")
    return Program(f"uvicorn-{parser}", "ASGI", command, parser, quick=quick)


def _hypercorn(worker, *, http2):
    command = ("hypercorn", _ASGI, "--bind={host}:{port}", f"--worker-class={worker}")
    return Program(f"hypercorn-{worker}", "ASGI", command, "hypercorn", http2=http2)


def _granian(interface, application):
    command = (f"--interface={interface.lower()}", "--host={host}", "--port={port}", application)
    name = f"granian-{interface.lower()}"
    return Program(name, interface, command, "granian", program="granian", http2=interface == "ASGI")


def _gunicorn(worker, *options, application=_WSGI, interface="WSGI", quick=False, module="gunicorn"):
    command = ("gunicorn", application, "--bind={host}:{port}", f"--worker-class={worker}", *options)
    return Program(f"gunicorn-{worker}", interface, command, module, quick=quick)


def _uwsgi(name, option):
    options = (
        f"--{option}={{host}}:{{port}}",
        "--module=servers.application:wsgi_application",
        f"--home={sys.prefix}",
        "--pythonpath={tests}",
        "--master",
        "--die-on-term",
        "--need-app",
        "--listen=100",
    )
    return Program(name, "WSGI", options, "uwsgidecorators", program="uwsgi")


def _launched(name, module, *, quick=False, reads_first=False):
    command = ("servers.launch", name, "{port}")
    return Program(name, "WSGI", command, module, quick=quick, reads_first=reads_first)


PROGRAMS = (
    _uvicorn("h11"),
    _uvicorn("httptools"),
    _hypercorn("asyncio", http2=True),
    _hypercorn("trio", http2=False),  # over HTTP/2 any refusal may end it: see the test of uploads
    _granian("ASGI", _ASGI),
    Program("daphne", "ASGI", ("daphne", "--bind={host}", "--port={port}", _ASGI), "daphne", reads_first=True),
    _gunicorn("asgi", application=_ASGI, interface="ASGI"),
    _gunicorn("sync", "--workers=2", quick=True),
    _gunicorn("gthread", "--threads=8"),
    _gunicorn("gevent", module="gevent"),
    Program(
        "waitress",
        "WSGI",
        ("waitress", "--host={host}", "--port={port}", _WSGI),
        "waitress",
        quick=True,
        reads_first=True,
    ),
    Program("cheroot", "WSGI", ("cheroot", "--bind={host}:{port}", "--request-queue-size=256", _WSGI), "cheroot"),
    _granian("WSGI", _WSGI),
    _launched("gevent", "gevent"),
    _uwsgi("uwsgi-http-socket", "http-socket"),
    _uwsgi("uwsgi-http", "http"),
    Program(
        "mod_wsgi",
        "WSGI",
        (
            "start-server",
            "servers.application",
            "--application-type=module",
            "--callable-object=wsgi_application",
            "--python-path={tests}",
            "--host={host}",
            "--port={port}",
            "--server-root={folder}/root",
            "--log-to-terminal",
            "--locale=C.UTF-8",
            "--limit-request-body=104857600",
            *(("--user=www-data", "--group=www-data") if os.geteuid() == 0 else ()),
        ),
        "mod_wsgi",
        program="mod_wsgi-express",
        # Apache would look for the library of whichever Python it finds first.
        variables=(("LD_LIBRARY_PATH", sysconfig.get_config_var("LIBDIR")),),
    ),
    _launched("bjoern", "bjoern", reads_first=True),
    _launched("werkzeug", "werkzeug", quick=True),
    _launched("wsgiref", "wsgiref", quick=True),
)


class Journal:
    """What the recorder, the guard and the application wrote down, from the last `forget` on."""

    def __init__(self, path):
        self.path = path
        self._start = 0

    def forget(self):
        self._start = self.path.stat().st_size

    def facts(self, kind):
        with self.path.open("rb") as file:
            file.seek(self._start)
            lines = [json.loads(line) for line in file if line.endswith(b"\n")]
        return [tuple(facts) for first, *facts in lines if first == kind]

    def wait_for(self, kind, seconds=5.0):
        """Return the facts of a kind as soon as there is one, or none when the time is over."""
        deadline = time.monotonic() + seconds
        while not (facts := self.facts(kind)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return facts


@dataclass(frozen=True)
class Server:
    program: Program
    process: subprocess.Popen
    port: int
    journal: Journal
    log: Path

    def connect(self, timeout=20.0):
        return Connection(self.port, timeout)

    def wait_for_call(self):
        """Wait until a request that is not whole yet has come to the application, or might have."""
        if self.program.reads_first:
            time.sleep(0.2)
        else:
            self.journal.wait_for("seen")


def free_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


@contextmanager
def running(program, folder, environment=()):
    """Start a server, wait until it answers, and stop it by its own process id, whatever happens."""
    folder.chmod(0o755)  # since mod_wsgi runs the application as another user
    journal_path, log_path = folder / "journal", folder / "log"
    journal_path.touch()
    journal_path.chmod(0o666)
    port = free_port()
    variables = {
        **os.environ,
        "PYTHONPATH": str(TESTS),
        "PYTHONUNBUFFERED": "1",
        "MEETGEEK_WEBHOOK_SECRET": SECRET,
        "SERVERS_JOURNAL": str(journal_path),
        **dict(program.variables),
        **dict(environment),
    }
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            program.arguments(port, folder),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, port, log_path)
        yield Server(program, process, port, Journal(journal_path), log_path)
    finally:
        _stop(process)


def _wait_until_ready(process, port, log_path):
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, NoAnswerError), Connection(port, timeout=2) as connection:
            connection.send(request(method="GET", target=READY_PATH, headers=[("Connection", "close")]))
            if connection.receive_answer(method="GET").status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start; its log:\n{log_path.read_text(errors='replace')[-4000:]}")


def _stop(process):
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)
    # Workers outlive some servers that had to be killed; the session is the server's own.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
