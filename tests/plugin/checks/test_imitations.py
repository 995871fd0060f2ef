"""Receivers that real ones are like: which findings, how many, and which words must not occur in them."""

import pytest
from plugin_findings import findings
from plugin_receivers import WRONG

# What nobody here did: these words belong to other mistakes.
FOREIGN = {"KeyError", "utf-8-sig", "redirect", "CSRF", "lock", "meeting_id", "JSON that", "no response within"}


@pytest.mark.parametrize(
    ("name", "expected", "says", "never"),
    [
        ("another-header-asgi", "ack.status", "reads the signature from X-Hub-Signature-256", FOREIGN),
        ("answers-202-asgi", "ack.status", "any other status does not acknowledge", FOREIGN | {"secret"}),
        ("acknowledges-first-asgi", "rep.fail-then-retry", "another status than 200: the handler failed", FOREIGN),
        ("bad-signature-gets-200-asgi", "rej.status", "none was processed", FOREIGN | {"nothing is verified"}),
        ("no-verification-asgi", "rej.status", "nothing is verified", FOREIGN | {"are dropped"}),
        ("looks-up-too-early-asgi", "rep.idempotent", "sent at once, it was processed", FOREIGN | {"in turn"}),
        ("swallows-failure-wsgi", "rep.fail-then-retry", "another status than 200: the handler failed", FOREIGN),
        ("remembers-too-early-wsgi", "rep.fail-then-retry", "processed at the second POST", FOREIGN),
        ("shows-its-failure-wsgi", "rep.fail-no-leak", "nothing of what the handler raised", FOREIGN),
    ],
)
def test_a_fault_is_one_finding_in_fitting_words(name, expected, says, never):
    make, interface, _ = WRONG[name]
    receiver = make()
    results = findings(getattr(receiver, interface), interface, receiver)
    (found,) = [result for result in results.values() if result.outcome == "failed"]
    assert found.id == expected
    assert says in found.text
    # What the receiver itself sent is its own.
    said = found.text.replace(found.sent, "").replace(found.received, "")
    assert sorted(word for word in never if word in said) == []
