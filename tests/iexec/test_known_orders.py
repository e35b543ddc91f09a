"""Orders wherever they are written, and what the chain says of them: signed by whom, how much is left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.iexec.world import World
from workflows.core.failure import Failed, Missing
from workflows.iexec.orders import KINDS, Domain, Order
from workflows.iexec.secrets import known

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def found(*orders: Order) -> list[tuple[str, Order]]:
    return [("here", order) for order in orders]


@pytest.mark.chain
def test_what_is_left_of_signed_orders(world: World) -> None:
    orders = world.orders()
    chain = world.poco()
    mine = found(orders.app, orders.dataset, orders.workerpool, orders.request)
    before = {one.order.kind: one.left for one in known.read(chain, mine)}
    assert before == {"apporder": 10, "datasetorder": 10, "requestorder": 1}
    dealid = world.match(orders)
    after = known.read(chain, [*mine, *mine])
    assert {one.order.kind: one.left for one in after} == {
        "apporder": 9,
        "datasetorder": 9,
        "requestorder": 0,
    }
    owner = world.poco("owner")
    owner.run(lambda: owner.cancel_order(orders.dataset))
    assert [one.left for one in known.read(chain, found(orders.dataset))] == [0]

    [made] = known.deals(chain, [dealid, dealid, "0x" + "ab" * 32])
    assert (made.deal.dealid, made.running, made.params.args) == (dealid, 1, "hello")
    world.later(made.deal.bot_size * 24 * 3600)
    assert [one.running for one in known.deals(chain, [dealid])] == [0]


@pytest.mark.chain
def test_orders_that_bind_nobody_here_do_not_count(world: World) -> None:
    data = world.orders().dataset
    elsewhere = data.sign_with(world.accounts["owner"], Domain(134, world.hub))
    stranger = world.signed(replace(data, volume=3), "requester")
    changed = replace(data, volume=1000)
    unsigned = replace(data, sign="0x")
    nowhere = world.signed(replace(data, dataset=world.address("worker")), "owner")
    assert known.read(world.poco(), found(elsewhere, stranger, changed, unsigned, nowhere)) == []


def test_orders_are_found_in_any_file(tmp_path: Path) -> None:
    orders = [kind(**_least(kind)) for kind in KINDS.values()]
    texts = [order.to_json() for order in orders]
    market = {"ok": True, "orders": [{"orderHash": "0x1", "order": {**texts[1], "extra": 1}, "remaining": 1}]}
    path = tmp_path / "orders.json"
    for document, count in (
        ({"134": dict(zip(KINDS, texts, strict=True))}, 4), (texts, 4), (texts[0], 1), (market, 1), ({}, 0), ([[]], 0)
    ):  # fmt: skip
        path.write_text(json.dumps(document))
        assert len(known.load(path)) == count


@pytest.mark.parametrize(
    "text", ["", "nope", "[" * 100_000, "\x00", '"' + "x" * (9 << 20) + '"'], ids=range(5)
)
def test_a_file_without_orders_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "orders.json").write_text(text)
    with pytest.raises(Missing, match=r"orders\.json: it holds no orders"):
        known.load(tmp_path / "orders.json")


def test_a_wrong_order_names_its_field_and_too_many_values_are_refused(tmp_path: Path) -> None:
    wrong = {**KINDS["datasetorder"](**_least(KINDS["datasetorder"])).to_json(), "volume": "many"}
    with pytest.raises(Failed, match="volume"):
        list(known.inside([wrong]))
    with pytest.raises(Failed, match="more than"):
        list(known.inside([0] * 20_000))


@given(JSON)
def test_any_json_is_searched_without_a_fault(document: Any) -> None:
    assert list(known.inside(document)) == []


def _least(kind: type[Order]) -> dict[str, Any]:
    addresses = [kind.resource] + (["app"] if kind.kind == "requestorder" else [])
    return dict.fromkeys(addresses, "0x" + "ab" * 20)
