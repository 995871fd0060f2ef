"""What pip installs, from the network into fresh environments: `pytest -m installs tests/test_installs.py`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

pytestmark = [pytest.mark.installs, pytest.mark.timeout(900)]

PROJECT = Path(__file__).parent.parent
DEPENDENCIES = PROJECT / "docs" / "explanation" / "proof" / "dependencies.md"
EXTRAS = list(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]


def run(*words, **options):
    completed = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, cwd=PROJECT, **options
    )
    return completed.returncode, completed.stdout + completed.stderr


def interpreter(version):
    """The Python of a version, on PATH or kept by pyenv."""
    kept = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python"))
    for found in (shutil.which(f"python{version}"), *kept):
        if found and run(found, "--version")[0] == 0:
            return found
    pytest.skip(f"Python {version} is not on this machine")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributions")
    status, output = run(sys.executable, "-m", "hatchling", "build", "-d", folder)
    assert status == 0, output
    return folder


@pytest.fixture(scope="module")
def wheel(distributions):
    [path] = distributions.glob("*.whl")
    return path


@pytest.fixture
def environment(tmp_path):
    """Make a fresh environment with some packages; gives the folder of its programs."""

    def make(python, *packages):
        folder = tmp_path / f"environment-{len(list(tmp_path.iterdir()))}"
        status, output = run(python, "-m", "venv", folder)
        assert status == 0, output
        status, output = run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages)
        assert status == 0, output
        return folder / "bin"

    return make


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("extra", ["", *EXTRAS], ids=lambda extra: extra or "no extra")
def test_every_extra_installs_on_every_python(environment, wheel, version, extra):
    programs = environment(interpreter(version), f"{wheel}[{extra}]" if extra else wheel)

    status, output = run(programs / "python", "-m", "pip", "check")
    assert status == 0, output
    names = "from mg_middleware import *; import pytest_meetgeek"
    status, output = run(programs / "python", "-I", "-W", "error", "-c", names)
    # One of the public names is of an extra, and so is pytest; both say what to install only when they are used.
    assert status == 0, output
    is_complete = run(programs / "python", "-c", "import a2wsgi, click, rich, starlette, uvicorn")[0] == 0
    assert is_complete or extra != "cli"
    status, output = run(programs / "mg-middleware", "--version")
    assert (status, "pip install 'mg-middleware[cli]'" in output) == ((0, False) if is_complete else (2, True))


@pytest.mark.parametrize("extra", ["", "cli", "pytest", "redis"], ids=lambda extra: extra or "no extra")
def test_the_documented_packages_are_all_that_pip_installs(environment, wheel, extra):
    name = f"mg-middleware[{extra}]" if extra else "mg-middleware"
    [line] = re.findall(rf"^- `{re.escape(name)}`: (.*)$", DEPENDENCIES.read_text(), re.MULTILINE)

    programs = environment(sys.executable, f"{wheel}[{extra}]" if extra else wheel)
    _, output = run(programs / "python", "-m", "pip", "list", "--format", "json")
    installed = {canonicalize_name(package["name"]) for package in json.loads(output.splitlines()[0])}
    assert installed - {"pip", "setuptools", "mg-middleware"} == set(line.split(", "))


def test_the_metadata_pass_the_strict_check(environment, distributions):
    programs = environment(sys.executable, "twine")
    status, output = run(programs / "python", "-m", "twine", "check", "--strict", *sorted(distributions.iterdir()))
    assert status == 0, output


def test_no_dependency_has_a_known_advisory(environment, wheel):
    """What the guard and its extras for users bring, against the advisories that PyPI gives out."""
    packages = environment(sys.executable, f"{wheel}[cli,pytest,redis]")
    auditor = environment(sys.executable, "pip-audit")
    [folder] = packages.parent.glob("lib/python*/site-packages")
    status, output = run(
        *(auditor / "python", "-m", "pip_audit", "--path", folder, "--format", "json", "--progress-spinner", "off")
    )
    report = next((line for line in output.splitlines() if line.startswith('{"dependencies"')), None)
    if report is None:
        assert "ConnectionError" in output, output
        pytest.skip("the advisories cannot be had here: PyPI is not reached")
    dependencies = {each["name"]: each for each in json.loads(report)["dependencies"]}
    del dependencies["mg-middleware"]
    unknown = {name: each["skip_reason"] for name, each in dependencies.items() if "skip_reason" in each}
    if unknown:
        pytest.skip(f"the advisories cannot be had here: {next(iter(unknown.values()))}")
    assert {name: each["vulns"] for name, each in dependencies.items() if each["vulns"]} == {}
    assert status == 0
