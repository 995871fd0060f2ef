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
@click.option("--explain", is_flag=True, help="If it isn't genuine, find out why, and what to do.")
@secret_options
def verify(file: str, signature: str, *, explain: bool, secret: SecretSource) -> int:
    """Check that SIGNATURE fits FILE, or standard input.

    SIGNATURE is the value of X-MG-Signature. It's computed over the exact bytes.

    Exit status 0 if it fits ("genuine"), 1 if it doesn't ("not genuine").
    """
    key, body = secret.read(), read_content(file)
    genuine = is_genuine(key, body, signature)
    click.echo("genuine" if genuine else "not genuine")
    if explain and not genuine:
        from mg_middleware.explanation import explain_mismatch, without_cause  # if asked for

        for explanation in explain_mismatch(key, body, signature) or without_cause(body, signature):
            click.echo(f"{explanation.sentence}\n{explanation.remedy}")
    return 0 if genuine else 1
