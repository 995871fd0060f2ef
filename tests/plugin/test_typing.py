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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_user_s_file_is_clean(checker, tmp_path):
    shutil.copy(CONSUMER, tmp_path / "test_consumer.py")
    tmp_path.joinpath("pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    commands = {
        "mypy": ["mypy", "--strict", f"--python-executable={sys.executable}", "test_consumer.py"],
        "pyright": ["pyright", f"--pythonpath={sys.executable}", "test_consumer.py"],
    }
    if shutil.which(checker) is None and not Path(sys.executable).with_name(checker).exists():
        pytest.skip(f"{checker} is not installed (dependency group: lint)")
    command = [str(Path(sys.executable).with_name(checker)), *commands[checker][1:]]
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
