"""What guarding adds to one ASGI request, and what the forms that people copy add."""

import added_costs
import applications
import pytest
from added_costs import cases
from requests_to_send import GENUINE, slack_command

from mg_middleware import MeetGeekASGIMiddleware

pytestmark = added_costs.IN_PROCESS


@pytest.mark.parametrize(("name", "case"), cases(2.5).items(), ids=list(cases(2.5)))
def test_added(benchmark, name, case):
    added_costs.measure_case(
        benchmark,
        "asgi",
        MeetGeekASGIMiddleware,
        name,
        case,
        applications.asgi_application,
        applications.answering_asgi_application,
    )


def test_one_function(benchmark):
    added_costs.added(
        benchmark,
        "asgi",
        applications.OneFunction,
        "a middleware of one function, which does nothing else",
        app=applications.asgi_application,
        bare=applications.asgi_application,
        options={},
        request=GENUINE,
    )


def test_memory_store(benchmark):
    added_costs.measure_memory_store(benchmark, "asgi", MeetGeekASGIMiddleware, applications.asgi_application)


@pytest.mark.parametrize(
    ("name", "bare", "checked", "request_to_send", "at_least"),
    [
        pytest.param(
            "Starlette's BaseHTTPMiddleware with the snippet, on a minimal application",
            lambda: applications.asgi_application,
            lambda: applications.SnippetMiddleware(applications.asgi_application),
            lambda: GENUINE,
            50,
            id="BaseHTTPMiddleware alone",
        ),
        pytest.param(
            "Starlette's BaseHTTPMiddleware with the snippet",
            applications.starlette_application,
            applications.starlette_with_base_http_middleware,
            lambda: GENUINE,
            None,
            id="BaseHTTPMiddleware",
        ),
        pytest.param(
            "FastAPI's Depends with the snippet",
            applications.fastapi_application,
            applications.fastapi_with_depends,
            lambda: GENUINE,
            None,
            id="Depends",
        ),
        pytest.param(
            "FastAPI's @app.middleware with the snippet",
            applications.fastapi_application,
            applications.fastapi_with_middleware,
            lambda: GENUINE,
            None,
            id="app.middleware",
        ),
        pytest.param(
            "slack-bolt on ASGI (signatures of Slack)",
            lambda: applications.bolt_asgi(checked=False),
            lambda: applications.bolt_asgi(checked=True),
            slack_command,
            None,
            id="slack-bolt",
        ),
    ],
)
def test_alternatives(benchmark, name, bare, checked, request_to_send, at_least):
    added_costs.measure_alternative(
        benchmark,
        "asgi",
        MeetGeekASGIMiddleware,
        name,
        bare=bare(),
        checked=checked(),
        request=request_to_send(),
        at_least=at_least,
        rounds=40 if "slack-bolt" in name else 200,  # bolt looks every 10 ms whether its listener has responded
    )


@pytest.mark.parametrize(
    ("name", "make"),
    [("Starlette", applications.starlette_application), ("FastAPI", applications.fastapi_application)],
    ids=["Starlette", "FastAPI"],
)
def test_share(benchmark, name, make):
    added_costs.measure_share(benchmark, "asgi", MeetGeekASGIMiddleware, name, make())
