"""The command `verify`."""

from __future__ import annotations

import click

from mg_middleware.cli._options import read_content, read_secret, secret_file_option
from mg_middleware.webhook import verify as is_genuine


@click.command()
@click.argument("file", metavar="FILE|-")
@click.argument("signature")
@secret_file_option
def verify(file: str, signature: str, secret_file: str | None) -> int:
    """Tell whether SIGNATURE is that of FILE, or of standard input.

    It is the X-MG-Signature of the exact bytes.

    Exit status 0 if it is, 1 if it is not.
    """
    genuine = is_genuine(read_secret(secret_file), read_content(file), signature)
    click.echo("genuine" if genuine else "not genuine")
    return 0 if genuine else 1
