"""What guarding adds to one WSGI request, and what the forms that people copy add."""

import added_costs
import applications
import pytest
from added_costs import cases
from requests_to_send import GENUINE, slack_command

from mg_middleware import MeetGeekWSGIMiddleware

pytestmark = added_costs.IN_PROCESS


@pytest.mark.parametrize(("name", "case"), cases(2.5).items(), ids=list(cases(2.5)))
def test_added(benchmark, name, case):
    added_costs.measure_case(
        benchmark,
        "wsgi",
        MeetGeekWSGIMiddleware,
        name,
        case,
        applications.wsgi_application,
        applications.answering_wsgi_application,
    )


def test_memory_store(benchmark):
    added_costs.measure_memory_store(benchmark, "wsgi", MeetGeekWSGIMiddleware, applications.wsgi_application)


@pytest.mark.parametrize(
    ("name", "bare", "checked", "request_to_send"),
    [
        pytest.param(
            "Flask's before_request with the snippet",
            applications.flask_application,
            applications.flask_with_before_request,
            lambda: GENUINE,
            id="before_request",
        ),
        pytest.param(
            "a Django middleware with the snippet",
            applications.django_application,
            applications.django_with_middleware,
            lambda: GENUINE,
            id="Django middleware",
        ),
        pytest.param(
            "slack-bolt on WSGI (signatures of Slack)",
            lambda: applications.bolt_wsgi(checked=False),
            lambda: applications.bolt_wsgi(checked=True),
            slack_command,
            id="slack-bolt",
        ),
    ],
)
def test_alternatives(benchmark, name, bare, checked, request_to_send):
    added_costs.measure_alternative(
        benchmark,
        "wsgi",
        MeetGeekWSGIMiddleware,
        name,
        bare=bare(),
        checked=checked(),
        request=request_to_send(),
        rounds=40 if "slack-bolt" in name else 200,  # bolt looks every 10 ms whether its listener has responded
    )


@pytest.mark.parametrize(
    ("name", "make"),
    [("Flask", applications.flask_application), ("Django", applications.django_application)],
    ids=["Flask", "Django"],
)
def test_share(benchmark, name, make):
    added_costs.measure_share(benchmark, "wsgi", MeetGeekWSGIMiddleware, name, make())
