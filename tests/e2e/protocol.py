"""A requester who asks nobody: signs and matches orders with `workflows.iexec`, without the steps' checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workflows.core.events import Lines
from workflows.iexec import ids, market, networks, params, tags
from workflows.iexec.connection import Transaction
from workflows.iexec.matching import Orders
from workflows.iexec.orders import NULL_DATASET_ORDER, AppOrder, DatasetOrder, RequestOrder
from workflows.iexec.plan import Check, Enclave, Plan
from workflows.iexec.poco import Poco
from workflows.iexec.preflight import check
from workflows.iexec.records import NewApp
from workflows.iexec.sms import Sms
from workflows.iexec.worker_api import Ended, WorkerApi
from workflows.localnet.genesis import account


@dataclass
class Requester:
    """The localnet's requester, by its status."""

    status: Mapping[str, Any]
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = networks.from_status(self.status)
        self.account = account("requester")
        self.poco = Poco(
            self.network.rpc, self.network.hub, self.account, chain_id=self.network.chain_id, gas_free=True
        )

    def deploy(self, image: str, image_id: str, fingerprint: str) -> str:
        """Register an app; its address."""
        new = NewApp(
            self.account.address, "bypass", image, "0x" + image_id.rpartition(":")[2], fingerprint.encode()
        )
        address = self.poco.predict_app(new)
        self._send(self.poco.deploy_app(new))
        assert self.poco.is_registered("app", address)
        return str(address)

    def orders(
        self,
        app: str,
        *,
        args: str = "",
        dataset: str | None = None,
        beneficiary: str = "",
        encrypt: bool = False,
    ) -> Orders:
        """Signed orders for one task."""
        me, tag = self.account.address, tags.encode(["tee", "scone"])
        pool = market.workerpool_order(self.network, 0, tag, None)
        domain = self.poco.domain()
        data = NULL_DATASET_ORDER
        if dataset:
            data = DatasetOrder(dataset=dataset, tag=tag, apprestrict=app).sign_with(self.account, domain)
        wish = RequestOrder(
            app=app, dataset=dataset or ids.ZERO_ADDRESS, workerpool=pool.workerpool,
            workerpoolmaxprice=pool.workerpoolprice, requester=me, beneficiary=beneficiary or me, tag=tag, category=0,
            params=params.build(args=args, result_encryption=encrypt).to_text(),
        )  # fmt: skip
        return Orders(
            AppOrder(app=app, tag=tag).sign_with(self.account, domain),
            data,
            pool,
            wish.sign_with(self.account, domain),
        )

    def foretold(self, orders: Orders) -> list[Check]:
        """The pre-flight checks that would stop these orders."""
        plan = Plan(orders, Enclave(version=None), frozenset({self.account.address}))
        return [one for one in check(plan, self.poco, Sms(self.network.sms["scone"])) if one.blocks]

    def request(self, orders: Orders) -> tuple[str, Ended]:
        """Match orders whatever the checks say; the task and how it ended. `said` has all its lines."""
        receipt = self._send(
            self.poco.match_orders(orders.app, orders.dataset, orders.workerpool, orders.request)
        )
        task = ids.taskid(self.poco.matched(receipt).dealid, 0)
        self.said = []
        for event in WorkerApi(str(self.network.workerpool_api)).watch(task):
            if isinstance(event, Ended):
                return task, event
            if isinstance(event, Lines):
                self.said += event.text
        raise AssertionError("the worker said no end")

    def completed(self, task: str) -> bool:
        """Whether the chain has a result of a task."""
        return bool(self.poco.view_task(task).status.name == "COMPLETED")

    def _send(self, transaction: Transaction) -> Any:
        self.poco.send(transaction)
        return self.poco.wait(transaction)
