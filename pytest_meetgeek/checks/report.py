"""What the checks found, as a file: JSON, Markdown or one HTML page."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pytest_meetgeek.checks.catalogue import CHECKS
from pytest_meetgeek.checks.result import CheckResult, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
# What a finding shows of its result, in this order.
_SHOWN = ("sent", "required", "received", "note", "why")
_PUBLIC = ("id", "level", "outcome", "reason", "sent", "required", "received", "note", "why", "link")


@dataclass(frozen=True)
class Report:
    """The results of one run, to be written to a file.

    Args:
        results: One for each check, in the order of the suite.
        tested: Which receivers they are about.
        arguments: The arguments of `run_checks` that test the same receiver again, as Python source; no secret.
    """

    results: Sequence[CheckResult]
    tested: Sequence[str] = ()
    arguments: str = "app, secret"

    def write(self, path: str) -> None:
        """Write the report, in the format that the file's ending asks for.

        Args:
            path: A file whose name ends in one of `FORMATS`, in a directory that exists.
        """
        Path(path).write_text(FORMATS[Path(path).suffix.lower()](self), encoding="utf-8")

    def to_json(self) -> str:
        """Write an array with one object for each check."""
        array = [
            {name: getattr(result, name) for name in _PUBLIC} | {"test": self._test_of(result)}
            for result in self.results
        ]
        return json.dumps(array, indent=2) + "\n"

    def to_markdown(self) -> str:
        """Write a page of Markdown, such as for the job summary of a CI."""
        lines = ["# MeetGeek conformance", "", self._headline(), ""]
        lines += [f"Tested: {_code(target)}\n" for target in self.tested]
        lines += [f"| check |{'|'.join(OUTCOMES)}|", f"|---|{'---|' * len(OUTCOMES)}"]
        lines += [f"| {group} |{'|'.join(str(counts[name]) for name in OUTCOMES)}|" for group, counts in self._groups()]
        for result in self._told():
            lines += ["", f"## {result.id}", "", f"{_mark(result)} ({result.level}): {CHECKS[result.id].title}."]
            lines += ["", f"[What it checks, and why]({result.link})", ""]
            lines += [_fenced("text", "\n".join(f"{name + ':':<9} {text}" for name, text in _fields(result)))]
            lines += [_fenced("python", test)] if (test := self._test_of(result)) else []
        others = [result for result in self.results if result.outcome in {"passed", "skipped"}]
        lines += ["", "## The others", "", "| check | outcome | reason |", "|---|---|---|"] if others else []
        lines += [f"| {result.id} | {result.outcome} | {_cell(result.reason)} |" for result in others]
        return "\n".join(lines) + "\n"

    def to_html(self) -> str:
        """Write one page that needs no other file, and runs no script."""
        told = "".join(self._finding(result) for result in self._told())
        groups = "".join(
            f"<tr><th scope=row>{group}</th>{''.join(_count(name, counts[name]) for name in OUTCOMES)}</tr>"
            for group, counts in self._groups()
        )
        others = "".join(
            f'<tr><th scope=row><a href="{escape(result.link)}">{result.id}</a></th>'
            f"<td class={result.outcome}>{result.outcome}</td><td>{escape(result.reason)}</td></tr>"
            for result in self.results
            if result.outcome in {"passed", "skipped"}
        )
        heads = "".join(f"<th scope=col>{name}</th>" for name in OUTCOMES)
        tested = "".join(f"<p>Tested: <code>{escape(target)}</code></p>" for target in self.tested)
        return (
            f"{_HEAD}<h1>MeetGeek conformance</h1><p class=headline>{escape(self._headline())}</p>{tested}"
            f"<div class=wide><table><thead><tr><th scope=col>check</th>{heads}</tr></thead><tbody>{groups}</tbody>"
            f"</table></div>{told}<details><summary>The others</summary><div class=wide><table><tbody>{others}"
            "</tbody></table></div></details></main></body></html>\n"
        )

    def _finding(self, result: CheckResult) -> str:
        fields = "".join(f"<dt>{name}</dt><dd><pre>{escape(text)}</pre></dd>" for name, text in _fields(result))
        test = self._test_of(result)
        shown = f"<details><summary>A test that shows it</summary><pre>{escape(test)}</pre></details>" if test else ""
        return (
            f'<section id="{result.id}" class={result.outcome}><h2>{result.id} <span>{_mark(result)}, {result.level}'
            f"</span></h2><p>{escape(CHECKS[result.id].title)}. "
            f'<a href="{escape(result.link)}">What it checks, and why</a></p><dl>{fields}</dl>{shown}</section>'
        )

    def _told(self) -> list[CheckResult]:
        """The results that are worth a section of their own: the gravest first."""
        order = ("failed", "warned", "note")
        told = [result for result in self.results if result.outcome in order]
        return sorted(told, key=lambda result: order.index(result.outcome))

    def _groups(self) -> list[tuple[str, Counter[Outcome]]]:
        names = dict.fromkeys(result.group for result in self.results)
        return [(name, Counter(result.outcome for result in self.results if result.group == name)) for name in names]

    def _headline(self) -> str:
        counts = Counter(result.outcome for result in self.results)
        return ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name]) or "No check has run."

    def _test_of(self, result: CheckResult) -> str:
        """A test for pytest that shows a finding again; empty for what is none."""
        if result.outcome not in {"failed", "warned"}:
            return ""
        fixtures = ", ".join(name for name in ("meetgeek_app", "meetgeek_secret") if name in self.arguments)
        imports = "import os\n\n" if "os.environ" in self.arguments else ""
        return (
            f"{imports}from pytest_meetgeek import run_checks\n\n\n"
            f"def test_{re.sub('[^a-z0-9]', '_', result.id)}({fixtures}):\n"
            f'    (result,) = run_checks({self.arguments}, only=["{result.id}"], strict=True)\n'
            '    assert result.outcome == "passed", result.text\n'
        )


FORMATS: dict[str, Callable[[Report], str]] = {
    ".json": Report.to_json,
    ".md": Report.to_markdown,
    ".html": Report.to_html,
}
"""How to write a report, by the ending of its file."""


def _fields(result: CheckResult) -> list[tuple[str, str]]:
    """What a finding shows; its reason, too, if that is more than what was required."""
    fields = [(name, str(getattr(result, name))) for name in _SHOWN if getattr(result, name)]
    is_more = result.reason and not result.reason.startswith("required ")
    return [("reason", result.reason), *fields] if is_more else fields


def _mark(result: CheckResult) -> str:
    return {"failed": "Failed", "warned": "Warned", "note": "Note"}[result.outcome]


def _count(outcome: str, number: int) -> str:
    return f"<td class={outcome}>{number}</td>" if number else "<td class=none>0</td>"


def _code(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {text} {ticks}" if longest else f"`{text}`"


def _fenced(language: str, text: str) -> str:
    """A code block whose fence is longer than any in the text: what a receiver sent can't end it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _cell(text: str) -> str:
    words = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", words)


_HEAD = """<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta http-equiv=Content-Security-Policy content="default-src 'none'; style-src 'unsafe-inline'">
<title>MeetGeek conformance</title>
<style>
:root { color-scheme: light dark; --line: #8886; --failed: #c62828; --warned: #a35a00; --passed: #1b7a36;
  --note: #1c62b9; --skipped: #777; --soft: #8881 }
@media (prefers-color-scheme: dark) {
  :root { --failed: #ff8a80; --warned: #ffb74d; --passed: #81c995; --note: #8ab4f8; --skipped: #aaa }
}
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 }
main { max-width: 56rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { margin: 0 } h2 { font-size: 1.15rem; margin: 0 } h2 span { font-weight: normal }
.headline { font-size: 1.15rem; margin: .25rem 0 1rem }
table { border-collapse: collapse } th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top }
thead th { border-bottom: 1px solid var(--line) } tbody th { font-weight: normal; font-family: ui-monospace, monospace }
td { overflow-wrap: anywhere } .wide { overflow-x: auto }
section { border: 1px solid var(--line); border-left: .35rem solid; border-radius: .4rem; padding: .8rem 1rem;
  margin: 1rem 0 }
section.failed { border-left-color: var(--failed) } section.warned { border-left-color: var(--warned) }
section.note { border-left-color: var(--note) }
.failed h2 span, td.failed { color: var(--failed) } .warned h2 span, td.warned { color: var(--warned) }
.note h2 span, td.note { color: var(--note) } td.passed { color: var(--passed) }
td.skipped, td.none { color: var(--skipped) }
dl { display: grid; grid-template-columns: 6rem 1fr; gap: .2rem .5rem; margin: .5rem 0 } dt { color: var(--skipped) }
dd { margin: 0; min-width: 0 }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: .875rem/1.5 ui-monospace, monospace }
details pre { background: var(--soft); padding: .6rem; margin: .4rem 0 } summary { cursor: pointer }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr } }
</style>
</head>
<body><main>
"""
