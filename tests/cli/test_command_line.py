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
    assert "...\n" not in ended.out.partition("Commands:")[2]  # no summary is cut off


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(command, name, option):
    ended = command(name, option)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: mg-middleware {name}")


@pytest.mark.parametrize(
    ("words", "where", "names"),
    [
        (["sgin"], "mg-middleware", "no such command 'sgin': did you mean 'sign'?"),
        (["sned"], "mg-middleware", "no such command 'sned': did you mean 'send'?"),
        (["zz"], "mg-middleware", "the commands are demo, serve, send, sign, verify, check, bench"),
        (["--verbose"], "mg-middleware", "--verbose"),
        (["sign"], "mg-middleware sign", "FILE"),
        (["verify", "shop.py"], "mg-middleware verify", "SIGNATURE"),
        (["sign", "--secret=abc", "shop.py"], "mg-middleware sign", "--secret"),
        (["send"], "mg-middleware send", "URL"),
        (["send", "http://127.0.0.1/", "--team", "0"], "mg-middleware send", "--team"),
        (["send", "http://127.0.0.1/", "--repeat", "many"], "mg-middleware send", "--repeat"),
        (["send", "http://127.0.0.1/", "--repeat", "1.5"], "mg-middleware send", "'1.5' is not a valid whole number."),
        (["bench", "shop:app", "--seconds", "ten"], "mg-middleware bench", "'ten' is not a valid number."),
        (["serve", "--port", "65536"], "mg-middleware serve", "--port"),
        (["serve", "--workers", "0"], "mg-middleware serve", "--workers"),
        (["check"], "mg-middleware check", "MODULE:APP|URL"),
        (["check", "shop:app", "--interface", "cgi"], "mg-middleware check", "--interface"),
        (["bench", "shop:app", "--seconds", "nan"], "mg-middleware bench", "--seconds"),
        (["bench", "shop:app", "--seconds", "inf"], "mg-middleware bench", "--seconds"),
        (["send", "http://127.0.0.1/", "--event", "maybe"], "mg-middleware send", "--event"),
        (["demo", "fast"], "mg-middleware demo", "fast"),
        (["check", "shop:app", "-k", "sig"], "mg-middleware check", "(arguments for pytest come after '--')"),
        (["check", "shop:app", "--handle", "shop:f"], "mg-middleware check", "'--handler'"),
        (["serve", "shop"], "mg-middleware serve", "not of the form module:attribute, such as 'shop:app'"),
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


@pytest.mark.parametrize("name", ["a2wsgi", "click", "rich", "starlette", "uvicorn"])
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
    # 1 would be a negative result.
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to the full disk of Linux")
def test_an_error_that_cannot_be_printed_keeps_its_status(folder):
    with Path("/dev/full").open("wb") as full:
        assert subprocess.call([*COMMAND, "sign", "no-such-file"], stderr=full, timeout=PATIENCE) == 2


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "words",
    [
        *(
            [],
            ["--help"],
            ["--version"],
            ["serve", "--help"],
            ["sign", "shop.py"],
            ["verify", "shop.py", "0"],
            ["demo"],
        ),
        *(
            ["send", "URL"],
            ["check", "shop:unguarded", "--", "-k", "sig.missing"],
            ["bench", "shop:app", "--seconds=0.01"],
        ),
    ],
    ids=" ".join,
)
def test_a_reader_that_left_ends_it_with_141(environment, receiver, words, unbuffered):
    # 1 would be a negative result.
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [*COMMAND, *(receiver.url if word == "URL" else word for word in words)],
        env={**environment, "PYTHONUNBUFFERED": unbuffered},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.close(writer)
    assert ended.returncode == 141
    assert [line for line in ended.stderr.splitlines() if "runs thousands of times" not in line] == []


def test_a_reader_that_leaves_in_the_middle_causes_no_traceback(process):
    ended = process(executable=["sh", "-c", '"$0" -m mg_middleware demo | head -n 1', sys.executable])
    assert ended.out.startswith("A guarded receiver at http://127.0.0.1:")
    assert ended.err == ""


def test_without_any_standard_streams_the_status_is_right(folder):
    for words, status in ((["verify", "shop.py", "0"], 1), (["--version"], 0), (["nope"], 2), (["demo"], 0)):
        program = ["sh", "-c", 'exec "$0" -m mg_middleware "$@" >&- 2>&-', sys.executable, *words]
        assert subprocess.call(program, timeout=PATIENCE) == status


@pytest.mark.parametrize("words", [["bench", "shop:unguarded", "--seconds=0.01"], ["send", "URL"]], ids=" ".join)
def test_a_terminal_that_lacks_a_character_shows_it_escaped(process, receiver, words):
    words = [receiver.url if word == "URL" else word for word in words]
    ended = process(*words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ended.status == 0
    assert "\\xb5s" in ended.out or "\\u2026" in ended.out
    assert "Traceback" not in ended.err


def test_a_fault_of_the_command_itself_is_not_a_negative_result(command, monkeypatch):
    def fail(_):
        raise ZeroDivisionError

    monkeypatch.setattr("mg_middleware.cli.sign.read_content", fail)
    ended = command("sign", "shop.py")
    assert (ended.status, ended.out) == (2, "")
    assert "ZeroDivisionError" in ended.err


COMPLETION = "_MG_MIDDLEWARE_COMPLETE"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_prints_the_completion_for_a_shell(process, shell, monkeypatch):
    monkeypatch.setenv(COMPLETION, f"{shell}_source")
    # Of bash, click asks for the version.
    ended = process(executable=[Path(sys.executable).with_name("mg-middleware")])
    assert (ended.status, ended.err) == (0, "")
    assert COMPLETION in ended.out


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("mg-middleware s", {"serve", "send", "sign"}),
        ("mg-middleware send http://127.0.0.1:8000 --forge of-", {"of-empty-body", "of-other-body"}),
        ("mg-middleware send --event ", {"success", "failed"}),
        ("mg-middleware bench --int", {"--interface"}),
        ("mg-middleware no-such-command ", set(COMMANDS)),
        ("mg-middleware sign body", {"body"}),  # as a file, whose name the shell completes
    ],
)
def test_it_completes_commands_options_and_values(process, monkeypatch, words, completions):
    monkeypatch.setenv(COMPLETION, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    ended = process(executable=[Path(sys.executable).with_name("mg-middleware")])
    assert (ended.status, ended.err) == (0, "")
    assert {line.partition(",")[2] for line in ended.out.splitlines()} == completions
