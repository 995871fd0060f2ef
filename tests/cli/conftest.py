"""Runs the command line in this process, or as users do: as a process of its own, with real sockets and signals."""

import logging
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from werkzeug.serving import make_server

from mg_middleware import MeetGeekWSGIMiddleware, delivery_of
from mg_middleware.cli import main

sys.path.insert(0, str(Path(__file__).parent))

from command_line_harness import COMMAND, MODULES, PATIENCE, SECRET, Server

CONFIGURED_LOGGERS = ("mg_middleware", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the user's modules, and the secret in the environment."""
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEETGEEK_WEBHOOK_SECRET", SECRET)
    monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET_FILE", raising=False)
    return tmp_path


@pytest.fixture
def command(folder, monkeypatch, capfd):
    """Run a command in this process, for the cases that are many and small."""
    handlers = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "path", sys.path.copy())
    # `serve` and uvicorn configure these, even where they then do not start.
    loggers = {logging.getLogger(name) for name in CONFIGURED_LOGGERS}
    configured = {logger: (logger.handlers.copy(), logger.level, logger.propagate) for logger in loggers}

    def run(*words):
        status = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    yield run
    for stop, handler in handlers.items():
        signal.signal(stop, handler)
    for logger, (its_handlers, level, propagate) in configured.items():
        logger.handlers[:] = its_handlers
        logger.setLevel(level)
        logger.propagate = propagate
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def process(folder):
    """Run a command as a process of its own, to its end."""

    def run(*words, executable=COMMAND, **options):
        ended = subprocess.run(
            [*executable, *map(str, words)], capture_output=True, timeout=PATIENCE, check=False, **options
        )
        return SimpleNamespace(status=ended.returncode, out=ended.stdout.decode(), err=ended.stderr.decode())

    return run


@pytest.fixture
def serve(folder):
    """Start `serve` on a free port."""

    @contextmanager
    def start(*words):
        # A session of its own, so that Ctrl-C reaches all its processes and none of the tests'.
        with subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as running:
            server = Server(running)
            try:
                yield server
            finally:
                if running.poll() is None:
                    server.stop()
                server.end()

    return start


@pytest.fixture
def receiver():
    """A guarded receiver at a URL, which tells what it processed and answers with the statuses it is given first."""
    processed, statuses = [], []

    def application(environ, start_response):
        status = statuses.pop(0) if statuses else "200 OK"
        processed.append(delivery_of(environ).body)
        start_response(status, [("Content-Length", "0")])
        return []

    server = make_server("127.0.0.1", 0, MeetGeekWSGIMiddleware(application, SECRET), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield SimpleNamespace(
        url=f"http://127.0.0.1:{server.port}/webhooks/meetgeek", processed=processed, statuses=statuses
    )
    server.shutdown()
    thread.join()
    server.server_close()
