"""Runs the whole suite over one receiver, without pytest."""

from unittest.mock import patch

from plugin_receivers import SECRET

from pytest_meetgeek import CHECKS, MeetGeek, Receiver, Spy
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import CheckContext, Memory


# The work that one check makes slow would take a minute, over all broken receivers.
@patch("pytest_meetgeek.checks.catalogue._SLOW_WORK", 0.02)
def findings(app, interface="auto", handlers=None, path="/"):
    """Run the suite as the plugin does: one life of the app, a spy for each check, one memory."""
    memory = Memory()
    found = {}
    with Receiver(app, path=path, interface=interface, timeout=10 if isinstance(app, str) else 0.5) as receiver:
        for check in CHECKS.values():
            spy = Spy()
            if handlers is not None:
                handlers.handler = spy
            meetgeek = MeetGeek(SECRET, seed=check.id)
            found[check.id] = run_check(check, CheckContext(meetgeek, receiver, spy, memory, strict=True))
    return found


def failed(found):
    return {check_id for check_id, result in found.items() if result.outcome == "failed"}
