"""The pages for testers have the suite's checks, their numbers, and every option. tests/docs runs their examples."""

import re
from pathlib import Path

import pytest

from pytest_meetgeek import CHECKS, FORGERIES

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "how-to" / "test-a-receiver.md"
CATALOGUE = DOCS / "reference" / "checks.md"
PLUGIN = DOCS / "reference" / "pytest-plugin.md"


def test_the_list_of_checks_is_complete():
    rows = [
        line for line in CATALOGUE.read_text(encoding="utf-8").splitlines() if re.match(r"\| `[^|]*\| [A-Z]+ \|", line)
    ]
    assert rows == [f"| `{check.id}` | {check.level} | {check.why} |" for check in sorted_as_on_the_page()]


def test_the_graph_of_the_page():
    text = CATALOGUE.read_text(encoding="utf-8").partition("## What presupposes what")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith(("| `", "| every"))]
    names = {check: ", ".join(f"`{earlier.id}`" for earlier in check.presupposes) for check in sorted_as_on_the_page()}
    usual = "`rej.status`"
    expected = [
        f"| `{check.id}` | {presupposed} |"
        for check, presupposed in names.items()
        if presupposed and (check.group != "sig" or presupposed != usual)
    ]
    assert rows == [*expected, f"| every other `sig` check | {usual} |"]


def sorted_as_on_the_page():
    order = list(dict.fromkeys(check.group for check in CHECKS.values()))
    return sorted(CHECKS.values(), key=lambda check: order.index(check.group))


def test_the_counts_of_the_page():
    must = [forgery for forgery in FORGERIES.values() if forgery.level == "MUST"]
    assert f"of {len(CHECKS)} checks" in GUIDE.read_text(encoding="utf-8")
    assert f"each of the {len(must)} forgeries that must be refused" in PLUGIN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        *("app", "path", "host", "handler", "secret-env", "interface", "strict", "allow-host", "report"),
        *("timeout", "seed", "count", "break", "heal"),
    ],
)
def test_every_option_is_documented(name):
    assert f"--meetgeek-{name}" in GUIDE.read_text(encoding="utf-8") + PLUGIN.read_text(encoding="utf-8")
