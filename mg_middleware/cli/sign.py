"""The command `sign`."""

from __future__ import annotations

import click

from mg_middleware.cli._options import read_content, read_secret, secret_file_option
from mg_middleware.webhook import sign as signature_of


@click.command()
@click.argument("file", metavar="FILE|-")
@secret_file_option
def sign(file: str, secret_file: str | None) -> None:
    """Print the X-MG-Signature of FILE, or of standard input.

    It is computed over the exact bytes.
    """
    click.echo(signature_of(read_secret(secret_file), read_content(file)))
