"""The public names carry their types: a user's strict test file is clean."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONSUMER = Path(__file__).with_name("consumer_types.py")


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
