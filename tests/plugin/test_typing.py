"""The public names carry their types: a user's strict test file is clean."""

import re
import shutil
import subprocess
import sys
from inspect import isclass
from pathlib import Path

import pytest

import pytest_meetgeek
from pytest_meetgeek import strategies

CONSUMER = Path(__file__).with_name("consumer_types.py")


@pytest.mark.types
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_user_s_file_is_clean(checker, tmp_path):
    shutil.copy(CONSUMER, tmp_path / "test_consumer.py")
    tmp_path.joinpath("pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    options = {"mypy": ["--strict"], "pyright": [f"--pythonpath={sys.executable}"]}
    command = [sys.executable, "-m", checker, *options[checker], "test_consumer.py"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


PUBLIC = {name: getattr(pytest_meetgeek, name) for name in pytest_meetgeek.__all__}


def members():
    """Each public name, and each public member of a public class."""
    yield from (*PUBLIC, *strategies.__all__)
    for made in PUBLIC.values():
        if isclass(made):
            names = {*vars(made), *vars(made).get("__annotations__", {})}
            yield from (name for name in names if not name.startswith("_"))


@pytest.mark.parametrize("name", sorted(set(members())))
def test_that_file_uses_every_public_name(name):
    assert re.search(rf"\b{name}\b", CONSUMER.read_text(encoding="utf-8"))
