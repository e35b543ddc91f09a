"""Every revert of matchOrders: what is predicted is what the real contract says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.iexec.world import World
from workflows.core.failure import Failed
from workflows.iexec import causes, matching, tags
from workflows.iexec.matching import Orders

pytestmark = pytest.mark.chain

OTHER = "0x000000000000000000000000000000000000dEaD"
Change = Callable[[World], Orders]
# those that are explained, in the order of the data, which is to be the contract's
CODES = [
    entry.name.removeprefix("iExecV5-matchOrders-")
    for entry in causes.entries()
    if entry.name.startswith("iExecV5-matchOrders-")
]


def by(**changes: dict[str, Any]) -> Change:
    return lambda world: world.orders(**changes)


def resign(world: World, **changes: tuple[str, dict[str, Any]]) -> Orders:
    """Matching orders of which some are changed and signed by a role that is not the one expected."""
    orders = world.orders()
    return replace(
        orders,
        **{
            kind: world.signed(replace(getattr(orders, kind), **values), role)
            for kind, (role, values) in changes.items()
        },
    )


def unregistered_app(world: World) -> Orders:
    """An app that is no app: the workerpool has an owner too, who signs for it."""
    return resign(
        world,
        app=("workerpool", {"app": world.pool}),
        dataset=("owner", {"apprestrict": world.pool}),
        request=("requester", {"app": world.pool}),
    )


def unregistered_dataset(world: World) -> Orders:
    return resign(
        world, dataset=("owner", {"dataset": world.app}), request=("requester", {"dataset": world.app})
    )


def unregistered_pool(world: World) -> Orders:
    return resign(world, workerpool=("owner", {"workerpool": world.app}))


CASES: dict[str, Change] = {
    "0x00": by(request={"category": 1}),
    "0x01": by(request={"category": 5}, pool={"category": 5}),
    "0x02": by(request={"trust": 2}),
    "0x03": by(app={"appprice": 3}),
    "0x04": by(data={"datasetprice": 2}),
    "0x05": by(pool={"workerpoolprice": 11}),
    "0x06": by(pool={"tag": tags.encode(("tee",))}),
    "0x07": by(app={"tag": tags.encode(("scone",))}),
    "0x10": by(request={"app": OTHER}),
    "0x11": by(request={"dataset": OTHER}),
    "0x12": by(request={"workerpool": OTHER}),
    "0x13": by(app={"datasetrestrict": OTHER}),
    "0x14": by(app={"workerpoolrestrict": OTHER}),
    "0x15": by(app={"requesterrestrict": OTHER}),
    "0x16": by(data={"apprestrict": OTHER}),
    "0x17": by(data={"workerpoolrestrict": OTHER}),
    "0x18": by(data={"requesterrestrict": OTHER}),
    "0x19": by(pool={"apprestrict": OTHER}),
    "0x1a": by(pool={"datasetrestrict": OTHER}),
    "0x1b": by(pool={"requesterrestrict": OTHER}),
    "0x20": unregistered_app,
    "0x21": lambda world: resign(world, app=("requester", {})),
    "0x30": unregistered_dataset,
    "0x31": lambda world: resign(world, dataset=("requester", {})),
    "0x40": unregistered_pool,
    "0x41": lambda world: resign(world, workerpool=("requester", {})),
    "0x50": lambda world: resign(world, request=("owner", {})),
    "0x60": by(app={"volume": 0}),
}


def match(world: World, orders: Orders) -> Failed | None:
    poco = world.poco("requester")
    try:
        poco.match_orders(orders.app, orders.dataset, orders.workerpool, orders.request)
    except Failed as failure:
        return failure
    return None


def test_every_code_has_a_case() -> None:
    assert set(CASES) == set(CODES)


@pytest.mark.parametrize("code", CASES)
def test_prediction_is_what_the_contract_says(world: World, code: str) -> None:
    orders = CASES[code](world)
    failed = [condition.code for condition in matching.conditions(world.poco(), orders) if not condition.ok]
    assert failed[0] == code
    refusal = match(world, orders)
    assert refusal is not None
    assert refusal.name == f"iExecV5-matchOrders-{code}"
    [known] = causes.explain(refusal.name)
    assert known.meaning[1:-1] in refusal.message and code in refusal.message
    assert refusal.hint == known.do


def test_orders_that_match(world: World) -> None:
    for orders in (world.orders(), world.orders(dataset=False)):
        found = list(matching.conditions(world.poco(), orders))
        assert all(condition.ok for condition in found), found
        assert match(world, orders) is None


def test_conditions_come_in_the_order_of_the_contract(world: World) -> None:
    codes = [condition.code for condition in matching.conditions(world.poco(), world.orders())]
    assert codes == CODES


def test_unsigned_orders_of_wallets_at_hand(world: World) -> None:
    orders = world.orders()
    unsigned = replace(orders, request=replace(orders.request, sign="0x"))
    requester = world.address("requester")
    assert all(c.ok for c in matching.conditions(world.poco(), unsigned, {requester}))
    assert [c.code for c in matching.conditions(world.poco(), unsigned) if not c.ok] == ["0x50"]


def test_what_is_left_of_the_volumes(world: World) -> None:
    orders = world.orders(request={"volume": 4}, app={"volume": 3})
    assert matching.remaining(world.poco(), orders) == 3
    world.match(orders)
    assert matching.remaining(world.poco(), orders) == 0
    assert match(world, orders) is not None


def test_too_little_in_the_escrow(world: World) -> None:
    stake = world.poco().account_of(world.address("requester")).stake
    orders = world.orders(app={"appprice": stake}, request={"appmaxprice": stake})
    refusal = match(world, orders)
    assert refusal is not None
    assert refusal.name == "escrow_balance"


def test_codes_are_those_of_the_contract(tools: Any) -> None:
    source = (tools.poco / "contracts/facets/IexecPoco1Facet.sol").read_text()
    assert re.findall(r"iExecV5-matchOrders-(0x\w\w)", source) == CODES
