"""The command `send`: the fake MeetGeek."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import click
from rich.progress import track

from mg_middleware.cli._options import (
    CommandError,
    WholeNumber,
    allow_host_option,
    cacert_option,
    check_url,
    complete_file,
    read_content,
    secret_options,
    unreachable,
)
from mg_middleware.cli._output import standard_output
from pytest_meetgeek import FORGERIES, MeetGeek, Receiver
from pytest_meetgeek.recording import recordings_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mg_middleware.cli._options import SecretSource
    from pytest_meetgeek import Response, WebhookRequest

# With fewer requests, a progress bar would disappear before anyone sees it.
_MANY = 10

# These come after the connection was made: the response is missing, which is no reason to stop.
_NO_RESPONSE = (TimeoutError, ConnectionAbortedError, ConnectionResetError, BrokenPipeError)


def _forgeries(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in FORGERIES if name.startswith(incomplete)]


@click.command()
@click.argument("url")
@click.option("--event", type=click.Choice(["success", "failed"]), help="Event type.  [default: success]")
@click.option("--meeting-id", metavar="ID", help="The meeting that was analyzed.  [default: a new one]")
@click.option(
    "--body",
    metavar="FILE|-",
    shell_complete=complete_file,
    help="Send the exact bytes of this file or of standard input, signed.",
)
@click.option(
    "--recording",
    metavar="FILE|DIR",
    type=click.Path(),
    help="Send a recorded delivery (`serve --record`), or each one in a folder, signed again.",
)
@click.option(
    "--forge",
    metavar="NAME",
    shell_complete=_forgeries,
    help="Forge the request, for example missing, one-bit or body-changed: a name in pytest_meetgeek.FORGERIES.",
)
@click.option(
    "--team",
    metavar="NUMBER",
    type=WholeNumber(1),
    default=1,
    show_default=True,
    help="Send each event once for every member.",
)
@click.option(
    "--repeat", metavar="NUMBER", type=WholeNumber(1), default=1, show_default=True, help="How many events to send."
)
@allow_host_option
@cacert_option
@secret_options
def send(
    url: str,
    *,
    event: str | None,
    meeting_id: str | None,
    body: str | None,
    recording: str | None,
    forge: str | None,
    team: int,
    repeat: int,
    allow_hosts: tuple[str, ...],
    secret: SecretSource,
) -> int:
    """Send what MeetGeek would send to the receiver at URL.

    Like MeetGeek, it sends a request again, up to three POSTs in all, until the receiver acknowledges it with status
    200 and no body.

    Exit status 0 if everything was acknowledged, 1 if not, 2 if no connection could be made.
    """
    if body is not None and (event is not None or meeting_id is not None):
        raise CommandError("--body is a whole event: it excludes --event and --meeting-id")
    if recording is not None and (event is not None or meeting_id is not None):
        raise CommandError("--recording is a whole event: it excludes --event and --meeting-id")
    if body is not None and recording is not None:
        raise CommandError("--body and --recording exclude each other")
    if event == "failed" and meeting_id is not None:
        raise CommandError("--meeting-id needs --event success: MeetGeek names no meeting if the analysis failed")
    # The meetings of another run would be duplicates to a receiver that remembers.
    meetgeek = MeetGeek(secret.read(), seed=str(uuid4()))
    check_url(url, allow_hosts)  # before anything is read or sent
    receiver = Receiver(url, allow_hosts=allow_hosts)
    content = None if body is None else read_content(body, "--body")
    recorded = [] if recording is None else _recorded(meetgeek, recording)

    def requests() -> Iterator[WebhookRequest]:
        for _ in range(repeat):
            if content is not None:
                events = [meetgeek.raw(content, label="body")]
            elif recorded:
                events = recorded
            elif event == "failed":
                events = [meetgeek.failed()]
            else:
                events = [meetgeek.analyzed(meeting_id)]
            for request in events:
                yield from [request if forge is None else _forged(meetgeek, forge, request)] * team

    def check_connection(response: Response) -> None:
        if isinstance(response.error, OSError) and not isinstance(response.error, _NO_RESPONSE):
            raise unreachable(url, response.error)

    console = standard_output()
    acknowledged = 0
    total = repeat * team * max(len(recorded), 1)
    sending: Iterable[WebhookRequest] = requests()
    if total >= _MANY and console.is_terminal:
        sending = track(sending, "Sending", total=total, console=console, transient=True)
    for request in sending:
        record = meetgeek.deliver(receiver, request, between=check_connection)
        console.print(record.explain())
        acknowledged += record.acknowledged
    if total > 1:
        console.print(f"{acknowledged} of {total} acknowledged")
    return 0 if acknowledged == total else 1


def _recorded(meetgeek: MeetGeek, place: str) -> list[WebhookRequest]:
    try:
        return [meetgeek.recorded(path) for path in recordings_at(place)]
    except ValueError as error:
        raise CommandError(f"--recording: {error.args[0]}") from error
    except OSError as error:
        raise CommandError(f"--recording: {error.filename!r} can't be read: {error.strerror}") from error


def _forged(meetgeek: MeetGeek, forgery: str, request: WebhookRequest) -> WebhookRequest:
    try:
        return meetgeek.forged(forgery, request)
    except (LookupError, ValueError) as error:
        raise CommandError(f"--forge: {error.args[0]}") from error
