"""The conformance suite as one test, for pytest --pyargs pytest_meetgeek.suite. PYTEST_DONT_REWRITE."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def test_receiver(meetgeek_check: Callable[[], None]) -> None:
    """Run one check; the plugin makes one test of each."""
    meetgeek_check()
