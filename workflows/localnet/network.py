"""The embedded network as a whole: every service, started together and described in one document."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workflows.core.events import Event, Noted, TaskChanged, now
from workflows.core.failure import Unavailable
from workflows.core.files import private_dir, write_atomic
from workflows.localnet import client, toolchain
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.chain import Chain
from workflows.localnet.control import Control
from workflows.localnet.floor import Floor
from workflows.localnet.market.server import Market
from workflows.localnet.ports import Ports
from workflows.localnet.preparation import Preparation
from workflows.localnet.result_proxy import ResultProxy
from workflows.localnet.rpc import Rpc
from workflows.localnet.service import Door, Handler, HttpService
from workflows.localnet.sharing import Sharing, server_tls
from workflows.localnet.sms.server import Sms
from workflows.localnet.storage import Storage
from workflows.localnet.vault import taken, taken_key
from workflows.localnet.worker.worker import Worker
from workflows.sgx.pki import development_pki

if TYPE_CHECKING:
    from workflows.iexec.poco import Poco

Emit = Callable[[Event], None]

_SELLING = ("/workerpoolorder", "/workerpoolorders")  # of the worker and of the market
_MENDING = (0, 1, 2, 4, 8, 15, 30)  # seconds before each try to have a floor again: an engine may be starting
# What the SMS knows only when the images of the stages are there; seconds that a client waits for them.
_OF_STAGES = ("/tee/properties", "/tee/sessions")
_PATIENCE = 20.0


class Localnet:
    """All servers of one state folder, on loopback ports, if free those they had last. `start`, `status`, `stop`.

    With `sharing` other machines reach them as well, all but the doors of enclaves: under TLS, by the names that
    it gives, on a chain with other accounts than the public ones.
    """

    def __init__(self, state: Path, emit: Emit, sharing: Sharing | None = None) -> None:
        self._state = private_dir(state)
        # before anything is started that would inherit them
        self._sms_key, self._sms_admin_key = taken_key("CREAMTEA_SMS_KEY"), taken("CREAMTEA_SMS_ADMIN_KEY")
        self._cas_key = taken_key("CREAMTEA_CAS_KEY")
        self._emit = emit
        self._sharing = sharing
        self._door: Door | None = None
        self._ports = Ports(self._state / "ports.json", self._warn)
        self._chain: Chain | None = None
        self._floor: Floor | None = None
        self.control = Control(lambda: self.status)
        self._running: list[Any] = []
        self._warming: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None
        self._told = False
        self.document: dict[str, Any] = {"v": 1, "ready": False, "pid": os.getpid(), "state_dir": str(state)}

    @property
    def status(self) -> dict[str, Any]:
        """The status document now: not ready while a chain that stopped is being started again."""
        chain = self._chain
        alive = chain is not None and chain.running
        return {
            **self.document,
            "ready": self.document["ready"] and alive,
            "trouble": None if alive else "its chain is not running; one that stopped is being started again",
            "revivals": chain.revivals if chain is not None else [],
            "task_network": self._floor.network if self._floor is not None else None,
        }

    async def lost(self) -> Unavailable:
        """Return when it cannot go on, with the reason. After `start`."""
        return await self.chain.lost()

    @property
    def chain(self) -> Chain:
        """The chain; RuntimeError before it was started."""
        if self._chain is None:
            raise RuntimeError("the localnet has no chain yet")
        return self._chain

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

        chain = self.chain
        signer = chain.signer(role) if role else None
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
        pki = await asyncio.to_thread(development_pki, self._state / "keys")
        if how := self._sharing:
            tls = await asyncio.to_thread(server_tls, how, pki, private_dir(self._state / "tls"))
            self._door = Door(how.listen, how.hosts, tls)
        self._chain = chain = Chain(
            self._state, tools, self._emit, port=self._ports["chain"], shared=self._door is not None
        )
        await self._up("chain", "chain with iExec's contracts", chain)
        cas = Cas(self._state / "cas", pki, enclave_port=self._ports["CAS for enclaves"], key=self._cas_key)
        cas_tls = server_tls(how, pki, self._state / "tls", clients=True) if how else None
        self._place("CAS", cas.api, cas_tls)
        await self._up("cas", "CAS (SIMULATED)", cas)
        sessions = CasClient(cas.url, pki.root_pem, cas.client("sms"))
        storage = Storage(self._state / "storage")
        proxy = ResultProxy(self._state / "storage", lambda: self._reads, storage.files, chain.chain_id)
        self._sms = sms = Sms(
            self._state / "sms",
            lambda: self._reads,
            lambda: storage.url,
            sessions.post,
            key=self._sms_key,
            admin_key=self._sms_admin_key,
            storage=_path(os.environ.get("CREAMTEA_SMS_STORAGE")),
        )
        self._opening = Preparation(self._state / "preparation.jsonl", self._open, self._emit)
        for service in (proxy, sms):
            service.app.middlewares.append(self._warm_first)
        sms.app.middlewares.append(self._open_first)
        servers: dict[str, HttpService] = {
            "SMS": sms,
            "storage": storage.api,
            "gateway": storage.gateway,
            "result proxy": proxy,
        }
        for name, server in servers.items():
            self._place(name, server)
        await self._up("storage", "content storage", storage)
        await self._up("proxy", "result proxy", proxy)
        await self._up("sms", "SMS", sms)
        self._worker = worker = Worker(
            self._state / "worker",
            workerpool=chain.workerpool,
            pool=lambda: self._pool,
            worker=lambda: self._works,
            worker_address=chain.accounts["worker"].address,
            sms=sms.url,
            proxy=proxy.url,
            preparation=self._opening,
        )
        worker.api.app.middlewares.extend([self._warm_first, self._open_first])
        self._place("worker", worker.api)
        await self._up("worker", "worker", worker)
        market = Market(
            self._state / "market",
            lambda: self._reads,
            worker.sell,
            chain_id=chain.chain_id,
            workerpool=chain.workerpool,
            owner=chain.accounts["workerpool"].address,
        )
        market.app.middlewares.extend([self._warm_first, self._open_first])
        self._place("market", market)
        await self._up("market", "market", market)
        self._floor = floor = Floor(
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
        self._running.insert(0, floor)
        self._running.append(self._opening)
        rpc = Rpc(lambda: chain.rpc)
        if self._door:
            self._place("rpc", rpc)
            await self._up("rpc", "chain for other machines", rpc)
        self.control.port = self._ports["control"]
        await self._up("control", "control", self.control)
        self._ports["chain"] = int(chain.rpc.rpartition(":")[2])
        self._ports["CAS for enclaves"], self._ports["control"] = cas.enclave_port, self.control.port
        every = {**servers, "CAS": cas.api, "worker": worker.api, "market": market}
        if self._door:
            every["rpc"] = rpc
        for name, server in every.items():
            self._keep_place(name, server)
        self._ports.save()
        self.document.update(
            ready=True,
            rpc=chain.rpc,
            chain_id=chain.chain_id,
            hub=chain.hub,
            registries=dict(chain.registries),
            rlc=None,
            sms=sms.url,
            cas={"client": cas.url, "enclave": f"127.0.0.1:{cas.enclave_port}"},
            las="las:18766",
            ipfs={"api": storage.api.url, "gateway": storage.gateway.url},
            market=market.url,
            result_proxy=proxy.url,
            workerpool=chain.workerpool,
            workerpool_api=worker.url,
            accounts=[{"address": one.address, "role": one.role} for one in chain.accounts.values()],
            control=self.control.url,
            started=now(),
            public=self._sharing
            and {
                "listen": self._sharing.listen,
                "hosts": list(self._sharing.hosts),
                "own_certificate": self._sharing.certificate is not None,
                "ca": self._ca(self._sharing),
                "rpc": rpc.public_url,
                "sms": sms.public_url,
                "cas": cas.api.public_url,
                "market": market.public_url,
                "ipfs": {"api": storage.api.public_url, "gateway": storage.gateway.public_url},
                "result_proxy": proxy.public_url,
                "workerpool_api": worker.api.public_url,
            },
        )
        self._told = True
        write_atomic(self._state / "status.json", _json(self.document))

    def _ca(self, how: Sharing) -> str | None:
        """The file of the CA that others have to trust; None where they know it already."""
        own = how.ca if how.certificate else self._state / "keys" / "root.pem"
        return str(own) if own else None

    def _place(self, name: str, server: HttpService, tls: ssl.SSLContext | None = None) -> None:
        """Give a server the port that it had last, and the door for others, with `tls` instead of the usual one."""
        server.port = self._ports[name]
        if self._door:
            server.open(replace(self._door, tls=tls or self._door.tls), self._ports[f"public {name}"])

    def _keep_place(self, name: str, server: HttpService) -> None:
        self._ports[name] = server.port
        if self._door:
            self._ports[f"public {name}"] = server.public_port

    def _warn(self, text: str, hint: str | None = None) -> None:
        self._emit(Noted(level="warning", text=text, hint=hint))

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
            if request.app is self._sms.app and request.path.startswith(_OF_STAGES):
                await self._opening.settled(_PATIENCE)
            if failure is not None and request.path in _SELLING:  # it sells nothing that cannot run
                return web.json_response(failure, status=503)
        return await handler(request)

    def _opens(self, request: web.Request) -> bool:
        if request.app is self._sms.app:
            gives = request.method not in ("GET", "HEAD", "OPTIONS") and not request.path.startswith("/admin")
            return gives or request.path.startswith(_OF_STAGES)
        return request.path in _SELLING or request.path.startswith("/tasks/")

    async def _open(self, emit: Emit) -> None:
        assert self._floor is not None  # noqa: S101 - it is there before anybody is answered
        room = await self._floor.prepare(emit)
        self._sms.tee = self._floor.tee
        await self._worker.begin(room)

    def _fell(self) -> None:
        """The relay is gone, alone or with the whole engine."""
        self._mending = asyncio.create_task(self._mend(self._mending))

    async def _mend(self, earlier: asyncio.Task[None] | None) -> None:
        """Stop what runs, make relay and network anew, take up again what was stopped."""
        if earlier is not None:  # the relay that it made may be the one that is gone now
            await asyncio.gather(earlier, return_exceptions=True)
        self._warn(
            "the relay of the task network is gone; it is made again, and the running task begins anew",
            "Somebody removed the container, or the container engine was restarted.",
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
        with contextlib.suppress(OSError):  # a full disk
            write_atomic(self._state / client.STOPPING, f"{os.getpid()}\n")
        if self._told:  # the file of another one, whose state we could not have, stays
            (self._state / "status.json").unlink(missing_ok=True)
        if self._mending is not None:
            self._mending.cancel()
        async with contextlib.AsyncExitStack() as stack:
            for service in self._running:
                stack.push_async_callback(service.stop)
            self._running.clear()


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser().resolve() if text else None


def _import_web3() -> None:
    import eth_account
    import web3

    _ = (eth_account, web3)


def _json(document: dict[str, Any]) -> str:
    import json

    return json.dumps(document, indent=1)
