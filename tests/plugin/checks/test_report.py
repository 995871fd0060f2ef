"""The reports: what they show, and that nothing a receiver sends can break out of them."""

import ast
import json
from html.parser import HTMLParser

import pytest

from pytest_meetgeek import CheckResult
from pytest_meetgeek.checks.report import FORMATS, Report

HOSTILE = "HTTP 500, 40 bytes of body: '<script>alert(1)</script> ``` | `x`'"
RESULTS = [
    CheckResult("ack.status", "MUST"),
    CheckResult("ack.failed", "MUST", "skipped", "blocked by `x` | <b>\nmore"),
    CheckResult("rep.idempotent", "SHOULD", "warned", sent="POST / team", required="once", received="HTTP 200"),
    CheckResult(
        "rej.no-leak", "MUST", "failed", "required no hint: a note", "POST /", "no hint", HOSTILE, "a note", "a reason"
    ),
    CheckResult("rej.get", "SHOULD", "failed", "the app does not start"),
    CheckResult("sig.quoted", "MAY", "note", note="what it does"),
]
REPORT = Report(RESULTS, ["shop:app, path /`hook`", "shop:other"], "meetgeek_app, meetgeek_secret")


class Page(HTMLParser):
    """Notes what a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.links, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in {"href", "src"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_whole_and_needs_nothing_else():
    text = REPORT.to_html()
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.links
    assert all(link.startswith("https://mg-middleware.readthedocs.io/") for link in page.links)
    shown = "".join(page.texts)
    assert HOSTILE in shown
    for part in ("1 passed, 2 failed, 1 warned, 1 skipped, 1 note", "shop:other", "the app does not start"):
        assert part in shown
    assert "required no hint: a note" not in shown
    assert page.tags.count("section") == 4


def test_the_gravest_comes_first():
    text = REPORT.to_markdown()
    places = [text.index(f"## {check_id}\n") for check_id in ("rej.no-leak", "rej.get", "rep.idempotent", "sig.quoted")]
    assert places == sorted(places)


def test_markdown_keeps_what_was_received_inside_its_block():
    text = REPORT.to_markdown()
    assert "````text\nsent:     POST /\nrequired: no hint\nreceived: HTTP 500" in text
    assert text.count("````") == 2
    assert r"| ack.failed | skipped | blocked by \`x\` \| \<b\> more |" in text
    assert "Tested: `` shop:app, path /`hook` ``\n" in text
    assert "| rej |0|2|0|0|0|" in text


def test_only_a_finding_has_a_test():
    entries = {entry["id"]: entry for entry in json.loads(REPORT.to_json())}
    assert {check_id for check_id, entry in entries.items() if entry["test"]} == {
        "rep.idempotent",
        "rej.no-leak",
        "rej.get",
    }
    function = ast.parse(entries["rej.no-leak"]["test"]).body[-1]
    assert function.name == "test_rej_no_leak"
    assert [argument.arg for argument in function.args.args] == ["meetgeek_app", "meetgeek_secret"]
    assert entries["sig.quoted"]["outcome"] == "note"


def test_a_link_leads_to_the_place_of_the_check():
    assert RESULTS[3].link.endswith("/reference/checks.html#rejno-leak")


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_that_ran_is_a_report_too(suffix, tmp_path):
    path = tmp_path / f"report{suffix}"
    Report([]).write(str(path))
    text = path.read_text(encoding="utf-8")
    assert text == "[]\n" if suffix == ".json" else "No check has run." in text
