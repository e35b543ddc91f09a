"""The SMS under test: the one at SMS_URL, or else that of a localnet of the suite's own.

What a foreign SMS needs for a case comes by the environment: SMS_RPC and SMS_HUB with SMS_WALLET (a file with a
private key, 0x-hex, which pays for gas on that chain), SMS_ADMIN_KEY_FILE. What is missing there is said with each
case that did not run for it. On the localnet all run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from tests.conformance.sms.onchain import World
from tests.conformance.sms.report import Cases
from tests.conformance.sms.wire import Sms
from workflows.core.events import Event
from workflows.iexec.poco import Poco
from workflows.localnet import client
from workflows.localnet.genesis import account

HERE = Path(__file__).parent
URL = os.environ.get("SMS_URL", "").rstrip("/")


@pytest.fixture(scope="package")
def localnet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any] | None]:
    """The status document of our own localnet; None when the SMS is somebody else's."""
    if URL:
        yield None
        return
    request.getfixturevalue("tools")
    state = tmp_path_factory.mktemp("conformance") / "localnet"
    lease = client.join(state, quiet)
    document = dict(lease.document)
    try:
        yield document
        stages = Sms(document["sms"]).call("GET", "/tee/properties/SCONE")
    finally:
        lease.close()
        client.stop(state)
    if stages.status == 200:
        remove_images(state, [stages.json()[f"{name}ComputeProperties"]["image"] for name in ("pre", "post")])


def remove_images(state: Path, stages: list[str]) -> None:
    """What a localnet with a development root of its own leaves in the engine."""
    from workflows.containers.engine import Engine
    from workflows.localnet.images import stand_in

    engine = Engine.connect()
    base = stand_in(engine, "python", quiet, root_pem=(state / "keys" / "root.pem").read_bytes())
    for image in (*stages, base.image):
        engine.remove(image, force=True)
    engine.close()


def quiet(_: Event) -> None:
    pass


@pytest.fixture(scope="package")
def sms(localnet: dict[str, Any] | None) -> Sms:
    """The SMS under test."""
    return Sms(URL if localnet is None else localnet["sms"])


@pytest.fixture(scope="package")
def world(localnet: dict[str, Any] | None) -> World:
    """A chain on which the suite owns things."""
    if localnet is not None:
        wallet = account("spare-1")
        return World(Poco(localnet["rpc"], localnet["hub"], wallet, chain_id=localnet["chain_id"]), wallet)
    rpc, hub, file = (os.environ.get(name, "") for name in ("SMS_RPC", "SMS_HUB", "SMS_WALLET"))
    if not (rpc and hub and file):
        pytest.skip("needs a chain: SMS_RPC, SMS_HUB and SMS_WALLET")
    wallet = Account.from_key(Path(file).read_text().strip())
    return World(Poco(rpc, hub, wallet), wallet)


@pytest.fixture
def stranger() -> Any:
    """A wallet that nobody knows."""
    return Account.create()


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the cases in the end, of tests outside of this folder too."""
    config.pluginmanager.register(Cases(HERE, URL))
