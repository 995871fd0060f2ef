"""The command `send`: the fake MeetGeek."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import click
from rich.progress import track

from mg_middleware.cli._options import (
    CommandError,
    address_of,
    allow_host_option,
    read_content,
    read_secret,
    secret_file_option,
    unreachable,
)
from mg_middleware.cli._output import standard_output
from pytest_meetgeek import MeetGeek, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_meetgeek import Response, WebhookRequest

# A bar for less would be gone before it is seen.
_MANY = 10

# These come after the connection stood: an answer that was not given, and no reason to stop.
_UNANSWERED = (TimeoutError, ConnectionAbortedError, ConnectionResetError, BrokenPipeError)


@click.command()
@click.argument("url")
@click.option("--event", type=click.Choice(["success", "failed"]), help="What to tell.  [default: success]")
@click.option("--meeting-id", metavar="ID", help="The meeting that was analyzed.  [default: a new one]")
@click.option("--body", metavar="FILE|-", help="Send the exact bytes of this file or of standard input, signed.")
@click.option(
    "--forge",
    metavar="NAME",
    help="Forge the request, such as by missing, one-bit or body-changed: a name of pytest_meetgeek.FORGERIES.",
)
@click.option(
    "--team", type=click.IntRange(1), default=1, show_default=True, help="Send each event once for every member."
)
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="How many events to send.")
@allow_host_option
@secret_file_option
def send(
    url: str,
    *,
    event: str | None,
    meeting_id: str | None,
    body: str | None,
    forge: str | None,
    team: int,
    repeat: int,
    allow_hosts: tuple[str, ...],
    secret_file: str | None,
) -> int:
    """Send what MeetGeek would send to the receiver at URL.

    As MeetGeek does, it sends a request again, up to three POSTs in all, until it is acknowledged: answered 200 with no
    body.

    Exit status 0 if all was acknowledged, 1 if not, 2 if there was no connection.
    """
    if body is not None and (event is not None or meeting_id is not None):
        raise CommandError("--body is a whole event: it goes with neither --event nor --meeting-id")
    if event == "failed" and meeting_id is not None:
        raise CommandError("MeetGeek names no meeting when the analysis failed: --meeting-id goes with --event success")
    # The meetings of another run would be duplicates to a receiver that remembers.
    meetgeek = MeetGeek(read_secret(secret_file), seed=str(uuid4()))
    address_of(url, allow_hosts)  # says no before anything is read or sent
    receiver = Receiver(url, allow_hosts=allow_hosts)
    content = None if body is None else read_content(body)

    def requests() -> Iterator[WebhookRequest]:
        for _ in range(repeat):
            if content is not None:
                request = meetgeek.raw(content, label="body")
            elif event == "failed":
                request = meetgeek.failed()
            else:
                request = meetgeek.analyzed(meeting_id)
            if forge is not None:
                request = _forged(meetgeek, forge, request)
            yield from [request] * team

    def check_connection(answer: Response) -> None:
        if isinstance(answer.error, OSError) and not isinstance(answer.error, _UNANSWERED):
            raise unreachable(url, answer.error)

    console = standard_output()
    acknowledged = 0
    most = repeat * team
    sending: Iterable[WebhookRequest] = requests()
    if most >= _MANY and console.is_terminal:
        sending = track(sending, "Sending", total=most, console=console, transient=True)
    for request in sending:
        record = meetgeek.deliver(receiver, request, between=check_connection)
        console.print(record.explain())
        acknowledged += record.acknowledged
    if most > 1:
        console.print(f"{acknowledged} of {most} acknowledged")
    return 0 if acknowledged == most else 1


def _forged(meetgeek: MeetGeek, forgery: str, request: WebhookRequest) -> WebhookRequest:
    try:
        return meetgeek.forged(forgery, request)
    except (LookupError, ValueError) as error:
        raise CommandError(f"--forge: {error.args[0]}") from error
