"""What the store keeps, and what it does when somebody changed it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from workflows.core.failure import Failed
from workflows.localnet.sms.store import Store

ALICE, BOB = "0x" + "aA" * 20, "0x" + "bb" * 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


@pytest.mark.parametrize("value", ["x", "é€😀\r\n\0\ufeff", " x ", "\u00a0", "\x85", "0" * 4096])
def test_a_value_comes_back_as_it_went_in(store: Store, value: str) -> None:
    assert store.add("requester", ALICE, "k", value)
    assert store.get("requester", ALICE.lower(), "k") == value


@pytest.mark.parametrize("value", ["", " ", "\t\r\n", "\u2003", "\x1c"])
def test_a_blank_value_is_kept_as_empty_as_the_real_service_does(store: Store, value: str) -> None:
    assert store.add("web2", ALICE, "k", value)
    assert store.has("web2", ALICE, "K")
    assert store.get("web2", ALICE, "k") == ""
    assert not store.add("web2", ALICE, "K", "x")


def test_kinds_owners_and_names_do_not_mix(store: Store) -> None:
    for kind in ("web3", "web2", "app", "requester"):
        for owner in (ALICE, BOB):
            assert store.add(kind, owner, "n", f"{kind} {owner}")
    assert store.get("app", BOB, "n") == f"app {BOB}"
    assert store.get("requester", ALICE, "N") is None
    assert not store.update("requester", ALICE, "N", "x")
    assert store.update("requester", ALICE, "n", "x")
    assert store.get("requester", BOB, "n") == f"requester {BOB}"


def test_a_challenge_is_a_key_pair_that_is_forgotten_after_its_deadline(store: Store) -> None:
    task, other = "0x" + "AB" * 32, "0x" + "cd" * 32
    made = store.challenge(task, deadline=1000)
    assert Account.from_key(made.private_key).address == made.address
    assert made.private_key not in repr(made)
    kept = store.challenge(other)
    assert store.challenge(task.lower()) == made
    assert store.purge(1000) == 0
    assert store.purge(1001) == 1
    assert store.challenge(task) != made
    assert store.challenge(other) == kept


def test_a_value_that_was_moved_or_changed_does_not_open(store: Store, tmp_path: Path) -> None:
    store.add("app", ALICE, "1", "of alice")
    store.add("app", BOB, "1", "of bob")
    sql = sqlite3.connect(tmp_path / "sms.sqlite", isolation_level=None)
    sql.execute(
        "UPDATE secrets SET value = (SELECT value FROM secrets WHERE owner = ?) WHERE owner = ?",
        (ALICE.lower(), BOB),
    )
    with pytest.raises(Failed) as caught:
        store.get("app", BOB, "1")
    assert caught.value.name == "vault_key_mismatch"
    assert store.get("app", ALICE, "1") == "of alice"


def test_a_key_file_that_others_may_read_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    key = tmp_path / "sms.key"
    key.chmod(0o644)
    with pytest.raises(Failed, match="may be read by others"):
        Store(tmp_path)
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(Failed, match="5 bytes instead of 32"):
        Store(tmp_path)
