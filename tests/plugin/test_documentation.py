"""Every example of the page for testers runs, and shows what the page says it shows; its list is the suite's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_meetgeek import CHECKS, TAMPERINGS

PAGE = Path(__file__).parents[2] / "docs" / "testing-a-receiver.md"
BLOCK = re.compile(r"^```(?P<kind>\{code-block\} \w+|\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    return [(match["kind"], match["text"]) for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]


def files():
    found = {}
    for kind, text in blocks():
        if kind.startswith("{code-block}"):
            caption, _, content = text.partition("\n\n")
            found[caption.removeprefix(":caption: ")] = content
    return found


def commands():
    for kind, text in blocks():
        if kind == "console":
            first, _, shown = text.partition("\n")
            yield first.removeprefix("$ "), shown


@pytest.mark.parametrize(("command", "shown"), list(commands()))
def test_an_example_shows_what_the_page_shows(command, shown, tmp_path):
    for name, content in files().items():
        tmp_path.joinpath(name).write_text(content, encoding="utf-8")
    program, *_ = command.split()
    plain = f"{sys.executable} -m pytest -p no:cacheprovider -p no:asyncio" if program == "pytest" else sys.executable
    result = subprocess.run(  # noqa: S602  # as a reader types it
        command.replace(program, plain, 1),
        shell=True,
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "80", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    pattern = ".*?".join(re.escape(part) for part in shown.split("..."))
    assert re.fullmatch(pattern, result.stdout, re.DOTALL), result.stdout + result.stderr


def test_every_file_is_used():
    typed = " ".join(command for command, _ in commands())
    imported = "\n".join(files().values())
    unused = [name for name in files() if name not in typed and f"from {Path(name).stem} import" not in imported]
    assert unused == ["pyproject.toml"]


def test_the_list_of_checks_is_complete():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| `\w+\.", line)]
    assert rows == [f"| `{check.id}` | {check.level} | {check.why} |" for check in sorted_as_on_the_page()]


def sorted_as_on_the_page():
    order = list(dict.fromkeys(check.group for check in CHECKS.values()))
    return sorted(CHECKS.values(), key=lambda check: order.index(check.group))


def test_the_counts_of_the_page():
    text = PAGE.read_text(encoding="utf-8")
    must = [tampering for tampering in TAMPERINGS.values() if tampering.level == "MUST"]
    assert f"of {len(CHECKS)} checks" in text
    assert f"each of the {len(must)} forgeries that must be refused" in text


@pytest.mark.parametrize(
    "name", ["app", "path", "handler", "secret-env", "interface", "strict", "allow-host", "report"]
)
def test_every_option_is_on_the_page(name):
    assert f"--meetgeek-{name}" in PAGE.read_text(encoding="utf-8")
