"""The page for testers has the suite's checks, their numbers, and every option. Its examples are run by tests/docs."""

import re
from pathlib import Path

import pytest

from pytest_meetgeek import CHECKS, TAMPERINGS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-a-receiver.md"


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
