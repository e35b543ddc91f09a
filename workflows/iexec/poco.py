"""Client of the PoCo contracts: transactions that a caller signs, journals, sends and awaits; reads in `hub`.

    poco = Poco(rpc, hub, account, chain_id=65535)
    transaction = poco.deploy_app(NewApp(...))     # signed after a dry run, not sent
    poco.send(transaction)                         # may be repeated
    receipt = poco.wait(transaction)
    app = poco.deployed_address("app", receipt, transaction)

A contract that refuses raises Failed with the meaning of the revert, before anything is signed.
"""

from __future__ import annotations

from typing import Any

from workflows.core.failure import Failed
from workflows.iexec import ids, reverts
from workflows.iexec.connection import Receipt, Transaction
from workflows.iexec.cost import rlc
from workflows.iexec.hub import WEI_PER_NRLC, Hub, app_arguments, dataset_arguments
from workflows.iexec.ids import ZERO_ADDRESS, unhex
from workflows.iexec.orders import AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from workflows.iexec.records import Kind, Match, NewApp, NewDataset, TaskStatus
from workflows.iexec.signatures import signer_of

_CLOSE = 1  # order operation that cancels


class Poco(Hub):
    """The contracts behind one hub. `account` (eth_account) is needed only for what signs."""

    def deploy_app(self, new: NewApp) -> Transaction:
        """Register an app; Failed `already_deployed` when it is there."""
        predicted = self._free("app", self.predict_app(new))
        call = self.registry("app").functions.createApp(*app_arguments(new))
        return self.prepare(call, "deploy app", predicted=predicted)

    def deploy_dataset(self, new: NewDataset) -> Transaction:
        """Register a dataset; Failed `already_deployed` when it is there."""
        predicted = self._free("dataset", self.predict_dataset(new))
        call = self.registry("dataset").functions.createDataset(*dataset_arguments(new))
        return self.prepare(call, "deploy dataset", predicted=predicted)

    def deploy_workerpool(self, owner: str, description: str) -> Transaction:
        """Register a workerpool; Failed `already_deployed` when it is there."""
        predicted = self._free("workerpool", self.predict_workerpool(owner, description))
        call = self.registry("workerpool").functions.createWorkerpool(ids.address(owner), description)
        return self.prepare(call, "deploy workerpool", predicted=predicted)

    def deposit(self, amount: int) -> Transaction:
        """Move nRLC from the wallet into the escrow; Failed `wallet_balance` when the wallet holds less."""
        if (held := self.wallet_balance(self.sender)) < amount:
            raise Failed(
                f"the wallet holds {rlc(held)}, less than the {rlc(amount)} to deposit",
                f"Send {rlc(amount - held)} to {self.sender}, or deposit less.",
                name="wallet_balance",
            )
        if self.native:
            return self.prepare(self.hub.functions.deposit(), "deposit", value=amount * WEI_PER_NRLC)
        call = self.contract("token", self.rlc or "").functions.approveAndCall(self.address, amount, b"")
        return self.prepare(call, "deposit")

    def withdraw(self, amount: int) -> Transaction:
        """Move nRLC from the escrow back into the wallet."""

        def why() -> Failed:
            stake = self.account_of(self.sender).stake
            return Failed(f"the escrow holds {stake} nRLC free, not {amount}", name="escrow_balance")

        return self.prepare(self.hub.functions.withdraw(amount), "withdraw", why=why)

    def match_orders(
        self, app: AppOrder, dataset: DatasetOrder, workerpool: WorkerpoolOrder, request: RequestOrder
    ) -> Transaction:
        """Match four signed orders: makes a deal, locks the requester's price and the pool's stake."""
        order_hash = request.hash(self.domain())
        call = self.hub.functions.matchOrders(*(o.as_tuple() for o in (app, dataset, workerpool, request)))
        return self.prepare(call, "match orders", predicted=ids.dealid(order_hash, self.consumed(order_hash)))

    def cancel_order(self, order: Order) -> Transaction:
        """Close an order for good: its whole volume counts as used."""
        resource = getattr(order, order.resource)
        owner = resource if order.resource == "requester" else self.owner(resource)
        if owner != self.sender:
            raise Failed(
                f"only {owner} may cancel this {order.kind}", "Use the owner's wallet.", name="invalid_sender"
            )
        name = f"manage{type(order).__name__}"
        call = self.hub.functions[name]((order.as_tuple(), _CLOSE, b""))
        return self.prepare(call, f"cancel {order.kind}")

    def initialize(self, dealid: str, index: int) -> Transaction:
        """Start a task of a deal: its deadlines count from the match."""
        call = self.hub.functions.initialize(unhex(ids.hash32(dealid)), index)
        task = ids.taskid(dealid, index)
        return self.prepare(
            call, "initialize task", predicted=task, why=lambda: self._why_not(task, dealid, index)
        )

    def contribute_and_finalize(
        self,
        taskid: str,
        result_digest: str,
        results: bytes,
        *,
        enclave: str = ZERO_ADDRESS,
        enclave_sign: str = "0x",
        authorization: str = "0x",
        callback: bytes = b"",
    ) -> Transaction:
        """End a task of trust 1 in one transaction, as its worker.

        `enclave_sign`: by the enclave key over `ids.enclave_hash`; `authorization`: by the workerpool's
        owner over `ids.authorization_hash`; both EIP-191 (`signatures.sign_digest`). `results`: what
        `viewTask` shows, as `{"storage":"ipfs","location":"/ipfs/…"}`.
        """
        call = self.hub.functions.contributeAndFinalize(
            unhex(ids.hash32(taskid)), unhex(ids.hash32(result_digest)), results, callback,
            ids.address(enclave), unhex(enclave_sign), unhex(authorization),
        )  # fmt: skip

        def why() -> Failed:
            return self._why_no_result(taskid, result_digest, enclave, enclave_sign, authorization, callback)

        return self.prepare(call, "contribute and finalize", why=why)

    def claim(self, taskid: str) -> Transaction:
        """Get the money of a task back that nobody finished before its final deadline."""
        call = self.hub.functions.claim(unhex(ids.hash32(taskid)))
        return self.prepare(call, "claim task", why=lambda: self._why_no_claim(taskid))

    # -- what a mined transaction made ------------------------------------------------------------

    def deployed_address(self, kind: Kind, receipt: Receipt, transaction: Transaction) -> str:
        """The address of a new object. Failed when the registry made another than predicted: stop there."""
        made = [
            ids.address("0x" + int(log["args"]["tokenId"]).to_bytes(20, "big").hex())
            for log in self._events(self.registry(kind), "Transfer", receipt)
            if log["args"]["from"] == ZERO_ADDRESS
        ]
        if made != [transaction.predicted]:
            raise Failed(
                f"the registry made {', '.join(made) or 'nothing'}, predicted was {transaction.predicted}",
                "Push no secret and sign no order for this object. Check the network's addresses.",
                name="address_mismatch",
            )
        return made[0]

    def matched(self, receipt: Receipt) -> Match:
        """The deal that a match made, and how many tasks it has."""
        for log in self._events(self.hub, "OrdersMatched", receipt):
            return Match("0x" + bytes(log["args"]["dealid"]).hex(), int(log["args"]["volume"]))
        raise Failed("the transaction matched no orders", name="no_match")

    # -- why the contract refused without a word ----------------------------------------------------

    def _why_not(self, taskid: str, dealid: str, index: int) -> Failed:
        deal = self.view_deal(dealid)
        if deal is None:
            return Failed(f"there is no deal {dealid}", "Check the id and the network.", name="no_deal")
        if index not in deal.indexes:
            last = deal.bot_first + deal.bot_size - 1
            return Failed(f"task index {index} is outside {deal.bot_first} to {last}", name="no_task")
        status = self.view_task(taskid).status
        return Failed(f"the task is {status.name} already: it was initialized before", name="task_not_unset")

    def _why_no_result(
        self, taskid: str, digest: str, enclave: str, enclave_sign: str, authorization: str, callback: bytes
    ) -> Failed:
        task, now = self.view_task(taskid), self.block_time()
        deal = self.view_deal(task.dealid)
        if deal is None or task.status is not TaskStatus.ACTIVE:
            return Failed(f"the task is {task.status.name}, not ACTIVE", name="task_not_active")
        if task.contribution_deadline <= now:
            late = now - task.contribution_deadline
            return Failed(
                f"the contribution deadline passed {late} s ago",
                "After the final deadline, claim the money back.",
                name="contribution_deadline",
            )
        if task.contributors:
            return Failed("a worker has contributed already", name="already_contributed")
        if deal.trust != 1:
            return Failed(f"the deal asks for trust {deal.trust}: contribute and reveal", name="trust_not_1")
        if deal.callback == ZERO_ADDRESS and callback:
            return Failed("the deal has no callback, the result has one", name="callback_unexpected")
        if deal.callback != ZERO_ADDRESS and ids.keccak_hex(callback) != ids.hash32(digest):
            return Failed("the digest is not that of the callback", name="callback_digest")
        if enclave == ZERO_ADDRESS and int(deal.tag, 16) & 1:
            return Failed("a TEE task needs an enclave challenge", name="no_enclave_challenge")
        signer = (
            deal.workerpool.owner if enclave == ZERO_ADDRESS else self.tee_broker() or deal.workerpool.owner
        )
        message = ids.authorization_hash(self.sender, taskid, enclave)
        if signer_of(message, authorization) != signer:
            return Failed(f"{signer} has not authorised this worker, task and enclave", name="not_authorized")
        if enclave != ZERO_ADDRESS:
            message = ids.enclave_hash(self.sender, taskid, digest)
            if signer_of(message, enclave_sign) != ids.address(enclave):
                return Failed("the result is not signed by the enclave's key", name="wrong_enclave_signature")
        return reverts.unexplained()

    def _why_no_claim(self, taskid: str) -> Failed:
        task, now = self.view_task(taskid), self.block_time()
        if task.status not in (TaskStatus.ACTIVE, TaskStatus.REVEALING):
            hint = "Nothing was locked for it." if task.status is TaskStatus.UNSET else "It is settled."
            return Failed(f"the task is {task.status.name}: nothing to claim", hint, name="task_not_active")
        if task.final_deadline > now:
            return Failed(
                f"the final deadline is {task.final_deadline - now} s away",
                "Until then a worker may still finish it.",
                name="before_final_deadline",
            )
        return reverts.unexplained()

    # -- helpers -------------------------------------------------------------------------------------

    def _free(self, kind: Kind, address: str) -> str:
        if self.is_registered(kind, address):
            raise Failed(
                f"this {kind} is registered already, at {address}",
                "Use that address; nothing needs to be sent.",
                name="already_deployed",
            )
        return address

    def _events(self, contract: Any, name: str, receipt: Receipt) -> list[Any]:
        """The events of this name that this very contract emitted."""
        from web3.logs import DISCARD

        found = contract.events[name]().process_receipt(receipt.raw, errors=DISCARD)
        return [log for log in found if ids.address(log["address"]) == ids.address(contract.address)]
