"""The embedded network as a whole: every service, started together and described in one document."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workflows.core.events import Event, Noted, TaskChanged, now
from workflows.core.files import private_dir, write_atomic
from workflows.localnet import toolchain
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.chain import Chain
from workflows.localnet.control import Control
from workflows.localnet.floor import Floor
from workflows.localnet.market.server import Market
from workflows.localnet.preparation import Preparation
from workflows.localnet.result_proxy import ResultProxy
from workflows.localnet.service import Handler
from workflows.localnet.sms.server import Sms
from workflows.localnet.storage import Storage
from workflows.localnet.worker.worker import Worker
from workflows.sgx.pki import development_pki

if TYPE_CHECKING:
    from workflows.iexec.poco import Poco

Emit = Callable[[Event], None]

_SELLING = ("/workerpoolorder", "/workerpoolorders")  # of the worker and of the market
_MENDING = (0, 1, 2, 4, 8, 15, 30)  # seconds before each try to have a floor again: an engine may be starting


class Localnet:
    """All servers of one state folder, on free loopback ports. `start`, then `document`, at last `stop`."""

    def __init__(self, state: Path, emit: Emit) -> None:
        self._state = private_dir(state)
        self._emit = emit
        self.control = Control(lambda: self.document)
        self._running: list[Any] = []
        self._warming: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None
        self.document: dict[str, Any] = {"v": 1, "ready": False, "pid": os.getpid(), "state_dir": str(state)}

    @cached_property
    def _reads(self) -> Poco:
        """The contracts, for the services that ask the chain; web3 is imported at the first question."""
        return self._contracts()

    @cached_property
    def _pool(self) -> Poco:
        return self._contracts("workerpool")

    @cached_property
    def _works(self) -> Poco:
        return self._contracts("worker")

    def _contracts(self, role: str | None = None) -> Poco:
        from workflows.iexec.poco import Poco
        from workflows.localnet.genesis import account

        signer = account(role) if role else None
        chain = self._chain
        return Poco(chain.rpc, chain.hub, signer, chain_id=chain.chain_id, gas_free=True)

    async def start(self) -> None:
        """Bring everything up; Unavailable says what cannot. What was started is stopped then."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        tools = await asyncio.to_thread(toolchain.ensure, self._emit)
        self._chain = await self._up(
            "chain", "chain with iExec's contracts", Chain(self._state, tools, self._emit)
        )
        pki = await asyncio.to_thread(development_pki, self._state / "keys")
        cas = await self._up("cas", "CAS (SIMULATED)", Cas(self._state / "cas", pki))
        sessions = CasClient(cas.url, pki.root_pem, cas.client("sms"))
        storage = await self._up("storage", "content storage", Storage(self._state / "storage"))
        chain_id = self._chain.chain_id
        proxy = ResultProxy(self._state / "storage", lambda: self._reads, storage.files, chain_id)
        self._sms = sms = Sms(self._state / "sms", lambda: self._reads, sessions.post)
        self._opening = Preparation(self._state / "preparation.jsonl", self._open, self._emit)
        for service in (proxy, sms):
            service.app.middlewares.append(self._warm_first)
        sms.app.middlewares.append(self._open_first)
        await self._up("proxy", "result proxy", proxy)
        await self._up("sms", "SMS", sms)
        worker = Worker(
            self._state / "worker",
            workerpool=self._chain.workerpool,
            pool=lambda: self._pool,
            worker=lambda: self._works,
            worker_address=self._chain.accounts["worker"].address,
            sms=sms.url,
            proxy=proxy.url,
            preparation=self._opening,
        )
        worker.api.app.middlewares.extend([self._warm_first, self._open_first])
        await self._up("worker", "worker", worker)
        market = Market(
            self._state / "market",
            lambda: self._reads,
            worker.sell,
            chain_id=chain_id,
            workerpool=self._chain.workerpool,
            owner=self._chain.accounts["workerpool"].address,
        )
        market.app.middlewares.extend([self._warm_first, self._open_first])
        await self._up("market", "market", market)
        self._floor = Floor(
            pki,
            {
                ("cas", 18765): ("127.0.0.1", cas.enclave_port),
                ("sms", 13300): ("127.0.0.1", sms.port),
                ("ipfs", 8080): ("127.0.0.1", storage.gateway.port),
                ("proxy", 13200): ("127.0.0.1", proxy.port),
                ("worker", 13100): ("127.0.0.1", worker.reports.port),
            },
            self._fell,
        )
        self._worker = worker
        self._running.insert(0, self._floor)
        self._running.append(self._opening)
        await self._up("control", "control", self.control)
        self.document.update(
            ready=True,
            rpc=self._chain.rpc,
            chain_id=self._chain.chain_id,
            hub=self._chain.hub,
            registries=dict(self._chain.registries),
            rlc=None,
            sms=sms.url,
            cas={"client": cas.url, "enclave": f"127.0.0.1:{cas.enclave_port}"},
            las="las:18766",
            ipfs={"api": storage.api.url, "gateway": storage.gateway.url},
            market=market.url,
            result_proxy=proxy.url,
            workerpool=self._chain.workerpool,
            workerpool_api=worker.url,
            accounts=[{"address": one.address, "role": one.role} for one in self._chain.accounts.values()],
            control=self.control.url,
            started=now(),
        )
        write_atomic(self._state / "status.json", _json(self.document))

    @web.middleware
    async def _warm_first(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """web3 takes a second to import and deadlocks when two threads do it at once: one does, all wait."""
        if self._warming is None:
            self._warming = asyncio.create_task(asyncio.to_thread(_import_web3))
        await asyncio.shield(self._warming)
        return await handler(request)

    @web.middleware
    async def _open_first(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The first who asks the worker anything, or gives the SMS a secret, will run a task soon.

        Images and network of tasks are made then, beside the answer; a chain alone needs none.
        """
        if self._opens(request):
            failure = self._opening.failure
            self._opening.begin()
            if failure is not None and request.path in _SELLING:  # it sells nothing that cannot run
                return web.json_response(failure, status=503)
        return await handler(request)

    def _opens(self, request: web.Request) -> bool:
        if request.app is self._sms.app:
            return request.method not in ("GET", "HEAD", "OPTIONS")
        return request.path in _SELLING or request.path.startswith("/tasks/")

    async def _open(self, emit: Emit) -> None:
        room = await self._floor.prepare(emit)
        self._sms.tee = self._floor.tee
        await self._worker.begin(room)

    def _fell(self) -> None:
        """The relay is gone, alone or with the whole engine."""
        self._mending = asyncio.create_task(self._mend())

    async def _mend(self) -> None:
        """Stop what runs, make relay and network anew, take up again what was stopped."""
        self._emit(
            Noted(
                level="warning",
                text="the relay of the task network is gone; it is made again, and the running task begins anew",
                hint="Somebody removed the container, or the container engine was restarted.",
            )
        )
        await self._worker.pause()
        for seconds in _MENDING:
            await asyncio.sleep(seconds)
            if await self._opening.again():
                return
        if failure := self._opening.failure:
            self._worker.give_up(failure["name"], failure["error"], failure["hint"])

    async def _up(self, task: str, title: str, service: Any) -> Any:
        self._emit(TaskChanged(task=task, title=title, state="running", started=now()))
        self._running.append(service)
        await service.start()
        self._emit(TaskChanged(task=task, title=title, state="done", ended=now()))
        return service

    async def stop(self) -> None:
        """Stop all, last started first, whatever one of them says; the state stays."""
        if self.document["ready"]:  # the file of another one, whose state we could not have, stays
            (self._state / "status.json").unlink(missing_ok=True)
        if self._mending is not None:
            self._mending.cancel()
        async with contextlib.AsyncExitStack() as stack:
            for service in self._running:
                stack.push_async_callback(service.stop)
            self._running.clear()


def _import_web3() -> None:
    import eth_account
    import web3

    _ = (eth_account, web3)


def _json(document: dict[str, Any]) -> str:
    import json

    return json.dumps(document, indent=1)
