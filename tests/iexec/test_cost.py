"""What a request costs and locks, against what the contract locks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.iexec.world import World
from workflows.iexec import cost
from workflows.iexec.cost import Cost
from workflows.iexec.orders import AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder
from workflows.iexec.records import Category

WHO = "0x000000000000000000000000000000000000dEaD"
XS = Category(0, "XS", "", 300)


@pytest.mark.chain
@pytest.mark.parametrize("volume", [1, 3])
def test_the_bill_is_what_the_contract_locks(world: World, volume: int) -> None:
    orders = world.orders(pool={"workerpoolprice": 9}, request={"volume": volume})
    poco = world.poco()
    category = poco.category(0)
    assert category is not None
    bill = cost.of_orders(orders.app, orders.dataset, orders.workerpool, orders.request, category)
    people = [world.address(role) for role in ("requester", "workerpool")]
    before = [poco.account_of(address).locked for address in people]
    deal = poco.view_deal(world.match(orders))
    after = [poco.account_of(address).locked for address in people]
    assert [a - b for a, b in zip(after, before, strict=True)] == [bill.total, bill.pool_stake]
    assert deal is not None
    assert deal.task_price == bill.per_task
    task = world.started(deal.dealid)
    assert task.final_deadline - deal.start_time == bill.final_seconds


@pytest.mark.chain
def test_ratios_are_those_of_the_hub(world: World) -> None:
    call = world.poco().hub.functions
    assert call.workerpool_stake_ratio().call() == cost.POOL_STAKE_PERCENT
    assert call.final_deadline_ratio().call() == cost.FINAL_RATIO


def test_the_cost_of_orders() -> None:
    request = RequestOrder(app=WHO, requester=WHO, workerpoolmaxprice=10, volume=3)  # no dataset to pay for
    pool = WorkerpoolOrder(workerpool=WHO, workerpoolprice=7, volume=2)
    bill = cost.of_orders(
        AppOrder(app=WHO, volume=9), DatasetOrder(dataset=WHO, datasetprice=5), pool, request, XS
    )
    assert (bill.total, bill.volume) == (14, 2)
    assert bill.parts == (("app", 0), ("dataset", 0), ("pool", 14))


@given(
    prices=st.tuples(*[st.integers(0, 10**12)] * 3),
    volume=st.integers(1, 1000),
)
def test_parts_make_the_total(prices: tuple[int, int, int], volume: int) -> None:
    bill = Cost(*prices, volume, 300)
    assert sum(amount for _, amount in bill.parts) == bill.total
    assert bill.pool_stake <= bill.workerpool * volume


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 RLC"),
        (13, "13 nRLC"),
        (10**9, "1 RLC"),
        (10**8, "0.1 RLC"),
        (1_234_500_000_000, "1,234.5 RLC"),
        (10**6, "0.001 RLC"),
        (-(10**9), "-1 RLC"),
    ],
)
def test_amounts_for_people(amount: int, text: str) -> None:
    assert cost.rlc(amount) == text
