"""The load tests run on demand: `pytest tests/soak --soak`."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the load tests, each of which takes its time")
    parser.addoption("--soak-seconds", type=float, default=60.0, help="how long each server is under load")


def pytest_ignore_collect(collection_path, config):
    """Leave the load tests out of an ordinary run, whose time they would take up."""
    if collection_path.name.startswith("test_") and not config.getoption("--soak", default=False):
        return True
    return None


@pytest.fixture
def say(capsys):
    """Show a figure, whatever pytest captures."""

    def say(text):
        with capsys.disabled():
            print(f"\n{text}", end="")  # noqa: T201 - the figures are what the run is for

    return say
