"""Starts the app in a process of its own, without its secret, and sends it what an open door would let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_meetgeek.checks.result import CheckSkipped
from pytest_meetgeek.drivers.asgi import LifespanError
from pytest_meetgeek.receiver import Interface, Receiver
from pytest_meetgeek.request import WebhookRequest
from pytest_meetgeek.response import Response
from pytest_meetgeek.targets import TargetError, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_meetgeek.meetgeek import MeetGeek

_OPEN_DOORS = ("missing", "empty-secret", "none-secret")

_RESULT = "meetgeek-statuses:"
_NOT_STARTED = "meetgeek-not-started:"
_PATIENCE = 60.0


@dataclass(frozen=True)
class UnsetSecret:
    """How to start the app without its secret.

    Args:
        target: The app, as "module:attribute".
        variable: The environment variable from which the app reads its secret.
        path: Where the webhook is.
        interface: "auto", "asgi" or "wsgi".
    """

    target: str
    variable: str
    path: str
    interface: Interface

    def deliveries(
        self, meetgeek: MeetGeek, state: Literal["removed", "empty"]
    ) -> Iterator[tuple[WebhookRequest, Response]]:
        """Start the app, send the forgeries, and yield each with its response; none if the app refuses to start.

        Args:
            meetgeek: Makes the requests.
            state: What is done to the variable.

        Raises:
            CheckSkipped: The process ended in another way, or not within a minute.
        """
        environment = {name: value for name, value in os.environ.items() if name != self.variable}
        if state == "empty":
            environment[self.variable] = ""
        requests = [meetgeek.forged(how) for how in _OPEN_DOORS]
        order = {
            "target": self.target,
            "path": self.path,
            "interface": self.interface,
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
            raise CheckSkipped(f"the app, started without its secret, was not done in {_PATIENCE:g} s") from None
        for line in child.stdout.splitlines():
            if line.startswith(_NOT_STARTED):
                return
            if line.startswith(_RESULT):
                statuses: list[int] = json.loads(line.removeprefix(_RESULT))
                yield from zip(requests, map(Response, statuses), strict=True)
                return
        told = child.stderr.strip().rpartition("\n")[2] or "no message"
        raise CheckSkipped(f"the app, started without its secret, ended with status {child.returncode}: {told}")


def main() -> None:
    """Read from standard input what to send, send it, and print the statuses."""
    order = json.load(sys.stdin)
    sys.path[:] = order["search_path"]
    try:
        app = load(order["target"])
        with Receiver(app, path=order["path"], interface=order["interface"]) as receiver:
            statuses = [
                receiver.send(WebhookRequest(body.encode(), tuple((name, value) for name, value in headers))).status
                for body, headers in order["requests"]
            ]
    except (TargetError, LifespanError) as refusal:
        # An app that does not start without its secret is as safe as one that responds 401.
        sys.stdout.write(f"{_NOT_STARTED}{refusal}\n")
        return
    sys.stdout.write(f"{_RESULT}{json.dumps(statuses)}\n")


if __name__ == "__main__":
    main()
