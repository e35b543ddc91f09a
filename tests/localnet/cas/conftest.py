"""CAS and LAS on loopback, and enclaves that are the runtime's own attestation code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.localnet.cas.cas_world import World
from workflows.localnet.cas.server import Cas
from workflows.localnet.las import Las, Measured
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import Quoter

Body = Callable[[World], Awaitable[None]]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[World]:
    pki = development_pki(folder / "keys")
    root = folder / "root.pem"
    root.write_text(pki.root_pem)
    cas = Cas(folder / "cas", pki)
    await cas.start()
    world = World(cas, root, folder)

    def inspect(ip: str) -> Measured:
        return Measured(world.measured, "container", "python3")

    las = Las(inspect, Quoter(pki).quote)
    server = await asyncio.start_server(lambda r, w: las.serve(r, w, "10.0.0.2"), "127.0.0.1", 0)
    world.las_port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        server.close()
        await cas.stop()


@pytest.fixture
def on_cas(tmp_path: Path) -> Callable[[Body], None]:
    """`on_cas(body)` runs `body(world)`; a second call finds the state of the first, as after a restart."""

    def run(body: Body) -> None:
        async def main() -> None:
            async with running(tmp_path) as world:
                await body(world)

        asyncio.run(main())

    return run
