"""What a contributor meets first agrees with itself: versions, sessions, workflows, and what describes the project."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SESSIONS = {
    function.name
    for function in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body
    if isinstance(function, ast.FunctionDef)
    and any(ast.unparse(each) == "nox.session" for each in function.decorator_list)
}
DESCRIPTIONS = [
    *WORKFLOWS,
    *sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")),
    *(
        ROOT / name
        for name in (".github/dependabot.yml", ".pre-commit-config.yaml", ".readthedocs.yaml", "CITATION.cff")
    ),
]


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.name)
def test_it_is_yaml(path):
    assert isinstance(read(path), dict)


def test_the_supported_pythons_are_tested():
    assert PYTHONS[0] == PROJECT["project"]["requires-python"].removeprefix(">=")
    assert [f"3.{minor}" for minor in range(11, 11 + len(PYTHONS))] == PYTHONS
    assert read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"] == PYTHONS


def test_the_readme_names_the_supported_pythons():
    assert f"![Python {', '.join(PYTHONS)}]" in (ROOT / "README.md").read_text(encoding="utf-8")
    badge = (ROOT / "docs" / "assets" / "badge-python.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"3\.\d+", badge)) == set(PYTHONS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_hash_and_says_its_version(path):
    used = re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_only_what_its_jobs_ask_for(path):
    workflow = read(path)
    assert workflow["permissions"] == {}
    allowed = [{"contents": "read"}, {"id-token": "write"}]
    assert [name for name, job in workflow["jobs"].items() if job["permissions"] not in allowed] == []
    assert [name for name, job in workflow["jobs"].items() if "timeout-minutes" not in job] == []


def test_only_the_release_may_ask_for_an_identity():
    asking = [path.name for path in WORKFLOWS if "id-token" in path.read_text(encoding="utf-8")]
    assert asking == ["release.yml"]


def test_the_same_action_has_the_same_hash_everywhere():
    pins = {line for path in WORKFLOWS for line in re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})


def rooms():
    """The paths on the map in CONTRIBUTING.md."""
    [block] = re.findall(
        r"^## The map.*?```\n(.+?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    room = ""
    for line in block.splitlines():
        names = re.match(r"\s*((?:[\w.]+(?:/|\.py)(?: |$))+)", line)[1].split()
        if not line.startswith(" "):
            room = names[0] if names[0].endswith("/") else ""
            yield from names
        else:
            yield from (room + name for name in names)


@pytest.mark.parametrize("path", list(rooms()))
def test_a_room_on_the_map_exists(path):
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


def test_the_map_shows_every_public_module_and_folder():
    shown = {path.rstrip("/") for path in rooms()}
    public = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mg_middleware").iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir())
    }
    assert public - shown == set()


def test_the_first_block_for_contributors_is_three_commands():
    block = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("```")[1]
    assert len(block.strip().splitlines()) == 1 + 3


def test_dependabot_waits_before_it_offers_a_release():
    updates = read(ROOT / ".github" / "dependabot.yml")["updates"]
    assert [update["package-ecosystem"] for update in updates] == ["github-actions"]
    assert all(update["cooldown"]["default-days"] >= 7 for update in updates)


@pytest.mark.parametrize(
    "path",
    [ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.md", ROOT / "README.md", *WORKFLOWS],
    ids=lambda path: path.name,
)
def test_the_sessions_that_are_named_exist(path):
    if not path.exists():
        pytest.skip(f"{path.name} is not in the source distribution")
    named = re.findall(r"nox(?: -R)? -s ((?:[a-z_]+(?: |$|\b(?!-)))+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for names in named for name in names.split()} - SESSIONS == set()


@pytest.mark.parametrize("name", ["tests", "lint", "types", "docs", "coverage", "mutation", "bench"])
def test_a_contributor_finds_the_session(name):
    assert name in SESSIONS


def test_every_group_that_a_session_installs_exists():
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    calls = re.findall(r'(?:install\(session|dependency_groups\(PROJECT), ((?:"[a-z]+"(?:, )?)+)', noxfile)
    named = {group for call in calls for group in re.findall(r'"([a-z]+)"', call)}
    assert named
    assert named <= set(PROJECT["dependency-groups"])


def test_pytest_knows_its_settings_without_the_plugins_of_the_tests():
    # The session `bench` installs its own group alone, and `--strict-config` refuses a setting that no plugin knows.
    without = [argument for name in ("asyncio", "anyio", "xdist") for argument in ("-p", f"no:{name}")]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *without, "tests/test_events.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_extras_are_for_users_alone():
    assert set(PROJECT["project"]["optional-dependencies"]) <= {
        "cli",
        "pytest",
        "redis",
        "sqlalchemy",
        "django",
        "fastapi",
    }
    assert {"tests", "docs", "lint", "bench", "dev"} <= set(PROJECT["dependency-groups"])


def test_no_dependency_has_a_cap():
    project = PROJECT["project"]
    declared = [
        *project["dependencies"],
        *(each for some in project["optional-dependencies"].values() for each in some),
    ]
    assert [each for each in declared if re.search(r"<|==|~=", each)] == []


def test_the_citation_agrees_with_the_project():
    citation, project = read(ROOT / "CITATION.cff"), PROJECT["project"]
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["repository-code"] == project["urls"]["Source"]
    assert citation["url"] == project["urls"]["Documentation"]


def test_the_documentation_is_built_with_its_group():
    settings = read(ROOT / ".readthedocs.yaml")
    assert settings["build"]["jobs"]["install"][-1] == "python -m pip install . --group docs"
    assert (ROOT / settings["sphinx"]["configuration"]).exists()
    assert settings["sphinx"]["fail_on_warning"] is True
