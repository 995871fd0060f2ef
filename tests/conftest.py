"""What all tests share."""

import signal

import pytest
from hypothesis import settings
from idempotency.database_programs import servers_in_use

# A shell lets what it starts in the background ignore Ctrl-C, and each program that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes says nothing on a busy machine; the timeout of the whole test stands in pyproject.toml.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


def pytest_report_header():
    return f"database servers: {servers_in_use()}"


@pytest.fixture
def pytester(pytester, monkeypatch):
    """What pytester runs in this process is without pytest-django, which goes by the settings of other tests here."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:django")
    return pytester
