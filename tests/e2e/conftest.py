"""One built app for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.house import House
from tests.e2e.onboarded import Onboarded, onboard


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
