"""Makes the receivers of this folder importable, here and in what the tests start."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Runs an async function on each event loop."""
    from plugin_drivers import RUNNERS

    return RUNNERS[request.param]


@pytest.fixture(autouse=True)
def importable_in_subprocesses(monkeypatch):
    """What pytester starts finds the receivers of this folder too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture(autouse=True)
def no_test_database_of_other_tests(monkeypatch):
    """Other folders' tests may have prepared this process for Django's test database; here it has none."""
    mail = sys.modules.get("django.core.mail")
    if mail is not None:
        monkeypatch.delattr(mail, "outbox", raising=False)


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch):
    """Give what pytester starts this plugin alone: to load those that these tests use takes longer than most runs."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_meetgeek.plugin")


@pytest.fixture
def installed_plugins(no_other_plugins, monkeypatch):
    """Give what pytester starts all plugins that are installed, as pytest finds them."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
