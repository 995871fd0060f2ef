"""Starts the app in a process of its own and sends it requests: with another secret, or to be killed at its work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pytest_meetgeek._targets import TargetError, load
from pytest_meetgeek.checks.result import CheckSkipped
from pytest_meetgeek.drivers.asgi import LifespanError
from pytest_meetgeek.receiver import Interface, Receiver
from pytest_meetgeek.request import WebhookRequest
from pytest_meetgeek.response import Response
from pytest_meetgeek.spy import Spy

if TYPE_CHECKING:
    from collections.abc import Sequence

State = Literal["removed", "empty", "padded"]

# How the lines begin that the process writes for us, among those of the app.
_RESPONSE = "meetgeek-response:"
_NOT_STARTED = "meetgeek-not-started:"
_KILLED = "meetgeek-killed"
_PATIENCE = 60.0
# A receiver may wait until what a killed process noted down expires.
_LEASE = 30.0
_POSTS = 3
_SUCCESSES = range(200, 300)
# For a handler that runs after the response: one second in all.
_PAUSES = 100
_PAUSE = 0.01


@dataclass
class Story:
    """What a process that was started apart did.

    Args:
        responses: Its responses, in the order of the requests.
        runs: How often the handler had run after each of them.
        refusal: Why the app did not start; None if it did.
        killed: The process was killed when its handler began.
    """

    responses: list[Response] = field(default_factory=list[Response])
    runs: list[int] = field(default_factory=list[int])
    refusal: str | None = None
    killed: bool = False


@dataclass(frozen=True)
class StartedApart:
    """How to start the app in a process of its own.

    Not for an app that is running already: it has read its secret, and must not be killed.

    Args:
        target: The app, as "module:attribute".
        variable: The environment variable from which the app reads its secret; None if it is not known.
        path: Where the webhook is.
        interface: "auto", "asgi" or "wsgi".
        host: The Host field; None for the usual one.
        timeout: Seconds for each response.
    """

    target: str
    variable: str | None
    path: str
    interface: Interface
    host: str | None = None
    timeout: float = 10.0

    def deliver(self, requests: Sequence[WebhookRequest], state: State) -> list[Response] | None:
        """Start the app with another value in the variable of its secret; None if the app refuses to start.

        Args:
            requests: What to send.
            state: What is done to the variable: "padded" puts a newline at its end.

        Raises:
            CheckSkipped: The process ended in another way, or not within a minute.
        """
        environment = dict(os.environ)
        secret = environment.pop(self.variable or "", "")
        if self.variable and state != "removed":
            environment[self.variable] = f"{secret}\n" if state == "padded" else ""
        story = self._start(requests, environment)
        return None if story.refusal is not None else story.responses

    def kill(self, request: WebhookRequest, handlers: Sequence[str]) -> Story:
        """Start the app, send it one request, and kill it by SIGKILL as soon as a handler is called.

        Args:
            request: What to send.
            handlers: The functions that process an event, as "module:function".

        Raises:
            CheckSkipped: The process ended in another way, or not within a minute.
        """
        return self._start([request], dict(os.environ), handlers=handlers, mortal=True)

    def retry(self, request: WebhookRequest, handlers: Sequence[str]) -> Story:
        """Start the app again and send the same request until it is acknowledged, three times at most.

        The app has 30 s for each response.

        Args:
            request: What to send.
            handlers: The functions that process an event; their runs are counted.

        Raises:
            CheckSkipped: The process ended in another way, or not in time.
        """
        return self._start([request] * _POSTS, dict(os.environ), handlers=handlers, timeout=_LEASE)

    def _start(
        self,
        requests: Sequence[WebhookRequest],
        environment: dict[str, str],
        *,
        handlers: Sequence[str] = (),
        mortal: bool = False,
        timeout: float | None = None,
    ) -> Story:
        patience = _PATIENCE + (0.0 if timeout is None else timeout * len(requests))
        order = {
            "target": self.target,
            "path": self.path,
            "interface": self.interface,
            "host": self.host,
            "timeout": self.timeout if timeout is None else timeout,
            "search_path": sys.path,
            "requests": [[request.body.decode(), request.headers] for request in requests],
            "handlers": [*handlers],
            "mortal": mortal,
        }
        # Files, not pipes: what the app started may outlive it, and keep a pipe open.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                child = subprocess.run(  # noqa: S603  # this interpreter, this module
                    [sys.executable, "-m", __name__],
                    input=json.dumps(order).encode(),
                    env=environment,
                    stdout=output,
                    stderr=errors,
                    timeout=patience,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise CheckSkipped(f"the app, started apart, was not done in {patience:g} s") from None
            texts = [_read(file) for file in (output, errors)]
        story = _told(texts[0])
        if not (story.killed or story.responses or story.refusal is not None):
            said = texts[1].strip().rpartition("\n")[2] or "no message"
            raise CheckSkipped(f"the app, started apart, ended with status {child.returncode}: {said}")
        return story


def _read(file: Any) -> str:  # tempfile's type has no public name
    file.seek(0)
    text: bytes = file.read()
    return text.decode("utf-8", "replace")


def _told(output: str) -> Story:
    """Pick our lines out of what the process wrote."""
    story = Story()
    for line in output.splitlines():
        if line.startswith(_NOT_STARTED):
            story.refusal = line.removeprefix(_NOT_STARTED)
        elif line.startswith(_KILLED):
            story.killed = True
        elif line.startswith(_RESPONSE):
            status, headers, body, runs = json.loads(line.removeprefix(_RESPONSE))
            pairs = tuple((name, value) for name, value in headers)
            story.responses.append(Response(status, pairs, body.encode("latin-1")))
            story.runs.append(runs)
    return story


def _say(line: str) -> None:
    # On a line of its own, whatever the app wrote; at once, since the process may be about to be killed.
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


class _Mortal(Spy):
    """Kills this process as soon as the handler is called."""

    def _note(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._note(args, kwargs)
        _say(_KILLED)
        # What Windows does for SIGTERM cannot be caught either.
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def main() -> None:
    """Read from standard input what to send, send it, and print the responses."""
    order = json.load(sys.stdin)
    sys.path[:] = order["search_path"]
    spy = _Mortal() if order["mortal"] else Spy()
    try:
        app = load(order["target"])
        for handler in order["handlers"]:
            spy.watch(handler)
        options = {name: order[name] for name in ("path", "interface", "host", "timeout")}
        with Receiver(app, **options) as receiver:
            for body, headers in order["requests"]:
                request = WebhookRequest(body.encode(), tuple((name, value) for name, value in headers))
                response = receiver.send(request)
                if spy.watching:
                    _wait(receiver, spy)
                told = (response.status, response.headers, response.body.decode("latin-1"), spy.count)
                _say(f"{_RESPONSE}{json.dumps(told)}")
                if spy.watching and response.status in _SUCCESSES:
                    break  # as MeetGeek does
    except (TargetError, LifespanError) as refusal:
        # An app that does not start without its secret is as safe as one that responds 401.
        _say(f"{_NOT_STARTED}{refusal}")


def _wait(receiver: Receiver, spy: Spy) -> None:
    """Wait a second at most for a handler that runs after the response."""
    for _ in range(_PAUSES):
        if spy.count:
            break
        receiver.pause(_PAUSE)


if __name__ == "__main__":
    main()
