"""The same outcomes beside the most used pytest plugins, in an environment of their own: `pytest -m installs`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import parse

import pytest

pytestmark = [pytest.mark.installs, pytest.mark.timeout(600), pytest.mark.usefixtures("installed_plugins")]

ROOT = Path(__file__).parents[3]
SECRET = "very-secret-indeed"
PACKAGES = [
    *("pytest-randomly", "pytest-rerunfailures", "pytest-xdist", "allure-pytest", "pytest-html", "pytest-sugar"),
    *("pytest-timeout", "pytest-django", "django", "pytest-asyncio", "anyio", "pytest-subtests"),
]

# Each plugin's module, the arguments that put it to work, and a test that uses it.
PLUGINS = {
    "randomly": ("pytest_randomly", [], ""),
    "rerunfailures": ("pytest_rerunfailures", ["--reruns=2"], ""),
    "xdist": ("xdist.plugin", ["-n2"], ""),
    "allure": ("allure_pytest.plugin", ["--alluredir=results"], ""),
    "html": (
        "pytest_html.plugin",
        ["-ppytest_html.fixtures", "-ppytest_metadata.plugin", "--html=report.html", "--self-contained-html"],
        "",
    ),
    "sugar": ("pytest_sugar", [], ""),
    "timeout": ("pytest_timeout", ["--timeout=60"], ""),
    "django": ("pytest_django.plugin", [], ""),
    "asyncio": (
        "pytest_asyncio.plugin",
        ["--asyncio-mode=auto"],
        """
        async def test_mine(meetgeek, meetgeek_receiver, meetgeek_request):
            meetgeek.assert_acknowledged(await meetgeek_receiver.asend(meetgeek_request))
        """,
    ),
    "anyio": (
        "anyio.pytest_plugin",
        [],
        """
        import pytest

        @pytest.mark.anyio
        async def test_mine(meetgeek, meetgeek_receiver, meetgeek_request, anyio_backend):
            meetgeek.assert_acknowledged(await meetgeek_receiver.asend(meetgeek_request))

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """,
    ),
    "subtests": (
        "pytest_subtests.plugin",
        [],
        """
        def test_mine(meetgeek, meetgeek_receiver, subtests):
            for how in ("missing", "zeros"):
                with subtests.test(how=how):
                    forged = meetgeek.forged(how)
                    meetgeek.assert_rejected(meetgeek_receiver.send(forged), forged)
        """,
    ),
}
MINE = """
    def test_mine(meetgeek, meetgeek_receiver, meetgeek_forged):
        meetgeek.assert_rejected(meetgeek_receiver.send(meetgeek_forged), meetgeek_forged)
"""
SHOP = """
    import os
    import sys
    from plugin_shop import Shop, process

    class KeyErrorShop(Shop):
        secret = (os.environ["SHOP_SECRET"].strip() or sys.exit("no secret")).encode()

        def process(self, body):
            event = self.parse(body)
            if isinstance(event, dict) and event.get("message") == "File analyzed failed":
                print("processing with", os.environ["SHOP_SECRET"])
                return event["meeting_id"]
            self.done.clear()
            return super().process(body)

    app = KeyErrorShop().asgi
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with all the plugins, and without this package."""
    folder = tmp_path_factory.mktemp("environment")
    program = folder / "bin" / "python"
    for command in ([sys.executable, "-m", "venv", folder], [program, "-m", "pip", "install", "--quiet", *PACKAGES]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return program


@pytest.fixture
def outcomes(python, pytester):
    """Run a small project: the suite on a receiver with two faults, and a test of its own."""
    pytester.makepyfile(shop=SHOP)

    def outcomes(own, *arguments, **more):
        pytester.makepyfile(test_own=own)
        left_out = ("COV", "PYTEST_", "PYTHON")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        environment |= {"PYTHONPATH": f"{ROOT}:{ROOT}/tests/plugin", "SHOP_SECRET": SECRET, **more}
        command = [python, "-m", "pytest", "-ppytest_meetgeek.plugin", "--junitxml=j.xml"]
        command += ["--meetgeek-report=report.json"]
        command += ["--meetgeek-app=shop:app", "--meetgeek-handler=shop:process", "--meetgeek-secret-env=SHOP_SECRET"]
        command += ["-omeetgeek_deviations=rep.idempotent: twice does no harm", *arguments, "test_own.py"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=pytester.path, env=environment, timeout=120
        )
        assert SECRET not in done.stdout + done.stderr
        for path in pytester.path.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert SECRET.encode() not in path.read_bytes(), path
        assert done.returncode == 1, done.stdout + done.stderr
        found = json.loads(pytester.path.joinpath("report.json").read_text())
        cases = [case for case in parse(pytester.path / "j.xml").iter("testcase") if "test_mine" in case.get("name")]
        assert cases
        assert [child.tag for case in cases for child in case if child.tag not in {"properties", "system-out"}] == []
        return {check["id"]: (check["outcome"], check["required"]) for check in found}

    return outcomes


FOUND = {}
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.fixture
def expected(outcomes):
    """The outcomes without another plugin, found once."""
    if not FOUND:
        FOUND.update(outcomes(MINE, **ALONE))
    return FOUND


def test_alone_it_finds_two_faults(expected):
    assert {check_id for check_id, (outcome, _) in expected.items() if outcome == "failed"} == {"ack.failed"}
    assert expected["rep.idempotent"][0] == "warned"


@pytest.mark.parametrize("name", PLUGINS)
def test_the_outcomes_are_the_same_beside_one_plugin(name, outcomes, expected):
    module, arguments, own = PLUGINS[name]
    assert outcomes(own or MINE, f"-p{module}", *arguments, **ALONE) == expected


def test_the_outcomes_are_the_same_beside_all_of_them(outcomes, expected):
    arguments = ("-n2", "--reruns=1", "--alluredir=results", "--html=report.html", "--timeout=60")
    assert outcomes(MINE, *arguments) == expected
