"""Each test run within a test starts with receivers that have seen no meeting."""

import sys

import pytest


@pytest.fixture(autouse=True)
def fresh_receivers(monkeypatch):
    """Forget the module of the receivers, which other tests of this process may have imported and used."""
    monkeypatch.delitem(sys.modules, "plugin_shop", raising=False)
