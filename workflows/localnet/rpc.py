"""The chain for other machines: anvil listens on loopback and does whatever it is told, so this stands before it.

What passes is what a public node answers: reading, and transactions that somebody signed. Nothing that moves
the clock, sets balances, signs with a key of the node or stops mining.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from workflows.core.text import clean
from workflows.localnet.service import HttpService

MOST_CALLS = 100  # in one request
_PATIENCE = aiohttp.ClientTimeout(total=30)
_READS = """
blockNumber call chainId createAccessList estimateGas feeHistory gasPrice getBalance getBlockByHash
getBlockByNumber getBlockReceipts getBlockTransactionCountByHash getBlockTransactionCountByNumber getCode
getFilterChanges getFilterLogs getLogs getProof getStorageAt getTransactionByBlockHashAndIndex
getTransactionByBlockNumberAndIndex getTransactionByHash getTransactionCount getTransactionReceipt
getUncleCountByBlockHash getUncleCountByBlockNumber maxPriorityFeePerGas newBlockFilter newFilter
newPendingTransactionFilter syncing uninstallFilter
"""
METHODS = frozenset(
    {f"eth_{name}" for name in _READS.split()}
    | {"eth_sendRawTransaction", "net_listening", "net_version", "web3_clientVersion", "web3_sha3"}
)


class Rpc(HttpService):
    """`POST /`: JSON-RPC, single or batch, passed on to the chain at `chain()`."""

    def __init__(self, chain: Callable[[], str], *, port: int = 0) -> None:
        super().__init__(port=port)
        self._chain = chain
        self._session: aiohttp.ClientSession | None = None
        self.app.router.add_post("/", self._post)

    async def start(self) -> None:
        """Listen."""
        self._session = aiohttp.ClientSession(timeout=_PATIENCE)
        await super().start()

    async def stop(self) -> None:
        """Stop, and let go of the chain."""
        await super().stop()
        if self._session is not None:
            await self._session.close()

    async def _post(self, request: web.Request) -> web.Response:
        try:
            asked = json.loads(await request.read())
        except (ValueError, RecursionError):
            return web.json_response(_error(None, -32700, "this is not JSON"))
        calls = asked if isinstance(asked, list) else [asked]
        if not calls or len(calls) > MOST_CALLS:
            return web.json_response(_error(None, -32600, f"a request holds 1 to {MOST_CALLS} calls"))
        answers = [_refusal(call) for call in calls]
        passed = [call for call, refusal in zip(calls, answers, strict=True) if refusal is None]
        try:
            given = iter(await self._ask(passed) if passed else [])
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
            return web.json_response(_error(None, -32000, _SILENT), status=503)
        whole = [next(given, None) if answer is None else answer for answer in answers]
        return web.json_response(whole if isinstance(asked, list) else whole[0])

    async def _ask(self, calls: list[Any]) -> list[Any]:
        """The chain's answers, in the order of the calls."""
        assert self._session is not None  # noqa: S101 - who gets a request has been started
        async with self._session.post(self._chain(), json=calls) as response:
            answers = await response.json()
        if not isinstance(answers, list):
            raise ValueError("not a batch")
        return answers


_SILENT = "the localnet's chain does not answer; one that stopped is started again from its last saved state: try again"


def _refusal(call: Any) -> dict[str, Any] | None:
    """The answer to a call that is not passed on."""
    if (
        not isinstance(call, dict)
        or not isinstance(call.get("method"), str)
        or not isinstance(call.get("id", ()), str | int | float | None)
    ):
        return _error(None, -32600, "a call is an object with method and id, which is a text or a number")
    if call["method"] in METHODS:
        return None
    text = f"{clean(call['method'])[:60]} is not for other machines: they read, and send what they signed themselves"
    return _error(call.get("id"), -32601, text)


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    number = number if isinstance(number, str | int) else None
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
