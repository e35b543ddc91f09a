"""A place on the shared chain: an app, a dataset and orders that match, taken back after each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from eth_account import Account

from tests.iexec.world import CHECKSUM, FINGERPRINT, World
from workflows.iexec.records import NewApp, NewDataset
from workflows.localnet.chain import Chain


@pytest.fixture(scope="session")
def shared_world(chain: Chain) -> World:
    roles = ("owner", "workerpool", "worker", "requester", "spare-1", "spare-2")
    accounts = {role: Account.from_key(chain.key(role)) for role in roles}
    return World(chain.rpc, chain.hub, chain.chain_id, chain.workerpool, accounts)


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The chain with a fresh app and dataset; whatever the test does is undone."""
    before = shared_world.rpc_call("evm_snapshot")
    owner = shared_world.poco("owner")
    made = replace(shared_world)
    app = NewApp(owner.sender, "hello", "docker.io/creamtea/hello:1", CHECKSUM, FINGERPRINT)
    transaction = owner.deploy_app(app)
    owner.send(transaction)
    made.app = owner.deployed_address("app", owner.wait(transaction), transaction)
    data = NewDataset(owner.sender, "data", "/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG", CHECKSUM)
    transaction = owner.deploy_dataset(data)
    owner.send(transaction)
    made.dataset = owner.deployed_address("dataset", owner.wait(transaction), transaction)
    try:
        yield made
    finally:
        assert shared_world.rpc_call("evm_revert", before)
