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
# is complete.
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS deliveries
    (key TEXT PRIMARY KEY, token TEXT, since REAL NOT NULL, until REAL NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS deliveries_until ON deliveries (until)",
)

# Each claim adds one row at most, so that removing a few rows a claim keeps up with what runs out.
_SWEEP = """
    DELETE FROM deliveries WHERE key IN (SELECT key FROM deliveries WHERE until <= :now ORDER BY until LIMIT 4)
"""
# A claim from the future is void: the clock was set back, so it would outlive its holder by as much.
_CLAIM = """
    INSERT INTO deliveries (key, token, since, until) VALUES (:key, :token, :now, :until)
    ON CONFLICT (key) DO UPDATE SET token = excluded.token, since = excluded.since, until = excluded.until
    WHERE until <= :now OR (token IS NOT NULL AND since > :now + :slack)
    RETURNING token
"""
_LOOK = "SELECT token, until FROM deliveries WHERE key = :key"
_COMPLETE = """
    INSERT INTO deliveries (key, token, since, until) VALUES (:key, NULL, :now, :until)
    ON CONFLICT (key) DO UPDATE SET token = NULL, since = excluded.since, until = excluded.until
    WHERE token = :token OR until <= :now
"""
_RENEW = "UPDATE deliveries SET since = :now, until = :until WHERE key = :key AND token = :token"
_RELEASE = "DELETE FROM deliveries WHERE key = :key AND token = :token"


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
            wanted = {"key": key, "token": token, "until": now + self.lease, "now": now, "slack": CLOCK_SLACK}
            connection.execute(_SWEEP, {"now": now})
            if connection.execute(_CLAIM, wanted).fetchall():
                return Claimed(token)
            held = connection.execute(_LOOK, {"key": key}).fetchone()
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
        completion = {"key": key, "token": token, "until": now + self._ttl, "now": now}
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
        self._file.run(lambda connection: connection.execute(_RELEASE, {"key": key, "token": token}))

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
        renewal = {"key": key, "token": token, "now": now, "until": now + self.lease}
        return self._file.run(lambda connection: connection.execute(_RENEW, renewal).rowcount == 1)

    def close(self) -> None:
        """Close this process's connection. The next step opens it again; the end of the process closes it as well."""
        self._file.close()
