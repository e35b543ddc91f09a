"""People, objects and orders on the shared chain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from workflows.iexec import ids, params, tags
from workflows.iexec.matching import Orders
from workflows.iexec.orders import (
    NULL_DATASET_ORDER,
    AppOrder,
    DatasetOrder,
    Domain,
    Order,
    RequestOrder,
    WorkerpoolOrder,
)
from workflows.iexec.poco import Poco
from workflows.iexec.records import Task
from workflows.iexec.signatures import sign_digest

FINGERPRINT = f"{'ab' * 32}|{'cd' * 16}|{'ef' * 32}".encode()
CHECKSUM = ids.sha256_hex(b"image")


@dataclass
class World:
    """The chain with its people, and a factory for what they do."""

    rpc: str
    hub: str
    chain_id: int
    pool: str
    accounts: dict[str, LocalAccount]
    app: str = ""
    dataset: str = ""
    domain: Domain = field(init=False)

    def __post_init__(self) -> None:
        self.domain = Domain(self.chain_id, self.hub)

    def poco(self, role: str | None = None) -> Poco:
        return Poco(self.rpc, self.hub, self.accounts[role] if role else None, chain_id=self.chain_id)

    def address(self, role: str) -> str:
        return str(self.accounts[role].address)

    def rpc_call(self, method: str, *arguments: Any) -> Any:
        return self.poco().w3.provider.make_request(method, list(arguments))["result"]  # type: ignore[arg-type]

    def later(self, seconds: int) -> None:
        self.rpc_call("evm_increaseTime", seconds)
        self.rpc_call("evm_mine")

    def signed(self, order: Order, role: str) -> Any:
        return order.sign_with(self.accounts[role], self.domain)

    def orders(self, *, dataset: bool = True, **changes: dict[str, Any]) -> Orders:
        """Signed orders that match, after the changes given by kind: `app={"appprice": 3}`."""
        tag = tags.TEE_SCONE
        app = AppOrder(app=self.app, appprice=2, volume=10, tag=tag)
        data = DatasetOrder(dataset=self.dataset, datasetprice=1, volume=10, tag=tag, apprestrict=self.app)
        pool = WorkerpoolOrder(workerpool=self.pool, workerpoolprice=10, volume=10, tag=tag)
        request = RequestOrder(
            app=self.app, appmaxprice=2, dataset=self.dataset if dataset else ids.ZERO_ADDRESS,
            datasetmaxprice=1, workerpoolmaxprice=10, requester=self.address("requester"), volume=1, tag=tag,
            beneficiary=self.address("requester"), params=params.build(args="hello").to_text(),
        )  # fmt: skip
        data_order = self.signed(replace(data, **changes.get("data", {})), "owner")
        return Orders(
            self.signed(replace(app, **changes.get("app", {})), "owner"),
            data_order if dataset else NULL_DATASET_ORDER,
            self.signed(replace(pool, **changes.get("pool", {})), "workerpool"),
            self.signed(replace(request, **changes.get("request", {})), "requester"),
        )

    def match(self, orders: Orders | None = None) -> str:
        orders = orders or self.orders()
        poco = self.poco("requester")
        receipt = poco.run(
            lambda: poco.match_orders(orders.app, orders.dataset, orders.workerpool, orders.request)
        )
        return poco.matched(receipt).dealid

    def started(self, dealid: str, index: int = 0) -> Task:
        poco = self.poco("workerpool")
        poco.run(lambda: poco.initialize(dealid, index))
        return poco.view_task(ids.taskid(dealid, index))

    def result(self, taskid: str, digest: str) -> dict[str, str]:
        """The arguments of a result of a fresh enclave, authorised by the pool's owner."""
        enclave, worker = Account.create(), self.address("worker")
        authorization = ids.authorization_hash(worker, taskid, enclave.address)
        return {
            "enclave": enclave.address,
            "enclave_sign": sign_digest(enclave, ids.enclave_hash(worker, taskid, digest)),
            "authorization": sign_digest(self.accounts["workerpool"], authorization),
        }
