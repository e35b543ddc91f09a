"""An SMS on loopback whose chain answers from records that a test sets, and wallets of the published vectors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from eth_account import Account

from tests.iexec.sms_vectors import DEVELOPER, POOL
from workflows.core.failure import Failed
from workflows.iexec import challenge, ids
from workflows.iexec.orders import DatasetOrder
from workflows.iexec.records import App, Dataset, Deal, Resource, Task, TaskStatus
from workflows.iexec.signatures import sign_digest
from workflows.localnet.sms.incoming import operation_of
from workflows.localnet.sms.properties import Pipeline, Stage, TeeServices
from workflows.localnet.sms.server import Sms
from workflows.localnet.storage import FileStore, Storage
from workflows.scone.session import parse
from workflows.scone.session_model import Session

# the third key of iexec-sms's own test classes (sms.md §13.1)
REQUESTER = Account.from_key("0xb8e97e9e217a50dedbe3c0c4c37b85a85a10d4eb23fca6dbad55162cfbb1c450")
WORKER = Account.from_key("0x" + "77" * 32)
ENCLAVE = ids.address("0x" + "ee" * 20)
TASK, DEAL = "0x" + "11" * 32, "0x" + "22" * 32
APP, DATASET, WORKERPOOL = (ids.address("0x" + digit * 40) for digit in "abc")
KEY, TAG, MRENCLAVE = "3b" * 32, "b8" * 16, "54" * 32
CONFIG = {
    "framework": "SCONE",
    "version": "v5",
    "entrypoint": "python3 /app/app.py",
    "heapSize": 1 << 30,
    "fingerprint": MRENCLAVE,
}
URL = "https://example.com/in put.txt"
# Datasets of bulk tasks; the last one is not registered, the one before it does not fit the deal.
BULK = tuple(ids.address("0x" + digits * 20) for digits in ("d1", "d2", "d3", "d4"))

# another server's name in Host, a body that does not come or is beyond all bounds, a database that fails
OF_ALL = (403, 408, 413, 500)

STAGES = TeeServices(
    (
        Pipeline(
            "v5.9",
            Stage("pre:5.9", "a3" * 32, "python3 /tee/pre.py", 3 << 30),
            Stage("post:5.9", "b3" * 32, "python3 /tee/post.py", 4 << 30),
        ),
        Pipeline(
            "v5", Stage("pre:5", "c3" * 32, "pre", 1 << 30), Stage("post:5", "d3" * 32, "post", 1 << 30)
        ),
    ),
    las_image="las:5.9",
)


@dataclass
class Ledger:
    """The reads of a chain, answered from records; what is absent raises as a chain client does."""

    owners: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    deals: dict[str, Deal] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    cas_refuses: bool = False

    def owner(self, address: str) -> str:
        return self.owners[ids.address(address)]

    def view_task(self, taskid: str) -> Task:
        return self.tasks[taskid]

    def view_deal(self, dealid: str) -> Deal | None:
        return self.deals.get(dealid)

    def app(self, address: str) -> App | None:
        return self.apps.get(address)

    def dataset(self, address: str) -> Dataset | None:
        return self.datasets.get(address)

    def bulk_dataset(self, order: DatasetOrder, dealid: str) -> Dataset:
        assert dealid in self.deals
        if order.dataset in self.unfit:
            raise Failed(self.unfit[order.dataset])
        return self.datasets[order.dataset]

    def change_deal(self, **fields: Any) -> None:
        self.deals[DEAL] = replace(self.deals[DEAL], **fields)

    def change_task(self, **fields: Any) -> None:
        self.tasks[TASK] = replace(self.tasks[TASK], **fields)

    def register(self, fingerprint: str) -> None:
        self.apps[APP] = replace(self.apps[APP], mrenclave=fingerprint.encode())


def ledger() -> Ledger:
    """One active TEE task with a dataset, of a four-part app."""
    deal = Deal(
        dealid=DEAL,
        app=Resource(APP, DEVELOPER.address, 0),
        dataset=Resource(DATASET, DEVELOPER.address, 0),
        workerpool=Resource(WORKERPOOL, POOL.address, 0),
        trust=1,
        category=0,
        tag="0x" + "00" * 31 + "03",
        requester=REQUESTER.address,
        beneficiary=REQUESTER.address,
        callback=ids.ZERO_ADDRESS,
        params='{"iexec_args":"one two"}',
        start_time=0,
        bot_first=3,
        bot_size=2,
        worker_stake=0,
        scheduler_reward_ratio=0,
        sponsor=REQUESTER.address,
    )
    task = Task(
        TASK, TaskStatus.ACTIVE, DEAL, 4, 60, 1, 1, 4_000_000_000, ids.ZERO_HASH, (), ids.ZERO_HASH, b"", b""
    )
    fingerprint = f"{KEY}|{TAG}|{MRENCLAVE}|python3 /app/app.py"
    checksum = "0x" + "cc" * 32
    return Ledger(
        owners=dict.fromkeys((APP, DATASET, DEVELOPER.address, *BULK[:-1]), DEVELOPER.address),
        tasks={TASK: task},
        deals={DEAL: deal},
        apps={APP: App(APP, DEVELOPER.address, "app", "DOCKER", "img", checksum, fingerprint.encode())},
        datasets={DATASET: Dataset(DATASET, DEVELOPER.address, "data", "/ipfs/QmData", checksum)}
        | {
            address: Dataset(address, DEVELOPER.address, "", f"/ipfs/Qm{address[2:4].lower()}", checksum)
            for address in BULK[:-1]
        },
        unfit={BULK[2]: "App restriction not satisfied"},
    )


def bulk_order(address: str, **changes: Any) -> dict[str, Any]:
    """A signed dataset order as the official client puts it on IPFS; whether it is signed the ledger does not ask."""
    order = DatasetOrder(dataset=address, volume=(1 << 53) - 1, salt="0x" + "55" * 32, sign="0x" + "11" * 65)
    return {**order.to_json(), "dataset": address, **changes}


@dataclass
class Client:
    """What a test does to an SMS over HTTP."""

    http: aiohttp.ClientSession
    url: str
    chain: Ledger
    posted: list[str]
    files: FileStore | None = None

    async def call(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        signature: str | None = None,
        **more: Any,
    ) -> tuple[int, str]:
        headers = {"Authorization": signature} if signature is not None else {}
        data = body.encode() if isinstance(body, str) else body
        async with self.http.request(method, self.url + path, data=data, headers=headers, **more) as answer:
            return answer.status, await answer.text()

    async def status(self, *call: Any, **more: Any) -> int:
        return (await self.call(*call, **more))[0]

    async def web3(self, value: str, signer: Any = DEVELOPER, address: str = DATASET) -> int:
        signature = sign_digest(signer, challenge.web3(address, value))
        return await self.status("POST", f"/secrets/web3?secretAddress={address}", value, signature)

    async def web2(
        self, name: str, value: str, owner: Any = REQUESTER, signer: Any = None, method: str = "POST"
    ) -> int:
        signature = sign_digest(signer or owner, challenge.web2(owner.address, name, value))
        path = f"/secrets/web2?ownerAddress={owner.address}&secretName={name}"
        return await self.status(method, path, value, signature)

    async def app(self, value: str, signer: Any = DEVELOPER, address: str = APP) -> tuple[int, str]:
        signature = sign_digest(signer, challenge.app(address, value))
        return await self.call("POST", f"/apps/{address}/secrets", value, signature)

    async def requester(self, key: str, value: str, signer: Any = REQUESTER) -> tuple[int, str]:
        signature = sign_digest(signer, challenge.requester(REQUESTER.address, key, value))
        return await self.call("POST", f"/requesters/{REQUESTER.address}/secrets/{key}", value, signature)

    async def session(
        self, worker: Any = WORKER, pool: Any = POOL, header: Any = None, **changes: Any
    ) -> tuple[int, dict[str, Any]]:
        digest = challenge.joined(worker.address, TASK, ENCLAVE)
        document = {
            "chainTaskId": TASK,
            "dealId": DEAL,
            "taskIndex": 4,
            "workerWallet": worker.address,
            "enclaveChallenge": ENCLAVE,
            "signature": {"value": sign_digest(pool, digest)},
        } | changes
        headers = {"Authorization": sign_digest(header or worker, digest)}
        async with self.http.post(f"{self.url}/tee/sessions", json=document, headers=headers) as answer:
            return answer.status, await answer.json()

    async def made(self) -> Session:
        """A session that must be made: its document as CAS would read it."""
        status, answer = await self.session()
        assert status == 200, answer
        session = parse(self.posted[-1])
        assert answer == {"data": {"sessionId": session.name, "secretProvisioningUrl": "cas:18765"}}
        return session

    async def add(self, content: Any) -> str:
        """The CID of a file in the SMS's storage: of these bytes, or of the JSON of anything else."""
        assert self.files is not None
        data = content if isinstance(content, bytes) else json.dumps(content).encode()

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        return (await self.files.add(pieces())).cid

    async def slices(self, *each: Any) -> str:
        """The CID of a bulk of these slices for the tasks from index 4 on."""
        return await self.add(["", "", "", "", *[await self.add(one) for one in each]])

    async def ready(self) -> None:
        """The secrets without which no session of the ledger's task is made."""
        assert await self.web3("dataset key") == 204
        assert await self.web2("iexec-result-iexec-ipfs-token", "worker token", WORKER) == 204


Run = Callable[[Callable[[Client], Awaitable[None]]], None]


async def challenged(sms: Client, signer: Any = POOL, task: str = TASK) -> tuple[int, str]:
    """Ask for the enclave challenge of a task."""
    signature = sign_digest(signer, challenge.joined("", task, ""))
    return await sms.call("POST", f"/tee/challenges/{task}", signature=signature)


async def serve(folder: Path, chain: Ledger, body: Callable[[Client], Awaitable[None]], **more: Any) -> None:
    """Run `body` against an SMS whose state is in `folder`, beside a storage; `more` is for the SMS."""
    posted: list[str] = []

    async def post(text: str) -> str:
        if chain.cas_refuses:
            raise Failed("CAS refused", text)
        posted.append(text)
        return "hash"

    untold: list[tuple[str, str, int]] = []

    async def told(request: web.Request, response: web.StreamResponse) -> None:
        route = request.match_info.route
        answers = operation_of(route.handler).answers or (response.status,)  # OPTIONS, and what is no route
        if response.status not in (*answers, *OF_ALL):
            untold.append((route.method, request.path, response.status))

    storage = Storage(folder / "storage")
    more.setdefault("gateway", lambda: storage.url)
    sms = Sms(folder, lambda: chain, post_session=post, tee=STAGES, **more)
    sms.app.on_response_prepare.append(told)
    await storage.start()
    await sms.start()
    try:
        async with aiohttp.ClientSession() as http:
            await body(Client(http, sms.url, chain, posted, storage.files))
    finally:
        await sms.stop()
        await storage.stop()
    assert not untold  # every answer is in /v3/api-docs
