"""The command `serve`."""

from __future__ import annotations

import click

from mg_middleware.cli.secret import secret_file_option
from mg_middleware.cli.server import run
from mg_middleware.cli.service import Service


@click.command()
@click.argument("application", metavar="[MODULE:APP]", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 takes a free one."
)
@click.option(
    "--path",
    "paths",
    multiple=True,
    help="Guard this path and all below it, and let others through; may be given several times.  [default: guard all]",
)
@click.option(
    "--store",
    metavar="FILE|URL",
    envvar="MEETGEEK_WEBHOOK_STORE",
    show_envvar=True,
    help="Process each meeting once, remembered in an SQLite file or at redis://… (set the variable instead where the "
    "URL holds a password).",
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="The number of processes.")
@secret_file_option
def serve(
    application: str | None,
    *,
    host: str,
    port: int,
    paths: tuple[str, ...],
    store: str | None,
    workers: int,
    secret_file: str | None,
) -> None:
    """Run the ASGI or WSGI application MODULE:APP behind the guard.

    Without an application, print each verified event as a line of JSON on standard output.

    Each guarded request is logged on standard error. Ctrl-C and SIGTERM stop the server after the requests in hand.
    """
    run(Service(application, paths, store, secret_file), host=host, port=port, workers=workers)
