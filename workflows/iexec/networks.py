"""The networks, as data: `networks.toml` of this package, the user's own in the configuration folder, and files.

A network is a chain with PoCo on it and the services around it. Entries are checked strictly, and the
key that is wrong is named: a mistyped address here would be paid to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workflows.core.failure import Missing
from workflows.core.files import read_toml
from workflows.core.text import clean
from workflows.iexec import network_values as forms
from workflows.iexec import trust

_OWN = Path(__file__).with_name("networks.toml")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Debug:
    """Where enclaves run in debug mode, in which nothing is protected."""

    sms: str | None = None
    workerpool: str | None = None


@dataclass(frozen=True)
class Network:
    """A chain and its services; URLs without a slash at the end, None where there is no such service.

    `native`: the chain's coin stands for RLC and transactions are free; else `rlc` is the token's contract.
    `workerpool`: the pool for SCONE tasks, an address or an ENS name (resolved through `ens`).
    `simulated`: SGX is not real there. `shared`: others use it too, so nobody signs with a public key there.
    `root`: what simulated images trust; `ca`: what vouches for its servers, where this machine does not know
    it (both PEM). `embedded`: creamtea runs it; `rpc`, `hub` and `registries` are
    empty until `from_status` fills them. `note`: how SCONE stands there, in one sentence.
    """

    name: str
    title: str
    note: str
    chain_id: int
    native: bool
    rpc: str = ""
    hub: str = ""
    registries: Mapping[str, str] = field(default_factory=dict)
    rlc: str | None = None
    sms: Mapping[str, str] = field(default_factory=dict)
    ipfs_upload: str | None = None
    ipfs_gateway: str | None = None
    result_proxy: str | None = None
    market: str | None = None
    workerpool: str | None = None
    workerpool_api: str | None = None
    compass: str | None = None
    subgraph: str | None = None
    ens: str | None = None
    explorer: str | None = None
    debug: Debug = Debug()
    root: str | None = None
    ca: str | None = None
    simulated: bool = False
    shared: bool = False
    embedded: bool = False

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of its chain and services."""
        known = (
            self.rpc, *self.sms.values(), self.ipfs_upload, self.ipfs_gateway, self.result_proxy, self.market,
            self.workerpool_api, self.compass, self.subgraph, self.debug.sms,
        )  # fmt: skip
        return tuple(url for url in known if url)

    @property
    def own_wallet(self) -> bool:
        """Whether who signs there needs a wallet of their own."""
        return self.shared or not self.simulated


def user_file() -> Path:
    """Where a person keeps networks of their own; it need not exist."""
    from platformdirs import user_config_path

    return user_config_path("creamtea") / "networks.toml"


def names(extra: Path | None = None) -> tuple[str, ...]:
    """The names of all networks, those of the package first; `extra` instead of the user's file."""
    return (*_own(), *_theirs(extra))


def is_file(name: str) -> bool:
    """Whether this names a network by the file that describes it."""
    return name.endswith(".toml")


def load(name: str, extra: Path | None = None) -> Network:
    """A network by name, or the only one of a `.toml` file; its `ca` is what its servers are verified with from now on.

    Missing: there is none, or its entry is wrong (file, network and key named).
    """
    own = _own()
    if name in own:
        return _network(name, own[name], _OWN.name)
    if extra is None and is_file(name):
        extra = Path(name).expanduser()
        found = tuple(_theirs(extra))
        if len(found) != 1:
            raise Missing(
                f"{extra} describes {len(found)} networks, not one",
                f"Put them into {user_file()} and choose one by its name.",
                name="unknown_network",
            )
        name = found[0]
    path = extra or user_file()
    theirs = _theirs(extra)
    if name not in theirs:
        known = ", ".join((*own, *theirs))
        raise Missing(
            f"there is no network {clean(name)!r}", f"Choose one of {known}, or describe it in {path}.",
            name="unknown_network",
        )  # fmt: skip
    network = _network(name, theirs[name], str(path))
    if network.embedded:
        raise _wrong(str(path), name, "embedded", "only creamtea's own localnet is")
    if network.simulated and network.chain_id in {
        e["chain_id"] for e in own.values() if not e.get("simulated")
    }:
        raise _wrong(str(path), name, "simulated", f"chain {network.chain_id} is a live one")
    if network.ca:
        trust.learn(network.urls, network.ca)
    return network


def from_status(document: Mapping[str, Any]) -> Network:
    """The running embedded network, from its status document (`creamtea localnet status --json`).

    Missing names the value of the document that is absent or wrong.
    """
    name, entry = next((name, entry) for name, entry in _own().items() if entry.get("embedded"))
    if document.get("chain_id") != entry["chain_id"]:
        raise _wrong("localnet status", name, "chain_id", f"expected {entry['chain_id']}")
    ipfs = document.get("ipfs") or {}
    running = {
        **entry,
        "rpc": document.get("rpc"),
        "hub": document.get("hub"),
        "registries": document.get("registries"),
        "rlc": document.get("rlc"),
        "sms": {"scone": document["sms"]} if document.get("sms") else None,
        "ipfs_upload": ipfs.get("api") if isinstance(ipfs, Mapping) else ipfs,
        "ipfs_gateway": ipfs.get("gateway") if isinstance(ipfs, Mapping) else ipfs,
        **{key: document.get(key) for key in ("result_proxy", "market", "workerpool", "workerpool_api")},
    }
    given = {key: value for key, value in running.items() if value is not None}
    return _network(name, given, "localnet status", running=True)


@cache
def _own() -> Mapping[str, Any]:
    return MappingProxyType(read_toml(_OWN))


def _theirs(extra: Path | None) -> dict[str, Any]:
    path = extra or user_file()
    if extra is None and not path.exists():
        return {}
    found = read_toml(path)
    for name, entry in found.items():
        if not _NAME.fullmatch(name):
            raise Missing(f"{path}: {clean(name)!r} is no name for a network", "Use a-z, 0-9 and hyphens.")
        if name in _own():
            raise Missing(
                f"{path}: [{name}] is creamtea's own", f"Give yours another name, such as my-{name}."
            )
        if not isinstance(entry, dict):
            raise Missing(f"{path}: {name} is not a table", f"Write [{name}] and its keys below.")
    return found


def _network(name: str, entry: Mapping[str, Any], source: str, *, running: bool = False) -> Network:
    """The checked entry."""
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in _CHECKS:
            raise _wrong(source, name, key, f"unknown key; known are {', '.join(_CHECKS)}")
        try:
            values[key] = _CHECKS[key](value)
        except ValueError as error:
            raise _wrong(source, name, key, clean(str(error))) from None
    needed = ["title", "note", "chain_id", "native"]
    if running or not values.get("embedded"):
        needed += ["rpc", "hub", "registries"]
    for key in needed:
        if key not in values:
            raise _wrong(source, name, key, "missing")
    if values["native"] and "rlc" in values:
        raise _wrong(source, name, "rlc", "a native chain has no RLC contract")
    if not values["native"] and "rlc" not in values:
        raise _wrong(source, name, "rlc", "missing; or say native = true")
    if "." in values.get("workerpool", "") and "ens" not in values:
        raise _wrong(source, name, "ens", "missing, and the workerpool is an ENS name")
    return Network(name=name, **values)


def _wrong(source: str, name: str, key: str, why: str) -> Missing:
    return Missing(f"{source}: [{name}] {clean(key)}: {why}", "Correct that key.", name="bad_network")


def _debug(value: Any) -> Debug:
    found = forms.table(value, tuple(item.name for item in fields(Debug)))
    checks = {"sms": forms.secret_url, "workerpool": forms.pool}
    return Debug(**{key: checks[key](item) for key, item in found.items()})


_CHECKS: dict[str, Any] = {
    "title": forms.text,
    "note": forms.text,
    "chain_id": forms.chain_id,
    "native": forms.flag,
    "rpc": forms.url,
    "hub": forms.address,
    "registries": forms.registries,
    "rlc": forms.address,
    "sms": forms.sms,
    "ipfs_upload": forms.url,
    "ipfs_gateway": forms.url,
    "result_proxy": forms.url,
    "market": forms.url,
    "workerpool": forms.pool,
    "workerpool_api": forms.url,
    "compass": forms.url,
    "subgraph": forms.url,
    "ens": forms.address,
    "explorer": forms.url,
    "debug": _debug,
    "root": forms.certificate,
    "ca": forms.certificate,
    "simulated": forms.flag,
    "shared": forms.flag,
    "embedded": forms.flag,
}
