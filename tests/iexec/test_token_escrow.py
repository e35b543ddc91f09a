"""The escrow of a chain with the RLC token, as on Arbitrum, and fees on a chain that has a price for gas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.iexec.world import World
from workflows.core.failure import Failed
from workflows.iexec import ids
from workflows.iexec.poco import Poco
from workflows.localnet.deployment import artifact, facet
from workflows.localnet.toolchain import Toolchain

pytestmark = pytest.mark.chain

# PoCo `PocoStorageLib`: the struct's place, and m_baseToken as its fourth word
BASE_TOKEN = 0x5862653C6982C162832160CF30593645E8487B257E44D77CDD6B51EEE2651B00 + 3
REPLACE, ADD = 1, 0


@pytest.fixture
def token(world: World, tools: Toolchain) -> str:
    """The shared hub turned into one of the token kind, for one test; the owner has all RLC."""
    owner = world.poco("owner")
    record = json.loads((tools.poco / "deployments/arbitrum/RLC.json").read_text())

    def create(abi: list[Any], bytecode: str) -> str:
        factory = owner.w3.eth.contract(abi=abi, bytecode=bytecode)
        receipt = owner.run(lambda: owner.prepare(factory.constructor(), "deploy"))
        return str(receipt.raw["contractAddress"])

    rlc = create([], record["bytecode"])
    new, old = facet(tools.poco, "IexecEscrowTokenFacet"), facet(tools.poco, "IexecEscrowNativeFacet")
    place = create([], new.linked({}))
    known = [selector for selector in new.selectors if selector in old.selectors]
    added = [selector for selector in new.selectors if selector not in old.selectors]
    cutter = owner.w3.eth.contract(
        address=owner.hub.address, abi=artifact(tools.poco, "deployments/arbitrum/DiamondCutFacet").abi
    )
    cuts = [(place, REPLACE, known), (place, ADD, added)]
    call = cutter.functions.diamondCut(cuts, ids.ZERO_ADDRESS, b"")
    owner.run(lambda: owner.prepare(call, "cut"))
    value = "0x" + ids.unhex(rlc).rjust(32, b"\0").hex()
    world.rpc_call("anvil_setStorageAt", world.hub, hex(BASE_TOKEN), value)
    return ids.address(rlc)


def test_deposit_and_withdraw(world: World, token: str) -> None:
    poco = world.poco("owner")
    me = poco.sender
    assert not poco.native
    assert poco.rlc == token
    before, outside = poco.account_of(me).stake, poco.wallet_balance(me)
    assert outside > 10**15  # the whole supply
    poco.run(lambda: poco.deposit(500))
    assert poco.account_of(me).stake == before + 500
    assert poco.wallet_balance(me) == outside - 500
    poco.run(lambda: poco.withdraw(500))
    assert (poco.account_of(me).stake, poco.wallet_balance(me)) == (before, outside)


def test_more_than_the_wallet_holds(world: World, token: str) -> None:
    poco = world.poco("spare-1")
    assert poco.wallet_balance(poco.sender) == 0
    with pytest.raises(Failed) as caught:
        poco.deposit(1)
    assert caught.value.name == "wallet_balance"


def test_gas_is_paid_where_it_has_a_price(world: World) -> None:
    poco = Poco(world.rpc, world.hub, world.accounts["requester"], chain_id=world.chain_id, gas_free=False)
    world.rpc_call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    world.rpc_call("evm_mine")
    try:
        transaction = poco.deposit(1)
        poco.send(transaction)
        poco.wait(transaction)
        sent = poco.w3.eth.get_transaction(transaction.hash)  # type: ignore[arg-type]
        assert sent["maxFeePerGas"] >= 10**9
    finally:  # a snapshot does not cover it
        world.rpc_call("anvil_setNextBlockBaseFeePerGas", "0x0")
        world.rpc_call("evm_mine")
