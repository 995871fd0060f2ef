"""Ways to a handler that no guard around the application can know, as the security model lists them.

The handler runs, and finds that nothing was verified; a guard that is told of the way, or is inside of it, refuses.
"""

from types import ModuleType

import falcon
import flask
import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from mg_middleware import MeetGeekWSGIMiddleware, delivery_of

WEBHOOK = "/webhooks/meetgeek"


class ScriptNameFromField:
    """What many pages on the web show for an app behind a prefix."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        prefix = environ.get("HTTP_X_SCRIPT_NAME", "")
        environ = {**environ, "SCRIPT_NAME": prefix, "PATH_INFO": environ["PATH_INFO"].removeprefix(prefix)}
        return self.app(environ, start_response)


def guard(app, paths=WEBHOOK):
    return MeetGeekWSGIMiddleware(app, "a secret", paths=paths)


@pytest.fixture
def verified():
    """Hold, for each run of the handler, whether the request was verified."""
    return []


@pytest.fixture
def record(verified):
    def record(request):
        try:
            delivery_of(request)
        except LookupError:
            verified.append(False)
        else:
            verified.append(True)

    return record


def status_of(app, path, **headers):
    environ = EnvironBuilder(path, method="POST", headers=headers).get_environ()
    return run_wsgi_app(app, environ)[1]


def test_a_prefix_from_a_field(record, verified):
    app = flask.Flask(__name__)
    app.add_url_rule(WEBHOOK, view_func=lambda: record(flask.request) or "", methods=["POST"])
    way = {"path": f"/x{WEBHOOK}", "X-Script-Name": "/x"}
    assert status_of(guard(ScriptNameFromField(app)), **way) == "200 OK"
    assert verified == [False]
    assert status_of(ScriptNameFromField(guard(app)), **way) == "401 Unauthorized"
    assert verified == [False]


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        pytest.param("i18n_patterns", f"/en-us{WEBHOOK}", id="a language prefix"),
        pytest.param("no end", f"{WEBHOOK}-status", id="a pattern without an end"),
        pytest.param("no beginning", f"/x{WEBHOOK}", id="a pattern without a beginning"),
    ],
)
def test_a_pattern_of_django(build_framework, record, verified, routes, path):
    build_framework("django-wsgi")  # for its settings
    from django.conf.urls.i18n import i18n_patterns  # noqa: PLC0415
    from django.core.handlers.wsgi import WSGIHandler  # noqa: PLC0415
    from django.http import HttpResponse  # noqa: PLC0415
    from django.urls import path as route  # noqa: PLC0415
    from django.urls import re_path  # noqa: PLC0415
    from django.views.decorators.csrf import csrf_exempt  # noqa: PLC0415

    @csrf_exempt
    def view(request):
        record(request)
        return HttpResponse()

    urls = ModuleType("urls")
    urls.urlpatterns = {
        "i18n_patterns": lambda: i18n_patterns(route("webhooks/meetgeek", view)),
        "no end": lambda: [re_path("^webhooks/meetgeek", view)],
        "no beginning": lambda: [re_path("webhooks/meetgeek", view)],
    }[routes]()

    class Handler(WSGIHandler):
        def resolve_request(self, request):
            request.urlconf = urls
            return super().resolve_request(request)

    assert status_of(guard(Handler()), path) == "200 OK"
    assert verified == [False]
    assert status_of(guard(Handler(), [WEBHOOK, path]), path) == "401 Unauthorized"
    assert verified == [False]


def test_a_sink_of_falcon(record, verified):
    app = falcon.App()
    app.add_sink(lambda request, response: record(request), WEBHOOK)
    assert status_of(guard(app), f"{WEBHOOK}-status") == "200 OK"
    assert verified == [False]
    assert status_of(guard(app), WEBHOOK) == "401 Unauthorized"
