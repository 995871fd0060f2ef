"""The command `demo`: one minute that shows what the guard does."""

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

from mg_middleware import MeetGeekASGIMiddleware, SQLiteStore, delivery_of
from mg_middleware.cli._output import standard_output
from pytest_meetgeek import FORGERIES, MeetGeek, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from mg_middleware import Verdict
    from mg_middleware.asgi import Receive, Scope, Send
    from mg_middleware.events import Event
    from pytest_meetgeek import Response, WebhookRequest

_PATH = "/webhooks/meetgeek"

# The forgeries that have a row of their own. The rest of those that every receiver must refuse share one.
_FORGERIES = {
    "missing": "forged: no signature",
    "wrong-secret": "forged: another secret",
    "body-changed": "forged: body changed",
    "of-other-body": "forged: another body",
}


@dataclass
class _Application:
    """A receiver as a user would write it: it processes each event, and answers "ok", which is no acknowledgement."""

    processed: list[Event] = field(default_factory=list["Event"])
    fails_next: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        status, body = 500, b"the database is locked"
        if not self.fails_next:
            self.processed.append(delivery_of(scope).event)
            status, body = 200, b"ok"
        self.fails_next = False
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class _Scene:
    """One row of the table: what is sent, and what must come of it.

    Args:
        title: what is sent, in words.
        posts: sends it and returns each answer.
        as_promised: tells whether these are the right answers.
        processed: how many events must be processed.
    """

    title: str
    posts: Callable[[], Sequence[Response]]
    as_promised: Callable[[Sequence[Response]], bool]
    processed: int


@click.command()
def demo() -> int:
    """Show the guard at work: a receiver, and what is sent to it.

    A fake MeetGeek sends genuine deliveries, forgeries, a retry and a team's copies; what comes of them is shown. The
    receiver listens on a free port of 127.0.0.1 and remembers meetings in a temporary folder; nothing is left behind.

    Exit status 0 if all came out as promised, 1 if not.
    """
    secret = token_hex(16)
    application = _Application()
    verdicts: list[Verdict] = []
    # The refusals are the show; they stand in the table, not in the log.
    logging.getLogger("mg_middleware").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder, "meetings.db"))
        guarded = MeetGeekASGIMiddleware(
            application,
            secret,
            paths=_PATH,
            acknowledge=True,
            idempotency_store=store,
            on_verdict=verdicts.append,
        )
        try:
            with _running(guarded) as origin:
                return _play(
                    _scenes(MeetGeek(secret), Receiver(origin + _PATH), application), application, verdicts, origin
                )
        finally:
            store.close()


def _scenes(meetgeek: MeetGeek, receiver: Receiver, application: _Application) -> Iterator[_Scene]:
    def deliver(*requests: WebhookRequest) -> list[Response]:
        return [answer for record in meetgeek.fan_out(receiver, requests) for answer in record.attempts]

    def deliver_to_failing() -> list[Response]:
        application.fails_next = True
        return deliver(meetgeek.analyzed())

    def forge(*names: str) -> list[Response]:
        # Once each: a forger does not follow MeetGeek's retry policy.
        return [receiver.send(meetgeek.forged(name)) for name in names]

    def acknowledged(answers: Sequence[Response]) -> bool:
        return all(answer.acknowledged for answer in answers)

    def acknowledged_at_second(answers: Sequence[Response]) -> bool:
        return [answer.acknowledged for answer in answers] == [False, True]

    def refused(*names: str) -> Callable[[Sequence[Response]], bool]:
        return lambda answers: all(
            FORGERIES[name].refused_by(answer.status) for name, answer in zip(names, answers, strict=True)
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


def _play(scenes: Iterable[_Scene], application: _Application, verdicts: list[Verdict], origin: str) -> int:
    # Narrow enough for eighty columns, the width of a pipe.
    table = Table(
        "MeetGeek sends",
        "answered",
        "the guard says",
        "processed",
        "right",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    posts, wrong = 0, 0
    for scene in scenes:
        processed_before = len(application.processed)
        verdicts.clear()
        answers = scene.posts()
        processed = len(application.processed) - processed_before
        right = processed == scene.processed and scene.as_promised(answers)
        posts += len(answers)
        wrong += not right
        table.add_row(
            scene.title,
            _counted(str(answer.status) for answer in answers),
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
    console.print(f"\n{posts} requests, all answered and processed as the contract promises.")
    return 0


def _counted(words: Iterable[str]) -> str:
    """Write each word once, with its number."""
    return "\n".join(word if number == 1 else f"{number} x {word}" for word, number in Counter(words).items())


@contextmanager
def _running(application: MeetGeekASGIMiddleware) -> Generator[str]:
    """Run an application under uvicorn on a free loopback port, and hand out its origin.

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
