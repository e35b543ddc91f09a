"""Files for the official `iexec` 8.24.0 client: chain.json of the running localnet, and a funded wallet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflows.iexec.wallet import Wallet

PASSWORD = "localnet"  # noqa: S105 - of a key that everybody knows
_WORK = 1 << 12  # scrypt: the key is public, so opening it may be quick


def export(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write DIR/chain.json and DIR/keystore/UTC--…; what was written, and the wallet's address.

    Other chains of a chain.json that is there stay in it; Missing when it is none.
    """
    from workflows.iexec import networks, sdk

    path = folder / sdk.CHAIN
    sdk.load(path)  # before anything is made
    folder.mkdir(parents=True, exist_ok=True)
    sdk.write_chain(path, networks.from_status(document))
    made = put_wallet(folder / sdk.KEYSTORE)
    return {"chain": str(path), "keystore": str(made.path), "address": made.address, "password": PASSWORD}


def put_wallet(keystore: Path) -> Wallet:
    """The funded requester's wallet in a keystore folder, made unless it is there; its password is `PASSWORD`."""
    from workflows.iexec import wallet
    from workflows.localnet.genesis import account

    signer = account("requester")
    known = [one for one in wallet.list_wallets(keystore) if one.address == signer.address]
    if known:
        return known[0]
    return wallet.import_key(signer.key.hex(), PASSWORD, keystore, simulated=True, work=_WORK)
