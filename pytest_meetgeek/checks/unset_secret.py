"""Starts the app in a process of its own, with another value in the variable of its secret, and sends it requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_meetgeek._targets import TargetError, load
from pytest_meetgeek.checks.result import CheckSkipped
from pytest_meetgeek.drivers.asgi import LifespanError
from pytest_meetgeek.receiver import Interface, Receiver
from pytest_meetgeek.request import WebhookRequest
from pytest_meetgeek.response import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

State = Literal["removed", "empty", "padded"]

_RESULT = "meetgeek-responses:"
_NOT_STARTED = "meetgeek-not-started:"
_PATIENCE = 60.0


@dataclass(frozen=True)
class UnsetSecret:
    """How to start the app in a process of its own, with another value in the variable of its secret.

    Not for an app that is running already: it has read its secret.

    Args:
        target: The app, as "module:attribute".
        variable: The environment variable from which the app reads its secret.
        path: Where the webhook is.
        interface: "auto", "asgi" or "wsgi".
        host: The Host field; None for the usual one.
        timeout: Seconds for each response.
    """

    target: str
    variable: str
    path: str
    interface: Interface
    host: str | None = None
    timeout: float = 10.0

    def deliver(self, requests: Sequence[WebhookRequest], state: State) -> list[Response] | None:
        """Start the app and send it requests; None if the app refuses to start.

        Args:
            requests: What to send.
            state: What is done to the variable: "padded" puts a newline at its end.

        Raises:
            CheckSkipped: The process ended in another way, or not within a minute.
        """
        environment = dict(os.environ)
        secret = environment.pop(self.variable, "")
        if state != "removed":
            environment[self.variable] = f"{secret}\n" if state == "padded" else ""
        order = {
            "target": self.target,
            "path": self.path,
            "interface": self.interface,
            "host": self.host,
            "timeout": self.timeout,
            "search_path": sys.path,
            "requests": [[request.body.decode(), request.headers] for request in requests],
        }
        try:
            child = subprocess.run(  # noqa: S603  # this interpreter, this module
                [sys.executable, "-m", __name__],
                input=json.dumps(order),
                env=environment,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CheckSkipped(f"the app, started apart, was not done in {_PATIENCE:g} s") from None
        for line in child.stdout.splitlines():
            if line.startswith(_NOT_STARTED):
                return None
            if line.startswith(_RESULT):
                found: list[tuple[int, list[tuple[str, str]], str]] = json.loads(line.removeprefix(_RESULT))
                return [
                    Response(status, tuple((name, value) for name, value in headers), body.encode("latin-1"))
                    for status, headers, body in found
                ]
        told = child.stderr.strip().rpartition("\n")[2] or "no message"
        raise CheckSkipped(f"the app, started apart, ended with status {child.returncode}: {told}")


def main() -> None:
    """Read from standard input what to send, send it, and print the responses."""
    order = json.load(sys.stdin)
    sys.path[:] = order["search_path"]
    try:
        app = load(order["target"])
        options = {name: order[name] for name in ("path", "interface", "host", "timeout")}
        with Receiver(app, **options) as receiver:
            responses = [
                receiver.send(WebhookRequest(body.encode(), tuple((name, value) for name, value in headers)))
                for body, headers in order["requests"]
            ]
    except (TargetError, LifespanError) as refusal:
        # An app that does not start without its secret is as safe as one that responds 401.
        sys.stdout.write(f"{_NOT_STARTED}{refusal}\n")
        return
    found = [(response.status, response.headers, response.body.decode("latin-1")) for response in responses]
    sys.stdout.write(f"{_RESULT}{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
