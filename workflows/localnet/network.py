"""The embedded network as a whole: every service, started together and described in one document."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Event, TaskChanged, now
from workflows.core.files import private_dir, write_atomic
from workflows.localnet import toolchain
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.chain import Chain
from workflows.localnet.control import Control
from workflows.localnet.result_proxy import ResultProxy
from workflows.localnet.sms.server import Sms
from workflows.localnet.storage import Storage
from workflows.sgx.pki import development_pki

if TYPE_CHECKING:
    from workflows.iexec.poco import Poco

Emit = Callable[[Event], None]


class Localnet:
    """All servers of one state folder, on free loopback ports. `start`, then `document`, at last `stop`."""

    def __init__(self, state: Path, emit: Emit) -> None:
        self._state = private_dir(state)
        self._emit = emit
        self.control = Control(lambda: self.document)
        self._running: list[Any] = []
        self.document: dict[str, Any] = {"v": 1, "ready": False, "pid": os.getpid(), "state_dir": str(state)}

    @cached_property
    def _reads(self) -> Poco:
        """The contracts, for the services that ask the chain; web3 is imported at the first question."""
        from workflows.iexec.poco import Poco

        return Poco(self._chain.rpc, self._chain.hub, chain_id=self._chain.chain_id, gas_free=True)

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
        proxy = await self._up(
            "proxy",
            "result proxy",
            ResultProxy(self._state / "storage", lambda: self._reads, storage.files, self._chain.chain_id),
        )
        sms = await self._up("sms", "SMS", Sms(self._state / "sms", lambda: self._reads, sessions.post))
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
            market=None,
            result_proxy=proxy.url,
            workerpool=self._chain.workerpool,
            accounts=[{"address": one.address, "role": one.role} for one in self._chain.accounts.values()],
            control=self.control.url,
            started=now(),
        )
        write_atomic(self._state / "status.json", _json(self.document))

    async def _up(self, task: str, title: str, service: Any) -> Any:
        self._emit(TaskChanged(task=task, title=title, state="running", started=now()))
        self._running.append(service)
        await service.start()
        self._emit(TaskChanged(task=task, title=title, state="done", ended=now()))
        return service

    async def stop(self) -> None:
        """Stop all, last started first; the state stays."""
        (self._state / "status.json").unlink(missing_ok=True)
        while self._running:
            await self._running.pop().stop()


def _json(document: dict[str, Any]) -> str:
    import json

    return json.dumps(document, indent=1)
