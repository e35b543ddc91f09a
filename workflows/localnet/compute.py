"""Everything of the localnet that needs the container engine: base and stage images, relay, LAS, worker.

`prepare` needs only the development root, so it can run while the other servers start; `start` wires it all.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.core.command import Emit
from workflows.core.step import Cancel
from workflows.localnet.images import stand_in
from workflows.localnet.las import Las, Measurer, peers
from workflows.localnet.leftovers import labels
from workflows.localnet.relay import Relay
from workflows.localnet.service import LOOPBACK
from workflows.localnet.sms.properties import Pipeline, TeeServices
from workflows.localnet.sms.properties import Stage as StageProperties
from workflows.localnet.tee.images import StageImage, stage_images
from workflows.localnet.worker.stage import Room
from workflows.localnet.worker.worker import Worker
from workflows.scone.fingerprint import VERSIONS
from workflows.sgx.quote import Quoter

if TYPE_CHECKING:
    from workflows.containers.engine import Engine
    from workflows.iexec.poco import Poco
    from workflows.localnet.chain import Chain
    from workflows.localnet.sms.server import Sms
    from workflows.sgx.pki import Pki


@dataclass(frozen=True)
class Ports:
    """Loopback ports of the servers that task containers reach."""

    cas_enclave: int
    sms: int
    gateway: int
    proxy: int


class Compute:
    """`worker.url` is the watchers' API, `relay.network` the task network once started.

    `internet`: apps may reach the Internet too. Unavailable from `start`: no engine, no base image.
    """

    def __init__(self, state: Path, pki: Pki, emit: Emit, *, internet: bool = False) -> None:
        self._state = state
        self._pki = pki
        self._emit = emit
        self._internet = internet
        self._cancel = Cancel()
        self._preparing: asyncio.Future[tuple[Engine, str, TeeServices]] | None = None
        self._engine: Engine | None = None
        self.worker: Worker | None = None
        self.relay: Relay | None = None

    def prepare(self) -> asyncio.Future[tuple[Engine, str, TeeServices]]:
        """Connect to the engine and have the images; seconds when they are there, a minute when not."""
        if self._preparing is None:
            self._preparing = asyncio.ensure_future(asyncio.to_thread(self._prepare))
        return self._preparing

    async def start(self, chain: Chain, sms: Sms, ports: Ports) -> None:
        """Open relay and LAS, tell the SMS its TEE services, and let the worker take up deals."""
        engine, image, sms.tee = await asyncio.shield(self.prepare())
        self._engine = engine
        urls = {"sms": f"http://{LOOPBACK}:{ports.sms}", "proxy": f"http://{LOOPBACK}:{ports.proxy}"}
        self.worker = Worker(
            self._state / "worker",
            workerpool=chain.workerpool,
            pool=_lazy(chain, "workerpool"),
            worker=_lazy(chain, "worker"),
            worker_address=chain.accounts["worker"].address,
            internet=self._internet,
            **urls,
        )
        await self.worker.start()
        network = f"creamtea-{secrets.token_hex(4)}"
        las = Las(Measurer(peers(engine, network)), Quoter(self._pki).quote)
        self.relay = Relay(
            engine,
            image,
            network,
            {
                ("cas", 18765): (LOOPBACK, ports.cas_enclave),
                ("las", 18766): las.serve,
                ("sms", 13300): (LOOPBACK, ports.sms),
                ("ipfs", 8080): (LOOPBACK, ports.gateway),
                ("proxy", 13200): (LOOPBACK, ports.proxy),
                ("worker", 13100): (LOOPBACK, self.worker.reports.port),
            },
        )
        await self.relay.start()
        await self.worker.begin(Room(engine, network, labels()))

    async def stop(self) -> None:
        """Stop the worker, its containers and the relay; images stay."""
        self._cancel.set()
        if self._preparing is not None:
            await asyncio.gather(self._preparing, return_exceptions=True)
        for service in (self.worker, self.relay):
            if service is not None:
                await service.stop()
        if self._engine is not None:
            self._engine.close()

    def _prepare(self) -> tuple[Engine, str, TeeServices]:
        from workflows.containers.engine import Engine

        engine = Engine.connect()
        root = self._pki.root_pem.encode()
        base = stand_in(engine, "python", self._emit, root_pem=root, cancel=self._cancel)
        stages = stage_images(engine, base, self._emit, self._cancel)
        return engine, base.root, tee_services(stages)


def tee_services(stages: dict[str, StageImage]) -> TeeServices:
    """What the SMS serves at `/tee/properties`: the same two images for every framework version."""
    pre, post = (
        StageProperties(made.image, made.fingerprint, made.entrypoint, made.heap)
        for made in (stages["pre-compute"], stages["post-compute"])
    )
    return TeeServices(tuple(Pipeline(version, pre, post) for version in reversed(VERSIONS)))


def _lazy(chain: Chain, role: str) -> Callable[[], Poco]:
    """The contracts, signing as a role; made at the first need, because web3 is slow to import."""
    made: list[Poco] = []

    def get() -> Poco:
        if not made:
            from workflows.iexec.poco import Poco
            from workflows.localnet.genesis import account

            made.append(Poco(chain.rpc, chain.hub, account(role), chain_id=chain.chain_id, gas_free=True))
        return made[0]

    return get
