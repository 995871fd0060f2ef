"""Ways to a handler that no guard around the application can know, as the security model lists them.

The handler runs, and finds that nothing was verified; a guard that is told of the way, or is inside of it, refuses.
"""

from types import ModuleType

import falcon
import flask
import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from mg_middleware import MeetGeekWSGIMiddleware, delivery_of, sign

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


DJANGO_ROUTES = pytest.mark.parametrize(
    ("routes", "path"),
    [
        pytest.param("i18n_patterns", f"/en-us{WEBHOOK}", id="a language prefix"),
        pytest.param("no end", f"{WEBHOOK}-status", id="a pattern without an end"),
        pytest.param("no beginning", f"/x{WEBHOOK}", id="a pattern without a beginning"),
    ],
)


@pytest.fixture
def django_project(build_framework):
    """Build a Django project with one view, which is found in one of several ways."""
    build_framework("django-wsgi")  # for its settings
    from django.conf.urls.i18n import i18n_patterns  # noqa: PLC0415
    from django.core.handlers.wsgi import WSGIHandler  # noqa: PLC0415
    from django.urls import path as route  # noqa: PLC0415
    from django.urls import re_path  # noqa: PLC0415

    def build(view, routes):
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

        return Handler()

    return build


@DJANGO_ROUTES
def test_a_pattern_of_django(django_project, record, verified, routes, path):
    from django.http import HttpResponse  # noqa: PLC0415
    from django.views.decorators.csrf import csrf_exempt  # noqa: PLC0415

    app = django_project(csrf_exempt(lambda request: HttpResponse(record(request) or "")), routes)
    assert status_of(guard(app), path) == "200 OK"
    assert verified == [False]
    assert status_of(guard(app, [WEBHOOK, path]), path) == "401 Unauthorized"
    assert verified == [False]


@DJANGO_ROUTES
def test_a_door_at_the_view_verifies_whatever_leads_there(django_project, record, verified, routes, path):
    from django.http import HttpResponse  # noqa: PLC0415

    from mg_middleware.django import meetgeek_webhook  # noqa: PLC0415

    @meetgeek_webhook(secret="a secret")
    def view(request):
        record(request)
        return HttpResponse()

    app = django_project(view, routes)
    assert status_of(app, path) == "401 Unauthorized"
    assert verified == []
    assert status_of(app, path, **{"X-MG-Signature": sign("a secret", b"")}) == "200 OK"
    assert verified == [True]


def test_no_way_leads_to_a_handler_of_the_guard():
    deliveries = []
    app = flask.Flask(__name__)
    guarded = MeetGeekWSGIMiddleware(app, "a secret", paths=WEBHOOK, handler=deliveries.append)
    for path in (WEBHOOK, f"/x{WEBHOOK}", f"{WEBHOOK}-status", f"/en-us{WEBHOOK}", f"{WEBHOOK}.json"):
        assert status_of(ScriptNameFromField(guarded), path, **{"X-Script-Name": "/x"})[:3] in {"401", "404"}
    assert deliveries == []
    assert status_of(guarded, WEBHOOK, **{"X-MG-Signature": sign("a secret", b"")}) == "200 OK"
    assert len(deliveries) == 1


def test_a_sink_of_falcon(record, verified):
    app = falcon.App()
    app.add_sink(lambda request, response: record(request), WEBHOOK)
    assert status_of(guard(app), f"{WEBHOOK}-status") == "200 OK"
    assert verified == [False]
    assert status_of(guard(app), WEBHOOK) == "401 Unauthorized"
