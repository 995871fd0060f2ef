"""The error that ends a command."""

from __future__ import annotations

import click


class CommandError(click.UsageError):
    """A command cannot be carried out: shown as one line, with exit status 2.

    Not for an answer in the negative, such as a signature that does not match: that is exit status 1.
    """
