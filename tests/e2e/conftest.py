"""One machine, one localnet and one built app for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.house import House, localnet, machine, stages
from tests.e2e.onboarded import Onboarded, onboard
from workflows.localnet.toolchain import Toolchain


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the engine and the chain, and takes a while."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in ("engine", "chain", "slow"):
                item.add_marker(mark)


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


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for projects whose path says nothing about them."""
    folder = tmp_path / "projects"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def ledger_image(house: House) -> str:
    """The name of the ledger's image: equal sources are built once."""
    return house.image("ledger")


@pytest.fixture(scope="session")
def onboarded(
    house: House, network: dict[str, Any], ledger_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Onboarded:
    """The ledger app, onboarded with everything that it can be given. Look, run it again as it was; no more."""
    return onboard(house, network, ledger_image, tmp_path_factory.mktemp("onboarded"))


@pytest.fixture
def ledger(place: Path, ledger_image: str) -> Path:
    """A fresh project with the ledger app in it."""
    return apps.ledger(place)
