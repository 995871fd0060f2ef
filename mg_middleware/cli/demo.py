"""The command `demo`: shows in one minute what the guard does."""

from __future__ import annotations

import logging
import socket
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import click
import uvicorn
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from mg_middleware import MeetGeekASGIMiddleware, SQLiteStore
from mg_middleware.cli._output import standard_output
from pytest_meetgeek import FORGERIES, MeetGeek, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from mg_middleware import Delivery, Verdict
    from mg_middleware.events import Event
    from pytest_meetgeek import Response, WebhookRequest

_PATH = "/webhooks/meetgeek"

# The forgeries that have a row of their own. The others that every receiver must refuse share one.
_FORGERIES = {
    "missing": "forged: no signature",
    "wrong-secret": "forged: another secret",
    "body-changed": "forged: body changed",
    "of-other-body": "forged: another body",
}


@dataclass
class _Shop:
    """The user's side: processes each event, or fails, as when a database is locked."""

    processed: list[Event] = field(default_factory=list["Event"])
    fails_next: bool = False

    def process(self, delivery: Delivery) -> None:
        if self.fails_next:
            self.fails_next = False
            raise RuntimeError("the database is locked")
        self.processed.append(delivery.event)


@dataclass(frozen=True)
class _Scene:
    """One row of the table: what is sent, and what must come of it.

    Args:
        title: what is sent, in words.
        send: sends it and returns each response.
        is_right: whether these are the right responses.
        processed: how many events must be processed.
    """

    title: str
    send: Callable[[], Sequence[Response]]
    is_right: Callable[[Sequence[Response]], bool]
    processed: int


@click.command()
def demo() -> int:
    """Show the guard at work: a receiver, and what is sent to it.

    A fake MeetGeek sends genuine deliveries, forgeries, a retry and the copies for a team. A table shows the responses
    and how many events were processed. The receiver listens on a free port of 127.0.0.1 and remembers meetings in a
    temporary folder. Nothing is left behind.

    Exit status 0 if everything came out as promised, 1 if not.
    """
    secret = token_hex(16)
    shop = _Shop()
    verdicts: list[Verdict] = []
    # The table shows the refusals, so the log need not.
    logging.getLogger("mg_middleware").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder, "meetings.db"))
        guard = MeetGeekASGIMiddleware(
            secret=secret, handler=shop.process, idempotency_store=store, on_verdict=verdicts.append
        )
        try:
            with _running(guard) as origin:
                return _play(_scenes(MeetGeek(secret), Receiver(origin + _PATH), shop), shop, verdicts, origin)
        finally:
            store.close()


def _scenes(meetgeek: MeetGeek, receiver: Receiver, shop: _Shop) -> Iterator[_Scene]:
    def deliver(*requests: WebhookRequest) -> list[Response]:
        return [response for record in meetgeek.fan_out(receiver, requests) for response in record.attempts]

    def deliver_to_failing() -> list[Response]:
        shop.fails_next = True
        return deliver(meetgeek.analyzed())

    def forge(*names: str) -> list[Response]:
        # Once each: a forger does not follow MeetGeek's retry policy.
        return [receiver.send(meetgeek.forged(name)) for name in names]

    def acknowledged(responses: Sequence[Response]) -> bool:
        return all(response.acknowledged for response in responses)

    def acknowledged_at_second(responses: Sequence[Response]) -> bool:
        return [response.acknowledged for response in responses] == [False, True]

    def refused(*names: str) -> Callable[[Sequence[Response]], bool]:
        return lambda responses: all(
            FORGERIES[name].refused_by(response.status) for name, response in zip(names, responses, strict=True)
        )

    first = meetgeek.analyzed()
    yield _Scene("meeting analyzed", partial(deliver, first), acknowledged, 1)
    yield _Scene("analysis failed", partial(deliver, meetgeek.failed()), acknowledged, 1)
    yield _Scene("handler fails once", deliver_to_failing, acknowledged_at_second, 1)
    yield _Scene("one meeting, team of 5", partial(deliver, *meetgeek.team(5)), acknowledged, 1)
    yield _Scene("first request replayed", partial(deliver, first), acknowledged, 0)
    for name, title in _FORGERIES.items():
        yield _Scene(title, partial(forge, name), refused(name), 0)
    others = [name for name, forgery in FORGERIES.items() if forgery.level == "MUST" and name not in _FORGERIES]
    yield _Scene(f"{len(others)} further forgeries", partial(forge, *others), refused(*others), 0)


def _play(scenes: Iterable[_Scene], shop: _Shop, verdicts: list[Verdict], origin: str) -> int:
    # Narrow enough for eighty columns, the width of a pipe.
    table = Table(
        "MeetGeek sends",
        "response",
        "the guard says",
        "processed",
        "right",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    requests, wrong = 0, 0
    for scene in scenes:
        processed_before = len(shop.processed)
        verdicts.clear()
        responses = scene.send()
        processed = len(shop.processed) - processed_before
        right = processed == scene.processed and scene.is_right(responses)
        requests += len(responses)
        wrong += not right
        table.add_row(
            scene.title,
            _counted(str(response.status) for response in responses),
            _counted(verdict.outcome for verdict in verdicts),
            str(processed),
            Text("yes", "green") if right else "NO",
            style=None if right else "bold red",
        )
    console = standard_output()
    console.print(f"A guarded receiver at {origin}{_PATH} gets:\n")
    console.print(table)
    if wrong:
        console.print(f"\n{wrong} rows did not come out as the contract promises.")
        return 1
    console.print(f"\n{requests} requests, all handled as the contract promises.")
    return 0


def _counted(words: Iterable[str]) -> str:
    """Write each word once, with how often it came."""
    return "\n".join(word if number == 1 else f"{number} x {word}" for word, number in Counter(words).items())


@contextmanager
def _running(application: MeetGeekASGIMiddleware) -> Generator[str]:
    """Run an application under uvicorn on a free port of 127.0.0.1, and yield its origin.

    Requests may be sent at once: the system holds them until the server accepts them.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application, lifespan="off", log_config=None, log_level=logging.CRITICAL)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
