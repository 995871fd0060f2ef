"""`python -m pytest_meetgeek send`: one request of the fake MeetGeek, sent to a receiver by hand.

Not for tests: the fixture `meetgeek` does the same. The command `mg-middleware send` has more options, but needs an
extra.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from pytest_meetgeek.forgeries import TEST_SECRET
from pytest_meetgeek.meetgeek import MeetGeek
from pytest_meetgeek.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_meetgeek.request import WebhookRequest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The words of the command line; those of this process if None.

    Returns:
        The exit status: 0 if the request was acknowledged, 1 if not.

    Raises:
        SystemExit: The arguments are wrong (status 2), or help was asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m pytest_meetgeek", description="The fake MeetGeek.")
    send = parser.add_subparsers(required=True, metavar="send").add_parser(
        "send", help="send one request, up to three times, until it is acknowledged"
    )
    send.add_argument("--to", required=True, metavar="URL", help="the receiver")
    what = send.add_mutually_exclusive_group()
    what.add_argument("--event", choices=["success", "failed"], default="success", help="event type (success)")
    what.add_argument("--body", metavar="FILE|-", help="send the exact bytes of this file or of standard input, signed")
    what.add_argument("--recording", metavar="FILE", help="send a recorded delivery (mg-middleware serve --record)")
    send.add_argument("--forge", metavar="ID", help="forge the request, such as by one-bit: a key of FORGERIES")
    send.add_argument(
        "--meetgeek-secret-env", metavar="NAME", help=f"the variable that holds the shared secret (else {TEST_SECRET})"
    )
    send.add_argument("--meetgeek-allow-host", action="append", default=[], metavar="HOST", help="leave loopback")
    options = parser.parse_args(arguments)
    variable = options.meetgeek_secret_env
    secret = TEST_SECRET if variable is None else os.environ.get(variable, "")
    if not secret:
        parser.error(f"the environment variable {variable} is not set, or empty")
    # The meetings of another run would be duplicates to a receiver that remembers.
    meetgeek = MeetGeek(secret, seed=str(uuid4()))
    try:
        request = _request(meetgeek, options)
        if options.forge is not None:
            request = meetgeek.forged(options.forge, request)
        receiver = Receiver(options.to, allow_hosts=options.meetgeek_allow_host)
    except (LookupError, ValueError) as error:
        parser.error(str(error.args[0]))
    except OSError as error:
        parser.error(f"{error.filename!r} can't be read: {error.strerror}")
    record = meetgeek.deliver(receiver, request)
    print(record.explain())  # noqa: T201 - what the command is for
    return 0 if record.acknowledged else 1


def _request(meetgeek: MeetGeek, options: argparse.Namespace) -> WebhookRequest:
    """Make the request that the options ask for."""
    if options.body is not None:
        body = sys.stdin.buffer.read() if options.body == "-" else Path(options.body).read_bytes()
        return meetgeek.raw(body, label="body")
    if options.recording is not None:
        return meetgeek.recorded(options.recording)
    return meetgeek.failed() if options.event == "failed" else meetgeek.analyzed()


if __name__ == "__main__":
    sys.exit(main())
