"""The command `bench`: what the guard adds to the user's own application."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mg_middleware.cli.errors import CommandError
from mg_middleware.cli.overhead import measure_overhead, verdict
from mg_middleware.cli.secret import is_secret_configured, read_secret, secret_file_option
from mg_middleware.cli.target import load_target
from mg_middleware.cli.terminal import standard_output

if TYPE_CHECKING:
    from pytest_meetgeek.receiver import Interface


@click.command()
@click.argument("application", metavar="MODULE:APP")
@click.option("--path", default="/webhooks/meetgeek", show_default=True, help="The path of the webhook.")
@click.option(
    "--body-size",
    type=click.IntRange(0),
    metavar="BYTES",
    help="Send a body of this size.  [default: the documented one]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=3.0,
    show_default=True,
    help="How long each kind of request is measured.",
)
@click.option(
    "--interface",
    type=click.Choice(["auto", "asgi", "wsgi"]),
    default="auto",
    show_default=True,
    help="What the application is.",
)
@secret_file_option
def bench(
    application: str, *, path: str, body_size: int | None, seconds: float, interface: Interface, secret_file: str | None
) -> None:
    """Measure what the guard adds to a request of MODULE:APP.

    The same application is measured with and without it, in turn, in this process. It may be guarded already or not. A
    secret is needed only if the guard is not its outermost layer; without one a made-up secret is used.
    """
    secret = read_secret(secret_file) if is_secret_configured(secret_file) else token_hex(16)
    loaded = load_target(application)
    try:
        costs = measure_overhead(loaded, secret, path=path, body_size=body_size, seconds=seconds, interface=interface)
    except Exception as error:  # whatever the application raises, or what says that it is none
        raise CommandError(f"{application!r} cannot be measured: {type(error).__name__}: {error}") from error
    # Narrow enough for eighty columns, the width of a pipe.
    headings = ("request", "application alone", "guarded", "the guard adds")
    table = Table(*headings, box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for cost in costs:
        low, high = (f"{quartile * 1e6:+.1f}" for quartile in cost.spread)
        table.add_row(
            cost.kind,
            f"{cost.bare * 1e6:.1f} µs ({cost.status})",
            f"{cost.guarded * 1e6:.1f} µs",
            f"{cost.added * 1e6:+.1f} µs ({low} to {high})",
        )
    output = standard_output()
    output.print(table)
    output.print(verdict(costs))
