"""The command `verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mg_middleware.cli._options import complete_file, read_content, secret_options
from mg_middleware.webhook import verify as is_genuine

if TYPE_CHECKING:
    from mg_middleware.cli._options import SecretSource


@click.command()
@click.argument("file", metavar="FILE|-", shell_complete=complete_file)
@click.argument("signature")
@secret_options
def verify(file: str, signature: str, *, secret: SecretSource) -> int:
    """Check that SIGNATURE is the X-MG-Signature of FILE, or of standard input.

    The signature is computed over the exact bytes.

    Exit status 0 if it is ("genuine"), 1 if it is not ("not genuine").
    """
    genuine = is_genuine(secret.read(), read_content(file), signature)
    click.echo("genuine" if genuine else "not genuine")
    return 0 if genuine else 1
