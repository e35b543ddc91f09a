"""The result proxy over HTTP: logins as the SDK makes them, tokens, and who may upload."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from tests.localnet.logins import authorization
from workflows.iexec import cid, ids
from workflows.iexec.records import App, Dataset, Deal, Resource, Task, TaskStatus
from workflows.iexec.signatures import sign_digest
from workflows.localnet.result_proxy import ResultProxy
from workflows.localnet.storage import FileStore
from workflows.localnet.tokens import Tokens

CHAIN_ID = 65535
WORKER, POOL, REQUESTER, ENCLAVE, STRANGER = (Account.from_key("0x" + f"{n}" * 64) for n in "12345")
TASK, DEAL, DIGEST = "0x" + "aa" * 32, "0x" + "bb" * 32, "0x" + "cc" * 32
ARCHIVE = b"PK a zip"


@dataclass
class Ledger:
    """A chain with one task."""

    status: TaskStatus = TaskStatus.ACTIVE

    def view_task(self, taskid: str) -> Task:
        if taskid != TASK:
            return Task(taskid, TaskStatus.UNSET, ids.ZERO_HASH, 0, 0, 0, 0, 0, "", (), "", b"", b"")
        return Task(TASK, self.status, DEAL, 0, 60, 1, 1, 1, ids.ZERO_HASH, (), ids.ZERO_HASH, b"", b"")

    def view_deal(self, dealid: str) -> Deal | None:
        if dealid != DEAL:
            return None
        nobody = Resource(ids.ZERO_ADDRESS, ids.ZERO_ADDRESS, 0)
        pool, tag = Resource(ids.address("0x" + "0f" * 20), POOL.address, 0), "0x" + "00" * 31 + "03"
        who = REQUESTER.address
        return Deal(DEAL, nobody, nobody, pool, 1, 0, tag, who, who, ids.ZERO_ADDRESS, "", 0, 0, 1, 0, 0, who)

    def owner(self, address: str) -> str:
        raise LookupError(address)

    def app(self, address: str) -> App | None:
        return None

    def dataset(self, address: str) -> Dataset | None:
        return None


@dataclass
class Client:
    http: aiohttp.ClientSession
    url: str
    chain: Ledger
    files: FileStore

    async def challenge(self, chain_id: int = CHAIN_ID) -> tuple[int, Any]:
        query = {"chainId": str(chain_id), "address": WORKER.address}
        async with self.http.get(f"{self.url}/results/challenge", params=query) as answer:
            return answer.status, await answer.json()

    async def login(self, text: str | bytes) -> tuple[int, str]:
        async with self.http.post(f"{self.url}/results/login?chainId={CHAIN_ID}", data=text) as answer:
            return answer.status, await answer.text()

    async def token_of(self, wallet: Any) -> str:
        status, token = await self.login(authorization((await self.challenge())[1], wallet))
        assert status == 200
        return token

    async def worker_token(
        self, worker: Any = WORKER, pool: Any = POOL, header: Any = None
    ) -> tuple[int, str]:
        digest = ids.authorization_hash(worker.address, TASK, ENCLAVE.address)
        document = {
            "chainTaskId": TASK,
            "workerWallet": worker.address,
            "enclaveChallenge": ENCLAVE.address,
            "signature": {"value": sign_digest(pool, digest)},
        }
        headers = {"Authorization": sign_digest(header or worker, digest)}
        async with self.http.post(f"{self.url}/v1/results/token", json=document, headers=headers) as answer:
            return answer.status, await answer.text()

    async def upload(self, token: str, **changes: Any) -> tuple[int, str]:
        document = {
            "chainTaskId": TASK,
            "zip": base64.b64encode(ARCHIVE).decode(),
            "deterministHash": DIGEST,
            "enclaveSignature": sign_digest(ENCLAVE, ids.enclave_hash(WORKER.address, TASK, DIGEST)),
        } | changes
        headers = {"Authorization": token}
        async with self.http.post(f"{self.url}/v1/results", json=document, headers=headers) as answer:
            return answer.status, await answer.text()

    async def status(self, method: str, path: str, token: str = "") -> tuple[int, str]:
        async with self.http.request(method, self.url + path, headers={"Authorization": token}) as answer:
            return answer.status, await answer.text()


On = Callable[[Callable[[Client], Awaitable[None]]], None]


@pytest.fixture
def on_proxy(tmp_path: Path) -> On:
    chain = Ledger()

    def run(body: Callable[[Client], Awaitable[None]]) -> None:
        async def main() -> None:
            files = FileStore(tmp_path / "storage")
            proxy = ResultProxy(tmp_path / "storage", lambda: chain, files, CHAIN_ID, max_zip=1 << 16)
            await proxy.start()
            try:
                async with aiohttp.ClientSession() as http:
                    await body(Client(http, proxy.url, chain, files))
            finally:
                await proxy.stop()

        asyncio.run(main())

    return run


_hasher = cid.FileHasher()
_hasher.update(ARCHIVE)
RESULT = f"/ipfs/{_hasher.cid()}"


def test_an_authorised_worker_uploads_what_its_enclave_signed(on_proxy: On) -> None:
    tokens: list[str] = []

    async def first(proxy: Client) -> None:
        status, token = await proxy.worker_token()
        assert status == 200
        tokens.append(token)
        assert await proxy.status("HEAD", f"/v1/results/{TASK}", token) == (404, "")
        assert await proxy.status("GET", f"/v1/results/{TASK}/ipfshash") == (404, "")
        assert await proxy.upload(token) == (200, RESULT)
        path = proxy.files.path(RESULT.removeprefix("/ipfs/"))
        assert path is not None
        assert path.read_bytes() == ARCHIVE

    async def second(proxy: Client) -> None:
        assert await proxy.status("HEAD", f"/v1/results/{TASK}", tokens[0]) == (204, "")
        assert await proxy.status("HEAD", f"/v1/results/{TASK}") == (401, "")
        assert await proxy.status("GET", f"/v1/results/{TASK}/ipfshash") == (
            200,
            RESULT.removeprefix("/ipfs/"),
        )
        assert await proxy.upload(tokens[0]) == (200, RESULT)

    on_proxy(first)
    on_proxy(second)


def test_a_worker_without_the_pools_or_its_own_signature_gets_no_token(on_proxy: On) -> None:
    async def body(proxy: Client) -> None:
        assert (await proxy.worker_token(pool=STRANGER))[0] == 401
        assert (await proxy.worker_token(header=STRANGER))[0] == 401
        proxy.chain.status = TaskStatus.COMPLETED
        assert (await proxy.worker_token())[0] == 401

    on_proxy(body)


def test_what_the_enclave_did_not_sign_is_not_taken(on_proxy: On) -> None:
    async def body(proxy: Client) -> None:
        _, token = await proxy.worker_token()
        assert (await proxy.upload(token, deterministHash="0x" + "dd" * 32))[0] == 401
        assert (await proxy.upload(token, enclaveSignature=None))[0] == 401
        other = sign_digest(STRANGER, ids.enclave_hash(WORKER.address, TASK, DIGEST))
        assert (await proxy.upload(token, enclaveSignature=other))[0] == 401
        assert (await proxy.upload(token, deterministHash="nonsense"))[0] == 401
        assert (await proxy.upload(token, chainTaskId="0x" + "00" * 32))[0] == 401
        proxy.chain.status = TaskStatus.FAILED
        assert (await proxy.upload(token))[0] == 401

    on_proxy(body)


def test_requester_and_pool_may_upload_with_a_login_and_a_stranger_may_not(on_proxy: On) -> None:
    async def body(proxy: Client) -> None:
        assert (await proxy.upload(await proxy.token_of(REQUESTER)))[0] == 200
        assert (await proxy.upload(await proxy.token_of(POOL)))[0] == 200
        assert (await proxy.upload(await proxy.token_of(STRANGER)))[0] == 401

    on_proxy(body)


def test_a_challenge_is_good_once_for_who_signed_it(on_proxy: On) -> None:
    async def body(proxy: Client) -> None:
        assert (await proxy.challenge(1))[0] == 400
        _, data = await proxy.challenge()
        assert data["domain"] == {"name": "iExec Result Repository", "version": "1", "chainId": CHAIN_ID}
        assert (await proxy.login(authorization(data, WORKER, STRANGER.address)))[0] == 401
        assert (await proxy.login(authorization(data, WORKER)))[0] == 401  # used up by the attempt
        _, data = await proxy.challenge()
        text = authorization(data, WORKER)
        assert (await proxy.login(text))[0] == 200
        assert (await proxy.login(text))[0] == 401
        for junk in ("", "_", "__", "0x_0x_0x", "x" * 1000, b"\xff\xfe"):
            assert (await proxy.login(junk))[0] == 401
        own = json.loads(json.dumps(data)) | {"message": {"challenge": "mine"}}
        assert (await proxy.login(authorization(own, WORKER)))[0] == 401

    on_proxy(body)


def test_bad_uploads(on_proxy: On) -> None:
    async def body(proxy: Client) -> None:
        _, token = await proxy.worker_token()
        for junk in ("", "a.b.c", token[:-2], token + "x", "Bearer " + token):
            assert (await proxy.upload(junk))[0] == 401
        assert (await proxy.upload(token, zip="not base64!"))[0] == 400
        assert (await proxy.upload(token, zip=""))[0] == 400
        assert (await proxy.upload(token, chainTaskId="../../x"))[0] == 400
        assert (await proxy.upload(token, zip=base64.b64encode(bytes(1 << 18)).decode()))[0] == 413

    on_proxy(body)


def test_tokens_expire_and_cannot_be_changed(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "key", lifetime=10)
    token = tokens.issue("0xab", now=100)
    assert Tokens(tmp_path / "key").subject(token, now=109) == "0xab"
    assert tokens.subject(token, now=110) is None
    assert Tokens(tmp_path / "other").subject(token, now=100) is None
    header, claims, signature = token.split(".")
    forged = base64.urlsafe_b64encode(b'{"sub":"0xcd","exp":999}').rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for changed in (f"{header}.{forged}.{signature}", f"{none}.{claims}.", f"{header}.{claims}", "", "é.é.é"):
        assert tokens.subject(changed, now=100) is None
