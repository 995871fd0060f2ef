"""Settings for the tests of this folder alone: other tests in the same process configure Django, too."""
# ruff: noqa: SLF001 - Django has no public way to forget its settings

import sys
from pathlib import Path
from types import SimpleNamespace

import django
import pytest
from cases import SECRET
from django.conf import empty, settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.test.utils import setup_test_environment, teardown_test_environment
from django.urls import path

sys.path.insert(0, str(Path(__file__).parent))

SETTINGS = {
    "SECRET_KEY": "only for the tests",
    "ALLOWED_HOSTS": ["*"],
    "LOGGING_CONFIG": None,
    "MIDDLEWARE": [
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    "REST_FRAMEWORK": {"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
    "ROOT_URLCONF": (),
    "MEETGEEK_WEBHOOK_SECRET": SECRET,
}


@pytest.fixture(scope="package", autouse=True)
def _django(tmp_path_factory):
    # Not in memory: Django leaves such a database open.
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path_factory.mktemp("django") / "database"}
    before = settings._wrapped
    settings._wrapped = empty
    settings.configure(DATABASES={"default": database}, **SETTINGS)
    django.setup()
    forget_databases()
    setup_test_environment(debug=False)
    yield
    teardown_test_environment()
    forget_databases()
    settings._wrapped = before


def forget_databases():
    connections.close_all()
    vars(connections).pop("settings", None)
    connections._settings = None  # what was read of the settings before
    if hasattr(connections._connections, "default"):
        del connections["default"]


@pytest.fixture(autouse=True)
def _no_secret_in_the_environment(monkeypatch):
    monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET", raising=False)
    monkeypatch.delenv("MEETGEEK_WEBHOOK_SECRET_FILE", raising=False)


@pytest.fixture
def serve():
    """Serve a view at /webhooks/meetgeek, and give the clients and handlers that reach it."""
    overrides = []

    def serve(view, route="webhooks/meetgeek", **changes):
        override = override_settings(ROOT_URLCONF=(path(route, view),), **changes)
        override.enable()
        overrides.append(override)
        return SimpleNamespace(
            client=Client(),
            async_client=AsyncClient(),
            factory=RequestFactory(),
            async_factory=AsyncRequestFactory(),
            wsgi=WSGIHandler(),
            asgi=ASGIHandler(),
        )

    yield serve
    for override in reversed(overrides):
        override.disable()
