"""What the benchmarks share. Run them with `pytest benchmarks`; the report is made by `python benchmarks/report.py`."""

import logging
import sys
from pathlib import Path

import pytest

# The modules beside the tests are theirs alone, and no package.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # What is compared warns of this and that, which is not the question here.
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(autouse=True)
def _quiet_log(monkeypatch):
    """No line for each refused request: what a handler does with it would be measured."""
    monkeypatch.setattr(logging.getLogger("mg_middleware"), "level", logging.ERROR)


def pytest_terminal_summary(terminalreporter):
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    rows = [benchmark.extra_info for benchmark in getattr(session, "benchmarks", ()) if "ratio" in benchmark.extra_info]
    if rows:
        terminalreporter.section("ratios")
    for row in rows:
        low, high = row["quartiles"]
        terminalreporter.line(f"{row['ratio']:10.3f} ({low:.3f} to {high:.3f})  {row['name']} / {row['beside']}")
