"""One check: what it is, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_meetgeek.checks.result import CheckFailure, CheckNote, CheckResult, CheckSkipped
from pytest_meetgeek.forgeries import FORGERIES
from pytest_meetgeek.response import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_meetgeek.checks.context import CheckContext
    from pytest_meetgeek.forgeries import Level
    from pytest_meetgeek.request import WebhookRequest
    from pytest_meetgeek.response import Response


@dataclass(frozen=True)
class Check:
    """One check of the conformance suite.

    Args:
        id: The stable name: group, dot, property.
        level: MUST fails, SHOULD warns (fails when strict), MAY must only not crash, or gives a note.
        title: What is required, in one sentence.
        source: Where that is written.
        why: The mistake it has been seen to catch.
        run: Sends the requests; raises CheckFailure, CheckNote or CheckSkipped.
        presupposes: The checks that must not have failed: if one has, this one is skipped, so that one fault is one
            finding.
        since: The version of the catalogue that introduced it.
    """

    id: str
    level: Level
    title: str
    source: str
    why: str
    run: Callable[[CheckContext], None]
    presupposes: tuple[Check, ...] = ()
    since: str = "1.0"

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


def run_check(check: Check, context: CheckContext) -> CheckResult:
    """Run one check.

    Not in async code: checks send synchronously.

    Args:
        check: The check.
        context: What it works with.

    Raises:
        LifespanError: The app's start-up failed.
    """
    result = CheckResult(check.id, check.level, why=check.why)
    try:
        _require_presupposed(check, context)
        check.run(context)
    except CheckSkipped as skipped:
        result.outcome, result.reason, result.blocked_by = "skipped", str(skipped), skipped.blocked_by
        _stand_in(result, context)
    except CheckNote as note:
        result.outcome, result.note = "note", str(note)
    except CheckFailure as failure:
        if _is_gone(failure.response, context):
            _describe_gone(result, check, failure, context)
        else:
            _describe(result, check, failure, context)
    result.seconds, result.unproven = context.slowest, context.unproven
    context.memory.results[check.id] = result
    return result


def _require_presupposed(check: Check, context: CheckContext) -> None:
    """Skip the check if one that it presupposes has failed; run that one first, if it has not run in this process."""
    for presupposed in check.presupposes:
        earlier = context.memory.results.get(presupposed.id)
        if earlier is None or earlier.blocked_by:  # what blocked it then may have changed
            earlier = run_check(presupposed, context.aside(presupposed.id))
        if earlier.blocks is not None:
            reason = f"blocked by {earlier.id}" + (f": {earlier.blocks}" if earlier.blocks else "")
            raise CheckSkipped(reason, blocked_by=earlier.id)
        if earlier.blocked_by:
            raise CheckSkipped(earlier.reason, blocked_by=earlier.blocked_by)


def _stand_in(result: CheckResult, context: CheckContext) -> None:
    """Report what blocks a check, once, if the check that found it is not reported itself: a hole is never green."""
    memory, blocker = context.memory, context.memory.results.get(result.blocked_by)
    if context.is_aside or memory.reported is None or blocker is None or blocker.outcome not in {"failed", "warned"}:
        return
    if blocker.id in memory.reported | memory.stood_in_for:
        return
    if blocker.id == "ack.status" and not memory.accepted:  # its secret may be another one: that is no finding
        return
    memory.stood_in_for.add(blocker.id)
    for name in ("outcome", "sent", "required", "received", "note", "why"):
        setattr(result, name, getattr(blocker, name))
    result.reason = f"{result.reason}; {blocker.id} was not chosen, and failed: {blocker.reason}"
    result.text = f"[{result.id}] can't be checked, since {blocker.id}, which was not chosen, failed:\n{blocker.text}"


def _is_gone(response: Response, context: CheckContext) -> bool:
    """Find out whether a receiver that did respond can't be reached any more."""
    if response.status or context.receiver.interface != "url" or not context.memory.accepted:
        return False
    if isinstance(response.error, TimeoutError):  # it is there, and the next request would wait as long
        return False
    # It may have stopped while it had this request, or before it took it from the queue.
    return isinstance(context.receiver.send(context.meetgeek.forged("missing")).error, ConnectionRefusedError)


def _describe_gone(result: CheckResult, check: Check, failure: CheckFailure, context: CheckContext) -> None:
    """Fail one check because the receiver has stopped, whatever its level, and skip those that find the same later."""
    memory = context.memory
    if memory.gone_at:
        result.outcome, result.blocked_by = "skipped", memory.gone_at
        result.reason = f"blocked by {memory.gone_at}: the receiver can't be reached any more"
        return
    failure.note = "the receiver can't be reached any more: it stopped during this check, or just before"
    failure.why = "a receiver that stops loses every event until someone starts it again"
    _describe(result, check, failure, context)
    memory.gone_at, result.outcome = check.id, "failed"


def _again(request: WebhookRequest, context: CheckContext) -> list[str]:
    """Say how to send a request to a URL once more, without a signature of a real secret: it would be valid forever."""
    meetgeek, url = context.meetgeek, context.receiver.url
    if context.receiver.interface != "url":
        return []
    if meetgeek.is_public or not request.signatures:
        return [f"  again:    {request.curl(url)}"]
    if context.secret_variable is None:
        return []
    if request.label in FORGERIES:
        options = f"--forge {request.label} --meetgeek-secret-env {context.secret_variable}"
        return [f"  again:    python -m pytest_meetgeek send --to {url} {options}"]
    if request.signatures == (meetgeek.signature_of(request.body),):
        signer = f'MEETGEEK_WEBHOOK_SECRET="${context.secret_variable}" mg-middleware sign -'
        return [f"  again:    {request.curl(url, signer=signer)}"]
    return []


def _describe(result: CheckResult, check: Check, failure: CheckFailure, context: CheckContext) -> None:
    receiver, confidential = context.receiver, context.meetgeek.confidential
    result.outcome = "failed" if check.level == "MUST" or context.strict else "warned"
    result.reason = f"required {failure.required}" + (f": {failure.note}" if failure.note else "")
    result.sent = failure.request.describe(receiver.path)
    result.required, result.note = failure.required, failure.note
    result.why, result.blocks = failure.why or check.why, failure.blocks
    result.received = failure.response.describe(confidential)
    lines = [
        f"[{check.id}] {check.title}",
        f"  level:    {check.level}   source: {check.source}",
        f"  sent:     {result.sent}",
        f"  required: {result.required}",
        f"  received: {result.received}",
        *([f"  note:     {result.note}"] if result.note else []),
        f"  why:      {result.why}",
        *_again(failure.request, context),
    ]
    result.text = redact("\n".join(lines).encode(), confidential).decode()
