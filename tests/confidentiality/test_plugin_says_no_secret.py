"""Neither the plugin's objects nor its output hold the secret, even where the receiver gives it away.

The requests are made up, and it is its purpose to show how to send one again: their signatures are no secret here.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from searching import SECRET, listening, spellings

from pytest_meetgeek import CHECKS, FORGERIES, DeliveryRecord, MeetGeek, Receiver, Response, Spy
from pytest_meetgeek.checks.check import run_check
from pytest_meetgeek.checks.context import CheckContext
from pytest_meetgeek.plugin.settings import ConfidentialText

MEETGEEK = MeetGeek(SECRET, seed="a test")


def tell_all(environ, start_response):
    """A receiver that answers everything with its secret."""
    start_response("200 OK", [("X-Secret", SECRET)])
    return [f"the secret is {SECRET}".encode()]


def raise_all(environ, start_response):
    """A receiver that fails with its secret."""
    raise ValueError(f"not signed with {SECRET}")


def shown_secrets(text):
    return [word for word in spellings(SECRET) if word in text]


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_request(how):
    request = MEETGEEK.forged(how)
    assert shown_secrets(repr(request) + request.describe("/") + request.curl("http://127.0.0.1/")) == []


@pytest.mark.parametrize("app", [tell_all, raise_all])
def test_objects(app):
    spy = Spy()
    spy(SECRET)
    with Receiver(app) as receiver:
        record = MEETGEEK.deliver(receiver, MEETGEEK.analyzed())
        context = CheckContext(MEETGEEK, receiver, spy)
        findings = [run_check(check, context) for check in CHECKS.values() if check.id != "cfg.unset-secret"]
    assert isinstance(record, DeliveryRecord)
    assert isinstance(record.attempts[0], Response)
    objects = [MEETGEEK, spy, receiver, record, record.attempts, context, findings, ConfidentialText(SECRET)]
    assert shown_secrets("".join(map(repr, objects)) + record.explain()) == []
    assert any(result.outcome == "failed" for result in findings)


@pytest.mark.parametrize("app", ["tell_all", "raise_all"])
def test_a_failing_run_that_shows_local_variables(pytester, monkeypatch, capfd, app):
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    pytester.makepyfile(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_plugin_says_no_secret import {app} as app
        import pytest

        @pytest.fixture
        def meetgeek_app():
            return app

        def test_receiver(meetgeek_check):
            meetgeek_check()

        def test_answer(meetgeek, meetgeek_secret, meetgeek_receiver, meetgeek_request, meetgeek_spy):
            meetgeek_spy(meetgeek_secret)
            record = meetgeek.deliver(meetgeek_receiver, meetgeek_request)
            response = record.attempts[0]
            meetgeek.assert_rejected(response, meetgeek_request)

        def test_plainly(meetgeek_receiver, meetgeek_request):
            assert meetgeek_receiver.send(meetgeek_request).status == 401
        """
    )
    with listening(capfd) as heard:
        result = pytester.runpytest_subprocess(
            *("--showlocals", "--tb=long", "-rA", "-v", "-p", "no:cacheprovider", "-krej or answer or plainly"),
            *("--meetgeek-secret-env=SHOP_SECRET", "--meetgeek-report=report.json", "--junitxml=junit.xml"),
        )
    assert result.parseoutcomes()["failed"] >= 3
    texts = [*result.outlines, *result.errlines, (pytester.path / "report.json").read_text()]
    assert shown_secrets("\n".join([*texts, (pytester.path / "junit.xml").read_text(), heard.text()])) == []
