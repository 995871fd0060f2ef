"""Makes the receivers of this folder importable, here and in what the tests start."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def importable_in_subprocesses(monkeypatch):
    """What pytester starts finds the receivers of this folder, and the Django project beside it."""
    folder = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(folder.parent)]))
