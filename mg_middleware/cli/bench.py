"""The command `bench`: what the guard adds to your own application."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from secrets import token_hex
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mg_middleware.asgi import MeetGeekASGIMiddleware
from mg_middleware.cli._options import CommandError, Number, WholeNumber, finite, interface_option, secret_options
from mg_middleware.cli._output import discarding_output, print_error, standard_output
from mg_middleware.cli._server import load_target
from mg_middleware.delivery import DELIVERY_KEY, Delivery
from mg_middleware.wsgi import MeetGeekWSGIMiddleware
from pytest_meetgeek import MeetGeek, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mg_middleware.cli._options import SecretSource
    from pytest_meetgeek import Response, WebhookRequest

    Interface = Literal["auto", "asgi", "wsgi"]

_LOGGER = logging.getLogger("mg_middleware")
_GUARDS = (MeetGeekASGIMiddleware, MeetGeekWSGIMiddleware)
_ROUND = 0.002  # seconds: short compared with what disturbs a machine, long compared with the resolution of the clock
_MOST_IN_A_ROUND = 200
_FEWEST_ROUNDS = 5
_ELSEWHERE = "/another-path"
_FAILURE = 400  # HTTP statuses from here on mean refusals and errors
_UNNOTICED = 0.05  # two measurements of the same application may differ by this share


@click.command()
@click.argument("application", metavar="MODULE:APP")
@click.option("--path", default="/", show_default=True, help="The path of the webhook.")
@click.option(
    "--body-size",
    type=WholeNumber(0),
    metavar="BYTES",
    help="Send a body of this size.  [default: the documented one]",
)
@click.option(
    "--seconds",
    type=Number(0, min_open=True),
    default=3.0,
    show_default=True,
    callback=finite,
    help="How long each kind of request is measured.",
)
@interface_option
@secret_options
def bench(
    application: str, *, path: str, body_size: int | None, seconds: float, interface: Interface, secret: SecretSource
) -> None:
    """Measure what the guard adds to a request of MODULE:APP.

    MODULE:factory() calls a factory. The same application is measured with and without the guard, in turn, in this
    process. If it is guarded already, its own guard, and with it its store, is taken off first. A secret is needed only
    if the application verifies signatures by itself; without one a made-up secret is used.

    The handler of the application runs thousands of times. What it prints on standard output meanwhile is discarded.
    """
    key = secret.read() if secret.is_configured else token_hex(16)
    loaded = load_target(application)
    print_error("mg-middleware bench", f"the handler of {application!r} runs thousands of times now")
    with discarding_output():  # a handler that prints would flood the terminal
        try:
            costs = measure_overhead(loaded, key, path=path, body_size=body_size, seconds=seconds, interface=interface)
        except Exception as error:  # the application may raise anything
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
    """The time of one kind of request, with and without the guard.

    Args:
        kind: which requests these are.
        status: the status of the bare application's response.
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
    path: str = "/",
    body_size: int | None = None,
    seconds: float = 3.0,
    interface: Interface = "auto",
) -> list[Cost]:
    """Measure an application with and without the guard, in turn.

    Not for the requests per second of a server: no socket is involved, and requests are handled one after another.

    Args:
        app: the application. Its own guard is taken off first.
        secret: signs the requests. An application that verifies signatures by itself must have the same one.
        path: where the requests go.
        body_size: the size of their body in bytes; `None` for the documented body.
        seconds: how long each kind of request is measured.
        interface: "asgi" or "wsgi" if the application does not show which it is.

    Returns:
        The cost of a genuine request, of an unsigned one, and, unless `path` is the root, of one to an unguarded path.

    Raises:
        LifespanError: the application did not start.
        TypeError: it is not an application.
        ValueError: it has a guard that cannot be taken off.
        Exception: what the application raises.
    """
    bare = cast("Any", _without_guard(app))
    kind: Interface = "asgi" if Receiver(bare, interface=interface).interface == "asgi" else "wsgi"
    guard: Any = MeetGeekASGIMiddleware if kind == "asgi" else MeetGeekWSGIMiddleware
    guarded = guard(bare, secret, paths=path, max_body_size=None)
    meetgeek = MeetGeek(secret)
    genuine = meetgeek.analyzed() if body_size is None else meetgeek.raw(b"x" * body_size)
    unsigned = genuine.with_signature()
    level = _LOGGER.level
    _LOGGER.setLevel(logging.ERROR)  # the line for each refusal would be measured, too, and flood the terminal
    try:
        with Laboratory(bare, kind) as laboratory:
            if _is_guarded(laboratory.response(unsigned, path), unsigned):
                raise ValueError("it has a guard that cannot be taken off: give the application without it")
            costs = [
                laboratory.compare("genuine", bare, guarded, genuine, path, seconds),
                laboratory.compare("unsigned", bare, guarded, unsigned, path, seconds),
            ]
            if path.strip("/"):
                costs.append(laboratory.compare("path not guarded", bare, guarded, genuine, _ELSEWHERE, seconds))
            return costs
    finally:
        _LOGGER.setLevel(level)


def _without_guard(app: object) -> object:
    """Take the guard off an application, in the places where the guides for the frameworks put it."""
    while isinstance(app, _GUARDS):
        if vars(app)["_posts_only"]:
            raise ValueError("its guard has a handler=, so without the guard there is no application to measure")
        app = cast("object", app.app)
    frameworks: Any = app
    if isinstance(getattr(app, "wsgi_app", None), _GUARDS):  # Flask
        frameworks.wsgi_app = _without_guard(frameworks.wsgi_app)
    if hasattr(app, "user_middleware"):  # Starlette, FastAPI
        frameworks.user_middleware = [layer for layer in frameworks.user_middleware if layer.cls not in _GUARDS]
    return app


def _is_guarded(response: Response, unsigned: WebhookRequest) -> bool:
    """Tell by the response to an unsigned request whether a guard wrote it: these are all the same."""
    refusal = Receiver(MeetGeekWSGIMiddleware(secret="any", handler=str)).send(unsigned)  # noqa: S106 - never used
    return _challenge_and_body(response) == _challenge_and_body(refusal)


def _challenge_and_body(response: Response) -> tuple[list[str], bytes]:
    return [value for name, value in response.headers if name.lower() == "www-authenticate"], response.body


def verdict(costs: Sequence[Cost]) -> str:
    """Say in plain words what the costs mean.

    Args:
        costs: the result of `measure_overhead`.

    Returns:
        One sentence, or two.
    """
    genuine = costs[0]
    if genuine.status >= _FAILURE:
        return (
            f"The application responds with {genuine.status} to a genuine request, so the result isn't meaningful: "
            "give the path of its webhook, and the secret if it verifies signatures by itself."
        )
    share = genuine.added / genuine.bare
    cost = (
        f"Guarding adds {genuine.added * 1e6:.1f} µs to a genuine request, {share:.1%} of the application's own time."
    )
    if genuine.spread[0] <= 0:
        return f"{cost} That is within the noise of this measurement."
    if share <= _UNNOTICED:
        return f"{cost} You will not notice it."
    return f"{cost} The application itself does little here: look at the microseconds, not at the share."


class Laboratory:
    """Sends requests to applications in this process, again and again, on one event loop.

    Use it as a context manager.

    Args:
        app: the application whose lifespan runs meanwhile, if it is an ASGI application.
        interface: "asgi" or "wsgi".
    """

    def __init__(self, app: Any, interface: Interface) -> None:
        # What a request finds besides its own data: the state that the lifespan left, and a delivery, so that an
        # application that asks for the delivery takes its usual path without the guard, too.
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

    def response(self, request: WebhookRequest, path: str) -> Response:
        """Send one request to the application, which starts its lifespan."""
        self._delivery = _delivery_in(request)
        response = self._receiver.send(request, path=path)
        if response.error is not None:
            raise response.error
        return response

    def batch(self, app: Any, request: WebhookRequest, path: str, count: int) -> Callable[[], None]:
        """Prepare a function that sends one request `count` times, each as soon as the previous response is complete.

        The state that the lifespan leaves for requests exists once `response` was called.
        """
        delivery = {DELIVERY_KEY: _delivery_in(request)}
        if self._interface == "wsgi":
            return partial(_send_all_wsgi, app, request.wsgi_environ(path) | delivery, request.body, count)
        scope, messages = request.asgi_scope(path) | delivery, request.asgi_messages()
        return lambda: self._receiver.run(lambda: _send_all_asgi(app, {**scope, "state": self._state}, messages, count))

    def compare(
        self, kind: str, bare: object, guarded: object, request: WebhookRequest, path: str, seconds: float
    ) -> Cost:
        """Time two applications in turn, so that a disturbance of the machine affects both."""
        status = self.response(request, path).status
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


async def _send_all_asgi(app: Any, scope: dict[str, Any], messages: list[dict[str, Any]], count: int) -> None:
    for _ in range(count):
        connection = _Connection(messages)
        await app(scope.copy(), connection.receive, connection.send)


def _send_all_wsgi(app: Any, environ: dict[str, Any], body: bytes, count: int) -> None:
    for _ in range(count):
        response = app({**environ, "wsgi.input": BytesIO(body)}, _start_response)
        for _piece in response:
            pass
        if hasattr(response, "close"):
            response.close()


class _Connection:
    """The server's side of one ASGI request."""

    __slots__ = ("_client_left", "_ended", "_messages")

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self._messages = messages[::-1]
        self._ended = False
        self._client_left: asyncio.Event | None = None

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop()
        if not self._ended:
            # The client stays until it has its response.
            self._client_left = self._client_left or asyncio.Event()
            await self._client_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._ended = True
            if self._client_left is not None:
                self._client_left.set()


def _start_response(_status: str, _headers: list[tuple[str, str]], _exc_info: object = None) -> Callable[[bytes], None]:
    return _discard


def _discard(_piece: bytes) -> None:
    """Stand in for the `write` callable of PEP 3333."""
