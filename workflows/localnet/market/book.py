"""The published orders of all four kinds, in one file. What is left of an order is the chain's word, not kept here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from workflows.iexec.orders import KINDS, Order
from workflows.localnet.database import Database

MOST_OPEN = 50  # of one kind by one signer, as on iExec's market
_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
  number INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, signer TEXT NOT NULL,
  document TEXT NOT NULL, published TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_kind ON orders (kind, signer);
"""
_COLUMNS = "SELECT hash, kind, signer, document, published FROM orders"


@dataclass(frozen=True)
class Published:
    """An order on the market; `at` as iExec writes times, with milliseconds and Z."""

    hash: str
    order: Order
    signer: str
    at: str


class Book:
    """`path` is the SQLite file. All calls block."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def add(self, order_hash: str, order: Order, signer: str) -> Published | None:
        """Publish; None when it is published already."""
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._database.transaction() as sql:
            row = (order_hash, order.kind, signer, json.dumps(order.to_json()), stamp)
            added = sql.execute(
                "INSERT OR IGNORE INTO orders (hash, kind, signer, document, published) VALUES (?, ?, ?, ?, ?)", row
            ).rowcount  # fmt: skip
        return Published(order_hash, order, signer, stamp) if added else None

    def remove(self, order_hash: str) -> None:
        """Take an order off the market; it stays signed and valid on the chain."""
        with self._database.transaction() as sql:
            sql.execute("DELETE FROM orders WHERE hash = ?", (order_hash,))

    def find(self, kind: str, order_hash: str) -> Published | None:
        """One order, open or not."""
        row = self._database.one(f"{_COLUMNS} WHERE kind = ? AND hash = ?", kind, order_hash)
        return _published(*map(str, row)) if row else None

    def of_kind(self, kind: str, wanted: Callable[[Published], bool]) -> list[Published]:
        """The orders of a kind that are wanted, oldest first."""
        with self._database.transaction() as sql:
            rows = sql.execute(f"{_COLUMNS} WHERE kind = ? ORDER BY number", (kind,)).fetchall()
        return [one for row in rows if wanted(one := _published(*row))]


def _published(order_hash: str, kind: str, signer: str, document: str, at: str) -> Published:
    return Published(order_hash, KINDS[kind].from_json(json.loads(document)), signer, at)
