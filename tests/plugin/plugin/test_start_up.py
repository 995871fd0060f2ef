"""What the plugin costs those who do not use it, and the two traps of sharing a distribution with a library."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("mg_middleware", "pytest_meetgeek")

pytestmark = pytest.mark.usefixtures("installed_plugins")

# Other plugins cost more than this one: left out, they do not hide it.
WITHOUT_OTHERS = " ".join(
    f"-p no:{name}"
    for name in ("hypothesispytest", "xdist", "xdist.looponfail", "Faker", "anyio", "asyncio", "timeout")
)

IMPORTED = """
    import sys

    def pytest_unconfigure(config):
        ours = sorted(name for name in sys.modules if name.split(".")[0] in {"mg_middleware", "pytest_meetgeek"})
        print("\\nimported:", *ours)
"""

# CPU time, and the least of several: other programs on the machine do not count.
IMPORT = """
import time
import pytest
began = time.process_time()
import pytest_meetgeek.plugin
print(time.process_time() - began)
"""

COLLECT = """
import contextlib, io, sys, time
import pytest

def collect(*plugins):
    for name in [name for name in sys.modules if name.startswith("pytest_meetgeek")]:
        del sys.modules[name]
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        status = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *plugins])
    took = time.process_time() - began
    assert status == 0
    return took

collect()  # compiles what is not compiled yet
rounds = [(collect(), collect("-p", "no:meetgeek")) for _ in range(8)]
print(min(first for first, _ in rounds) - min(second for _, second in rounds))
"""


def environment(**more):
    """Without coverage, which would measure itself; with compiled modules, as users have them."""
    left_out = ("COV", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)} | more


def test_a_session_that_does_not_use_it_imports_two_modules(pytester):
    pytester.makeconftest(IMPORTED)
    pytester.makepyfile("def test_it(): pass")
    for arguments in ((), ("--collect-only",)):
        result = pytester.runpytest_subprocess("-pno:cacheprovider", "-pno:asyncio", *arguments)
        result.stdout.fnmatch_lines(["imported: pytest_meetgeek pytest_meetgeek.plugin"])


def measured(script, directory):
    command = [sys.executable, "-c", script]
    others = environment(PYTEST_ADDOPTS=WITHOUT_OTHERS)
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=others, cwd=directory).stdout)


def test_importing_the_plugin_takes_two_milliseconds_at_most(tmp_path):
    assert any(measured(IMPORT, tmp_path) < 0.002 for _ in range(10))


@pytest.mark.slow
def test_it_adds_three_milliseconds_at_most(tmp_path):
    tmp_path.joinpath("test_empty.py").write_text("def test_it(): pass\n")
    # A busy machine can spoil all rounds of one process, but not those of several.
    assert any(measured(COLLECT, tmp_path) < 0.003 for _ in range(5))


FASTAPI = """
from fastapi import FastAPI
from mg_middleware import AnalysisSucceeded, MeetGeekASGIMiddleware, MemoryStore
from mg_middleware.fastapi import VerifiedDelivery

app = FastAPI()


def process(meeting_id): ...


@app.post("/hook")
async def hook(delivery: VerifiedDelivery):
    if isinstance(delivery.event, AnalysisSucceeded):
        process(delivery.event.meeting_id)


app.add_middleware(MeetGeekASGIMiddleware, acknowledge=True, idempotency_store=MemoryStore())
"""


@pytest.mark.slow
def test_the_suite_takes_five_seconds_at_most(tmp_path):
    """What `check` takes of the processor and what it waits for, without the checks that start the app apart."""
    tmp_path.joinpath("shop.py").write_text(FASTAPI)
    command = [sys.executable, "-m", "mg_middleware", "check", "shop:app", "--path=/hook", "--handler=shop:process"]
    command += ["--strict", "--", "-q", "-k", "not cfg and not lost-worker"]
    others = environment(MEETGEEK_WEBHOOK_SECRET="a secret")

    def took():
        before = os.times()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=others, cwd=tmp_path)
        after = os.times()
        assert done.returncode == 0, done.stdout
        slow_work = 0.5  # that of ack.before-work
        return after.children_user - before.children_user + after.children_system - before.children_system + slow_work

    assert any(took() < 5 for _ in range(4))


def installed(target):
    """Both packages as an installer leaves them: pytest takes from the record of files what to rewrite."""
    target.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    information = target / "mg_middleware-0.1.0.dist-info"
    information.mkdir()
    information.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: mg-middleware\nVersion: 0.1.0\n")
    information.joinpath("entry_points.txt").write_text("[pytest11]\nmeetgeek = pytest_meetgeek.plugin\n")
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    information.joinpath("RECORD").write_text("".join(f"{name},,\n" for name in files))
    return environment(PYTHONPATH=str(target), PYTEST_ADDOPTS=WITHOUT_OTHERS)


RUN_AFTER_IMPORT = """
import sys
for name in sys.argv[1].split(","):
    __import__(name)
import pytest
sys.exit(pytest.main(["-q", "-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider", "--rootdir=.", "test_it.py"]))
"""


@pytest.mark.parametrize(
    "imported", ["mg_middleware", "pytest_meetgeek", "pytest_meetgeek.plugin", "mg_middleware,pytest_meetgeek"]
)
def test_a_package_that_was_imported_before_pytest_brings_no_warning(imported, tmp_path):
    site = installed(tmp_path / "site")
    tmp_path.joinpath("test_it.py").write_text("def test_it(meetgeek): assert meetgeek.failed().signature\n")
    command = [sys.executable, "-c", RUN_AFTER_IMPORT, imported]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=site, cwd=tmp_path)
    assert (result.returncode, "cannot be rewritten" in result.stdout + result.stderr) == (0, False), (
        result.stdout + result.stderr
    )


def test_without_the_word_the_trap_is_real(tmp_path):
    site = installed(tmp_path / "site")
    package = tmp_path / "site" / "mg_middleware" / "__init__.py"
    package.write_text(package.read_text().replace("PYTEST_DONT_REWRITE", ""))
    tmp_path.joinpath("test_it.py").write_text("def test_it(): pass\n")
    command = [sys.executable, "-c", RUN_AFTER_IMPORT, "mg_middleware"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=site, cwd=tmp_path)
    assert "cannot be rewritten" in result.stdout + result.stderr


def test_pytest_rewrites_nothing_in_our_modules(tmp_path):
    """It loads them through its hook all the same: harmless where there is no assert, and the word cures it."""
    import ast

    for path in (ROOT / "pytest_meetgeek").rglob("*.py"):
        asserts = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
        assert asserts == [], path
    site = installed(tmp_path / "site")
    tmp_path.joinpath("test_it.py").write_text(
        "import mg_middleware, pytest_meetgeek\n"
        "def test_it(meetgeek):\n"
        "    import pytest_meetgeek.plugin as plugin\n"
        "    for loaded in (mg_middleware, pytest_meetgeek, plugin):\n"
        "        assert not any(name.startswith('@') for name in vars(loaded)), loaded\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-pno:asyncio", "-pno:cacheprovider", "--rootdir=.", "test_it.py"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=site, cwd=tmp_path)
    assert result.returncode == 0, result.stdout


def test_nothing_is_left_open(tmp_path):
    """Under -X dev -W error a loop that is not closed, or a coroutine that is not awaited, is an error."""
    command = [
        *(sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", "-q", "-W", "error", "-p", "no:asyncio"),
        *("-p", "no:cacheprovider", "--meetgeek-app=plugin_shop:app", "--rootdir=.", "-k", "not large and not garbage"),
    ]
    began = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert (result.stderr, time.monotonic() - began < 60) == ("", True)
