"""Starts each server once, one after the other, and shows its log with every failure."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest
from servers.expectations import delivery, expected
from servers.programs import PROGRAMS, running

SERVER_LOG = pytest.StashKey()


def pytest_addoption(parser):
    parser.addoption(
        "--all-servers", action="store_true", help="drive every server that is installed, not only the quick ones"
    )
    parser.addoption("--seen", metavar="PATH", help="append what each server did, as lines of JSON, to this file")


def _skip(reason):
    """Skip, but not in CI, where the quick servers have to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_ignore_collect(collection_path, config):
    """Leave HTTP/2 out of the quick part, in which no server speaks it."""
    if collection_path.name == "test_http2.py" and not config.getoption("--all-servers", default=False):
        return True
    return None


def pytest_generate_tests(metafunc):
    if "server" in metafunc.fixturenames:
        every = metafunc.config.getoption("--all-servers", default=False)
        driven = getattr(metafunc.module, "DRIVEN", PROGRAMS)
        programs = [program for program in driven if every or program.quick]
        metafunc.parametrize("server", programs, ids=lambda program: program.name, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(request):
    program = request.param
    if missing := program.missing():
        _skip(missing) if program.quick else pytest.skip(missing)
    # Not in pytest's own folder, which other users may not enter: mod_wsgi changes to one.
    folder = Path(tempfile.mkdtemp(prefix=f"{program.name}-"))
    try:
        with running(program, folder) as started:
            yield started
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def body(request, server):
    """The body of one delivery, which no other test sends."""
    return delivery(f"{server.program.name}-{request.node.name}")


@pytest.fixture
def judge(request):
    """Compare what was seen with the table; `--seen` keeps it, to write the table anew for other versions."""
    path = request.config.getoption("--seen", default=None)

    def judge(program, name, seen):
        if path is not None:
            with Path(path).open("a") as file:
                file.write(f"{json.dumps([program.name, name, seen])}\n")
        allowed = expected(program.name, name)
        if seen == "closed" and "400 server" in allowed and _garbles_its_refusals(program):
            pytest.skip(f"gunicorn {version('gunicorn')} ends the header of its own 400 with LF on this Python")
        assert seen in allowed

    return judge


def _garbles_its_refusals(program):
    """Whether gunicorn's `textwrap.dedent` takes a line of CR for an empty one, as it does from Python 3.14 on."""
    return program.module == "gunicorn" and textwrap.dedent("\r\n") != "\r\n"


@pytest.fixture(autouse=True)
def _fresh(request):
    """Let each test see only what was written during it, and find the server still alive."""
    if "server" not in request.fixturenames:
        yield
        return
    server = request.getfixturevalue("server")
    server.journal.forget()
    request.node.stash[SERVER_LOG] = (server.log, server.log.stat().st_size)
    yield
    assert server.process.poll() is None, "the server has ended"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and (logged := item.stash.get(SERVER_LOG, None)):
        path, start = logged
        if path.exists():
            with path.open("rb") as file:
                file.seek(start)
                report.sections.append(("server log", file.read()[-8000:].decode(errors="replace")))
    return report
