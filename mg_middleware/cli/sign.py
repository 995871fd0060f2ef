"""The command `sign`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mg_middleware.cli._options import complete_file, read_content, secret_options
from mg_middleware.webhook import sign as signature_of

if TYPE_CHECKING:
    from mg_middleware.cli._options import SecretSource


@click.command()
@click.argument("file", metavar="FILE|-", shell_complete=complete_file)
@secret_options
def sign(file: str, *, secret: SecretSource) -> None:
    """Print the X-MG-Signature of FILE, or of standard input.

    The signature is computed over the exact bytes.
    """
    click.echo(signature_of(secret.read(), read_content(file)))
