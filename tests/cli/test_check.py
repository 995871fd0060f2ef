import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line_harness import COMMAND, PATIENCE, SECRET

from mg_middleware.cli.check import _tracebacks_together


def guarded(folder):
    (folder / "guarded.py").write_text(
        "from mg_middleware import MeetGeekASGIMiddleware\n"
        "from shop import unguarded\n"
        'app = MeetGeekASGIMiddleware(unguarded, paths="/hook")\n'
        "def process(): ...\n"
    )
    return "guarded:app"


def test_a_guarded_application_passes(process, folder, environment):
    ended = process(
        "check", guarded(folder), "--path", "/hook", "--", "-k", "sig.missing or ack.status", env=environment
    )
    assert ended.status == 0, ended.out
    assert "MeetGeek conformance" in ended.out
    assert SECRET not in ended.out + ended.err


def test_a_receiver_that_lets_all_through_does_not(process, environment, folder):
    ended = process("check", "shop:unguarded", "--report", "report.json", "--", "-k", "rej.status", env=environment)
    assert ended.status == 1
    (found,) = json.loads((folder / "report.json").read_text())
    assert (found["id"], found["outcome"]) == ("rej.status", "failed")


@pytest.mark.parametrize("words", [[], ["--", "-k", "raw"]])
def test_a_receiver_with_another_secret_cannot_be_checked(process, environment, folder, words):
    (folder / "other.py").write_text(
        "from mg_middleware import MeetGeekASGIMiddleware\n"
        "from shop import unguarded\n"
        'app = MeetGeekASGIMiddleware(unguarded, "another secret")\n'
    )
    ended = process("check", "other:app", *words, env=environment)
    assert ended.status == 2
    assert "  could not run: nothing was accepted" in ended.out


def test_a_receiver_at_a_url_passes(process, receiver, environment):
    ended = process("check", receiver.url, "--", "-k", "sig.missing or sig.zeros or ack.status", env=environment)
    assert ended.status == 0, ended.out
    assert (
        "  2 refusals judged by their status alone: give --meetgeek-count=COMMAND to prove that nothing was processed\n"
    ) in ended.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing_here:app"], "No module named 'nothing_here'"),
        (["broken:app"], "a_module_that_is_not_there"),
        (["talkative:app"], "RuntimeError: one line and another, at talkative.py:1"),
        (["shop:number"], "not an ASGI app, a WSGI app or a URL: int"),
        (
            ["shop:create_app"],
            "say it with --interface=asgi or wsgi (interface=...); if it is a factory, write module:factory()",
        ),
        (["shop:unguarded", "--report", "shop.py/report.json"], "'shop.py/report.json' cannot be written"),
    ],
    ids=["nothing there", "broken", "talkative", "no app", "factory", "report"],
)
def test_what_cannot_be_checked_is_one_line(process, environment, words, says):
    ended = process("check", *words, env=environment)
    assert (ended.status, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:1/", "cannot reach http://127.0.0.1:1/: Connection refused"),
        ("http://example.com/", "give --allow-host example.com"),
        ("127.0.0.1:8000", "'127.0.0.1:8000' is not a URL: write http://127.0.0.1:8000"),
        ("localhost:8000/hook", "write http://localhost:8000/hook"),
        ("gopher://127.0.0.1/", "is not an http or https URL"),
    ],
)
def test_a_url_that_cannot_be_checked_is_one_line(command, url, says):
    ended = command("check", url)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert says in ended.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--path", "/hook"], "--path is for an application: at a URL, the path is part of the URL"),
        (["--handler", "shop:process"], "--handler can't count what another process does: at a URL, give --count"),
    ],
)
def test_what_has_no_effect_at_a_url_is_refused(command, receiver, options, says):
    ended = command("check", receiver.url, *options)
    assert (ended.status, ended.out, ended.err) == (2, "", f"mg-middleware check: {says}\n")


def test_the_options_may_be_written_as_the_suite_writes_them(process, folder, environment):
    words = ["--meetgeek-path=/hook", "--meetgeek-strict", "--", "-k", "ack.status"]
    ended = process("check", guarded(folder), *words, env=environment)
    assert ended.status == 0, ended.out + ended.err
    assert "tested: guarded:app, path /hook\n" in ended.out


def test_without_pytest_it_says_how_to_install_it(command, monkeypatch):
    monkeypatch.setattr("mg_middleware.cli.check.find_spec", lambda _: None)
    ended = command("check", "shop:app")
    assert ended.status == 2
    assert ended.err == "mg-middleware check: check needs an extra: pip install 'mg-middleware[pytest]'\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "is not trusted: unable to get local issuer certificate; if you trust it, give it as --cacert FILE"),
        (["--cacert", "shop.py"], "--cacert: 'shop.py' is not a file of PEM certificates"),
    ],
    ids=["untrusted", "not PEM"],
)
def test_an_untrusted_certificate_is_one_line(command, secure_receiver, options, says):
    ended = command("check", secure_receiver.url, *options)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert says in ended.err


def test_a_trusted_receiver_at_a_url_passes(process, secure_receiver, environment):
    words = ["check", secure_receiver.url, "--cacert", "certificate.pem", "--", "-k", "sig.missing or ack.status"]
    ended = process(*words, env=environment)
    assert (ended.status, ended.err) == (0, ""), ended.out


def test_the_suite_names_the_options_as_check_does(process, environment):
    ended = process("check", "shop:unguarded", "--report", "shop.py/report.json", env=environment)
    assert ended.err.startswith("mg-middleware check: --report: 'shop.py/report.json' cannot be written")


@pytest.fixture
def suite(folder, monkeypatch):
    """In place of Python with the suite, a program that notes what it is given, and ends in the way it is told."""
    (folder / "suite").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\nenv > environment\neval "$END"\n')
    (folder / "suite").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(folder / "suite"))

    def end_with(end):
        monkeypatch.setenv("END", end)

    return end_with


@pytest.mark.parametrize(
    ("end", "status"),
    [
        *(("exit 0", 0), ("exit 1", 1), ("exit 2", 2), ("exit 3", 2), ("exit 4", 2), ("exit 5", 2)),
        ("kill -TERM $$", 2),
    ],
    ids=["passed", "failed", "interrupted", "internal error", "usage", "no checks", "killed"],
)
def test_the_exit_status_follows_from_that_of_pytest(command, suite, end, status):
    suite(end)
    assert command("check", "shop:app").status == status


def test_all_options_are_handed_on(command, suite, folder):
    suite("exit 0")
    (folder / "secret").write_text("another")
    options = ["--path", "/hook", "--handler", "shop:app", "--strict", "--interface", "asgi", "--report", "report.json"]
    hosts = ["--allow-host", "one.example", "--allow-host", "two.example"]
    options += ["--host", "shop.example", "--timeout", "2", "--seed", "7"]
    options += ["--count", "wc -l done", "--break", "touch broken", "--heal", "rm broken"]
    command("check", "shop:app", *options, *hosts, "--secret-file", "secret", "--", "-x", "-k", "sig")
    assert (folder / "words").read_text().splitlines() == [
        *("-m", "pytest", "-o", "addopts="),
        "--meetgeek-app=shop:app",
        "--meetgeek-secret-env=MEETGEEK_WEBHOOK_SECRET",
        "--meetgeek-path=/hook",
        "--meetgeek-host=shop.example",
        "--meetgeek-handler=shop:app",
        "--meetgeek-interface=asgi",
        "--meetgeek-timeout=2.0",
        "--meetgeek-count=wc -l done",
        "--meetgeek-break=touch broken",
        "--meetgeek-heal=rm broken",
        "--meetgeek-seed=7",
        "--meetgeek-report=report.json",
        "--meetgeek-allow-host=one.example",
        "--meetgeek-allow-host=two.example",
        "--meetgeek-strict",
        *("-x", "-k", "sig"),
    ]
    assert "MEETGEEK_WEBHOOK_SECRET=another" in (folder / "environment").read_text().splitlines()


def test_the_variable_of_the_secret_is_handed_on_by_its_name(command, suite, folder, monkeypatch):
    suite("exit 0")
    monkeypatch.setenv("SHOP_SECRET", "another\n")
    command("check", "shop:app", "--secret-env", "SHOP_SECRET")
    assert "--meetgeek-secret-env=SHOP_SECRET" in (folder / "words").read_text().splitlines()
    found = (folder / "environment").read_text().splitlines()
    assert "SHOP_SECRET=another" in found
    assert f"MEETGEEK_WEBHOOK_SECRET={SECRET}" in found


def test_sigterm_ends_it_and_the_suite(folder, environment):
    (folder / "shop.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    words = [*COMMAND, "check", "shop:app", "--", "-s"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as running:
        while not running.stdout.readline().strip().isdigit():
            pass
        running.send_signal(signal.SIGTERM)
        running.stdout.read()  # to its end: the suite has ended as well
        assert running.wait(PATIENCE) == 143


def test_the_user_s_addopts_are_not_used(process, environment, folder):
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\nmeetgeek_path = /elsewhere\n")
    environment = {**environment, "PYTEST_ADDOPTS": "--no-such-option-either"}
    ended = process("check", guarded(folder), "--path", "/hook", "--", "-k", "ack.status", env=environment)
    assert ended.status == 0, ended.out + ended.err


FIXTURE = "import pytest\n@pytest.fixture(scope='session')\ndef meetgeek_path(): return '/hook'\n"


@pytest.mark.parametrize("testpaths", ["", "testpaths = tests"], ids=["no testpaths", "testpaths"])
@pytest.mark.parametrize("conftest", [None, FIXTURE], ids=["no conftest", "a conftest"])
def test_only_the_conftest_of_this_directory_is_loaded(process, environment, folder, testpaths, conftest):
    (folder / "pytest.ini").write_text(f"[pytest]\n{testpaths}\n")
    (folder / "tests").mkdir()
    (folder / "tests" / "conftest.py").write_text("import a_module_that_is_not_installed\n")
    path = ["--path", "/hook"]
    if conftest is not None:
        (folder / "conftest.py").write_text(conftest)
        path = []
    ended = process("check", guarded(folder), *path, "--", "-k", "ack.status", env=environment)
    assert ended.status == 0, ended.out + ended.err


def test_the_target_wins_over_fixtures(process, environment, folder):
    (folder / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef meetgeek_app(): raise RuntimeError('not what was named')\n"
    )
    ended = process("check", guarded(folder), "--path", "/hook", "--", "-k", "ack.status", env=environment)
    assert ended.status == 0, ended.out
    assert "tested: guarded:app, path /hook" in ended.out


def test_ctrl_c_ends_it_and_the_suite(folder, environment):
    (folder / "shop.py").write_text("import time\nprint('waiting', flush=True)\ntime.sleep(60)\n")
    words = [*COMMAND, "check", "shop:app", "--", "-s"]
    # A session of its own, so that the signal reaches both processes, as it does in a terminal, and no other.
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, start_new_session=True) as running:
        while b"waiting" not in running.stdout.readline():
            pass
        os.killpg(running.pid, signal.SIGINT)
        running.stdout.read()  # to its end: the suite is gone as well
        assert running.wait(PATIENCE) == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to the full disk of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_results_that_cannot_be_printed_are_one_line(environment, folder, unbuffered):
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*COMMAND, "check", guarded(folder), "--path", "/hook", "--", "-k", "ack.status"],
            env={**environment, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (2, b"mg-middleware: [Errno 28] No space left on device\n")


def test_an_app_s_own_traceback_is_passed_on(process, environment, folder):
    (folder / "shop.py").write_text(
        "import sys, traceback\ntry: {}['key']\nexcept KeyError: traceback.print_exc()\n"
        "print('then', file=sys.stderr)\n"
    )
    ended = process("check", "shop:app", "--", "-s", env=environment)
    assert "Traceback (most recent call last):\n  File" in ended.err
    assert "KeyError: 'key'\nthen\n" in ended.err


def test_a_traceback_that_breaks_off_is_passed_on():
    lines = ["Traceback (most recent call last):\n", "  File 'shop.py'\n"]
    assert list(_tracebacks_together(["then\n", *lines])) == [["then\n"], lines]
