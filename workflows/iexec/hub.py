"""Reads of the PoCo contracts behind one hub.

Reads that find nothing answer None. Works on the native and the token escrow, on PoCo from 5.5 on: objects
are read through their own contracts.
"""

from __future__ import annotations

import json
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed
from workflows.iexec import ids, multiaddr
from workflows.iexec.connection import Connection
from workflows.iexec.ids import ZERO_ADDRESS, unhex
from workflows.iexec.orders import KINDS, DatasetOrder, Domain, Order
from workflows.iexec.records import (
    Account,
    App,
    Category,
    Dataset,
    Deal,
    Kind,
    Matching,
    NewApp,
    NewDataset,
    Resource,
    Task,
    TaskStatus,
    Workerpool,
)  # fmt: skip

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

WEI_PER_NRLC = 10**9
_GROUP_MEMBER = 4  # ERC-734 purpose (PoCo `GROUPMEMBER_PURPOSE`)


class Hub(Connection):
    """The contracts behind one hub address."""

    def __init__(
        self,
        rpc: str,
        hub: str,
        account: LocalAccount | None = None,
        *,
        chain_id: int | None = None,
        gas_free: bool | None = None,
        timeout: float = 20.0,
    ) -> None:
        super().__init__(rpc, account, chain_id=chain_id, gas_free=gas_free, timeout=timeout)
        self.address = ids.address(hub)

    def domain(self) -> Domain:
        """What orders are signed for. Failed when the hub is not PoCo, or says another chain or address."""
        try:
            name, version, chain_id, contract = self.read(self.hub.functions.domain())
        except Failed as failure:
            if failure.exit_code != 1:
                raise
            raise Failed(
                f"there is no PoCo hub at {self.address} on chain {self.chain_id()}",
                "Check the hub address and the rpc of the network.",
                name="no_hub",
            ) from None
        if chain_id != self.chain_id() or ids.address(contract) != self.address:
            raise Failed(
                f"the hub {self.address} calls itself {contract} on chain {chain_id}: nothing was signed",
                "Check the hub address of the network.",
                name="wrong_hub",
            )
        return Domain(int(chain_id), self.address, str(name), str(version))

    def view_deal(self, dealid: str) -> Deal | None:
        """A deal, None when there is none of this id."""
        found = self.read(self.hub.functions.viewDeal(unhex(ids.hash32(dealid))))
        app, dataset, pool = (Resource(ids.address(a), ids.address(o), p) for a, o, p in found[:3])
        trust, category, tag, requester, beneficiary, callback, params = found[3:10]
        if requester == ZERO_ADDRESS:
            return None
        start, first, size, stake, ratio, sponsor = found[10:16]
        return Deal(
            ids.hash32(dealid), app, dataset, pool, trust, category, "0x" + tag.hex(),
            ids.address(requester), ids.address(beneficiary), ids.address(callback), params,
            start, first, size, stake, ratio, ids.address(sponsor),
        )  # fmt: skip

    def view_task(self, taskid: str) -> Task:
        """A task; status UNSET while it is not initialized."""
        found = self.read(self.hub.functions.viewTask(unhex(ids.hash32(taskid))))
        status, dealid, index, timeref, contribution, reveal, final, consensus = found[:8]
        return Task(
            ids.hash32(taskid), TaskStatus(status), "0x" + dealid.hex(), index, timeref, contribution, reveal,
            final, "0x" + consensus.hex(), tuple(map(ids.address, found[10])), "0x" + found[11].hex(),
            found[12], found[14],
        )  # fmt: skip

    def app(self, address: str) -> App | None:
        """A registered app, None when the registry does not know it."""
        if not self.is_registered("app", address):
            return None
        call = self.contract("app", address).functions
        return App(
            ids.address(address),
            self.owner(address),
            self.read(call.m_appName()),
            self.read(call.m_appType()),
            multiaddr.decode(self.read(call.m_appMultiaddr())),
            "0x" + self.read(call.m_appChecksum()).hex(),
            self.read(call.m_appMREnclave()),
        )

    def dataset(self, address: str) -> Dataset | None:
        """A registered dataset, None when the registry does not know it."""
        if not self.is_registered("dataset", address):
            return None
        call = self.contract("dataset", address).functions
        return Dataset(
            ids.address(address),
            self.owner(address),
            self.read(call.m_datasetName()),
            multiaddr.decode(self.read(call.m_datasetMultiaddr())),
            "0x" + self.read(call.m_datasetChecksum()).hex(),
        )

    def bulk_dataset(self, order: DatasetOrder, dealid: str) -> Dataset:
        """The dataset of an order that a deal may use in bulk; Failed says why it may not. Needs PoCo 6.1."""
        call = self.hub.functions

        def why() -> Failed:
            return Failed(f"there is no dataset at {order.dataset}", name="no_dataset")

        with self.answers(why):
            call.assertDatasetDealCompatibility(order.as_tuple(), unhex(ids.hash32(dealid))).call()
            owner, name, place, checksum = call.viewDataset(order.dataset).call()
        return Dataset(
            order.dataset, ids.address(owner), name, multiaddr.decode(place), "0x" + checksum.hex()
        )

    def workerpool(self, address: str) -> Workerpool | None:
        """A registered workerpool, None when the registry does not know it."""
        if not self.is_registered("workerpool", address):
            return None
        call = self.contract("workerpool", address).functions
        return Workerpool(
            ids.address(address),
            self.owner(address),
            self.read(call.m_workerpoolDescription()),
            self.read(call.m_workerStakeRatioPolicy()),
            self.read(call.m_schedulerRewardRatioPolicy()),
        )

    def is_registered(self, kind: Kind, address: str) -> bool:
        """Whether the registry of this kind knows the address."""
        return bool(self.read(self.registry(kind).functions.isRegistered(ids.address(address))))

    def owner(self, address: str) -> str:
        """The present owner of an app, dataset or workerpool; Failed when no such contract is there."""
        return ids.address(self.read(self.contract("app", address).functions.owner()))

    def category(self, index: int) -> Category | None:
        """A category, None when the chain has none of this number."""
        if not 0 <= index < self.category_count():
            return None
        name, description, seconds = self.read(self.hub.functions.viewCategory(index))
        return Category(index, name, description, seconds)

    def category_count(self) -> int:
        """How many categories there are, numbered from 0."""
        return int(self.read(self.hub.functions.countCategory()))

    def account_of(self, address: str) -> Account:
        """What an address holds in the escrow."""
        stake, locked = self.read(self.hub.functions.viewAccount(ids.address(address)))
        return Account(stake, locked)

    def wallet_balance(self, address: str) -> int:
        """nRLC outside the escrow: what could be deposited (native: with nothing left for gas)."""
        if self.native:
            return self.wei(address) // WEI_PER_NRLC
        return int(
            self.read(self.contract("token", self.rlc or "").functions.balanceOf(ids.address(address)))
        )

    def consumed(self, order_hash: str) -> int:
        """How much of an order's volume is used; all of it after a cancellation."""
        return int(self.read(self.hub.functions.viewConsumed(unhex(ids.hash32(order_hash)))))

    def closed(self, order: Order) -> bool:
        """Whether its signer cancelled the order, by the chain's log; one that is used up is not closed."""
        order_hash = unhex(order.hash(self.domain()))
        with self.answers():
            logs = self.hub.events[f"Closed{type(order).__name__}"]().get_logs(from_block=0)
        return any(order_hash in log["args"].values() for log in logs)

    def signed(self, order: Order, signer: str) -> bool:
        """Whether the chain takes the order for signed or presigned by this address (contracts included)."""
        digest = unhex(order.hash(self.domain()))
        call = self.hub.functions.verifyPresignatureOrSignature(
            ids.address(signer), digest, unhex(order.sign)
        )
        try:
            return bool(self.read(call))
        except Failed as failure:
            if failure.name == "invalid_signature_format":
                return False
            raise

    def allowed(self, restriction: str, address: str) -> bool:
        """Whether an order's restriction lets an address pass: anyone, itself, or an ERC-734 group."""
        if restriction == ZERO_ADDRESS or ids.address(restriction) == ids.address(address):
            return True
        if not self.has_code(restriction):
            return False
        key = unhex(address).rjust(32, b"\0")
        try:
            return bool(
                self.read(self.contract("group", restriction).functions.keyHasPurpose(key, _GROUP_MEMBER))
            )
        except Failed:  # the contract is no group: the hub takes that for a no as well
            return False

    def tee_broker(self) -> str | None:
        """Who signs worker authorisations of TEE tasks instead of the pool's owner, None when nobody does."""
        found = ids.address(self.read(self.hub.functions.teebroker()))
        return None if found == ZERO_ADDRESS else found

    def deals_of(self, workerpool: str, from_block: int, to_block: int | None = None) -> list[str]:
        """The ids of deals matched for a workerpool in a span of blocks, oldest first."""
        with self.answers():
            logs = self.hub.events.SchedulerNotice().get_logs(
                from_block=from_block,
                to_block="latest" if to_block is None else to_block,
                argument_filters={"workerpool": ids.address(workerpool)},
            )
        return ["0x" + bytes(log["args"]["dealid"]).hex() for log in logs]

    def matches(self, from_block: int = 0) -> list[Matching]:
        """All matches of orders from a block on, oldest first."""
        with self.answers():
            logs = self.hub.events.OrdersMatched().get_logs(from_block=from_block)
        return [
            Matching(
                "0x" + bytes(log["args"]["dealid"]).hex(),
                {kind: "0x" + bytes(log["args"][kind.replace("order", "Hash")]).hex() for kind in KINDS},
                int(log["args"]["volume"]),
                int(log["blockNumber"]),
                "0x" + bytes(log["transactionHash"]).hex(),
            )
            for log in logs
        ]

    def predict_app(self, new: NewApp) -> str:
        """The address that an app gets, or has."""
        return ids.address(self.read(self.registry("app").functions.predictApp(*app_arguments(new))))

    def predict_dataset(self, new: NewDataset) -> str:
        """The address that a dataset gets, or has."""
        return ids.address(
            self.read(self.registry("dataset").functions.predictDataset(*dataset_arguments(new)))
        )

    def predict_workerpool(self, owner: str, description: str) -> str:
        """The address that a workerpool gets, or has."""
        call = self.registry("workerpool").functions.predictWorkerpool(ids.address(owner), description)
        return ids.address(self.read(call))

    @cached_property
    def native(self) -> bool:
        """Whether the escrow holds the chain's own money instead of the RLC token."""
        return self.rlc is None

    @cached_property
    def rlc(self) -> str | None:
        """The RLC token's address, None on a native chain."""
        found = ids.address(self.read(self.hub.functions.token()))
        return None if found == ZERO_ADDRESS else found

    @cached_property
    def registries(self) -> dict[Kind, str]:
        """The three registries' addresses."""
        call = self.hub.functions
        return {
            "app": ids.address(self.read(call.appregistry())),
            "dataset": ids.address(self.read(call.datasetregistry())),
            "workerpool": ids.address(self.read(call.workerpoolregistry())),
        }

    @cached_property
    def hub(self) -> Any:
        """The hub's contract object."""
        return self.contract("hub", self.address)

    def registry(self, kind: Kind) -> Any:
        """A registry's contract object."""
        return self.contract(f"{kind}_registry", self.registries[kind])

    def contract(self, name: str, address: str) -> Any:
        """A contract object with the ABI of this name in `poco.abi.json`."""
        return self.w3.eth.contract(address=self.w3.to_checksum_address(address), abi=abi()[name])

    def read(self, call: Any) -> Any:
        """The answer of a view function."""
        with self.answers():
            return call.call()


@cache
def abi() -> dict[str, Any]:
    """The part of the contracts' ABIs that is used here, by contract."""
    document = json.loads(files("workflows.iexec").joinpath("poco.abi.json").read_text())
    return dict(document)


def app_arguments(new: NewApp) -> tuple[Any, ...]:
    """The arguments of `createApp` and `predictApp`."""
    return (
        ids.address(new.owner), new.name, new.type, multiaddr.encode(new.multiaddr),
        unhex(ids.hash32(new.checksum)), new.mrenclave,
    )  # fmt: skip


def dataset_arguments(new: NewDataset) -> tuple[Any, ...]:
    """The arguments of `createDataset` and `predictDataset`."""
    return ids.address(new.owner), new.name, multiaddr.encode(new.multiaddr), unhex(ids.hash32(new.checksum))
