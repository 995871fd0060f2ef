"""The entry point of the command line: `mg-middleware`, or `python -m mg_middleware`."""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec

_INTERRUPTED = 130  # what shells show for SIGINT
_TERMINATED = 143  # and for SIGTERM
_STANDARD_ERROR = 2
_EXTRA = ("a2wsgi", "click", "rich", "starlette", "uvicorn")


class _Termination(KeyboardInterrupt):
    """SIGTERM, as an exception: like Ctrl-C, it lets a command stop what it has started."""


def main() -> int:
    """Run the command line, or say how to install it: the console script exists without its extra, too.

    Returns:
        The exit status.
    """
    if any(find_spec(name) is None for name in _EXTRA):
        sys.stderr.write("mg-middleware: the command line needs an extra: pip install 'mg-middleware[cli]'\n")
        return 2
    signal.signal(signal.SIGTERM, _terminate)
    _occupy_standard_streams()
    try:
        from mg_middleware.cli import main as run  # it imports the extra

        return run()
    except _Termination:
        return _TERMINATED
    except KeyboardInterrupt:
        return _INTERRUPTED


def _occupy_standard_streams() -> None:
    # The next socket would get the number of one that is closed, and uvloop aborts a process whose sockets have it.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)


def _terminate(_signal: int, _frame: object) -> None:
    raise _Termination


if __name__ == "__main__":
    sys.exit(main())
