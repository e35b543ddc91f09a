"""Where the SMS keeps secrets and enclave challenges: SQLite, values AES-GCM, the key apart from it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from workflows.core.failure import Failed
from workflows.localnet.database import Database
from workflows.localnet.vault import Vault

Kind = Literal["web3", "web2", "app", "requester"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets (
  kind TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (kind, owner, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS challenges (
  task TEXT PRIMARY KEY, address TEXT NOT NULL, key BLOB NOT NULL, deadline INTEGER NOT NULL
) WITHOUT ROWID;
"""
RETENTION = 5 * 24 * 3600
# Java's idea of blank, which the real service uses: not these, though Python calls them spaces.
_NOT_BLANK = frozenset("\x85\xa0\u2007\u202f")


@dataclass(frozen=True)
class Challenge:
    """The key pair of a task's enclave: the address is for the chain, the key for the post-compute."""

    address: str
    private_key: str = field(repr=False)


class Store:
    """All methods block on the disk: call them through `asyncio.to_thread`.

    Owners (addresses) are lower-cased; web2 names too, requester keys are not. `key`: that of the values, which
    is in a file of the directory when none is given.
    """

    def __init__(self, directory: Path, key: bytes | None = None) -> None:
        self.key_file = directory / "sms.key" if key is None else None
        self._vault = Vault(directory / "sms.key", key)
        self._database = Database(directory / "sms.sqlite", _SCHEMA)
        try:
            self._vault.tie(self._database)
        except BaseException:
            self._database.close()
            raise
        self.initial: Mapping[str, int] = self.counts()
        self.added: Counter[str] = Counter()

    def has(self, kind: Kind, owner: str, name: str = "") -> bool:
        """Whether a secret is there."""
        query = "SELECT 1 FROM secrets WHERE kind = ? AND owner = ? AND name = ?"
        return self._database.one(query, *_place(kind, owner, name)) is not None

    def get(self, kind: Kind, owner: str, name: str = "") -> str | None:
        """A secret's value."""
        place = _place(kind, owner, name)
        query = "SELECT value FROM secrets WHERE kind = ? AND owner = ? AND name = ?"
        row = self._database.one(query, *place)
        if row is None or not isinstance(row[0], bytes):
            return None
        return self._vault.open(row[0], json.dumps(place)).decode()

    def add(self, kind: Kind, owner: str, name: str, value: str) -> bool:
        """Store a new secret; False when there is one. A blank value is stored as empty, a quirk to keep."""
        place = _place(kind, owner, name)
        with self._database.transaction() as sql:
            done = sql.execute(
                "INSERT INTO secrets VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*place, self._seal(place, value)),
            )
            self.added[kind] += done.rowcount
            return done.rowcount == 1

    def update(self, kind: Kind, owner: str, name: str, value: str) -> bool:
        """Replace a secret; False when there is none."""
        place = _place(kind, owner, name)
        with self._database.transaction() as sql:
            done = sql.execute(
                "UPDATE secrets SET value = ? WHERE kind = ? AND owner = ? AND name = ?",
                (self._seal(place, value), *place),
            )
            return done.rowcount == 1

    def challenge(self, task: str, deadline: int | None = None) -> Challenge:
        """The key pair of a task, made at the first call; `deadline` in Unix seconds, else in five days."""
        from eth_account import Account

        task = task.lower()
        context = f"challenge\n{task}"
        with self._database.transaction() as sql:
            row = sql.execute("SELECT address, key FROM challenges WHERE task = ?", (task,)).fetchone()
            if row:
                return Challenge(str(row[0]), self._vault.open(row[1], context).decode())
            account = Account.create()
            made = Challenge(str(account.address), "0x" + bytes(account.key).hex())
            sql.execute(
                "INSERT INTO challenges VALUES (?, ?, ?, ?)",
                (
                    task,
                    made.address,
                    self._vault.seal(made.private_key.encode(), context),
                    deadline or int(time.time()) + RETENTION,
                ),
            )
            self.added["challenge"] += 1
            return made

    def purge(self, now: int) -> int:
        """Forget challenges whose deadline is past; how many."""
        with self._database.transaction() as sql:
            return sql.execute("DELETE FROM challenges WHERE deadline < ?", (now,)).rowcount

    def counts(self) -> dict[str, int]:
        """How many secrets of each kind there are, and challenges under `challenge`."""
        rows = self._database.all(
            "SELECT kind, count(*) FROM secrets GROUP BY kind "
            "UNION ALL SELECT 'challenge', count(*) FROM challenges"
        )
        return {str(kind): int(str(number)) for kind, number in rows}

    def backup(self, path: Path) -> None:
        """A copy of the database into an empty private file; its values stay sealed under the same key."""
        self._database.copy(path)

    def restore(self, path: Path, key_file: Path | None) -> None:
        """Become what a backup holds, in one step: all of it or nothing.

        Its values are sealed anew under the key in use, so this key does not change. `key_file` opens the
        backup, None when that is our own key. Failed: it is no backup, or does not open.
        """
        vault = Vault(key_file) if key_file is not None else self._vault
        try:
            # read-only, and nothing that a schema from elsewhere defines is trusted to run
            source = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
            with contextlib.closing(source), self._database.transaction() as sql:
                source.execute("PRAGMA trusted_schema=OFF")
                sql.execute("DELETE FROM secrets")
                sql.execute("DELETE FROM challenges")
                for *place, value in source.execute("SELECT kind, owner, name, value FROM secrets"):
                    context = json.dumps(place)
                    row = (*place, self._vault.seal(vault.open(value, context), context))
                    sql.execute("INSERT INTO secrets VALUES (?, ?, ?, ?)", row)
                for task, address, key, deadline in source.execute(
                    "SELECT task, address, key, deadline FROM challenges"
                ):
                    context = f"challenge\n{task}"
                    sealed = self._vault.seal(vault.open(key, context), context)
                    sql.execute(
                        "INSERT INTO challenges VALUES (?, ?, ?, ?)", (task, address, sealed, deadline)
                    )
        except (sqlite3.Error, TypeError) as error:
            raise Failed(
                f"{path.name} cannot be restored: {type(error).__name__}", name="sms_backup"
            ) from None

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _seal(self, place: tuple[str, str, str], value: str) -> bytes:
        blank = all(c.isspace() and c not in _NOT_BLANK for c in value)
        return self._vault.seal(b"" if blank else value.encode(), json.dumps(place))


def _place(kind: Kind, owner: str, name: str) -> tuple[str, str, str]:
    return kind, owner.lower(), name.lower() if kind == "web2" else name
