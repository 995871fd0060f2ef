"""One SQLite file in this process: made private, opened when needed, reopened when replaced, closed before a fork."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import weakref
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, TypeVar

from mg_middleware.idempotency.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Result = TypeVar("_Result")

# For how many seconds a step waits for its turn in this process, and as long again while another process writes.
_BUSY_SECONDS = 5.0

# No step waits for the disk, only a checkpoint does. A power failure can lose the last steps, but not damage the file
# (https://www.sqlite.org/wal.html). Without a lost claim its event is free at once; without a lost completion it is
# processed again. No event is lost, so it buys nothing to wait for the disk, which takes many times as long as a step.
SETTINGS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL")

# One step at a time for each file in a process: SQLite writes one at a time anyway, and a lock wakes the next thread at
# once where SQLite would let it poll.
_one_step_of: weakref.WeakValueDictionary[str, Lock] = weakref.WeakValueDictionary()
_files: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
_registering = Lock()


class SQLiteFile:
    """An SQLite file with one connection, which all threads of this process use in turn.

    Args:
        path: the absolute path of the file; it is made, with access for its owner only, where there is none.
        schema: the statements that make its tables; they must do nothing where these exist.

    Raises:
        OSError: the file cannot be made, read or written, or its folder not be written.
        StoreError: there is something else than a regular file.
        ValueError: the path contains a NUL.
    """

    def __init__(self, path: str, schema: Sequence[str]) -> None:
        self._path = path
        self._schema = schema
        # No connection, or one.
        self._opened: list[sqlite3.Connection] = []
        self._identity: tuple[int, int] | None = None
        with _registering:
            self._one_step = _one_step_of.setdefault(path, Lock())
            _files.add(self)
        with self._one_step:
            self._make()
        # Python 3.13 warns of a connection that is dropped without being closed.
        weakref.finalize(self, _close, self._opened)

    def run(self, step: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Run one step, while no other thread of this process runs one.

        Args:
            step: uses the connection, in which every statement is a transaction of its own.

        Returns:
            What the step returns.

        Raises:
            sqlite3.Error: the file cannot be read or written.
            OSError: the file cannot be opened.
            StoreError: the file was replaced since it was opened, or its steps take too long.
        """
        # Without this bound, the delays would add up where another process writes for minutes.
        if not self._one_step.acquire(timeout=_BUSY_SECONDS):
            raise StoreError(f"the steps before this one took more than {_BUSY_SECONDS:g} seconds")
        try:
            return step(self._connection())
        except BaseException:
            # Whatever went wrong, the next step starts from the file as it then is.
            self.forget_connection()
            raise
        finally:
            self._one_step.release()

    def close(self) -> None:
        """Close the connection. The next step opens it again."""
        with self._one_step:
            self.forget_connection()

    def forget_connection(self) -> None:
        """Close the connection, for a caller that keeps all steps from running."""
        _close(self._opened)

    def _connection(self) -> sqlite3.Connection:
        if not self._opened:
            self._open()
        # Linux lets a process go on with a file that was removed, unseen by all others.
        elif self._find() != self._identity:
            raise StoreError("the file was replaced: what it remembered is lost")
        return self._opened[0]

    def _make(self) -> None:
        # SQLite would make it with the access that the umask leaves; -wal and -shm get the access of the file. A file
        # that is there already is never opened here: to close it would drop the locks that SQLite holds on it for this
        # process (https://www.sqlite.org/howtocorrupt.html, section 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._identity = self._find()
        # SQLite makes -wal and -shm beside it.
        for path, access in ((self._path, os.R_OK | os.W_OK), (Path(self._path).parent, os.W_OK | os.X_OK)):
            if not os.access(path, access):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def _find(self) -> tuple[int, int]:
        found = os.lstat(self._path)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{self._path} is a symbolic link or not a regular file")
        return found.st_dev, found.st_ino

    def _open(self) -> None:
        self._make()
        # Python would keep a connection to its thread; here the lock keeps the threads apart.
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._opened.append(connection)
        give_up = monotonic() + _BUSY_SECONDS
        while True:
            try:
                for statement in (*SETTINGS, *self._schema):
                    connection.execute(statement)
            except sqlite3.OperationalError as error:
                # Where several processes open a new file at once, SQLite refuses the switch to the write-ahead log to
                # all but one of them, without applying its time-out.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > give_up:
                    raise
                sleep(0.005)
            else:
                return


def _close(opened: list[sqlite3.Connection]) -> None:
    while opened:
        opened.pop().close()


def _close_before_fork() -> None:
    # A connection must not be carried into a forked process, not even to be closed there: the locks stay with the
    # parent while SQLite believes that the child has them (https://www.sqlite.org/howtocorrupt.html, section 2.6).
    _registering.acquire()
    _held.extend(_one_step_of.values())
    for lock in _held:
        lock.acquire()
    for file in _files:
        file.forget_connection()


def _go_on() -> None:
    while _held:
        _held.pop().release()
    _registering.release()


_held: list[Lock] = []  # while this process forks
# Windows has no fork, and no such function.
getattr(os, "register_at_fork", dict[str, object])(
    before=_close_before_fork, after_in_parent=_go_on, after_in_child=_go_on
)
