"""The official client against a localnet of its own: one install, one localnet, one app for all tests of this folder.

Two people: the developer has the wallet that `creamtea localnet export` made, the customer another one.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import House, localnet, machine, stages
from tests.peer import sdk as peer
from tests.peer.sdk import Library, Sdk
from workflows.iexec.poco import Poco
from workflows.localnet.genesis import account
from workflows.localnet.toolchain import Toolchain
from workflows.scone import samples


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the engine and the chain, and takes a while."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in ("engine", "chain", "slow"):
                item.add_marker(mark)


@dataclass(frozen=True)
class Built:
    """An app that creamtea built and registered in the JSON form; `words` are the fields of its run."""

    project: Path
    words: list[str | Path]
    app: str
    image: str


@pytest.fixture(scope="session")
def house(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A new user's machine; at the end nothing that was made in the engine is left."""
    with machine(tmp_path_factory.mktemp("peer")) as found:
        yield found


@pytest.fixture(scope="session")
def network(house: House) -> Iterator[dict[str, Any]]:
    """The status of a localnet that stays up for the session."""
    with localnet(house) as status:
        # Who looks for a workerpool will run a task: the images of the stages are made from now on, beside all else.
        with urllib.request.urlopen(f"{status['market']}/workerpoolorders?chainId={status['chain_id']}"):
            pass
        yield status
        house.made |= stages(status)


@pytest.fixture(scope="session")
def ready(network: dict[str, Any]) -> None:
    """The SMS knows the stages: an app in the JSON form is refused before that."""
    end = time.monotonic() + peer.PATIENCE
    while not stages(network):
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture(scope="session")
def sdk(house: House) -> Sdk:
    """The client, as it is on npm."""
    return Sdk(peer.install(), house.env)


@pytest.fixture(scope="session")
def folder(sdk: Sdk, house: House, network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the client's own, into which `creamtea localnet export` has put its files."""
    place = tmp_path_factory.mktemp("exported")
    sdk.ask(place, "init", "--skip-wallet")
    assert house.creamtea("localnet", "export", place, "--json").code == 0
    return place


@pytest.fixture(scope="session")
def library(sdk: Sdk, folder: Path) -> Iterator[Library]:
    """The library, with the settings of the exported chain.json."""
    chain = json.loads((folder / "chain.json").read_text())["chains"]["localnet"]
    settings = {
        "host": chain["host"],
        "hubAddress": chain["hub"],
        "smsURL": chain["sms"],
        "resultProxyURL": chain["resultProxy"],
        "ipfsGatewayURL": chain["ipfsGateway"],
        "iexecGatewayURL": chain["iexecGateway"],
        "isNative": chain["native"],
        "useGas": chain["useGas"],
        "defaultTeeFramework": chain["defaultTeeFramework"],
        "allowExperimentalNetworks": True,
    }
    with sdk.library(settings) as running:
        yield running


@pytest.fixture(scope="session")
def developer() -> Any:
    """Who owns the app and the dataset: the wallet of the export."""
    return account("requester")


@pytest.fixture(scope="session")
def customer() -> Any:
    """Who runs it."""
    return account("spare-1")


@pytest.fixture(scope="session")
def chain(network: dict[str, Any], developer: Any) -> Poco:
    """The contracts, as the developer signs."""
    return Poco(network["rpc"], network["hub"], developer, chain_id=network["chain_id"], gas_free=True)


@pytest.fixture(scope="session")
def built(house: House, network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sample, built by creamtea and registered in the JSON form; no secret is pushed."""
    project = samples.unpack(tmp_path_factory.mktemp("project") / "hello-sgx")
    image = house.image("peer")
    words: list[str | Path] = ["--image", image, "--form", "json"]
    ended = house.onboard(project, *words, workflow="deploy")
    assert ended.code == 0, ended.out[-3000:] + ended.err
    return Built(project, words, str(ended.run().outputs["deploy_app"]["app"]), image)
