"""What the checks found, for people (the closing table) and for reports in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_meetgeek.checks.catalogue import CHECKS
from pytest_meetgeek.checks.diagnosis import NOT_SIGNED_ALIKE
from pytest_meetgeek.checks.report import Report
from pytest_meetgeek.checks.result import CheckResult
from pytest_meetgeek.forgeries import TEST_SECRET
from pytest_meetgeek.request import to_key
from pytest_meetgeek.response import redact, spellings

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.terminal import TerminalReporter

    from pytest_meetgeek.checks.result import Outcome

_OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "warned", "skipped")
_DEVIATION = "known deviation: "
_NOTHING_ACCEPTED = "blocked by ack.status"


def _is_accepted_forgery(result: CheckResult) -> bool:
    return result.group == "sig" and result.outcome == "failed" and result.received.startswith("HTTP 2")


class Results:
    """The results of all checks of a run.

    Not for other tests: reports without the property "meetgeek.check" do not belong here.
    """

    def __init__(self) -> None:
        self._results: dict[str, CheckResult] = {}
        self._tested: list[str] = []

    def add(self, report: pytest.TestReport) -> None:
        """Take the report of one phase of one check; of several, the worst counts.

        Args:
            report: A report with the properties that the suite attaches.
        """
        if report.when != "call" and report.passed:
            return
        properties = {name.removeprefix("meetgeek."): str(value) for name, value in report.user_properties}
        if properties.get("tested", "") not in ["", *self._tested]:
            self._tested.append(properties["tested"])
        self._results[report.nodeid] = CheckResult(
            id=properties["check"],
            level=CHECKS[properties["check"]].level,
            outcome="note" if report.passed and "noted" in properties else _outcome(report),
            reason=_reason(report, properties),
            sent=properties.get("sent", ""),
            required=properties.get("required", ""),
            received=properties.get("received", ""),
            note=properties.get("note", ""),
            why=properties.get("why", ""),
            seconds=float(properties.get("seconds", "0")),
            unproven="unproven" in properties,
        )

    def write(self, path: str, arguments: str) -> None:
        """Write the report: JSON, Markdown or HTML, by the file's ending.

        Args:
            path: The file, in a directory that exists.
            arguments: The arguments of `run_checks` that test the same receiver, as Python source.
        """
        Report(self._ordered(), self._tested, arguments).write(path)

    def summarise(self, terminal: TerminalReporter) -> None:
        """Write the closing table.

        Args:
            terminal: pytest's.
        """
        results = self._ordered()
        terminal.section("MeetGeek conformance")
        for target in self._tested:
            terminal.line(f"tested: {target}")
        terminal.line("group     pass  fail  warn  skip")
        for group in dict.fromkeys(result.id.partition(".")[0] for result in results):
            # A note is no finding: its test has passed.
            outcomes: list[Outcome] = [
                "passed" if result.outcome == "note" else result.outcome for result in results if result.group == group
            ]
            terminal.line(f"{group:<8}" + "".join(f"{outcomes.count(outcome):>6}" for outcome in _OUTCOMES))
        for result in results:
            if result.outcome in {"failed", "warned"}:
                terminal.line(f"  {result.level:<6} {result.id}{_remark(result)}")
            if result.outcome == "warned" and not result.reason.startswith(_DEVIATION):
                for name in ("sent", "required", "received", "note", "why"):
                    for line in getattr(result, name).splitlines()[:1]:
                        terminal.line(f"           {name + ':':<9} {line}")
        for result in results:
            if result.outcome == "note":
                terminal.line(f"  note   {result.id}: {result.note}")
        acknowledged = [result for result in results if result.seconds]
        if acknowledged:
            slowest = max(acknowledged, key=lambda result: result.seconds)
            terminal.line(f"  slowest acknowledgement: {slowest.seconds:.3f} s ({slowest.id})")
        unproven = sum(result.unproven for result in results)
        if unproven:
            elsewhere = all(target.startswith(("http://", "https://")) for target in self._tested)
            option = "--meetgeek-count=COMMAND" if elsewhere else "--meetgeek-handler=module:function"
            terminal.line(
                f"  {unproven} refusals judged by their status alone: give {option} to prove that nothing was processed"
            )
        if self.could_not_run:
            terminal.line(f"  could not run: {self.could_not_run}")

    @property
    def could_not_run(self) -> str:
        """Why the checks say nothing about the receiver; empty if they do."""
        results = self._ordered()
        if any(_is_accepted_forgery(result) for result in results):
            return ""  # whatever its secret, this receiver has a hole
        if any(result.id == "ack.status" and NOT_SIGNED_ALIKE in result.note for result in results):
            return "nothing was accepted: give the secret that the receiver verifies with"
        if all(result.outcome == "skipped" for result in results) and any(
            result.reason.startswith(_NOTHING_ACCEPTED) for result in results
        ):
            return "nothing was accepted, and no check could run: run ack.status, too"
        return ""

    def _ordered(self) -> list[CheckResult]:
        order = {check_id: number for number, check_id in enumerate(CHECKS)}
        return sorted(self._results.values(), key=lambda result: order[result.id])


def redact_report(report: pytest.TestReport, secret: str | bytes) -> None:
    """Redact a secret in a report; the plugin's own default is public, and stays.

    Args:
        report: The report of one phase of a test.
        secret: The secret that the test used.
    """
    hide = _hiding(secret)
    report.sections = [(name, hide(text)) for name, text in report.sections]
    text = str(report.longrepr)
    if report.failed and hide(text) != text:
        report.longrepr = hide(text)


def redact_exception(call: pytest.CallInfo[None], secret: str | bytes) -> None:
    """Redact a secret in what a test raised; other plugins read that, not the report.

    Args:
        call: One phase of a test, which raised.
        secret: The secret that the test used.
    """
    hide = _hiding(secret)
    raised = call.excinfo
    if raised is None or hide(text := raised.exconly()) == text:
        return
    error: Any = raised.value
    error.args = tuple(hide(argument) if isinstance(argument, str) else argument for argument in error.args)
    if isinstance(getattr(error, "msg", None), str):  # what pytest.fail() and pytest.skip() were given
        error.msg = hide(error.msg)
    if hide(raised.exconly()) != raised.exconly():
        try:
            pytest.fail(hide(text), pytrace=False)
        except pytest.fail.Exception:
            call.excinfo = pytest.ExceptionInfo.from_current()


def _hiding(secret: str | bytes) -> Callable[[str], str]:
    """Make the function that redacts a secret; the plugin's own default is public, and stays."""
    key = to_key(secret)
    confidential = () if key == TEST_SECRET.encode() else spellings(key)

    def hide(text: str) -> str:
        return redact(text.encode("utf-8", "surrogateescape"), confidential).decode("utf-8", "surrogateescape")

    return hide


def _remark(result: CheckResult) -> str:
    """What the summary says after the id."""
    if result.reason.startswith(_DEVIATION):
        return f"  ({result.reason})"
    if result.outcome == "warned":
        return "  (reported, not failed)"
    return "" if result.sent else f"  ({result.reason})"


def _outcome(report: pytest.TestReport) -> Outcome:
    if hasattr(report, "wasxfail"):
        return "warned" if report.skipped else "failed"
    return report.outcome


def _reason(report: pytest.TestReport, properties: dict[str, str]) -> str:
    xfail_reason: str = getattr(report, "wasxfail", "")
    if xfail_reason.startswith(_DEVIATION):
        return xfail_reason
    if report.failed and "sent" not in properties:
        # An error in a fixture, an app that does not start, a known deviation that now passes.
        crash = getattr(report.longrepr, "reprcrash", None)
        return str(report.longrepr if crash is None else crash.message).strip().splitlines()[-1]
    return properties.get("reason", "")
