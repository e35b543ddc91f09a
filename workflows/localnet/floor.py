"""Where the tasks of a localnet run: base and stage images, the relay, LAS. Made when first needed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from workflows.core.events import Event
from workflows.core.step import Cancel
from workflows.localnet import images
from workflows.localnet.las import Las, Measurer, peers
from workflows.localnet.leftovers import labels
from workflows.localnet.relay import Relay, Route
from workflows.localnet.sms.properties import Pipeline, Stage, TeeServices
from workflows.localnet.tee.images import VERSION, StageImage, stage_images
from workflows.localnet.worker.stage import Room
from workflows.sgx.pki import Pki
from workflows.sgx.quote import Quoter

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

Emit = Callable[[Event], None]


class Floor:
    """A `Room` with all that it stands on; `tee` is what the SMS serves of its stages.

    `fell` is called, on the loop, when the relay is gone that nobody stopped: then `prepare` makes all anew.
    """

    def __init__(
        self, pki: Pki, routes: Mapping[tuple[str, int], Route], fell: Callable[[], None] = lambda: None
    ) -> None:
        self._pki = pki
        self._routes = dict(routes)
        self._fell = fell
        self._engine: Engine | None = None
        self._relay: Relay | None = None
        self._guard: asyncio.Task[None] | None = None
        self._cancel = Cancel()
        self.tee = TeeServices()

    @property
    def network(self) -> str | None:
        """The engine's network on which tasks run, with the names of the services; None while there is none."""
        return self._relay.network if self._relay is not None and self._relay.alive else None

    async def prepare(self, emit: Emit) -> Room:
        """Images, network, relay and LAS; Unavailable when there is no engine. Those of before are removed."""
        await self._clear()
        engine, base, stages = await asyncio.to_thread(self._images, emit)
        self._engine = engine
        network = f"creamtea-{secrets.token_hex(4)}"
        las = Las(Measurer(peers(engine, network)), Quoter(self._pki).quote)
        self._relay = Relay(engine, base.root, network, {**self._routes, ("las", 18766): las.serve})
        with images.task(emit, "relay", "relay and LAS"):
            await self._relay.start()
        self._guard = asyncio.create_task(self._watch(self._relay))
        self.tee = TeeServices(
            [
                Pipeline(version, _stage(stages["pre-compute"]), _stage(stages["post-compute"]))
                for version in _VERSIONS
            ]
        )
        return Room(engine, network, labels())

    def _images(self, emit: Emit) -> tuple[Engine, images.StandIn, dict[str, StageImage]]:
        from workflows.containers.engine import Engine

        engine = Engine.connect()
        root = self._pki.root_pem.encode()
        base = images.stand_in(engine, "python", emit, root_pem=root, cancel=self._cancel)
        return engine, base, stage_images(engine, base, emit, self._cancel)

    async def stop(self) -> None:
        """Take down the relay and its network; images stay in the engine."""
        self._cancel.set()
        await self._clear()

    async def _watch(self, relay: Relay) -> None:
        await relay.lost()
        self._fell()

    async def _clear(self) -> None:
        guard, self._guard = self._guard, None
        relay, self._relay = self._relay, None
        engine, self._engine = self._engine, None
        if guard is not None:
            guard.cancel()
        try:
            if relay is not None:
                await relay.stop()
        finally:
            if engine is not None:
                engine.close()


_VERSIONS = (VERSION, "v5")  # the framework versions that clients put into the JSON form


def _stage(image: StageImage) -> Stage:
    return Stage(image.image, image.fingerprint, image.entrypoint, image.heap)
