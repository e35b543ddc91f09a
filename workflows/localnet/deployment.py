"""The whole PoCo on an empty chain, deployed from the npm package's compiled artifacts.

Native mode: the chain's own coin stands for RLC, 1 nRLC = 1e9 wei. The recipe is the one of iExec's
deployment scripts (reference iexec-protocol §14.2) with plain CREATE, so that nothing but the
package is needed. Runs once per toolchain: later starts load the saved result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from web3 import Web3
    from web3.contract import Contract

CHAIN_ID = 65535
ZERO = "0x0000000000000000000000000000000000000000"
# anvil's accounts come from this phrase, which every Ethereum developer knows: they hold play money only.
MNEMONIC = "test test test test test test test test test test test junk"
# What the accounts are for, in the order of derivation; `workerpool` owns the pool, it is PoCo's scheduler.
ROLES = ("owner", "workerpool", "worker", "requester", *(f"spare-{number}" for number in range(1, 7)))
BALANCE = 10_000 * 10**9  # nRLC of every account, as anvil gives its own
DEPOSIT = 1_000 * 10**9  # nRLC of it in escrow for everyone who pays or stakes
_STAKERS = ("workerpool", "worker", "requester")
_WEI = 10**9  # of one nRLC
_GAS = 15_000_000

CATEGORIES = (("XS", 300), ("S", 1200), ("M", 3600), ("L", 10800), ("XL", 36000))  # name, seconds
_METADATA = "https://nfts-metadata.iex.ec"
_REGISTRIES = {"app": "apps/AppRegistry", "dataset": "datasets/DatasetRegistry",
               "workerpool": "workerpools/WorkerpoolRegistry"}  # fmt: skip
_DIAMOND_FACETS = ("DiamondCutFacet", "DiamondLoupeFacet", "OwnershipFacet")
FACETS = tuple(
    f"Iexec{name}Facet"
    for name in (
        "AccessorsABILegacy", "CategoryManager", "ConfigurationExtra", "Configuration", "ERC20",
        "EscrowNative", "OrderManagement", "Poco1", "Poco2", "PocoAccessors", "Relay",
    )
)  # fmt: skip
_LIBRARY = "IexecLibOrders_v5"
_INIT_SELECTOR = "0xe1c7392a"  # DiamondInit.init()
_BARE_SELECTORS = {
    "receive": "0x00000000",
    "fallback": "0xffffffff",
}  # how the Diamond names the nameless two
_ADD = 0  # IDiamond.FacetCutAction


@dataclass(frozen=True)
class Account:
    """One of anvil's public accounts and its part in the localnet."""

    role: str
    address: str


@dataclass(frozen=True)
class Deployment:
    """Where PoCo is on the localnet's chain; `proxy_code` is the SHA-256 (hex) of the hub's code."""

    hub: str
    registries: Mapping[str, str]
    workerpool: str
    accounts: Mapping[str, Account]
    proxy_code: str

    def document(self) -> dict[str, Any]:
        """The JSON object of `addresses.json`."""
        return {
            "v": 1,
            "chain_id": CHAIN_ID,
            "native": True,
            "hub": self.hub,
            "registries": dict(self.registries),
            "rlc": None,
            "workerpool": self.workerpool,
            "accounts": [
                {"address": account.address, "role": role} for role, account in self.accounts.items()
            ],
            "proxy_code": self.proxy_code,
        }

    @classmethod
    def from_document(cls, record: Any) -> Deployment:
        """The reverse of `document`; ValueError when it is not one of ours."""
        try:
            registries = {kind: str(record["registries"][kind]) for kind in _REGISTRIES}
            accounts = {
                str(a["role"]): Account(str(a["role"]), str(a["address"])) for a in record["accounts"]
            }
            ours = record["v"] == 1 and record["chain_id"] == CHAIN_ID and set(accounts) == set(ROLES)
            deployment = cls(
                str(record["hub"]), registries, str(record["workerpool"]), accounts, str(record["proxy_code"])
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a list of the localnet's addresses: {error}") from None
        if not ours:
            raise ValueError("addresses of another chain or version")
        return deployment


@dataclass(frozen=True)
class Artifact:
    """A compiled contract of the package."""

    abi: list[Any]
    bytecode: str
    links: dict[str, dict[str, list[dict[str, int]]]]

    @cached_property
    def selectors(self) -> list[str]:
        """The selectors of its functions as the Diamond routes them, 0x hex."""
        from eth_utils.abi import function_abi_to_4byte_selector

        named = ["0x" + function_abi_to_4byte_selector(e).hex() for e in self.abi if e["type"] == "function"]
        return named + [_BARE_SELECTORS[e["type"]] for e in self.abi if e["type"] in _BARE_SELECTORS]

    def linked(self, libraries: dict[str, str]) -> str:
        """The creation bytecode with the libraries' addresses in place; KeyError for an unknown one."""
        code = self.bytecode
        for file in self.links.values():
            for name, places in file.items():
                address = libraries[name][2:].lower()
                for place in places:
                    start = 2 + 2 * place["start"]
                    code = code[:start] + address + code[start + 40 :]
        return code


def artifact(poco: Path, path: str) -> Artifact:
    """One contract by its path under the package, without `.json`."""
    record = json.loads((poco / f"{path}.json").read_text(encoding="utf-8"))
    return Artifact(record["abi"], record["bytecode"], record.get("linkReferences") or {})


def facet(poco: Path, name: str) -> Artifact:
    """A facet of the protocol."""
    return artifact(poco, f"artifacts/contracts/facets/{name}.sol/{name}")


def deploy(rpc: str, poco: Path, accounts: Sequence[str] = ()) -> Deployment:
    """Deploy everything on the fresh anvil at `rpc`, for its own unlocked accounts or for these addresses.

    Blocks, a second or so.
    """
    from web3 import Web3

    w3 = Web3(Web3.HTTPProvider(rpc))
    for address in accounts:  # anvil signs for them while it builds, and forgets it with this process
        _ask(w3, "anvil_setBalance", address, hex(BALANCE * _WEI))
        _ask(w3, "anvil_impersonateAccount", address)
    return _Deployment(w3, poco, accounts or w3.eth.accounts).run()


def _ask(w3: Web3, method: str, *params: str) -> None:
    answer = w3.provider.make_request(method, params)  # type: ignore[arg-type]
    if "error" in answer:
        raise RuntimeError(f"PoCo deployment: {method} was refused: {answer['error']}")


class _Deployment:
    def __init__(self, w3: Web3, poco: Path, accounts: Sequence[str]) -> None:
        self._w3 = w3
        self._poco = poco
        self._accounts: dict[str, str] = dict(zip(ROLES, accounts, strict=True))

    def run(self) -> Deployment:
        hub = self._diamond()
        registries = {kind: self._registry(kind) for kind in _REGISTRIES}
        self._configure(hub, registries)
        pool = self._workerpool(registries["workerpool"])
        for role in _STAKERS:
            self._send(hub.functions.deposit(), role, value=DEPOSIT * _WEI)
        return Deployment(
            hub.address,
            {kind: contract.address for kind, contract in registries.items()},
            pool,
            {role: Account(role, address) for role, address in self._accounts.items()},
            hashlib.sha256(self._w3.eth.get_code(hub.address)).hexdigest(),
        )

    def _diamond(self) -> Contract:
        """The proxy with every facet behind it, under the ABI of the native interface."""
        init = self._create(artifact(self._poco, "deployments/arbitrum/DiamondInit"))
        basic = [self._cut(artifact(self._poco, f"deployments/arbitrum/{name}")) for name in _DIAMOND_FACETS]
        arguments = (self._accounts["owner"], init, _INIT_SELECTOR)
        proxy = self._create(
            artifact(self._poco, "artifacts/contracts/Diamond.sol/Diamond"), basic, arguments
        )
        library = self._create(artifact(self._poco, f"artifacts/contracts/libs/{_LIBRARY}.sol/{_LIBRARY}"))
        cuts = [self._cut(facet(self._poco, name), {_LIBRARY: library}) for name in FACETS]
        cutter = artifact(self._poco, "deployments/arbitrum/DiamondCutFacet")
        self._send(self._at(proxy, cutter).functions.diamondCut(cuts, ZERO, "0x"))
        interface = "artifacts/contracts/IexecInterfaceNative.sol/IexecInterfaceNative"
        return self._at(proxy, artifact(self._poco, interface))

    def _registry(self, kind: str) -> Contract:
        path = _REGISTRIES[kind]
        source = artifact(self._poco, f"artifacts/contracts/registries/{path}.sol/{path.rpartition('/')[2]}")
        registry = self._at(self._create(source), source)
        self._send(registry.functions.initialize(ZERO))  # no registry of an earlier PoCo
        self._send(registry.functions.setBaseURI(f"{_METADATA}/{kind}"))
        return registry

    def _configure(self, hub: Contract, registries: dict[str, Contract]) -> None:
        addresses = [registries[kind].address for kind in ("app", "dataset", "workerpool")]
        self._send(hub.functions.configure(ZERO, "Staked RLC", "SRLC", 9, *addresses, ZERO))
        for name, seconds in CATEGORIES:
            self._send(hub.functions.createCategory(name, "{}", seconds))

    def _workerpool(self, registry: Contract) -> str:
        create = registry.functions.createWorkerpool(self._accounts["workerpool"], "creamtea localnet")
        address: str = create.call()
        self._send(create, "workerpool")
        return address

    def _cut(self, source: Artifact, libraries: dict[str, str] | None = None) -> tuple[str, int, list[str]]:
        return (self._create(source, libraries=libraries), _ADD, source.selectors)

    def _create(self, source: Artifact, *args: Any, libraries: dict[str, str] | None = None) -> str:
        # Only the constructor's ABI: web3 refuses that of the library, whose functions take enums.
        abi = [entry for entry in source.abi if entry["type"] == "constructor"]
        factory = self._w3.eth.contract(abi=abi, bytecode=source.linked(libraries or {}))
        address: str = self._send(factory.constructor(*args))["contractAddress"]
        return address

    def _at(self, address: str, source: Artifact) -> Contract:
        return self._w3.eth.contract(address=self._w3.to_checksum_address(address), abi=source.abi)

    def _send(self, call: Any, role: str = "owner", value: int = 0) -> Any:
        """Send, wait for the receipt, and insist on success."""
        fields = {"from": self._accounts[role], "value": value, "gas": _GAS, "gasPrice": 0}
        receipt = self._w3.eth.wait_for_transaction_receipt(call.transact(fields), poll_latency=0.005)
        if receipt["status"] != 1:
            raise RuntimeError(
                f"PoCo deployment: transaction {receipt['transactionHash'].to_0x_hex()} reverted"
            )
        return receipt
