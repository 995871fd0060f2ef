"""One fault is one finding: what presupposes what, and what a failure blocks."""

import pytest
from plugin_findings import failed, findings
from plugin_receivers import SECRET, WRONG, Right

from pytest_meetgeek import CHECKS, Check, MeetGeek, Receiver
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import CheckContext
from pytest_meetgeek.checks.result import CheckFailure, CheckResult, CheckSkipped


def check(check_id, run, *presupposes):
    return Check(check_id, "MUST", "a title", "a source", "a reason", run, presupposes)


def passes(context):
    """Find nothing."""


def fails(blocks=""):
    def run(context):
        request = context.meetgeek.analyzed()
        raise CheckFailure(request, "another response", context.send(request), blocks=blocks)

    return run


def skips(context):
    raise CheckSkipped("not here")


@pytest.fixture
def context():
    with Receiver(Right().asgi) as receiver:
        yield CheckContext(MeetGeek(SECRET, seed="x"), receiver)


@pytest.mark.parametrize(
    ("run", "outcome", "reason"),
    [
        (passes, "passed", ""),
        (skips, "passed", ""),
        (fails(None), "passed", ""),
        (fails(), "skipped", "blocked by a.first"),
        (fails("nothing works"), "skipped", "blocked by a.first: nothing works"),
    ],
    ids=["passes", "is skipped", "blocks nothing", "blocks", "blocks and says why"],
)
def test_a_check_whose_presupposition_fails_is_blocked(run, outcome, reason, context):
    result = run_check(check("a.second", passes, check("a.first", run)), context)
    assert (result.outcome, result.reason) == (outcome, reason)
    assert result.blocked_by == ("a.first" if outcome == "skipped" else "")


def test_the_first_failure_is_the_one_that_is_named(context):
    second = check("a.second", fails(), check("a.first", fails("nothing works")))
    result = run_check(check("a.third", passes, second), context)
    assert (result.reason, result.blocked_by) == ("blocked by a.first: nothing works", "a.first")


def test_what_was_found_is_not_looked_for_again(context):
    runs = []
    first = check("a.first", lambda context: runs.append(context.meetgeek.new_meeting_id()))
    for name in ("a.second", "a.third"):
        run_check(check(name, passes, first), context)
    assert len(runs) == 1
    assert runs != [context.meetgeek.new_meeting_id()]


def test_what_was_blocked_is_tried_again(context):
    context.memory.results["a.first"] = CheckResult("a.first", "MUST", "skipped", blocked_by="another")
    assert run_check(check("a.second", passes, check("a.first", passes)), context).outcome == "passed"


def test_each_check_comes_after_what_it_presupposes():
    order = list(CHECKS)
    for name, found in CHECKS.items():
        assert all(order.index(earlier.id) < order.index(name) for earlier in found.presupposes)
        assert all(CHECKS[earlier.id] is earlier for earlier in found.presupposes)


def test_what_blocks_others_is_caught_alone_by_a_receiver():
    # An edge to a check that a right receiver fails, or that nothing fails, would hide the checks behind it.
    roots = {earlier.id for found in CHECKS.values() for earlier in found.presupposes}
    caught = {check_id for _, _, caught_by in WRONG.values() for check_id in caught_by}
    assert roots <= caught | {"cfg.unset-secret"}


class Open(Right):
    def is_genuine(self, headers, body):
        return True


class FormOnly(Right):
    def is_genuine(self, headers, body):
        return [len(value) for value in self.signatures(headers)] == [64]


class Drops(Right):
    refusal = (200, b"")


class Says202(Right):
    success = (202, b"")


@pytest.mark.parametrize("make", [Open, FormOnly, Drops])
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
def test_a_receiver_that_verifies_nothing_is_a_few_findings(make, counted):
    receiver = make()
    found = findings(receiver.asgi, "asgi", receiver if counted else None)
    assert "rej.status" in failed(found)
    assert len(failed(found)) <= 6
    assert sum(check_id.startswith(("sig.", "rej.")) for check_id in failed(found)) <= 3
    blocked = {check_id for check_id, result in found.items() if result.blocked_by == "rej.status"}
    assert ("sig.zeros" in blocked) == (make is not Drops or not counted)
    text = found["rej.status"].text
    assert ("nothing is verified" in text) == (make is not Drops or not counted)


def test_a_receiver_that_sends_another_2xx_blocks_nothing():
    receiver = Says202()
    found = findings(receiver.asgi, "asgi", receiver)
    assert failed(found) == {"ack.status"}
    assert not [check_id for check_id, result in found.items() if result.blocked_by]


def test_a_failure_with_another_2xx_than_the_success_is_found():
    class Mixed(Right):
        def process(self, body):
            return (202, b"") if b"failed" in body else super().process(body)

    receiver = Mixed()
    assert "ack.failed" in failed(findings(receiver.asgi, "asgi", receiver))


def test_a_check_of_level_should_only_warns_unless_strict(context):
    found = Check("a.first", "SHOULD", "a title", "a source", "a reason", fails())
    assert run_check(found, context).outcome == "warned"
    context.strict = True
    assert run_check(found, context).outcome == "failed"
    assert run_check(found, context).group == "a"


def test_where_requests_cannot_be_sent_at_once_they_are_not(context):
    context.one_thread = "one at a time"
    result = run_check(CHECKS["rep.concurrent"], context)
    assert (result.outcome, result.reason) == ("skipped", "one at a time")
    context.receiver.app.__self__.handler = context.spy
    assert run_check(CHECKS["rep.idempotent"], context).outcome == "passed"
