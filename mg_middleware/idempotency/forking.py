"""Starting afresh in a forked process: it has none of its parent's threads, and its locks may be held for ever."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def call_in_forked_child(function: Callable[[], None]) -> None:
    """Call a function in each process that is forked from this one, before anything else runs there.

    Args:
        function: what forgets the parent's threads and locks.
    """
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(after_in_child=function)
