"""One localnet for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chains import running
from tests.localnet.worker.world import App, World
from workflows.localnet.chain import Chain
from workflows.localnet.toolchain import Toolchain


@pytest.fixture(scope="session")
def chain(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain of this folder's own: the worker takes every deal of the pool, those of other tests too."""
    with running(tmp_path_factory.mktemp("localnet"), tools) as found:
        yield found


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
