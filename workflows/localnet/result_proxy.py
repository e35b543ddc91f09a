"""The result proxy: a wallet logs in, or a worker shows its authorisation, and may then upload a result.

Old paths (`/results/challenge`, `/results/login`) as the iexec SDK 8.24 calls them, current ones under
`/v1/results` as iexec-result-proxy has them. Results go to the content storage.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from workflows.core.failure import Failed
from workflows.iexec.ids import address, enclave_hash, hash32
from workflows.iexec.records import TaskStatus
from workflows.iexec.signatures import signer_of
from workflows.localnet.database import Database
from workflows.localnet.login import Logins
from workflows.localnet.service import HttpService, read_json
from workflows.localnet.sms.authorisation import WorkerpoolAuthorization, check
from workflows.localnet.sms.chain import Chain
from workflows.localnet.storage import FileStore
from workflows.localnet.tokens import Tokens

log = logging.getLogger(__name__)

MAX_ZIP = 512 << 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS authorisations (
  task TEXT NOT NULL, worker TEXT NOT NULL, enclave TEXT NOT NULL, PRIMARY KEY (task, worker)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (task TEXT PRIMARY KEY, cid TEXT NOT NULL) WITHOUT ROWID;
"""


class ResultProxy(HttpService):
    """`directory` is `<state>/storage`; `files` is where results go; `chain()` gives the blocking reads."""

    def __init__(
        self,
        directory: Path,
        chain: Callable[[], Chain],
        files: FileStore,
        chain_id: int,
        *,
        port: int = 0,
        max_zip: int = MAX_ZIP,
    ) -> None:
        super().__init__(port=port, max_body=max_zip * 4 // 3 + (1 << 16))
        self._chain = chain
        self._files = files
        self._chain_id = chain_id
        self._tokens = Tokens(directory / "result-proxy.key")
        self._database = Database(directory / "results.sqlite", _SCHEMA)
        self._logins = Logins("iExec Result Repository", chain_id)
        self.app.add_routes(
            [
                web.get("/results/challenge", self._challenge),
                web.post("/results/login", self._login),
                web.post("/v1/results/token", self._token),
                web.post("/v1/results", self._upload),
                web.head("/v1/results/{task}", self._has),
                web.get("/v1/results/{task}/ipfshash", self._hash),
            ]
        )

    async def stop(self) -> None:
        """Stop and close the database; a stopped proxy is not started again."""
        await super().stop()
        await asyncio.to_thread(self._database.close)

    async def _challenge(self, request: web.Request) -> web.Response:
        """EIP-712 typed data to sign; good once, for ten minutes."""
        if request.query.get("chainId") != str(self._chain_id):
            return web.json_response({"error": f"this proxy serves chain {self._chain_id}"}, status=400)
        return web.json_response(await self._logins.challenge())

    async def _login(self, request: web.Request) -> web.Response:
        """`<hash>_<signature>_<address>` of a challenge for a token."""
        answer = (await request.read()).decode(errors="replace")
        signer = await self._logins.redeem(answer.strip().strip('"'))
        if signer is None:
            return web.Response(status=401)
        return web.Response(text=self._tokens.issue(signer, int(time.time())))

    async def _token(self, request: web.Request) -> web.Response:
        """A token for a worker that the pool's owner authorised for a task."""
        signature = request.headers.get("Authorization", "")
        try:
            authorization = WorkerpoolAuthorization.of(await read_json(request))
        except ValueError:
            return web.Response(status=400)
        if not await asyncio.to_thread(self._remember, authorization, signature):
            return web.Response(status=401)
        return web.Response(text=self._tokens.issue(address(authorization.worker), int(time.time())))

    def _remember(self, authorization: WorkerpoolAuthorization, signature: str) -> bool:
        if not authorization.signed_by(signature, authorization.worker):
            return False
        if check(self._chain(), authorization) is not None:
            return False
        with self._database.transaction() as sql:
            sql.execute(
                "INSERT OR REPLACE INTO authorisations VALUES (?, ?, ?)",
                (
                    authorization.task.lower(),
                    authorization.worker.lower(),
                    authorization.enclave_challenge.lower(),
                ),
            )
        return True

    async def _upload(self, request: web.Request) -> web.Response:
        """Store the archive of a task; the answer is `/ipfs/<cid>`."""
        wallet = self._wallet(request)
        if wallet is None:
            return web.Response(status=401)
        try:
            model = await read_json(request)
            task = hash32(model["chainTaskId"])
            archive = base64.b64decode(model["zip"], validate=True)
            digest, signature = (
                str(model.get("deterministHash") or ""),
                str(model.get("enclaveSignature") or ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            return web.Response(status=400)
        if not archive:
            return web.Response(status=400)
        if not await asyncio.to_thread(self._may_upload, wallet, task, digest, signature):
            return web.Response(status=401)

        async def whole() -> AsyncIterator[bytes]:
            yield archive

        try:
            added = await self._files.add(whole())
        except Failed as failure:
            return web.Response(status=507, text=failure.message)
        await asyncio.to_thread(self._record, task, added.cid)
        return web.Response(text=f"/ipfs/{added.cid}")

    def _may_upload(self, wallet: str, task: str, digest: str, signature: str) -> bool:
        """An active task, and its requester, its pool's owner, or a worker whose enclave signed."""
        try:
            found = self._chain().view_task(task)
            deal = self._chain().view_deal(found.dealid)
        except Exception as error:  # whatever the chain client raises, nothing was decided
            log.warning("upload for task %s: the chain did not answer: %s", task, type(error).__name__)
            return False
        if deal is None or found.status != TaskStatus.ACTIVE:
            return False
        enclave = self._database.one(
            "SELECT enclave FROM authorisations WHERE task = ? AND worker = ?", task, wallet.lower()
        )
        if enclave is not None:
            try:
                signer = signer_of(enclave_hash(wallet, task, digest), signature)
            except ValueError:
                return False
            return signer is not None and signer.lower() == enclave[0]
        return wallet.lower() in (deal.requester.lower(), deal.workerpool.owner.lower())

    def _record(self, task: str, text: str) -> None:
        with self._database.transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (task, text))

    async def _has(self, request: web.Request) -> web.Response:
        """Whether a task has a result: 204 or 404."""
        if self._wallet(request) is None:
            return web.Response(status=401)
        return web.Response(status=204 if await self._found(request) else 404)

    async def _hash(self, request: web.Request) -> web.Response:
        """The CID of a task's result."""
        found = await self._found(request)
        return web.Response(text=found) if found else web.Response(status=404)

    async def _found(self, request: web.Request) -> str | None:
        task = request.match_info["task"].lower()
        row = await asyncio.to_thread(self._database.one, "SELECT cid FROM results WHERE task = ?", task)
        return str(row[0]) if row else None

    def _wallet(self, request: web.Request) -> str | None:
        return self._tokens.subject(request.headers.get("Authorization", ""), int(time.time()))
