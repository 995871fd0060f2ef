"""Who checks the checks: broken copies of the suite fail its own tests, which pass on a copy that is whole."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# The tests that run here need the plugins that the project's settings name.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("installed_plugins")]

TESTS = Path(__file__).parent
PACKAGE = TESTS.parents[1] / "pytest_meetgeek"

# What is broken: the module, its text and what is written instead; and the tests that must fail.
BROKEN = {
    "a check that never fails": (
        "checks/catalogue.py",
        "        base = context.meetgeek.analyzed()\n",
        "        return\n",
        ("checks/test_mutation_matrix.py", "skips-the-check-asgi"),
    ),
    "a check that takes any status": (
        "checks/catalogue.py",
        "    if response.status != ACKNOWLEDGED:\n",
        "    if response.status >= 600:\n",
        ("checks/test_mutation_matrix.py", "answers-201-asgi"),
    ),
    "a failure that passes": (
        "checks/check.py",
        'result.outcome = "failed" if',
        'result.outcome = "passed" if',
        ("checks/test_mutation_matrix.py", "answers-ok-wsgi"),
    ),
    "a graph without an edge": (
        "checks/catalogue.py",
        'presupposes=("rej.status", *_PRESUPPOSED.get(_forgery.id, ())),',
        "presupposes=_PRESUPPOSED.get(_forgery.id, ()),",
        ("checks/test_mutation_matrix.py", "no-verification-asgi"),
    ),
    "a graph with an edge too many": (
        "checks/catalogue.py",
        '    presupposes=("rep.retry",),\n',
        '    presupposes=("rep.retry", "raw.large"),\n',
        ("test_documentation.py", "rep.team"),
    ),
    "a graph that blocks nothing": (
        "checks/check.py",
        "        if earlier.blocks is not None:\n",
        "        if earlier.blocks == 5:\n",
        ("checks/test_presuppositions.py", "whose_presupposition_fails"),
    ),
    "a lock-out that is a skip": (
        "checks/context.py",
        "        if self.memory.accepted:\n            raise",
        "        if self.memory.accepted == 5:\n            raise",
        ("checks/test_mutation_matrix.py", "lock_out_is_no_skip"),
    ),
    "a lost event that nobody misses": (
        "checks/catalogue.py",
        "    if not story.runs[-1]:\n",
        "    if story.runs[-1] < 0:\n",
        ("checks/test_lost_worker.py", "counts_as_done"),
    ),
    "a fixture that wins over a target": (
        "plugin/conformance.py",
        "if self.config.getoption(option) for name in names]",
        "if option not in _NAMED for name in names]",
        ("plugin/test_settings.py", "names_is_tested and more0"),
    ),
    "a run without a common secret that is red": (
        "plugin/__init__.py",
        "            session.exitstatus = pytest.ExitCode.USAGE_ERROR\n",
        "            return\n",
        ("plugin/test_output.py", "neither_green_nor_red and arguments0"),
    ),
}


@pytest.fixture
def run(tmp_path):
    """Run tests of ours on a copy of the package, which is changed before."""

    def run(module, right, wrong, *tests):
        copy = tmp_path / "copy" / "pytest_meetgeek"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / module).read_text(encoding="utf-8")
        assert text.count(right) == 1
        (copy / module).write_text(text.replace(right, wrong), encoding="utf-8")
        # Without coverage: the copy is gone when it is reported.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment |= {"PYTHONPATH": str(copy.parent), "PYTHONSAFEPATH": "1"}
        files, names = zip(*tests, strict=True)
        expression = " or ".join(f"({name})" for name in names)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", expression]
        command += [f"--basetemp={tmp_path / 'runs'}", *dict.fromkeys(TESTS / file for file in files)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=TESTS.parents[1], env=environment
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_copy_fails(name, run):
    module, right, wrong, tests = BROKEN[name]
    status, output = run(module, right, wrong, tests)
    assert status == pytest.ExitCode.TESTS_FAILED, output


def test_a_whole_copy_passes(run):
    docstring = '"""One check: what it is, and how it is run."""'
    status, output = run("checks/check.py", docstring, docstring, *(tests for *_, tests in BROKEN.values()))
    assert status == pytest.ExitCode.OK, output
