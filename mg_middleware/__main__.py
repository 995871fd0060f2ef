"""The way into the command line: `mg-middleware`, or `python -m mg_middleware`."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec

_TERMINATED = 143  # what shells give for SIGTERM
_EXTRA = ("a2wsgi", "click", "rich", "uvicorn")


def main() -> int:
    """Run the command line, or say how to install it: the console script is there without its extra as well.

    Returns:
        The exit status.
    """
    if any(find_spec(name) is None for name in _EXTRA):
        sys.stderr.write("mg-middleware: the command line needs an extra: pip install 'mg-middleware[cli]'\n")
        return 2
    signal.signal(signal.SIGTERM, _end)
    from mg_middleware.cli import main as run  # noqa: PLC0415 - it imports the extra

    return run()


def _end(_signal: int, _frame: object) -> None:
    # An exception, as after Ctrl-C, lets a command stop what it has started.
    sys.exit(_TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
