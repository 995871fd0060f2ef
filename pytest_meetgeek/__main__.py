"""`python -m pytest_meetgeek send`: one request of the fake MeetGeek, sent to a receiver by hand.

Not for tests: the fixture `meetgeek` does the same. The command `mg-middleware send` has more options, but needs an
extra.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

from pytest_meetgeek.forgeries import TEST_SECRET
from pytest_meetgeek.meetgeek import MeetGeek
from pytest_meetgeek.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    send.add_argument("--event", choices=["success", "failed"], default="success", help="what to tell (success)")
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
        request = meetgeek.failed() if options.event == "failed" else meetgeek.analyzed()
        if options.forge is not None:
            request = meetgeek.forged(options.forge, request)
        receiver = Receiver(options.to, allow_hosts=options.meetgeek_allow_host)
    except (LookupError, ValueError) as error:
        parser.error(str(error.args[0]))
    record = meetgeek.deliver(receiver, request)
    print(record.explain())  # noqa: T201 - what the command is for
    return 0 if record.acknowledged else 1


if __name__ == "__main__":
    sys.exit(main())
