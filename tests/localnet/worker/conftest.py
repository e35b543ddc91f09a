"""One localnet for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.localnet.worker.world import App, World
from workflows.localnet.chain import Chain


@pytest.fixture(scope="session")
def world(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(chain, tmp_path_factory.mktemp("world"))
    world.start()
    try:
        yield world
    finally:
        world.stop()


@pytest.fixture(scope="session")
def app(world: World) -> App:
    image, fingerprint = world.image()
    return world.deploy(image, f"{fingerprint}|python3 /app/app.py")
