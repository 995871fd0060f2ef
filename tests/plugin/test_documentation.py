"""The pages for testers have the suite's checks, their numbers, and every option. tests/docs runs their examples."""

import re
from pathlib import Path

import pytest

from pytest_meetgeek import CHECKS, FORGERIES

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "how-to" / "test-a-receiver.md"
CATALOGUE = DOCS / "reference" / "checks.md"
PLUGIN = DOCS / "reference" / "pytest-plugin.md"


def test_each_check_has_a_heading_in_the_order_of_the_groups():
    order = list(dict.fromkeys(check.group for check in CHECKS.values()))
    expected = sorted(CHECKS, key=lambda check_id: order.index(CHECKS[check_id].group))
    assert re.findall(r"^### `(.+)`$", CATALOGUE.read_text(encoding="utf-8"), re.MULTILINE) == expected


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_what_the_page_says_about_a_check(check):
    section = CATALOGUE.read_text(encoding="utf-8").partition(f"\n### `{check.id}`\n")[2].partition("\n##")[0]
    expected = [f"**{check.level}**: {check.title}.", f"**Why**: {check.why}."]
    if check.presupposes:
        links = [f"[`{earlier.id}`](#{earlier.id.replace('.', '')})" for earlier in check.presupposes]
        expected.append(f"**Presupposes**: {', '.join(links)}.")
    if check.source != "MeetGeek webhooks":
        expected.append(f"**Source**: {check.source}.")
    assert [line for line in section.splitlines() if line] == expected


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
