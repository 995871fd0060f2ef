"""The public API under strict type checkers, as users call it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

API = Path(__file__).parent / "typing" / "api.py"


def needs(checker):
    return pytest.mark.skipif(find_spec(checker) is None, reason=f"{checker} comes with the dependency group lint")


def found_by(checker, *options):
    checked = subprocess.run(
        [sys.executable, "-m", checker, *options, API], cwd=API.parents[2], capture_output=True, text=True, check=False
    )
    return checked.returncode, checked.stdout.strip().splitlines()[:-1]


@needs("mypy")
def test_mypy_finds_no_fault():
    assert found_by("mypy", "--strict") == (0, [])


@needs("pyright")
def test_pyright_finds_no_fault():
    assert found_by("pyright", "--pythonpath", sys.executable) == (0, [])
