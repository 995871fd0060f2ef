"""What the wheel and the source distribution hold, that anyone can build the same ones, and what they depend on."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import mg_middleware

PROJECT = Path(__file__).parent.parent
EXTRAS_OF_USERS = ["cli", "pytest", "redis"]
DEPENDENCIES = PROJECT / "docs" / "explanation" / "proof" / "dependencies.md"
IGNORED = re.findall(r"^[^#/\n]+", (PROJECT / ".gitignore").read_text(), re.MULTILINE)
NO_PART_OF_IT = shutil.ignore_patterns(*IGNORED, ".git", ".ci")


def build(project, folder, **environment):
    """Build both distributions of a copy of the project; gives their bytes by name."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=project,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The folder with both, built from a copy of the project."""
    if not (PROJECT / "mg_middleware").exists():
        pytest.skip("the packages are not beside the tests: a wheel is what is under test, and no new one can be built")
    folder = tmp_path_factory.mktemp("distributions")
    shutil.copytree(PROJECT, folder / "project", ignore=NO_PART_OF_IT)
    build(folder / "project", folder / "built")
    return folder / "built"


@pytest.fixture(scope="module")
def wheel(distributions):
    """The built wheel: its files by name."""
    [path] = distributions.glob("*.whl")
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def unpacked(distributions, tmp_path_factory):
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("unpacked")
    [path] = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        # Python 3.11.2, which is that of Debian 12, has no filters yet; later ones warn if none is named.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)  # noqa: S202 - it was built a moment ago, from this project
    [unpacked] = folder.iterdir()
    return unpacked


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


def test_the_command_is_installed(wheel):
    [entry_points] = [content.decode() for name, content in wheel.items() if name.endswith("/entry_points.txt")]
    assert "[console_scripts]\nmg-middleware = mg_middleware.__main__:main\n" in f"{entry_points}\n"


def test_the_licence_is_in_the_wheel(wheel, metadata):
    [licence] = [content for name, content in wheel.items() if name.endswith(".dist-info/licenses/LICENSE")]
    assert licence == (PROJECT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "MIT"


def test_another_folder_time_and_environment_build_the_same_bytes(distributions, tmp_path):
    project = tmp_path / "another name" / "checkout"
    shutil.copytree(PROJECT, project, ignore=NO_PART_OF_IT, copy_function=shutil.copyfile)
    for number, path in enumerate(sorted(project.rglob("*"), reverse=True)):
        os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))
        path.chmod(0o700 if path.is_dir() else 0o600)
    built = build(project, tmp_path / "built", TZ="Pacific/Chatham", LC_ALL="C", PYTHONHASHSEED="7", HOME=str(tmp_path))
    assert built == {path.name: path.read_bytes() for path in distributions.iterdir()}
    assert len(built) == 2


def test_the_source_distribution_builds_the_same_wheel(distributions, unpacked, tmp_path):
    [wheel] = distributions.glob("*.whl")
    assert build(unpacked, tmp_path)[wheel.name] == wheel.read_bytes()


def test_the_source_distribution_holds_what_the_project_holds(unpacked, tmp_path):
    shutil.copytree(PROJECT, tmp_path / "project", ignore=NO_PART_OF_IT)
    ours, theirs = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "project", unpacked)
    )
    assert theirs - ours == {"PKG-INFO"}
    assert ours == theirs - {"PKG-INFO"}


def test_the_metadata_say_what_is_needed(metadata):
    assert metadata["Name"] == "mg-middleware"
    assert metadata["Requires-Python"] == ">=3.11"
    unconditional = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(re.match(r"[\w-]+", line)[0] for line in unconditional) == ["asgiref", "werkzeug"]
    assert {"cli", "pytest", "redis"} <= set(metadata.get_all("Provides-Extra"))


def test_the_readme_renders_on_an_index(metadata):
    text = metadata.get_payload()
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith("https://")] == []
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    version = metadata["Version"]
    assert pictures
    home = f"https://raw.githubusercontent.com/mg-middleware/mg-middleware/v{version}/"
    assert [picture for picture in pictures if not (PROJECT / picture.removeprefix(home)).is_file()] == []


def test_an_index_shows_where_the_project_lives(metadata):
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert {"Documentation", "Source", "Issues", "Changelog"} <= set(urls)


def test_the_bill_of_materials_in_the_wheel_is_that_of_the_project(wheel, metadata):
    [content] = [content for name, content in wheel.items() if ".dist-info/sboms/" in name]
    bill = json.loads(content)
    component = bill["metadata"]["component"]
    assert (component["name"], component["version"]) == (metadata["Name"], metadata["Version"])
    assert component["purl"] == f"pkg:pypi/{metadata['Name']}@{metadata['Version']}"
    unconditional = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    needed = sorted(re.match(r"[\w-]+", line)[0] for line in unconditional)
    assert [each["name"] for each in bill["components"]] == bill["dependencies"][0]["dependsOn"] == needed


def test_the_installed_package_is_typed():
    assert (Path(mg_middleware.__file__).parent / "py.typed").exists()


def test_the_documented_dependencies_are_those_of_the_project():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    needed = {"the guard": project["dependencies"]} | {
        f"`[{extra}]`": project["optional-dependencies"][extra] for extra in EXTRAS_OF_USERS
    }
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([<>=]\S+) \| ([^|]+) \|", DEPENDENCIES.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(
        (requirement.name, str(requirement.specifier), needed_for)
        for needed_for, requirements in needed.items()
        for requirement in map(Requirement, requirements)
    )
