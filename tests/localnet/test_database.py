"""A database file that cannot be used is named, and stays as it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from workflows.core.failure import Failed
from workflows.localnet.database import VERSION, Database

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (name TEXT)"


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_text("not a database, but somebody's file of some length" * 20)
    before = path.read_bytes()
    with pytest.raises(Failed, match=r"x\.sqlite cannot be used: file is not a database") as caught:
        Database(path, SCHEMA)
    assert caught.value.name == "database" and path.read_bytes() == before


def test_what_a_newer_creamtea_wrote_is_not_touched_by_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    for _ in range(2):  # one without a number is of the time before there was one
        Database(path, SCHEMA).close()
    newer = sqlite3.connect(path)
    assert newer.execute("PRAGMA user_version").fetchone() == (VERSION,)
    newer.execute(f"PRAGMA user_version={VERSION + 1}")
    newer.close()
    with pytest.raises(Failed, match="newer creamtea"):
        Database(path, SCHEMA)
