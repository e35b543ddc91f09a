"""The files of a project of the official client (`iexec` 8.24.0; reference formats §8), written and read.

iexec.json says what is to be registered and signed, chain.json where, deployed.json the last address of each kind,
orders.json the last signed order of each kind; keys lie under .secrets, wallets in a keystore folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.core.failure import Failed, Missing
from workflows.core.files import create_private, private_dir, write_atomic
from workflows.core.text import clean
from workflows.iexec import dataset, ids, keys
from workflows.iexec.networks import Network
from workflows.iexec.orders import Order
from workflows.iexec.records import App, Dataset

DATASET_KEYS, LAST_KEY = Path(".secrets/datasets"), "dataset.key"
RESULT_KEYS, KEYSTORE = Path(".secrets/beneficiary"), Path("keystore")
IEXEC, CHAIN, DEPLOYED, ORDERS = "iexec.json", "chain.json", "deployed.json", "orders.json"
CA = "ca.pem"  # for Node, which the client runs on
# What the client has values of its own for; `{}` takes them.
_KNOWN = ("bellecour", "arbitrum-mainnet", "arbitrum-sepolia-testnet")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Pair:
    """A key pair of results of a wallet, as PEM; `open` says that no passphrase guards the private half."""

    address: str
    private: bytes
    public: bytes | None
    open: bool


@dataclass(frozen=True)
class Found:
    """A project of the client. `deployed`: chain id → kind → address; `names`: kind → name in iexec.json.

    `dataset_keys`: file name → key. `unknown` are files that mean nothing here.
    """

    deployed: Mapping[int, Mapping[str, str]]
    names: Mapping[str, str]
    dataset_keys: Mapping[str, bytes]
    pairs: tuple[Pair, ...]
    wallets: tuple[Path, ...]
    unknown: tuple[str, ...]


def read(folder: Path) -> Found:
    """What a folder of the client holds; Missing when it is none, Missing or Failed when a file of it is broken."""
    if not any((folder / name).exists() for name in (IEXEC, DEPLOYED, ".secrets")):
        raise Missing(
            f"{clean(str(folder))} is no project of the iexec client",
            f"give the folder with its {IEXEC}, {DEPLOYED} or .secrets",
            name="no_iexec_project",
        )
    about = load(folder / IEXEC)
    names = {
        kind: about[kind].get("name") for kind in ("app", "dataset") if isinstance(about.get(kind), dict)
    }
    secrets = _files(folder / DATASET_KEYS)
    pairs = {path: _pair(path) for path in _files(folder / RESULT_KEYS) if path.name.endswith("_key")}
    return Found(
        deployed(folder / DEPLOYED),
        {kind: clean(name) for kind, name in names.items() if isinstance(name, str) and name},
        {path.name: dataset.read_key(path) for path in secrets if path.name.endswith(".key")},
        tuple(pair for pair in pairs.values() if pair),
        tuple(path for path in _files(folder / KEYSTORE) if not path.name.startswith(".")),
        tuple(
            f"{clean(path.name)} {why}"
            for paths, why in (
                (
                    [path for path in secrets if path.name.endswith(".secret")],
                    "is of a client before 6.0: its dataset has to be encrypted again",
                ),
                ([path for path, pair in pairs.items() if pair is None], "names no wallet and is left out"),
            )
            for path in paths
        ),
    )


def _pair(private: Path) -> Pair | None:
    try:
        address = ids.address(private.name.removesuffix("_key"))
    except ValueError:
        return None
    if keys.is_protected(private):
        public = private.with_name(private.name + ".pub")
        return Pair(address, private.read_bytes(), public.read_bytes() if public.is_file() else None, False)
    pem = keys.public_pem(keys.load_private(private).public_key())
    return Pair(address, private.read_bytes(), pem.encode(), True)


def load(path: Path) -> dict[str, Any]:
    """The object of a JSON file, empty when there is no file; Missing when it holds anything else."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST + 1))
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise Missing(
            f"{clean(str(path))} is there and cannot be kept ({type(error).__name__})",
            "move it away, or give another folder",
            name="iexec_file",
        ) from None
    return found


def change(path: Path, changes: Mapping[str, Any]) -> None:
    """Set entries of a JSON file; whatever else is in it stays, in entries that are objects too."""
    before = load(path)
    merged = {
        name: {**before[name], **value} if isinstance(value, dict) and isinstance(before.get(name), dict) else value
        for name, value in changes.items()
    }  # fmt: skip
    write_atomic(path, json.dumps({**before, **merged}, indent=2, ensure_ascii=False) + "\n", 0o644)


def write_chain(path: Path, network: Network) -> None:
    """Make a network the default of a chain.json; other chains in it stay."""
    known = network.name in _KNOWN
    changes = {"default": network.name, "chains": {network.name: {} if known else chain_entry(network)}}
    change(path, changes if known else {"allowExperimentalNetworks": True, **changes})


def chain_entry(network: Network) -> dict[str, Any]:
    """A network in the client's words; it refuses keys that it does not know."""
    entry = {
        "id": str(network.chain_id),
        "host": network.rpc,
        "hub": network.hub,
        "sms": dict(network.sms),
        "resultProxy": network.result_proxy,
        "ipfsGateway": network.ipfs_gateway,
        "iexecGateway": network.market,
        "compass": network.compass,
        "native": network.native,
        "useGas": not network.native,
        "defaultTeeFramework": "scone",
    }
    return {name: value for name, value in entry.items() if value is not None}


def app_entry(app: App) -> dict[str, Any]:
    """A registered app as iexec.json describes one: the JSON form of the fingerprint as an object."""
    entry: dict[str, Any] = {
        "owner": app.owner,
        "name": app.name,
        "type": app.type,
        "multiaddr": app.multiaddr,
        "checksum": app.checksum,
    }
    if app.mrenclave:
        text = app.mrenclave.decode(errors="replace")
        entry["mrenclave"] = json.loads(text) if text.startswith("{") else text
    return entry


def dataset_entry(found: Dataset) -> dict[str, Any]:
    """A registered dataset as iexec.json describes one."""
    names = ("owner", "name", "multiaddr", "checksum")
    return {name: getattr(found, name) for name in names}


def template(order: Order) -> dict[str, str]:
    """An order as `iexec order sign` wants it: without salt and signature."""
    return {name: value for name, value in order.to_json().items() if name not in ("salt", "sign")}


def put_private(path: Path, content: bytes) -> bool:
    """Write a file for its owner only; whether it is new. Failed when another one is there: none is overwritten."""
    private_dir(path.parent)
    try:
        create_private(path, content)
    except FileExistsError:
        if path.read_bytes().strip() == content.strip():
            return False
        raise Failed(
            f"{clean(str(path))} is there, and it is another one",
            "keys are never overwritten: move it away, or give another folder",
            name="other_key",
        ) from None
    return True


def set_last_key(folder: Path, key: bytes) -> None:
    """The client's default for `dataset push-secret`; a key that lies there under its own name too may go."""
    path = folder / DATASET_KEYS / LAST_KEY
    named = {one.read_bytes().strip() for one in _files(path.parent) if one != path}
    if path.is_file() and path.read_bytes().strip() in named:
        write_atomic(path, key)
    else:
        put_private(path, key)


def deployed(path: Path) -> dict[int, dict[str, str]]:
    """Chain id → kind → address of a `deployed.json`, empty when there is no file; Missing when it is broken."""
    found: dict[int, dict[str, str]] = {}
    for kind, addresses in load(path).items():
        for chain, address in addresses.items() if isinstance(addresses, dict) else ():
            try:
                if not chain.isdecimal():
                    raise ValueError(f"{chain[:20]!r} is no chain id")
                found.setdefault(int(chain), {})[str(kind)] = ids.address(address)
            except ValueError as error:
                raise Missing(
                    f"{clean(str(path))}: {clean(str(kind))}: {clean(str(error))}",
                    "correct that entry",
                    name="iexec_file",
                ) from None
    return found


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []
