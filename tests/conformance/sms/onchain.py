"""What the cases need on a chain, made by one wallet that owns everything: apps, datasets, a pool, tasks."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workflows.iexec import ids, tags
from workflows.iexec.orders import AppOrder, DatasetOrder, Domain, RequestOrder, WorkerpoolOrder
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp, NewDataset, TaskStatus
from workflows.iexec.signatures import sign_digest

NOTHING = "0x" + "00" * 32


@dataclass
class World:
    """`poco` signs with `wallet`. All prices are zero, so a wallet needs coins for gas only."""

    poco: Poco
    wallet: Any

    def app(self, fingerprint: str) -> str:
        """A new app with this on-chain fingerprint."""
        new = NewApp(self.wallet.address, _name(), "docker.io/sms:1", "0x" + "cc" * 32, fingerprint.encode())
        return self._deployed("app", self.poco.deploy_app(new))

    def dataset(self) -> str:
        """A new dataset."""
        content = "/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"
        new = NewDataset(self.wallet.address, _name(), content, "0x" + "cc" * 32)
        return self._deployed("dataset", self.poco.deploy_dataset(new))

    @cached_property
    def pool(self) -> str:
        """A workerpool of the wallet's own, so that nobody else runs its tasks."""
        return self._deployed("workerpool", self.poco.deploy_workerpool(self.wallet.address, _name()))

    def task(self, app: str, *, dataset: str | None = None, tag: str = tags.TEE_SCONE, **params: Any) -> str:
        """A task that has just become active, of a deal on the app and dataset."""
        domain = Domain(self.poco.chain_id(), self.poco.address)
        dataset = dataset or ids.ZERO_ADDRESS
        request = RequestOrder(
            app=app,
            dataset=dataset,
            workerpool=self.pool,
            requester=self.wallet.address,
            tag=tag,
            beneficiary=self.wallet.address,
            params=json.dumps({"iexec_args": "one", **params}),
        )
        data = DatasetOrder(dataset=dataset, tag=tag)
        orders = (
            AppOrder(app=app, tag=tag).sign_with(self.wallet, domain),
            data if dataset == ids.ZERO_ADDRESS else data.sign_with(self.wallet, domain),
            WorkerpoolOrder(workerpool=self.pool, tag=tag).sign_with(self.wallet, domain),
            request.sign_with(self.wallet, domain),
        )
        transaction = self.poco.match_orders(*orders)
        deal = self.poco.matched(self._mined(transaction)).dealid
        self._mined(self.poco.initialize(deal, 0))
        return ids.taskid(deal, 0)

    def finished(self, app: str) -> str:
        """A task without TEE that is over."""
        task = self.task(app, tag=NOTHING)
        digest = ids.authorization_hash(self.wallet.address, task, ids.ZERO_ADDRESS)
        authorization = sign_digest(self.wallet, digest)
        transaction = self.poco.contribute_and_finalize(
            task, ids.keccak_hex(b"result"), b"{}", authorization=authorization
        )
        self._mined(transaction)
        assert self.poco.view_task(task).status == TaskStatus.COMPLETED
        return task

    def _deployed(self, kind: Any, transaction: Any) -> str:
        return self.poco.deployed_address(kind, self._mined(transaction), transaction)

    def _mined(self, transaction: Any) -> Any:
        self.poco.send(transaction)
        return self.poco.wait(transaction)


def _name() -> str:
    return "sms conformance " + secrets.token_hex(8)
