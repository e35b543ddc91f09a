"""Where the SMS keeps secrets and enclave challenges: SQLite, values AES-GCM, the key in its own file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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

    Owners (addresses) are lower-cased; web2 names too, requester keys are not.
    """

    def __init__(self, directory: Path) -> None:
        self._vault = Vault(directory / "sms.key")
        self._database = Database(directory / "sms.sqlite", _SCHEMA)

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
            return made

    def purge(self, now: int) -> int:
        """Forget challenges whose deadline is past; how many."""
        with self._database.transaction() as sql:
            return sql.execute("DELETE FROM challenges WHERE deadline < ?", (now,)).rowcount

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _seal(self, place: tuple[str, str, str], value: str) -> bytes:
        blank = all(c.isspace() and c not in _NOT_BLANK for c in value)
        return self._vault.seal(b"" if blank else value.encode(), json.dumps(place))


def _place(kind: Kind, owner: str, name: str) -> tuple[str, str, str]:
    return kind, owner.lower(), name.lower() if kind == "web2" else name
