"""A running CAS for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.localnet.cas.cas_world import World, running

Body = Callable[[World], Awaitable[None]]


@pytest.fixture
def on_cas(tmp_path: Path) -> Callable[[Body], None]:
    """`on_cas(body)` runs `body(world)`; a second call finds the state of the first, as after a restart."""

    def run(body: Body) -> None:
        async def main() -> None:
            async with running(tmp_path) as world:
                await body(world)

        asyncio.run(main())

    return run
