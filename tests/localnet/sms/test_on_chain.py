"""The SMS over the real contracts: owners, a matched deal, an active task."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from tests.localnet.sms.sms_world import STAGES, Client, ledger
from workflows.iexec import challenge, ids, params, tags
from workflows.iexec.orders import AppOrder, DatasetOrder, Domain, RequestOrder, WorkerpoolOrder
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp, NewDataset
from workflows.iexec.signatures import sign_digest
from workflows.localnet.chain import Chain
from workflows.localnet.sms.server import Sms
from workflows.scone.session import parse

FINGERPRINT = f"{'3b' * 32}|{'b8' * 16}|{'54' * 32}"
CHECKSUM = "0x" + "cc" * 32
CID = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"


def deployed(poco: Poco, transaction: Any, kind: Any) -> str:
    poco.send(transaction)
    return poco.deployed_address(kind, poco.wait(transaction), transaction)


@pytest.mark.chain
def test_a_session_from_deal_to_document(chain: Chain, tmp_path: Path) -> None:
    accounts = {
        name: Account.from_key(chain.key(name)) for name in ("owner", "workerpool", "worker", "requester")
    }

    def poco(name: str) -> Poco:
        return Poco(chain.rpc, chain.hub, accounts[name], chain_id=chain.chain_id)

    reader = poco("worker")
    before = reader.w3.provider.make_request("evm_snapshot", [])["result"]  # type: ignore[arg-type]
    try:
        app, dataset, task = matched(chain, accounts, poco)
        asyncio.run(conversation(tmp_path, reader, accounts, app, dataset, task))
    finally:
        reader.w3.provider.make_request("evm_revert", [before])  # type: ignore[arg-type]


def matched(chain: Chain, accounts: Any, poco: Any) -> tuple[str, str, str]:
    """App, dataset and the id of an active task."""
    owner, requester = poco("owner"), poco("requester")
    app = deployed(
        owner,
        owner.deploy_app(NewApp(owner.sender, "sms", "docker.io/sms:1", CHECKSUM, FINGERPRINT.encode())),
        "app",
    )
    dataset = deployed(
        owner,
        owner.deploy_dataset(NewDataset(owner.sender, "sms data", f"/ipfs/{CID}", CHECKSUM)),
        "dataset",
    )
    domain, tag = Domain(chain.chain_id, chain.hub), tags.TEE_SCONE
    request = RequestOrder(
        app=app,
        appmaxprice=0,
        dataset=dataset,
        datasetmaxprice=0,
        workerpoolmaxprice=0,
        requester=requester.sender,
        volume=1,
        tag=tag,
        beneficiary=requester.sender,
        params=params.build(args="python3 /app/app.py", secrets={1: "mine"}).to_text(),
    )
    transaction = requester.match_orders(
        AppOrder(app=app, appprice=0, volume=1, tag=tag).sign_with(accounts["owner"], domain),
        DatasetOrder(dataset=dataset, datasetprice=0, volume=1, tag=tag).sign_with(accounts["owner"], domain),
        WorkerpoolOrder(workerpool=chain.workerpool, workerpoolprice=0, volume=1, tag=tag).sign_with(
            accounts["workerpool"], domain
        ),
        request.sign_with(accounts["requester"], domain),
    )
    requester.send(transaction)
    deal = requester.matched(requester.wait(transaction)).dealid
    pool = poco("workerpool")
    transaction = pool.initialize(deal, 0)
    pool.send(transaction)
    pool.wait(transaction)
    return app, dataset, ids.taskid(deal, 0)


async def conversation(folder: Path, poco: Poco, accounts: Any, app: str, dataset: str, task: str) -> None:
    posted: list[str] = []

    async def post(text: str) -> str:
        posted.append(text)
        return ""

    sms = Sms(folder, lambda: poco, post, tee=STAGES)
    await sms.start()
    try:
        async with aiohttp.ClientSession() as http:
            client = Client(http, sms.url, ledger(), posted)
            owner, worker = accounts["owner"], accounts["worker"]
            assert await client.web3("key", worker, dataset) == 401
            assert await client.web3("key", owner, dataset) == 204
            assert await client.web3("key", owner, "0x" + "12" * 20) == 401  # nothing is deployed there
            assert (await client.app("app secret", owner, app))[0] == 204
            assert await client.web2("iexec-result-iexec-ipfs-token", "token", worker) == 204
            mine = sign_digest(
                accounts["requester"],
                challenge.requester(accounts["requester"].address, "mine", "my secret"),
            )
            path = f"/requesters/{accounts['requester'].address}/secrets/mine"
            assert await client.status("POST", path, "my secret", mine) == 204

            answer = await asked(client, accounts, ids.taskid("0x" + "00" * 32, 7))
            assert answer == (401, {"error": "EXECUTION_NOT_AUTHORIZED_GET_CHAIN_TASK_FAILED"})
            status, _ = await asked(client, accounts, task)
            assert status == 200
            session = parse(posted[0])
            pre, enclave, _ = session.services
            assert enclave.words == ("python3", "/app/app.py")
            assert (
                "|".join((enclave.fspf_key or "", enclave.fspf_tag or "", *enclave.mrenclaves)) == FINGERPRINT
            )
            assert pre.environment["IEXEC_DATASET_KEY"] == "key"
            assert pre.environment["IEXEC_DATASET_URL"] == f"https://gateway.ipfs.io/ipfs/{CID}"
            assert enclave.environment["IEXEC_DATASET_ADDRESS"] == dataset.lower()
            assert enclave.environment["IEXEC_APP_DEVELOPER_SECRET"] == "app secret"
            assert enclave.environment["IEXEC_REQUESTER_SECRET_1"] == "my secret"
    finally:
        await sms.stop()


async def asked(client: Client, accounts: Any, task: str) -> tuple[int, Any]:
    """A session asked for as the worker does: challenge first, then the authorised request."""
    worker, pool = accounts["worker"], accounts["workerpool"]
    signature = sign_digest(pool, challenge.joined("", task, ""))
    status, enclave = await client.call("POST", f"/tee/challenges/{task}", signature=signature)
    if status != 200:
        enclave = ids.ZERO_ADDRESS
    digest = ids.authorization_hash(worker.address, task, enclave)
    document = {
        "chainTaskId": task,
        "workerWallet": worker.address,
        "enclaveChallenge": enclave,
        "signature": {"value": sign_digest(pool, digest)},
    }
    headers = {"Authorization": sign_digest(worker, digest)}
    async with client.http.post(f"{client.url}/tee/sessions", json=document, headers=headers) as answer:
        return answer.status, await answer.json()
