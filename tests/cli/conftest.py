"""Runs the command line in this process, or as users do: as a process of its own, with real sockets and signals."""

import logging
import os
import signal
import ssl
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from mg_middleware import MeetGeekWSGIMiddleware, delivery_of
from mg_middleware.cli import main

sys.path.insert(0, str(Path(__file__).parent))

from command_line_harness import BODY, COMMAND, MODULES, PATIENCE, SECRET, Server, serving

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
def body(folder):
    """A file with a body that is known with its signature."""
    (folder / "body.json").write_bytes(BODY)
    return "body.json"


@pytest.fixture
def environment(folder):
    """A user's, who has none of the plugins that these tests use."""
    return {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_meetgeek.plugin"}


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
    def start(*words, stdout=subprocess.PIPE):
        # A session of its own, so that Ctrl-C reaches all its processes and none of the tests'.
        with subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", *map(str, words)],
            stdout=stdout,
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
def application():
    """A guarded application: what it processed, and the statuses that it responds with first."""
    processed, statuses = [], []

    def application(environ, start_response):
        status = statuses.pop(0) if statuses else "200 OK"
        processed.append(delivery_of(environ).body)
        start_response(status, [("Content-Length", "0")])
        return []

    guarded = MeetGeekWSGIMiddleware(application, SECRET)
    return SimpleNamespace(guarded=guarded, processed=processed, statuses=statuses)


@pytest.fixture
def receiver(application):
    """The application at a URL."""
    with serving(application.guarded) as application.url:
        yield application


@pytest.fixture
def secure_receiver(application, folder, monkeypatch):
    """The application at an https URL. Its certificate is trusted with the file certificate.pem alone."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "certificate.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(application.guarded, ssl_context=context) as application.url:
        yield application
