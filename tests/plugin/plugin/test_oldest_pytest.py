"""The plugin under the oldest pytest that it supports, in an environment of their own: `pytest -m installs`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_meetgeek import CHECKS

pytestmark = [pytest.mark.installs, pytest.mark.timeout(600), pytest.mark.usefixtures("installed_plugins")]

ROOT = Path(__file__).parents[3]
APP = "--meetgeek-app=plugin_shop:app"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with the oldest pytest and this package."""
    folder = tmp_path_factory.mktemp("environment")
    packages = (f"{os.environ.get('MG_MIDDLEWARE_WHEEL', ROOT)}[pytest]", "pytest==7.4.*", "hypothesis")
    pip = (sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", *packages)
    for command in ((sys.executable, "-m", "venv", "--without-pip", folder), pip):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "bin" / "python"


@pytest.fixture
def run(python, tmp_path):
    left_out = ("COV", "PYTEST_", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    environment["PYTHONPATH"] = str(ROOT / "tests" / "plugin")

    def run(*arguments):
        command = [python, "-m", "pytest", "-W", "error", f"--rootdir={tmp_path}", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        return result.returncode, result.stdout + result.stderr

    return run


def test_it_is_the_oldest(run):
    assert re.search(r"pytest 7\.4\.", run("--version")[1])


@pytest.mark.parametrize(
    ("arguments", "status", "last_line"),
    [
        ((APP, "--meetgeek-handler=plugin_shop:process", "--meetgeek-strict"), 0, "76 passed, 3 skipped"),
        ((APP, "-k", "raw", "-m", "meetgeek_check"), 0, f"6 passed, {len(CHECKS) - 6} deselected"),
        (("--meetgeek-app=plugin_shop:key_error", "-k", "ack."), 1, "1 failed, 6 passed, 2 skipped"),
        (("--meetgeek-app=plugin_shop:forgetful", "--meetgeek-handler=plugin_shop:process", "-krep"), 0, "1 xfailed"),
        ((APP, "-k", "raw", "--junitxml=j.xml", "--meetgeek-report=r.json"), 0, "6 passed"),
        (("--pyargs", "pytest_meetgeek.suite", "-o", "meetgeek_app=plugin_shop:app", "-kraw"), 0, "6 passed"),
        ((APP, "-o", "meetgeek_deviations=ack.status: not so", "-kack.status"), 1, "1 failed"),
        ((APP, "-o", "meetgeek_deviations=ack.sttus: x"), 4, "unknown check 'ack.sttus': did you mean 'ack.status'"),
        (("--meetgeek-app=no_such_shop:app",), 4, "No module named 'no_such_shop'"),
        (("-p", "no:meetgeek", APP), 4, "unrecognized arguments"),
        (("--collect-only", "-q", APP), 0, "79 tests collected"),
    ],
)
def test_the_command_line(arguments, status, last_line, run):
    returned, output = run(*arguments)
    assert (returned, last_line in output) == (status, True), output


def test_in_the_user_s_own_suite_and_only_what_failed_last(run, tmp_path):
    Path(tmp_path / "conftest.py").write_text(
        "import plugin_shop, pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def meetgeek_app(): return plugin_shop.key_error\n"
    )
    Path(tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_receiver(meetgeek_check): meetgeek_check()\n"
        "@pytest.mark.meetgeek_forge('missing')\n"
        "def test_forged(meetgeek, meetgeek_receiver, meetgeek_forged, meetgeek_spy):\n"
        "    meetgeek.assert_rejected(meetgeek_receiver.send(meetgeek_forged), meetgeek_forged, meetgeek_spy)\n"
    )
    _, output = run("test_it.py")
    assert "1 failed, 68 passed, 11 skipped" in output, output
    _, output = run("test_it.py", "--lf")
    assert "1 failed" in output
    assert "passed" not in output
