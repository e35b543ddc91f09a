"""The SMS over the real contracts: owners, a matched deal, an active task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from tests.localnet.sms.sms_world import CONFIG, STAGES, Client, ledger
from workflows.iexec import challenge, ids, params, tags
from workflows.iexec.orders import (
    NULL_DATASET_ORDER,
    AppOrder,
    DatasetOrder,
    Domain,
    RequestOrder,
    WorkerpoolOrder,
)
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp, NewDataset
from workflows.iexec.signatures import sign_digest
from workflows.localnet.chain import Chain
from workflows.localnet.sms.server import Sms
from workflows.localnet.storage import Storage
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
    with undone(reader):
        app, dataset = deploy_app(poco, FINGERPRINT), deploy_dataset(poco, "sms data")
        task = matched(chain, accounts, poco, app, dataset, args="python3 /app/app.py", secrets={1: "mine"})
        asyncio.run(conversation(tmp_path, reader, accounts, app, dataset, task))


@contextmanager
def undone(poco: Poco) -> Iterator[None]:
    """The chain is afterwards what it was before."""
    before = poco.w3.provider.make_request("evm_snapshot", [])["result"]  # type: ignore[arg-type]
    try:
        yield
    finally:
        poco.w3.provider.make_request("evm_revert", [before])  # type: ignore[arg-type]


def deploy_app(poco: Any, fingerprint: str) -> str:
    owner = poco("owner")
    new = NewApp(owner.sender, "sms", "docker.io/sms:1", CHECKSUM, fingerprint.encode())
    return deployed(owner, owner.deploy_app(new), "app")


def deploy_dataset(poco: Any, name: str) -> str:
    owner = poco("owner")
    return deployed(
        owner, owner.deploy_dataset(NewDataset(owner.sender, name, f"/ipfs/{CID}", CHECKSUM)), "dataset"
    )


def matched(chain: Chain, accounts: Any, poco: Any, app: str, dataset: str, **asked: Any) -> str:
    """The id of an active task of a new deal; no dataset: the zero address."""
    requester = poco("requester")
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
        params=params.Params(**asked).to_text(),
    )
    data = NULL_DATASET_ORDER
    if dataset != ids.ZERO_ADDRESS:
        data = DatasetOrder(dataset=dataset, tag=tag).sign_with(accounts["owner"], domain)
    transaction = requester.match_orders(
        AppOrder(app=app, appprice=0, volume=1, tag=tag).sign_with(accounts["owner"], domain),
        data,
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
    return ids.taskid(deal, 0)


@pytest.mark.chain
def test_every_order_of_a_bulk_is_held_against_the_deal(
    chain: Chain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the contract refuses has no place and no key in the session, and the log has the contract's reason."""
    names = ("owner", "workerpool", "worker", "requester")
    accounts = {name: Account.from_key(chain.key(name)) for name in names}

    def poco(name: str) -> Poco:
        return Poco(chain.rpc, chain.hub, accounts[name], chain_id=chain.chain_id)

    reader, owner = poco("worker"), poco("owner")
    domain = Domain(chain.chain_id, chain.hub)
    with undone(reader):
        app = deploy_app(poco, json.dumps(CONFIG))
        dataset = deploy_dataset(poco, "bulk")
        plain = DatasetOrder(dataset=dataset, volume=(1 << 53) - 1, tag=tags.TEE_SCONE)
        signed = {
            "": replace(plain, apprestrict=app, requesterrestrict=accounts["requester"].address),
            "the dataset order does not allow the deal's app": replace(plain, apprestrict=dataset),
            "the dataset order does not allow the deal's workerpool": replace(plain, workerpoolrestrict=app),
            "the dataset order does not allow the deal's requester": replace(plain, requesterrestrict=app),
            "the dataset order asks for more tags": replace(plain, tag="0x" + "00" * 31 + "0b"),
            "its volume is 1": replace(plain, volume=1),
        }
        orders = {why: order.sign_with(accounts["owner"], domain) for why, order in signed.items()}
        good = orders[""]
        revoked = plain.sign_with(accounts["owner"], domain)
        transaction = owner.cancel_order(revoked)
        owner.send(transaction)
        owner.wait(transaction)
        unsigned = [
            plain.sign_with(accounts["requester"], domain),
            plain.sign_with(accounts["owner"], replace(domain, chain_id=134)),
            plain.sign_with(accounts["owner"], replace(domain, hub=app)),
            replace(good, salt="0x" + "77" * 32),
            replace(good, sign="0x" + "00" * 65),
            replace(good, sign="0x" + "ff" * 64),
            replace(good, sign="0x"),
        ]
        no_datasets = [
            replace(plain, dataset=app).sign_with(accounts["owner"], domain),
            replace(good, dataset=ids.address("0x" + "12" * 20)),
        ]
        bulk = [*orders.values(), revoked, *unsigned, *no_datasets, good]

        async def talk() -> list[str]:
            async with serving(tmp_path, reader) as client:
                assert await client.web3("bulk key", accounts["owner"], dataset) == 204
                token = await client.web2("iexec-result-iexec-ipfs-token", "token", accounts["worker"])
                assert token == 204
                root = await client.add([await client.add([order.to_json() for order in bulk])])
                deal: dict[str, Any] = {"args": "x", "bulk_cid": root}
                task = matched(chain, accounts, poco, app, ids.ZERO_ADDRESS, **deal)
                assert (await asked(client, accounts, task))[0] == 200
                pre, enclave, _ = (dict(service.environment) for service in parse(client.posted[-1]).services)
                count = len(bulk)
                assert pre["IEXEC_BULK_SLICE_SIZE"] == enclave["IEXEC_BULK_SLICE_SIZE"] == str(count)
                for n, order in enumerate(bulk, 1):
                    assert pre[f"IEXEC_DATASET_{n}_FILENAME"] == order.dataset
                    given = tuple(pre[f"IEXEC_DATASET_{n}_{name}"] for name in ("URL", "CHECKSUM", "KEY"))
                    fits = n in (1, count)
                    assert given == ((f"/ipfs/{CID}", CHECKSUM, "bulk key") if fits else ("", "", "")), order
                # A deal that has a dataset takes no more of them.
                task = matched(chain, accounts, poco, app, dataset, **deal)
                assert (await asked(client, accounts, task))[0] == 200
                both = dict(parse(client.posted[-1]).services[0].environment)
                assert both["IEXEC_DATASET_KEY"] == "bulk key" and both["IEXEC_DATASET_1_KEY"] == ""
            return [
                record.getMessage() for record in caplog.records if " does not fit " in record.getMessage()
            ]

        said = asyncio.run(talk())
    reasons = [*list(signed)[1:], "nothing is left of the dataset order"]
    reasons += ["the dataset order is not signed by the dataset's owner"] * 6
    reasons += [
        "a signature is neither 65 nor 64 bytes long",
        "there is no dataset at",
        "there is no dataset at",
    ]
    reasons += ["a dataset can be added in bulk only to a deal that was matched without one"]
    assert len(said) == len(reasons) - 1 + len(bulk)
    for line, reason in zip(said, reasons, strict=False):
        assert reason in line
    assert "bulk key" not in caplog.text


async def conversation(folder: Path, poco: Poco, accounts: Any, app: str, dataset: str, task: str) -> None:
    async with serving(folder, poco) as client:
        posted = client.posted
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
        assert "|".join((enclave.fspf_key or "", enclave.fspf_tag or "", *enclave.mrenclaves)) == FINGERPRINT
        assert pre.environment["IEXEC_DATASET_KEY"] == "key"
        assert pre.environment["IEXEC_DATASET_URL"] == f"https://gateway.ipfs.io/ipfs/{CID}"
        assert enclave.environment["IEXEC_DATASET_ADDRESS"] == dataset.lower()
        assert enclave.environment["IEXEC_APP_DEVELOPER_SECRET"] == "app secret"
        assert enclave.environment["IEXEC_REQUESTER_SECRET_1"] == "my secret"


@asynccontextmanager
async def serving(folder: Path, poco: Poco) -> AsyncIterator[Client]:
    """An SMS that reads the chain, and a client of it."""
    posted: list[str] = []

    async def post(text: str) -> str:
        posted.append(text)
        return ""

    storage = Storage(folder / "storage")
    sms = Sms(folder, lambda: poco, lambda: storage.url, post, tee=STAGES)
    await storage.start()
    await sms.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Client(http, sms.url, ledger(), posted, storage.files)
    finally:
        await sms.stop()
        await storage.stop()


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
