"""What every test gets: a home of its own.

On request, once for the session: anvil and PoCo, a warm chain, a user's machine with a localnet, and a class.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import user
from tests.chains import running
from tests.e2e.classroom import Classroom, classroom
from tests.e2e.house import House, localnet, machine, stages
from workflows.core.failure import Unavailable
from workflows.localnet.chain import Chain
from workflows.localnet.toolchain import Toolchain, ensure, folder

settings.register_profile("creamtea", deadline=None)  # how long an example takes says nothing here
settings.load_profile("creamtea")

_WHOLE = ("e2e", "peer")  # folders of tests that run the whole product
_PER_TEST = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs the whole product; skip what needs a container engine where none answers.

    Unless CREAMTEA_REQUIRE_ENGINE says to fail.
    """
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in _WHOLE:
            for mark in ("engine", "chain", "slow"):
                item.add_marker(mark)
    wanted = [item for item in items if item.get_closest_marker("engine")]
    if not wanted or os.environ.get("CREAMTEA_REQUIRE_ENGINE"):
        return
    from workflows.containers.engine import Engine

    try:
        Engine.connect().close()
    except Unavailable as failure:
        for item in wanted:
            item.add_marker(pytest.mark.skip(reason=failure.message))


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the session, so that what is slow to make (a chain with PoCo on it) is made once."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("session")
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        for name in _PER_TEST:
            patch.setenv(name, str(home / name.lower()))
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        patch.delenv("NO_COLOR", raising=False)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME, and configuration, data and state folders inside it."""
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(place))
    for name in _PER_TEST:
        monkeypatch.setenv(name, str(place / name.lower()))
    return place


@pytest.fixture(scope="session")
def tools() -> Toolchain:
    """anvil and PoCo, fetched with npm if this user has never had them."""
    place = folder()
    with user.settings():
        ensure()
        real = folder()
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():  # a test that runs the program may have fetched them here before
        place.symlink_to(real)
    return ensure()


@pytest.fixture(scope="session")
def chain(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A running chain with the whole PoCo, shared by the session: leave it as usable as you found it."""
    with running(tmp_path_factory.mktemp("localnet"), tools) as found:
        yield found


@pytest.fixture(scope="session")
def house(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A new user's machine; at the end nothing that was made in the engine is left."""
    with machine(tmp_path_factory.mktemp("house")) as found:
        yield found


@pytest.fixture(scope="session")
def network(house: House) -> Iterator[dict[str, Any]]:
    """The status of a localnet that stays up for the session."""
    with localnet(house) as status:
        yield status
        house.made |= stages(status)
    assert house.leftovers(status["pid"]) == []


@pytest.fixture(scope="session")
def lesson(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    """A class on the same machine, whose localnet others reach under TLS."""
    with classroom(house, tmp_path_factory.mktemp("class")) as found:
        yield found
