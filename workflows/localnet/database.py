"""One SQLite file: WAL, private mode, writes that survive a power loss, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflows.core.failure import Failed
from workflows.core.files import private_dir

VERSION = 1  # of the tables of all databases; 0 is one from before there was a number


class Database:
    """A connection that threads share through a lock; `with db.transaction() as sql:` commits or undoes.

    Failed `database`: the file is none, is damaged, or is of a newer creamtea.
    """

    def __init__(self, path: Path, schema: str) -> None:
        private_dir(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            self._prepare(schema)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise _unusable(path, str(error)) from None

    def _prepare(self, schema: str) -> None:
        sql = self._connection
        (version,) = sql.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise sqlite3.DatabaseError("a newer creamtea wrote it")
        sql.execute("PRAGMA journal_mode=WAL")
        sql.execute("PRAGMA synchronous=FULL")
        sql.execute("PRAGMA secure_delete=ON")
        sql.executescript(schema)
        sql.execute(f"PRAGMA user_version={VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside BEGIN IMMEDIATE … COMMIT."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def one(self, query: str, *values: object) -> tuple[object, ...] | None:
        """The first row of a query, or None."""
        with self._lock:
            row = self._connection.execute(query, values).fetchone()
        return tuple(row) if row is not None else None

    def all(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Every row of a query."""
        with self._lock:
            return [tuple(row) for row in self._connection.execute(query, values)]

    def copy(self, path: Path) -> None:
        """A consistent copy without what was deleted, into an empty file that is there."""
        with self._lock:
            self._connection.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        """Write everything into the main file and let go of it."""
        with self._lock:
            self._connection.close()


def _unusable(path: Path, why: str) -> Failed:
    return Failed(
        f"{path} cannot be used: {why}",
        "Bring back a copy of the whole state folder, use the creamtea that wrote it, or begin a new one.",
        name="database",
    )
