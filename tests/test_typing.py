"""The public API under strict type checkers, as users call it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.types

API = Path(__file__).parent / "typing" / "api.py"


def found_by(checker, *options):
    checked = subprocess.run(
        [sys.executable, "-m", checker, *options, API], cwd=API.parents[2], capture_output=True, text=True, check=False
    )
    return checked.returncode, checked.stdout.strip().splitlines()[:-1]


def test_mypy_finds_no_fault():
    assert found_by("mypy", "--strict") == (0, [])


def test_pyright_finds_no_fault():
    assert found_by("pyright", "--pythonpath", sys.executable) == (0, [])
