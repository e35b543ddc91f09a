"""Wallets: keystore v3 files in the Ethereum keystore folder, interchangeable with geth and the iexec SDK.

After geth: the folder has mode 0700 and files 0600, a new file is decrypted once before it gets its name, and
the address is checked when a file is opened. Passwords come from a prompt or a file, never from an argument.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed, Missing
from workflows.core.files import create_private, private_dir, sync_dir
from workflows.core.text import clean
from workflows.iexec import devkeys, ids

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

SCRYPT_WORK = 1 << 18  # geth's standard
_LARGEST = 64 << 10  # a keystore file is about 500 bytes


@dataclass(frozen=True)
class Wallet:
    """A keystore file; its key stays encrypted. `created` is the time in the file's name, else its date."""

    address: str
    path: Path
    created: str


def keystore_dir() -> Path:
    """The Ethereum keystore folder of this user, shared with geth and the iexec SDK."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Ethereum" / "keystore"
    return Path.home() / ".ethereum" / "keystore"


def list_wallets(folder: Path | None = None) -> list[Wallet]:
    """The wallets of a folder, newest first; files that are no keystore are passed over."""
    folder = folder or keystore_dir()
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            found.append(open_wallet(path))
        except Failed:
            continue
    return sorted(found, key=lambda wallet: (wallet.created, wallet.path.name), reverse=True)


def find(which: str, folder: Path | None = None) -> Wallet:
    """The wallet of a path, an address or the beginning of one; Missing when it is not exactly one."""
    path = Path(which).expanduser()
    if path.is_file():
        return open_wallet(path)
    begin = which.lower() if which.lower().startswith("0x") else "0x" + which.lower()
    matches = (
        [w for w in list_wallets(folder) if w.address.lower().startswith(begin)] if len(begin) > 5 else []
    )
    if len({wallet.address for wallet in matches}) != 1:
        many = f"{len(matches)} wallets begin with" if matches else "no wallet is"
        raise Missing(
            f"{many} {clean(which)[:80]!r}",
            f"Wallets are looked for in {folder or keystore_dir()}.",
            name="no_wallet",
        )
    return matches[0]


def open_wallet(path: Path) -> Wallet:
    """The wallet of a keystore file, still locked; Failed when the file is none."""
    address = _address(path, _read(path))
    stamp = path.name.split("--")[1] if path.name.startswith("UTC--") and path.name.count("--") == 2 else ""
    if not stamp:
        stamp = _stamp(datetime.fromtimestamp(path.stat().st_mtime, timezone.utc))
    return Wallet(address, path, stamp)


def create(password: str, folder: Path | None = None, *, work: int = SCRYPT_WORK) -> Wallet:
    """A wallet with a new random key."""
    from eth_account import Account

    return _store(Account.create(), password, folder, work)


def import_key(
    key: str, password: str, folder: Path | None = None, *, simulated: bool = False, work: int = SCRYPT_WORK
) -> Wallet:
    """A wallet of a raw private key, 64 hex digits with or without 0x.

    A publicly known key is refused unless it is for a simulated chain.
    """
    from eth_account import Account

    digits = key.strip().removeprefix("0x")
    try:
        account = Account.from_key(bytes.fromhex(digits)) if len(digits) == 64 else None
    except Exception:  # whatever the library says about a key may quote it
        account = None
    if account is None:
        raise Missing("the private key is not 64 hex digits of a valid key", name="invalid_key")
    devkeys.refuse(ids.address(account.address), simulated=simulated)
    return _store(account, password, folder, work)


def unlock(wallet: Wallet, password: str, *, simulated: bool = False) -> LocalAccount:
    """The signing account. `simulated` says that it is for a simulated chain, where public keys may sign.

    Failed `wrong_password`, `address_mismatch` (the file says another address than its key has),
    `public_key_wallet`.
    """
    return _unlock(_read(wallet.path), wallet.address, password, simulated)


def read_password(path: Path) -> str:
    """The first line of a password file."""
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            return file.readline(4096).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Missing(
            f"the password file cannot be read: {clean(str(path))} ({type(error).__name__})",
            "Give another with --password-file.",
            name="no_password",
        ) from None


def _store(account: LocalAccount, password: str, folder: Path | None, work: int) -> Wallet:
    document = account.encrypt(password, kdf="scrypt", iterations=work)
    address = ids.address(account.address)
    return _place({**document, "address": address[2:].lower()}, address, folder, password)


def _place(document: Mapping[str, Any], address: str, folder: Path | None, password: str) -> Wallet:
    """Write a keystore under a hidden name, open it once with the password, give it its name."""
    home = private_dir(folder or keystore_dir())
    stamp = _stamp(datetime.now(timezone.utc))
    final = home / f"UTC--{stamp}--{address[2:]}"
    hidden = home / f".{final.name}.tmp"
    create_private(hidden, json.dumps(document))
    try:
        _unlock(_read(hidden), address, password, simulated=True)
        os.link(hidden, final)  # unlike a rename it replaces nothing
    finally:
        hidden.unlink(missing_ok=True)
    sync_dir(home)
    return Wallet(address, final, stamp)


def _unlock(document: Mapping[str, Any], address: str, password: str, simulated: bool) -> LocalAccount:
    from eth_account import Account

    try:
        account: LocalAccount = Account.from_key(Account.decrypt(dict(document), password))
    except Exception as error:  # the library raises plain ValueError for a wrong password, and much else
        if "MAC mismatch" in str(error):
            raise Failed(f"wrong password for {address}", "Try again.", name="wrong_password") from None
        raise _no_keystore(Path(address), type(error).__name__) from None
    found = ids.address(account.address)
    if found != address:
        raise Failed(
            f"the wallet file says {address}, its key is that of {found}",
            "Somebody changed the file. Do not use it; restore it from a backup.",
            name="address_mismatch",
        )
    devkeys.refuse(found, simulated=simulated)
    return account


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise _no_keystore(path, "too large")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _no_keystore(path, type(error).__name__) from None
    keys = {str(key).lower(): value for key, value in document.items()} if isinstance(document, dict) else {}
    if keys.get("version") != 3 or not isinstance(keys.get("crypto"), dict):
        raise _no_keystore(path, "not version 3")
    return keys


def _address(path: Path, document: Mapping[str, Any]) -> str:
    """The address that the file states, checked against its name; from the name where the file is silent."""
    named = path.name.rsplit("--", 1)[-1]
    stated = document.get("address") or named
    try:
        address = ids.address("0x" + str(stated).removeprefix("0x").lower())
    except ValueError:
        raise _no_keystore(path, "no address") from None
    if path.name.startswith("UTC--") and named.lower() != address[2:].lower():
        raise Failed(
            f"the wallet file {clean(path.name)} states another address than its name: {address}",
            "Rename it, or restore it from a backup.",
            name="address_mismatch",
        )
    return address


def _no_keystore(path: Path, why: str) -> Failed:
    return Failed(
        f"{clean(path.name)} is no usable keystore file ({why})",
        "A wallet is a keystore v3 JSON file, as geth and the iexec SDK write.",
        name="invalid_keystore",
    )


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H-%M-%S.") + f"{moment.microsecond // 1000:03d}000000Z"
