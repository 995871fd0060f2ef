"""The command `bench`: what the guard adds to the user's own application."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from secrets import token_hex
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, cast

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mg_middleware._reporting import logger
from mg_middleware.asgi import MeetGeekASGIMiddleware
from mg_middleware.cli._options import CommandError, is_secret_configured, read_secret, secret_file_option
from mg_middleware.cli._output import standard_output
from mg_middleware.cli._server import load_target
from mg_middleware.delivery import DELIVERY_KEY, Delivery
from mg_middleware.wsgi import MeetGeekWSGIMiddleware
from pytest_meetgeek import MeetGeek, Receiver
from pytest_meetgeek.receiver import find_interface

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_meetgeek import WebhookRequest
    from pytest_meetgeek.receiver import Interface

_ROUND = 0.002  # seconds: short beside what disturbs a machine, long beside what the clock can tell
_MOST_IN_A_ROUND = 200
_FEWEST_ROUNDS = 5
_ELSEWHERE = "/another-path"
_FAILURE = 400  # HTTP statuses from here on are refusals and errors
_UNNOTICED = 0.05  # what two measurements of the same application may differ by


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


@dataclass(frozen=True)
class Cost:
    """What the guard does to the time of one kind of request.

    Args:
        kind: which requests these are.
        status: what the bare application answers.
        bare: the median time of the bare application, in seconds.
        guarded: the median time of the guarded one, in seconds.
        added: the median of the differences between neighbouring rounds, in seconds.
        spread: the first and the third quartile of these differences, in seconds.
    """

    kind: str
    status: int
    bare: float
    guarded: float
    added: float
    spread: tuple[float, float]


def measure_overhead(
    app: object,
    secret: str | bytes,
    *,
    path: str = "/webhooks/meetgeek",
    body_size: int | None = None,
    seconds: float = 3.0,
    interface: Interface = "auto",
) -> list[Cost]:
    """Measure an application with and without the guard, in turn.

    Not for the requests per second of a server: no socket is involved, and one request is answered after the other.

    Args:
        app: the application; if the guard is its outermost layer, that layer is taken off first.
        secret: what the requests are signed with. An application that has a guard further in must have the same one.
        path: where the requests go.
        body_size: the size of their body in bytes; `None` for the documented body.
        seconds: for how long each kind of request is measured.
        interface: "asgi" or "wsgi" where the application does not show which it is.

    Returns:
        The cost of a genuine request, of an unsigned one, and of one to a path that is not guarded.

    Raises:
        LifespanError: the application did not start.
        TypeError: it is no application.
        Exception: what the application raises.
    """
    bare = cast("Any", app)
    if isinstance(app, MeetGeekASGIMiddleware | MeetGeekWSGIMiddleware):
        bare = bare.app
    interface = find_interface(bare) if interface == "auto" else interface
    guard: Any = MeetGeekASGIMiddleware if interface == "asgi" else MeetGeekWSGIMiddleware
    guarded = guard(bare, secret, paths=path, max_body_size=None)
    meetgeek = MeetGeek(secret)
    genuine = meetgeek.analyzed() if body_size is None else meetgeek.raw(b"x" * body_size)
    level = logger().level
    logger().setLevel(logging.ERROR)  # the line for each refusal would be measured with it, and flood the terminal
    try:
        with Laboratory(bare, interface) as laboratory:
            return [
                laboratory.compare("genuine", bare, guarded, genuine, path, seconds),
                laboratory.compare("unsigned", bare, guarded, genuine.with_signature(), path, seconds),
                laboratory.compare("path not guarded", bare, guarded, genuine, _ELSEWHERE, seconds),
            ]
    finally:
        logger().setLevel(level)


def verdict(costs: Sequence[Cost]) -> str:
    """Say in plain words what the costs come to.

    Args:
        costs: what `measure_overhead` found.

    Returns:
        One sentence, or two.
    """
    genuine = costs[0]
    if genuine.status >= _FAILURE:
        return (
            f"The application answers {genuine.status} to a genuine request, so this says little: give the path of its "
            "webhook, and the secret if it is guarded further in."
        )
    share = genuine.added / genuine.bare
    cost = (
        f"Guarding adds {genuine.added * 1e6:.1f} µs to a genuine request, {share:.1%} of what the application takes."
    )
    if genuine.spread[0] <= 0:
        return f"{cost} That is within the noise of this measurement."
    if share <= _UNNOTICED:
        return f"{cost} You will not notice it."
    return f"{cost} The application itself does little here: look at the microseconds, not at the share."


class Laboratory:
    """A place where requests are sent to applications in this process, again and again, on one event loop.

    Use it as a context manager.

    Args:
        app: the application whose lifespan is run meanwhile, if it is an ASGI application.
        interface: "asgi" or "wsgi".
    """

    def __init__(self, app: Any, interface: Interface) -> None:
        # What a request finds beside what it brings: the state that the lifespan left, and a delivery. An application
        # that asks for the delivery takes its usual way without the guard, too.
        self._state: dict[str, Any] = {}
        self._delivery: Delivery | None = None
        self._interface = interface

        async def run_asgi(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                self._state = scope["state"]
            await app({**scope, DELIVERY_KEY: self._delivery}, receive, send)

        def run_wsgi(environ: Any, start_response: Any) -> Any:
            return app({**environ, DELIVERY_KEY: self._delivery}, start_response)

        self._receiver = Receiver(run_asgi if interface == "asgi" else run_wsgi, interface=interface)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.close()

    def status(self, request: WebhookRequest, path: str) -> int:
        """Send one request to the application, which starts its lifespan, and tell the status of its answer."""
        self._delivery = _delivery_in(request)
        response = self._receiver.send(request, path=path)
        if response.error is not None:
            raise response.error
        return response.status

    def batch(self, app: Any, request: WebhookRequest, path: str, count: int) -> Callable[[], None]:
        """Prepare a function that sends one request so many times, each as soon as the one before is answered.

        What the lifespan leaves for the requests is there once `status` was called.
        """
        delivery = {DELIVERY_KEY: _delivery_in(request)}
        if self._interface == "wsgi":
            return partial(_send_all_wsgi, app, request.wsgi_environ(path) | delivery, request.body, count)
        scope, events = request.asgi_scope(path) | delivery, request.asgi_messages()
        return lambda: self._receiver.run(lambda: _send_all_asgi(app, {**scope, "state": self._state}, events, count))

    def compare(
        self, kind: str, bare: object, guarded: object, request: WebhookRequest, path: str, seconds: float
    ) -> Cost:
        """Time two applications in turn, so that what disturbs the machine disturbs both."""
        status = self.status(request, path)
        one = max(_time(self.batch(app, request, path, 1)) for app in (bare, guarded))
        count = max(1, min(_MOST_IN_A_ROUND, int(_ROUND / one)))
        batches = [self.batch(app, request, path, count) for app in (bare, guarded)]
        times: list[tuple[float, float]] = []
        end = perf_counter() + seconds
        while len(times) < _FEWEST_ROUNDS or perf_counter() < end:
            without, within = (_time(batch) / count for batch in batches)
            times.append((without, within))
        low, added, high = quantiles((within - without for without, within in times), n=4)
        return Cost(
            kind, status, median(time for time, _ in times), median(time for _, time in times), added, (low, high)
        )


def _delivery_in(request: WebhookRequest) -> Delivery:
    return Delivery([request.body], (request.signature or "").encode(), None)


def _time(run: Callable[[], object]) -> float:
    began = perf_counter()
    run()
    return perf_counter() - began


async def _send_all_asgi(app: Any, scope: dict[str, Any], events: list[dict[str, Any]], count: int) -> None:
    for _ in range(count):
        connection = _Connection(events)
        await app(scope.copy(), connection.receive, connection.send)


def _send_all_wsgi(app: Any, environ: dict[str, Any], body: bytes, count: int) -> None:
    for _ in range(count):
        answer = app({**environ, "wsgi.input": BytesIO(body)}, _start_response)
        for _piece in answer:
            pass
        if hasattr(answer, "close"):
            answer.close()


class _Connection:
    """The server's side of one ASGI request."""

    __slots__ = ("_client_left", "_ended", "_events")

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self._events = events[::-1]
        self._ended = False
        self._client_left: asyncio.Event | None = None

    async def receive(self) -> dict[str, Any]:
        if self._events:
            return self._events.pop()
        if not self._ended:
            # The client stays until it has its answer.
            self._client_left = self._client_left or asyncio.Event()
            await self._client_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] == "http.response.body" and not event.get("more_body", False):
            self._ended = True
            if self._client_left is not None:
                self._client_left.set()


def _start_response(_status: str, _headers: list[tuple[str, str]], _exc_info: object = None) -> Callable[[bytes], None]:
    return _discard


def _discard(_piece: bytes) -> None:
    """Stand in for the `write` callable of PEP 3333."""
