"""The documentation: each page does what it says. The site itself is checked where it is built: `nox -s docs`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUNNER = Path(__file__).with_name("run_page.py")
PAGES = sorted(DOCS.rglob("*.md"))
CANNOT = 77  # the runner's exit status where a server that the page needs is not on this machine
WARNINGS = (
    "error",
    "ignore:'cgi' is deprecated:DeprecationWarning",  # webob, under Pyramid
    "ignore:pkg_resources is deprecated:UserWarning",  # Pyramid
    "ignore:Deprecated call to `pkg_resources.declare_namespace:DeprecationWarning",  # Paste, under Pyramid
)


def run(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    warnings = (word for warning in WARNINGS for word in ("-W", warning))
    # Measuring coverage would take the pages twice their time, and what they cover the other tests do.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, *warnings, RUNNER, page, *options],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def skip_or_fail(reason: str) -> None:
    # Where CI=true, .ci/run has installed what the pages need.
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_code_block_of_the_page_runs_and_does_what_it_shows(page):
    result = run(page)
    if result.returncode == CANNOT:
        skip_or_fail(result.stderr)
    assert result.returncode == 0, result.stderr
    fences = re.findall(r"^[ \t>]*(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert result.stdout.splitlines()[-1] == f"{len(fences) // 2} blocks"


@pytest.mark.installs
@pytest.mark.timeout(600)
def test_getting_started_works_as_printed_in_a_fresh_virtual_environment():
    result = run(DOCS / "tutorial" / "getting-started.md", "--literally")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("```ruby\nputs 1\n```", "nobody knows how to run a block of 'ruby'"),
        ("```\nanything\n```", "nobody knows how to run a block of ''"),
        ("```text\na log line\n```", "nothing has checked what is shown"),
        ("```python\nassert False\n```", "AssertionError"),
        ("```{code-block} python\n:caption: lonely.py\n\nx = 1\n```", "no block has run lonely.py"),
        ("```console\n$ echo one\ntwo\n```", "ended with 0 and printed"),
        ("```console\n$ false\n```", "ended with 1 and printed"),
        ("```console\n$ pip install no-such-distribution\n```", "No package metadata was found"),
        ("```console\n$ pip install '/path/to/checkout[no-such-extra]'\n```", "has no extra"),
        ("```nginx\nserver { lissten 80; }\n```", "lissten"),
    ],
    ids=lambda text: text.splitlines()[0 if text[0] != "`" else 1],
)
def test_a_block_that_does_not_run_or_does_not_do_what_it_shows_is_an_error(tmp_path, block, fault):
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{block}\n", encoding="utf-8")
    result = run(page)
    assert result.returncode != 0
    assert fault in result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_page_reads_the_same_wherever_markdown_is_shown(page):
    # Lists of definitions are shown as such neither by the site nor by most viewers of a repository, and a link without
    # a text only by the site.
    assert re.findall(r"^ *: .*|\[\]\(.*", page.read_text(encoding="utf-8"), re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_no_code_stands_outside_of_fences_where_it_would_not_be_run(page):
    shown = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    assert [token.content for token in shown if token.type == "code_block"] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_page_hides_no_code(page):
    # What the tests do besides is in tests/docs/pages.
    assert "invisible-code-block" not in page.read_text(encoding="utf-8")


def test_links_to_other_sites_are_encrypted():
    # Whether they lead anywhere cannot be told without a network: `sphinx-build -b linkcheck` asks, where there is one.
    addresses = {
        address for page in PAGES for address in re.findall(r"\bhttp://[\w.-]+", page.read_text(encoding="utf-8"))
    }
    assert addresses <= {"http://127.0.0.1", "http://example.com", "http://localhost"}  # shown in commands, not linked
