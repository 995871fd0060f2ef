"""The commands `sign` and `verify`: one body that is already in hand."""

from __future__ import annotations

import click

from mg_middleware.cli.content import read_content
from mg_middleware.cli.secret import read_secret, secret_file_option
from mg_middleware.webhook import sign as signature_of
from mg_middleware.webhook import verify as is_genuine


@click.command()
@click.argument("file", metavar="FILE|-")
@secret_file_option
def sign(file: str, secret_file: str | None) -> None:
    """Print the X-MG-Signature of FILE, or of standard input.

    It is computed over the exact bytes.
    """
    click.echo(signature_of(read_secret(secret_file), read_content(file)))


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
