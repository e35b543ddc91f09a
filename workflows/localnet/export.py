"""Files for the official `iexec` 8.24.0 client: chain.json of the running localnet, and a funded wallet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflows.core.failure import Missing
from workflows.core.files import write_atomic

PASSWORD = "localnet"  # noqa: S105 - of a key that everybody knows
_WORK = 1 << 12  # scrypt: the key is public, so opening it may be quick


def export(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write DIR/chain.json and DIR/keystore/UTC--…; what was written, and the wallet's address.

    Other chains of a chain.json that is there stay in it; Missing when it is none.

    Source of the keys: reference formats §8.2 (the schema of 8.24.0 refuses unknown ones).
    """
    from workflows.iexec import wallet
    from workflows.localnet.genesis import account

    path = folder / "chain.json"
    chains = {name: one for name, one in _chains(path).items() if name != "localnet"}
    folder.mkdir(parents=True, exist_ok=True)
    entry: dict[str, Any] = {
        "id": str(document["chain_id"]),
        "host": document["rpc"],
        "hub": document["hub"],
        "sms": {"scone": document["sms"]},
        "resultProxy": document["result_proxy"],
        "ipfsGateway": document["ipfs"]["gateway"],
        "native": True,
        "useGas": False,
        "defaultTeeFramework": "scone",
    }
    if document.get("market"):
        entry["iexecGateway"] = document["market"]
    chain = {
        "default": "localnet",
        "allowExperimentalNetworks": True,
        "chains": {**chains, "localnet": entry},
    }
    write_atomic(path, json.dumps(chain, indent=2) + "\n", 0o644)
    signer = account("requester")
    keystore = folder / "keystore"
    known = [one for one in wallet.list_wallets(keystore) if one.address == signer.address]
    made = (
        known[0]
        if known
        else wallet.import_key(signer.key.hex(), PASSWORD, keystore, simulated=True, work=_WORK)
    )
    return {"chain": str(path), "keystore": str(made.path), "address": made.address, "password": PASSWORD}


def _chains(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["chains"]
        return dict(found)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Missing(
            f"{path} is there and no chain.json that can be kept ({type(error).__name__})",
            "move it away, or give another folder",
        ) from None
