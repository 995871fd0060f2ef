import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line_harness import COMMAND, PATIENCE

COMMANDS = ("demo", "serve", "send", "sign", "verify", "check", "bench")


@pytest.mark.parametrize("words", [(), ("--help",)], ids=["alone", "help"])
def test_it_tells_its_commands(command, words):
    ended = command(*words)
    assert ended.status == 0
    assert all(f"\n  {name} " in ended.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(command, name):
    ended = command(name, "--help")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: mg-middleware {name}")


@pytest.mark.parametrize(
    ("words", "where", "names"),
    [
        (["sgin"], "mg-middleware", "sgin"),
        (["--verbose"], "mg-middleware", "--verbose"),
        (["sign"], "mg-middleware sign", "FILE"),
        (["verify", "shop.py"], "mg-middleware verify", "SIGNATURE"),
        (["sign", "--secret=abc", "shop.py"], "mg-middleware sign", "--secret"),
        (["send"], "mg-middleware send", "URL"),
        (["send", "http://127.0.0.1/", "--event", "maybe"], "mg-middleware send", "maybe"),
        (["send", "http://127.0.0.1/", "--team", "0"], "mg-middleware send", "--team"),
        (["send", "http://127.0.0.1/", "--repeat", "many"], "mg-middleware send", "--repeat"),
        (["serve", "--port", "65536"], "mg-middleware serve", "65536"),
        (["serve", "--workers", "0"], "mg-middleware serve", "--workers"),
        (["check"], "mg-middleware check", "MODULE:APP|URL"),
        (["check", "shop:app", "--interface", "cgi"], "mg-middleware check", "cgi"),
        (["demo", "fast"], "mg-middleware demo", "fast"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(command, words, where, names):
    ended = command(*words)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"{where}: ")
    assert ended.err.count("\n") == 1
    assert names in ended.err


def test_the_console_script_is_the_same(process):
    ended = process("--version", executable=[Path(sys.executable).with_name("mg-middleware")])
    assert ended.status == 0
    assert ended.out == f"mg-middleware, version {version('mg-middleware')}\n"


@pytest.mark.parametrize("name", ["a2wsgi", "click", "rich", "uvicorn"])
def test_without_the_extra_it_says_how_to_install_it(process, name):
    program = f"import sys; sys.modules[{name!r}] = None; from mg_middleware.__main__ import main; sys.exit(main())"
    ended = process(executable=[sys.executable, "-c", program])
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "mg-middleware: the command line needs an extra: pip install 'mg-middleware[cli]'\n"


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("import mg_middleware", "click"),
        ("import mg_middleware", "mg_middleware.cli"),
        ("from mg_middleware.cli import main; main(['sign', 'shop.py'])", "uvicorn"),
        ("from mg_middleware.cli import main; main(['sign', 'shop.py'])", "pytest_meetgeek"),
        ("from mg_middleware.cli import main; main(['demo', '--help'])", "pytest"),
    ],
)
def test_nothing_is_imported_unasked(process, program, absent):
    ended = process(executable=[sys.executable, "-c", f"{program}; import sys; sys.exit({absent!r} in sys.modules)"])
    assert ended.status == 0, ended.err


@pytest.mark.parametrize(
    ("signal_number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_ends_a_command_without_a_traceback(folder, signal_number, status):
    with subprocess.Popen(
        [*COMMAND, "sign", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as waiting:
        # More than a pipe holds: when it is written it is being read, so the handlers stand.
        waiting.stdin.write(b"x" * 200_000)
        waiting.stdin.flush()
        time.sleep(0.5)  # until it waits for more: Python looks for no signal between two reads
        waiting.send_signal(signal_number)
        assert waiting.wait(PATIENCE) == status
        assert waiting.stderr.read().strip() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to the full disk of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", [["sign", "shop.py"], ["verify", "shop.py", "0"], ["demo"], ["--help"]], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line(folder, words, unbuffered):
    # 1 would be an answer in the negative.
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*COMMAND, *words],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (2, b"mg-middleware: [Errno 28] No space left on device\n")


def test_a_reader_that_leaves_causes_no_traceback(process):
    ended = process(executable=["sh", "-c", '"$0" -m mg_middleware demo | head -n 1', sys.executable])
    assert ended.out.startswith("A guarded receiver at http://127.0.0.1:")
    assert ended.err == ""
