"""What the wheel holds."""

import re
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

import mg_middleware

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel: its files by name."""
    if not (PROJECT / "mg_middleware").exists():
        pytest.skip("the packages are not beside the tests: a wheel is what is under test, and no new one can be built")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    [path] = folder.glob("*.whl")
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel):
    return message_from_bytes(next(content for name, content in wheel.items() if name.endswith(".dist-info/METADATA")))


@pytest.mark.parametrize("package", ["mg_middleware", "pytest_meetgeek"])
def test_both_packages_are_in_the_wheel_whole(wheel, package):
    files = [path for path in (PROJECT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(PROJECT).as_posix() for path in files} == {
        name for name in wheel if name.startswith(f"{package}/")
    }
    assert f"{package}/py.typed" in wheel


def test_nothing_else_is_in_the_wheel(wheel):
    assert {re.sub(r"-.*\.dist-info", ".dist-info", name.partition("/")[0]) for name in wheel} == {
        "mg_middleware",
        "pytest_meetgeek",
        "mg_middleware.dist-info",
    }


def test_pytest_finds_the_plugin(wheel):
    [entry_points] = [content.decode() for name, content in wheel.items() if name.endswith("/entry_points.txt")]
    assert "[pytest11]\nmeetgeek = pytest_meetgeek.plugin\n" in f"{entry_points}\n"


def test_the_licence_is_in_the_wheel(wheel):
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_the_metadata_say_what_is_needed(metadata):
    assert metadata["Name"] == "mg-middleware"
    assert metadata["Requires-Python"] == ">=3.11"
    unconditional = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(re.match(r"[\w-]+", line)[0] for line in unconditional) == ["asgiref", "werkzeug"]
    assert {"cli", "pytest", "redis"} <= set(metadata.get_all("Provides-Extra"))


def test_the_installed_package_is_typed():
    assert (Path(mg_middleware.__file__).parent / "py.typed").exists()
