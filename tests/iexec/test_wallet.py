"""Wallet files: format, modes, names, and what must not be opened."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from workflows.core.failure import Failed, Missing
from workflows.iexec import devkeys, wallet
from workflows.localnet.deployment import MNEMONIC

FAST = 1 << 12  # the library's lower bound is less; geth's 2^18 is tried once
PASSWORD = "correct horse"
KEY = "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def name_of(call: object, *arguments: object, **options: object) -> str:
    with pytest.raises(Failed) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    assert KEY not in str(caught.value.args) + caught.value.hint
    return caught.value.name


def test_default_folder_is_that_of_geth_and_the_sdk(home: Path) -> None:
    assert wallet.keystore_dir() == home / ".ethereum" / "keystore"
    assert wallet.list_wallets() == []


def test_a_new_wallet_as_geth_writes_it(tmp_path: Path) -> None:
    folder = tmp_path / "keystore"
    old = os.umask(0)
    try:
        made = wallet.create(PASSWORD, folder)
    finally:
        os.umask(old)
    assert (mode(folder), mode(made.path)) == (0o700, 0o600)
    assert re.fullmatch(
        r"UTC--\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}000000Z--" + made.address[2:], made.path.name
    )
    assert [path.name for path in folder.iterdir()] == [made.path.name]
    document = json.loads(made.path.read_text())
    assert document["version"] == 3
    assert document["address"] == made.address[2:].lower()
    assert document["crypto"]["kdf"] == "scrypt"
    assert document["crypto"]["kdfparams"]["n"] == 1 << 18
    assert bytes(Account.decrypt(document, PASSWORD)) == bytes(wallet.unlock(made, PASSWORD).key)


def test_wrong_password(tmp_path: Path) -> None:
    made = wallet.create(PASSWORD, tmp_path, work=FAST)
    assert name_of(wallet.unlock, made, "other") == "wrong_password"
    assert wallet.unlock(made, PASSWORD).address == made.address


def test_newest_first_and_strangers_passed_over(tmp_path: Path) -> None:
    first = wallet.create(PASSWORD, tmp_path, work=FAST)
    second = wallet.create(PASSWORD, tmp_path, work=FAST)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden").write_text(first.path.read_text())
    (tmp_path / "big").write_bytes(b" " * 100_000)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "folder").mkdir()
    names = [first.path.name, second.path.name]
    assert [found.path.name for found in wallet.list_wallets(tmp_path)] == sorted(names, reverse=True)


def test_found_by_address_prefix_or_path(tmp_path: Path) -> None:
    made = wallet.create(PASSWORD, tmp_path, work=FAST)
    for which in (made.address, made.address.lower(), made.address[2:10], str(made.path)):
        assert wallet.find(which, tmp_path) == made
    for which in ("0x", "0x12", ADDRESS, "\x1b[31m"):
        with pytest.raises(Missing) as caught:
            wallet.find(which, tmp_path)
        assert "\x1b" not in caught.value.message


def test_files_of_geth_and_of_the_sdk(tmp_path: Path) -> None:
    document = Account.encrypt(KEY, PASSWORD, kdf="scrypt", iterations=FAST)
    upper = {
        "version": 3,
        "id": document["id"],
        "Crypto": document["crypto"],
        "address": ADDRESS[2:].lower(),
    }
    for name, content in (
        (f"UTC--2020-01-02T03-04-05.678000000Z--{ADDRESS[2:].lower()}", document),
        (f"UTC--2021-01-02T03-04-05.678000000Z--{ADDRESS[2:]}", upper),
        ("encrypted-wallet.json", document),
    ):
        (tmp_path / name).write_text(json.dumps(content))
        found = wallet.open_wallet(tmp_path / name)
        assert found.address == ADDRESS
        assert wallet.unlock(found, PASSWORD).address == ADDRESS


def test_a_changed_address_is_seen(tmp_path: Path) -> None:
    document = Account.encrypt(KEY, PASSWORD, kdf="scrypt", iterations=FAST)
    other = "00" * 19 + "01"
    path = tmp_path / f"UTC--2020-01-02T03-04-05.678000000Z--{other}"
    path.write_text(json.dumps({**document, "address": other}))
    assert name_of(wallet.unlock, wallet.open_wallet(path), PASSWORD) == "address_mismatch"
    path.write_text(json.dumps(document))
    assert name_of(wallet.open_wallet, path) == "address_mismatch"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"version":3}', '{"version":1,"crypto":{}}', '{"version":3,"crypto":[]}']
)
def test_no_keystore(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wallet.json"
    path.write_text(content)
    assert name_of(wallet.open_wallet, path) == "invalid_keystore"


def test_broken_keystore(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    path.write_text(json.dumps({"version": 3, "crypto": {"cipher": "none"}, "address": ADDRESS[2:]}))
    assert name_of(wallet.unlock, wallet.open_wallet(path), PASSWORD) == "invalid_keystore"


def test_import_of_a_raw_key(tmp_path: Path) -> None:
    for given in (KEY, f"0x{KEY}\n"):
        made = wallet.import_key(given, PASSWORD, tmp_path, work=FAST)
        assert made.address == ADDRESS
        assert KEY not in made.path.read_text()
    for bad in ("", "0x12", "zz" * 32, "00" * 32, "ff" * 32):
        assert name_of(wallet.import_key, bad, PASSWORD, tmp_path, work=FAST) == "invalid_key"


def test_public_keys_are_those_of_the_phrase() -> None:
    Account.enable_unaudited_hdwallet_features()
    paths = [f"m/44'/60'/0'/0/{number}" for number in range(20)]
    assert {Account.from_mnemonic(MNEMONIC, account_path=path).address for path in paths} == devkeys.ADDRESSES


def test_public_keys_only_where_it_is_simulated(tmp_path: Path) -> None:
    Account.enable_unaudited_hdwallet_features()
    key = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/0").key.hex()
    assert name_of(wallet.import_key, key, PASSWORD, tmp_path, work=FAST) == "public_key_wallet"
    made = wallet.import_key(key, PASSWORD, tmp_path, simulated=True, work=FAST)
    assert name_of(wallet.unlock, made, PASSWORD) == "public_key_wallet"
    assert wallet.unlock(made, PASSWORD, simulated=True).address == made.address


def test_password_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("first line \r\nsecond\n")
    assert wallet.read_password(path) == "first line "
    assert name_of(wallet.read_password, tmp_path / "absent") == "no_password"


def test_a_failed_check_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.from_key(KEY)
    broken = replace(wallet.create(PASSWORD, tmp_path / "one", work=FAST), address=ADDRESS)
    document = json.loads(broken.path.read_text())
    monkeypatch.setattr(type(account), "encrypt", lambda *_, **__: document)  # the disk gave back another key
    folder = tmp_path / "two"
    assert name_of(wallet.import_key, KEY, PASSWORD, folder, work=FAST) == "address_mismatch"
    assert list(folder.iterdir()) == []
