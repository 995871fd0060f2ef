"""The store for all processes of one machine: keys in an SQLite file."""

from __future__ import annotations

import os
import sqlite3
from secrets import token_hex
from time import time
from typing import TYPE_CHECKING

from mg_middleware.errors import ConfigurationError
from mg_middleware.idempotency.store import AlreadyComplete, Claimed, InProgress, StoreError
from mg_middleware.idempotency.stores.options import (
    CLOCK_SLACK,
    DAY,
    LEASE,
    MAX_LEASE,
    seconds,
    seconds_or_forever,
    text,
)
from mg_middleware.idempotency.stores.sqlite_file import SQLiteFile

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mg_middleware.idempotency.store import Claim, Execution

# Times are in seconds since the epoch, because processes share no other clock. "since" is when a claim was made or
# renewed, "until" when it expires, or when a complete key is forgotten (infinity: never). "token" is NULL once the key
# is complete. There is no index on "until": it would double what each step writes.
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS deliveries
    (key TEXT PRIMARY KEY, token TEXT, since REAL NOT NULL, until REAL NOT NULL) WITHOUT ROWID
    """,
)

# Every so many claims, a process looks through so many rows for those that have expired, in the order of the keys. A
# claim adds one row at most, so that an eighth of the rows, at most, has expired and is still there.
_CLAIMS_TO_A_SWEEP = 32
_ROWS_OF_A_SWEEP = 256
_SWEEP_ENDS = "SELECT key FROM deliveries WHERE key > ? ORDER BY key LIMIT 1 OFFSET ?"
_SWEEP = "DELETE FROM deliveries WHERE key > ? AND key <= ? AND until <= ?"
_SWEEP_THE_REST = "DELETE FROM deliveries WHERE key > ? AND until <= ?"

# A claim from the future is void: the clock was set back, so it would outlive its holder by as much.
_CLAIM = """
    INSERT INTO deliveries (key, token, since, until) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET token = excluded.token, since = excluded.since, until = excluded.until
    WHERE until <= ?3 OR (token IS NOT NULL AND since > ?5)
    RETURNING token
"""
_LOOK = "SELECT token, until FROM deliveries WHERE key = ?"
_COMPLETE = """
    INSERT INTO deliveries (key, token, since, until) VALUES (?1, NULL, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET token = NULL, since = excluded.since, until = excluded.until
    WHERE token = ?2 OR until <= ?3
"""
_RENEW = "UPDATE deliveries SET since = ?3, until = ?4 WHERE key = ?1 AND token = ?2"
_RELEASE = "DELETE FROM deliveries WHERE key = ? AND token = ?"


class SQLiteStore:
    """Remembers processed deliveries in a file, for all threads and processes of one machine.

    Not for a network file system, where SQLite's locks don't work: use `RedisStore` for several machines. Don't give it
    a file of another application.

    Only the file's owner has access to it. If it is removed while processes run, the next step of each process is an
    error, and the one after it uses a new file. SQLite writes ahead (`-wal` and `-shm` beside the file), so a crash of
    a process loses no step; a power failure can lose the last ones, and their events are then processed again.

    Args:
        path: the file; it is created if it doesn't exist. Its folder must exist.
        ttl: for how many seconds a processed delivery is remembered; `None` means no expiry.
        lease: how many seconds a claim lives. It is renewed while the handler runs; if its process dies, it expires.
        max_lease: for how many seconds a claim is renewed at most.

    Raises:
        ConfigurationError: an option is out of its range, the path is empty or a URI, the file or its folder isn't
            writable, the path is a symbolic link or not a regular file, or this Python's SQLite is older than 3.35.
        TypeError: an option is of another type.
    """

    execution: Execution = "blocking"
    bounded: bool = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ttl: float | None = DAY,
        lease: float = LEASE,
        max_lease: float = MAX_LEASE,
    ) -> None:
        if sqlite3.sqlite_version_info < (3, 35):  # the first with RETURNING
            raise ConfigurationError(f"SQLiteStore needs SQLite 3.35 or newer, this is {sqlite3.sqlite_version}")
        name = text("path", os.fspath(path))
        if name in {"", ":memory:"} or name.startswith("file:"):
            raise ConfigurationError(
                "SQLiteStore needs the path of a file, not a URI; to remember in memory, use MemoryStore"
            )
        self._ttl = seconds_or_forever("ttl", ttl)
        self.lease: float = seconds("lease", lease)
        self.max_lease: float = seconds("max_lease", max_lease)
        # Absolute, so that the process may change its directory. Path.resolve would follow a symbolic link.
        path = os.path.abspath(name)
        self.place: Hashable = "SQLite", path
        try:
            self._file = SQLiteFile(path, _SCHEMA)
        except (OSError, StoreError, ValueError) as error:
            raise ConfigurationError(f"the SQLiteStore's file cannot be used: {error}") from error
        self._claims_until_sweep = 0  # a process that lives only for a few claims sweeps, too
        self._swept_up_to = token_hex(32)  # anywhere: each process begins at another place

    def claim(self, key: str) -> Claim:
        """Take the key; see `IdempotencyStore.claim`.

        Args:
            key: the opaque name of one meeting's delivery.

        Returns:
            The state of the key.

        Raises:
            sqlite3.Error: the file cannot be read or written.
            OSError: the file cannot be opened.
            StoreError: the file was replaced, or the steps of other threads take too long.
        """
        token = token_hex(16)

        def step(connection: sqlite3.Connection) -> Claim:
            now = time()  # not before, since the step may have waited for its turn
            self._sweep_if_it_is_time(connection, now)
            if connection.execute(_CLAIM, (key, token, now, now + self.lease, now + CLOCK_SLACK)).fetchall():
                return Claimed(token)
            held = connection.execute(_LOOK, (key,)).fetchone()
            if held is None:
                return InProgress(0.0)  # its holder released it this instant
            holder, until = held
            return AlreadyComplete() if holder is None else InProgress(until - now)

        return self._file.run(step)

    def complete(self, key: str, token: str) -> None:
        """Remember the key as processed; see `IdempotencyStore.complete`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Raises:
            sqlite3.Error: the file cannot be read or written.
            OSError: the file cannot be opened.
            StoreError: the file was replaced, or the steps of other threads take too long.
        """
        now = time()
        completion = (key, token, now, now + self._ttl)
        self._file.run(lambda connection: connection.execute(_COMPLETE, completion))

    def release(self, key: str, token: str) -> None:
        """Forget the claim; see `IdempotencyStore.release`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Raises:
            sqlite3.Error: the file cannot be read or written.
            OSError: the file cannot be opened.
            StoreError: the file was replaced, or the steps of other threads take too long.
        """
        self._file.run(lambda connection: connection.execute(_RELEASE, (key, token)))

    def renew(self, key: str, token: str) -> bool:
        """Give the claim another lease; see `IdempotencyStore.renew`.

        Args:
            key: the key that was claimed.
            token: the token of the claim.

        Returns:
            Whether `token` still holds the key.

        Raises:
            sqlite3.Error: the file cannot be read or written.
            OSError: the file cannot be opened.
            StoreError: the file was replaced, or the steps of other threads take too long.
        """
        now = time()
        renewal = (key, token, now, now + self.lease)
        return self._file.run(lambda connection: connection.execute(_RENEW, renewal).rowcount == 1)

    def close(self) -> None:
        """Close this process's connection. The next step opens it again; the end of the process closes it as well."""
        self._file.close()

    def _sweep_if_it_is_time(self, connection: sqlite3.Connection, now: float) -> None:
        """Remove expired rows, every few claims; only one step runs at a time."""
        if self._claims_until_sweep:
            self._claims_until_sweep -= 1
            return
        begin = self._swept_up_to
        end = connection.execute(_SWEEP_ENDS, (begin, _ROWS_OF_A_SWEEP - 1)).fetchone()
        if end is None:
            connection.execute(_SWEEP_THE_REST, (begin, now))
            self._swept_up_to = ""
        else:
            connection.execute(_SWEEP, (begin, *end, now))
            [self._swept_up_to] = end
        self._claims_until_sweep = _CLAIMS_TO_A_SWEEP - 1
