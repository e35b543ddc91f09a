"""The official client on the network of a class, under TLS: one install, one localnet, one app for all tests here.

Two people have a folder of `creamtea localnet export`: the developer owns the app, the customer runs it.
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

from tests.e2e.classroom import Classroom, Person
from tests.e2e.house import House, stages
from tests.peer import sdk as peer
from tests.peer.sdk import Library, Sdk
from workflows.iexec.poco import Poco
from workflows.scone import samples


@dataclass(frozen=True)
class Built:
    """An app that creamtea built and registered in the JSON form; `words` are the fields of its run."""

    project: Path
    words: list[str | Path]
    app: str
    image: str


@pytest.fixture(scope="session")
def shared(lesson: Classroom) -> dict[str, Any]:
    """The status of the class's localnet."""
    # Who looks for a workerpool will run a task: the images of the stages are made from now on, beside all else.
    status = lesson.status
    with urllib.request.urlopen(f"{status['market']}/workerpoolorders?chainId={status['chain_id']}"):
        pass
    return status


@pytest.fixture(scope="session")
def ready(shared: dict[str, Any]) -> None:
    """The SMS knows the stages: an app in the JSON form is refused before that."""
    end = time.monotonic() + peer.PATIENCE
    while not stages(shared):
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture(scope="session")
def developer(lesson: Classroom) -> Person:
    """Who owns the app and the dataset."""
    return lesson.person("developer")


@pytest.fixture(scope="session")
def customer(lesson: Classroom) -> Person:
    """Who runs it."""
    return lesson.person("customer")


@pytest.fixture(scope="session")
def sdk(house: House, developer: Person) -> Sdk:
    """The client, as it is on npm, told of the class's CA."""
    return Sdk(peer.install(), {**house.env, "NODE_EXTRA_CA_CERTS": developer.given["ca"]})


@pytest.fixture(scope="session")
def folder(
    sdk: Sdk, shared: dict[str, Any], developer: Person, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project of the client's own, with the chain.json that was handed over."""
    place = tmp_path_factory.mktemp("exported")
    sdk.ask(place, "init", "--skip-wallet")
    (place / "chain.json").write_bytes(Path(developer.given["chain"]).read_bytes())
    return place


@pytest.fixture(scope="session")
def library(sdk: Sdk, folder: Path, shared: dict[str, Any]) -> Iterator[Library]:
    """The library, with the settings of the exported chain.json."""
    chain = json.loads((folder / "chain.json").read_text())["chains"]["localnet"]
    settings = {
        "host": chain["host"],
        "hubAddress": chain["hub"],
        "smsURL": chain["sms"],
        "resultProxyURL": chain["resultProxy"],
        "ipfsGatewayURL": chain["ipfsGateway"],
        "ipfsNodeURL": shared["ipfs"]["api"],  # chain.json has no field for it
        "iexecGatewayURL": chain["iexecGateway"],
        "isNative": chain["native"],
        "useGas": chain["useGas"],
        "defaultTeeFramework": chain["defaultTeeFramework"],
        "allowExperimentalNetworks": True,
    }
    with sdk.library(settings) as running:
        yield running


@pytest.fixture(scope="session")
def chain(shared: dict[str, Any], developer: Person) -> Poco:
    """The contracts, as the developer signs."""
    return Poco(shared["rpc"], shared["hub"], developer.account, chain_id=shared["chain_id"], gas_free=True)


@pytest.fixture(scope="session")
def built(
    house: House, shared: dict[str, Any], developer: Person, tmp_path_factory: pytest.TempPathFactory
) -> Built:
    """The sample, built by creamtea and registered in the JSON form; no secret is pushed."""
    return build(house, tmp_path_factory.mktemp("project"), *developer.words)


def build(house: House, place: Path, *words: str | Path) -> Built:
    """The sample in a folder, deployed with these words."""
    project, image = samples.unpack(place / "hello-sgx"), house.image("peer")
    every = ["--image", image, "--form", "json", *words]
    ended = house.onboard(project, *every, workflow="deploy")
    assert ended.code == 0, ended.out[-3000:] + ended.err
    return Built(project, every, str(ended.run().outputs["deploy_app"]["app"]), image)
