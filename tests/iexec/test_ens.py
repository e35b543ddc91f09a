"""Names on a real chain. PoCo brings no ENS, so the registry is a few bytes of EVM code that answer as EIP-137 says."""

from __future__ import annotations

import pytest

from tests.iexec.world import World
from workflows.core.failure import Failed
from workflows.iexec import ens, ids, networks

REGISTRY = ids.address("0x" + "e5" * 20)
NAME = "prod-v8-bellecour.main.pools.iexec.eth"
# One contract is registry and resolver: the storage at a node is its address.
CODE = bytes.fromhex(
    "60043554"  # the node's storage
    "60003560e01c" "633b3b57de" "14" "6017" "57"  # addr(bytes32): give it
    "15153002"  # resolver(bytes32): this contract, or nothing where nothing is stored
    "5b" "600052" "60206000f3"
)  # fmt: skip


@pytest.fixture
def registry(world: World) -> str:
    world.rpc_call("anvil_setCode", REGISTRY, "0x" + CODE.hex())
    return REGISTRY


def test_the_hash_of_a_name_is_that_of_eip_137() -> None:
    assert ens.namehash("eth").hex() == "93cdeb708b7545dc668eb9280176169d1c33cfd8ed6f04690a0bcc88a93fc4ae"
    assert ens.namehash("foo.eth").hex() == "de9b09fd7c5f901e23a3f19fecc54828e9c848539801e86591bd9801b019f84f"


@pytest.mark.chain
def test_a_name_is_the_address_that_its_resolver_says(world: World, registry: str) -> None:
    word = "0x" + bytes(12).hex() + world.pool[2:].lower()
    world.rpc_call("anvil_setStorageAt", registry, "0x" + ens.namehash(NAME).hex(), word)
    assert ens.resolve(world.poco("requester"), registry, NAME) == world.pool


@pytest.mark.chain
def test_a_name_without_an_address_is_refused(world: World, registry: str) -> None:
    with pytest.raises(Failed, match=f"{NAME} is not registered in the ENS registry") as refused:
        ens.resolve(world.poco("requester"), registry, NAME)
    assert refused.value.name == "ens" and "--workerpool" in refused.value.hint


@pytest.mark.chain
def test_a_chain_without_a_registry_is_told(world: World) -> None:
    with pytest.raises(Failed, match="there is nothing at the ENS registry"):
        ens.resolve(world.poco("requester"), REGISTRY, NAME)


def test_a_network_of_ours_whose_pool_has_a_name_has_a_registry() -> None:
    entry = networks.load("bellecour")
    assert entry.workerpool == NAME and ens.is_name(NAME) and entry.ens
    assert not ens.is_name(REGISTRY)
