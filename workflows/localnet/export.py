"""What clients need of a running localnet: chain.json for the official `iexec` 8.24.0, network.toml for creamtea
under another user or on another machine, and a funded wallet.

Of one that others reach also the CA of its servers, and for each folder a wallet of its own: on such a network a
key that everybody knows holds nothing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed, Missing
from workflows.core.files import create_private, private_dir, write_atomic

if TYPE_CHECKING:
    from workflows.iexec.networks import Network
    from workflows.iexec.wallet import Wallet

PASSWORD = "localnet"  # noqa: S105 - of a key that everybody knows
ALLOWANCE = 100 * 10**9  # nRLC that a wallet of a shared network gets, anew at every export
_WORK = 1 << 12  # scrypt may be quick: the passwords are public, or random and long
_WEI = 10**9  # of one nRLC


def export(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write the files of a running localnet, by its status; what was written, and the wallet's address.

    Other chains of a chain.json that is there stay in it; Missing when it is none.
    """
    from workflows.iexec import networks, sdk

    path = folder / "chain.json"
    chains = {name: one for name, one in _chains(path).items() if name != "localnet"}
    reached = networks.from_status({**document, **(document.get("public") or {})})
    if not folder.exists():
        private_dir(folder)
    chain = {
        "default": "localnet",
        "allowExperimentalNetworks": True,
        "chains": {**chains, "localnet": sdk.chain_entry(reached)},
    }
    write_atomic(path, json.dumps(chain, indent=2) + "\n", 0o644)
    return {"chain": str(path), **_wallet(document, folder), **_description(document, reached, folder)}


def _wallet(document: Mapping[str, Any], folder: Path) -> dict[str, str | None]:
    """A funded wallet for what is exported: everybody's, or one of its own where the chain has other accounts."""
    from workflows.localnet.genesis import own_accounts

    keystore, password = folder / "keystore", folder / "password"
    if not own_accounts(Path(document["state_dir"])):
        known = _public_wallet(keystore)
        return {
            "keystore": str(known.path),
            "address": known.address,
            "password": PASSWORD,
            "password_file": None,
        }
    made = _own_wallet(keystore, password)
    _allow(str(document["rpc"]), made.address)
    return {
        "keystore": str(made.path),
        "address": made.address,
        "password": None,
        "password_file": str(password),
    }


def _description(document: Mapping[str, Any], reached: Network, folder: Path) -> dict[str, str | None]:
    """Write network.toml, and ca.pem where others have to be told which CA to trust for its servers."""
    import tomlkit

    shared = document.get("public") or {}
    root = (Path(document["state_dir"]) / "keys" / "root.pem").read_text(encoding="ascii")
    host = str(shared["hosts"][0]) if shared else "127.0.0.1"
    note = "SIMULATED, and shared: no SGX hardware protects anything, and who runs it can read everything."
    table = {
        "title": f"Localnet at {host}",
        "note": note if shared else note.replace(", and shared", ""),
        "chain_id": reached.chain_id,
        "native": True,
        "simulated": True,
        "shared": bool(shared),
        "rpc": reached.rpc,
        "hub": reached.hub,
        "ipfs_upload": reached.ipfs_upload,
        "ipfs_gateway": reached.ipfs_gateway,
        "result_proxy": reached.result_proxy,
        "market": reached.market,
        "workerpool": reached.workerpool,
        "workerpool_api": reached.workerpool_api,
        "registries": dict(document["registries"]),
        "sms": dict(reached.sms),
    }
    trusted = Path(shared["ca"]).read_text(encoding="ascii") if shared.get("ca") else None
    pems = {"root": root, **({"ca": trusted} if trusted else {})}
    content = tomlkit.document()
    content.add(
        tomlkit.comment("A network for creamtea: run --network FILE, or put it into your networks.toml.")
    )
    whole = tomlkit.table()
    for name, value in table.items():
        if not isinstance(value, dict):
            whole.add(name, value)
    for name, pem in pems.items():
        whole.add(name, tomlkit.string(pem, multiline=True))
    for name, value in table.items():
        if isinstance(value, dict):
            whole.add(name, value)
    content.add(_name(host), whole)
    path, ca = folder / "network.toml", folder / "ca.pem"
    write_atomic(path, tomlkit.dumps(content), 0o644)
    if trusted:
        write_atomic(ca, trusted, 0o644)
    return {"network": str(path), "ca": str(ca) if trusted else None}


def _name(host: str) -> str:
    """A name for the network at a host: lower-case letters, digits and hyphens, at most 40."""
    words = "".join(letter if letter.isalnum() else "-" for letter in host.strip("[]"))
    return f"at-{words}"[:40].rstrip("-")


def _public_wallet(keystore: Path) -> Wallet:
    """The requester's wallet, whose key and password everybody knows."""
    from workflows.iexec import wallet
    from workflows.localnet.genesis import account

    signer = account("requester")
    known = [one for one in wallet.list_wallets(keystore) if one.address == signer.address]
    if known:
        return known[0]
    return wallet.import_key(signer.key.hex(), PASSWORD, keystore, simulated=True, work=_WORK)


def _own_wallet(keystore: Path, password: Path) -> Wallet:
    """The wallet of a folder, made with a password of its own when there is none."""
    from workflows.iexec import wallet

    known = wallet.list_wallets(keystore)
    if known and password.exists():
        return known[0]
    if known or password.exists():
        raise Missing(
            f"{keystore} and {password} belong together, and one of them is gone",
            "Put it back, or give another folder.",
            name="exists",
        )
    word = secrets.token_urlsafe(16)
    create_private(password, word + "\n")
    return wallet.create(word, keystore, work=_WORK)


def _allow(rpc: str, address: str) -> None:
    """Fill a wallet up to the allowance: this machine may tell its chain what an account holds."""
    from workflows.iexec.connection import Connection

    chain = Connection(rpc)
    lacking = ALLOWANCE * _WEI - chain.wei(address)
    if lacking <= 0:
        return
    answer = chain.w3.provider.make_request(
        "anvil_setBalance",  # type: ignore[arg-type]
        [address, hex(ALLOWANCE * _WEI)],
    )
    if "error" in answer:
        raise Failed(f"the chain gives {address} nothing: {answer['error']}", "Look at its log.")


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
