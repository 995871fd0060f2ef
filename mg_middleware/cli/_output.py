"""Where the commands show what they found."""

from __future__ import annotations

from rich.console import Console


def standard_output() -> Console:
    """Open standard output for tables and lines, in colour where it is a terminal.

    What receivers answer is shown too, so that nothing in a text is taken for markup.
    """
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
