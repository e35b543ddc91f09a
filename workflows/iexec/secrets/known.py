"""Orders and deals that are known here, wherever they were written, and what the chain says of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed, Missing
from workflows.core.text import clean, size
from workflows.iexec.cost import FINAL_RATIO
from workflows.iexec.ids import ZERO_ADDRESS, taskid, unhex
from workflows.iexec.orders import KINDS, AppOrder, DatasetOrder, Order, RequestOrder
from workflows.iexec.params import Params, parse
from workflows.iexec.records import Deal, TaskStatus
from workflows.iexec.streams import reading

if TYPE_CHECKING:
    from workflows.iexec.hub import Hub

_LARGEST = 8 << 20
_MOST = 5_000  # orders, and values on the way to them
_ASKED = 100  # tasks of a deal; the rest counts as running
_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED)


@dataclass(frozen=True)
class Known:
    """An order that its `owner` signed for this chain; `left` is what of its volume can still be matched."""

    order: Order
    hash: str
    source: str
    left: int
    owner: str = ""

    @property
    def params(self) -> Params:
        """What a request order asks for; of other kinds, nothing."""
        return parse(self.order.params) if isinstance(self.order, RequestOrder) else Params()


@dataclass(frozen=True)
class Made:
    """A deal, and how many of its tasks can still run."""

    deal: Deal
    running: int

    @property
    def params(self) -> Params:
        """What its tasks were asked for."""
        return parse(self.deal.params)


def load(path: Path) -> list[Order]:
    """Every order of a JSON file: the SDK's `orders.json`, an answer of the market, or orders in any nesting.

    Missing when it is not to be read or holds no JSON; Failed names the field of an order that is wrong.
    """
    with reading(path) as (file, _):
        raw = file.read(_LARGEST + 1)
    try:
        return parse_file(raw)
    except Failed as failure:
        raise type(failure)(
            f"{clean(str(path))}: {failure.message}", failure.hint, name=failure.name
        ) from None


def parse_file(raw: bytes) -> list[Order]:
    """The same of the bytes of a file."""
    try:
        if len(raw) > _LARGEST:
            raise ValueError(f"it has more than {size(_LARGEST)}")
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        hint = "give a JSON file, such as the SDK's orders.json"
        raise Missing(f"it holds no orders: {clean(str(error))}", hint, name="orders") from None
    return list(inside(document))


def inside(document: Any) -> Iterator[Order]:
    """The orders anywhere in a JSON value, told by their fields."""
    waiting, seen = [document], 0
    while waiting:
        value, seen = waiting.pop(), seen + 1
        if seen > _MOST:
            raise Failed(f"more than {_MOST:,} values", "give a smaller file of orders", name="orders")
        if isinstance(value, Mapping):
            kind = _kind(value)
            if kind is not None:
                yield kind.from_json({f.name: value[f.name] for f in fields(kind) if f.name in value})
            else:
                waiting += reversed(list(value.values()))
        elif isinstance(value, list):
            waiting += reversed(value)


def read(chain: Hub, found: Iterable[tuple[str, Order]]) -> list[Known]:
    """The orders of apps, datasets and requests that count on this chain: signed by the owner of what they give.

    `found`: where each was found, and the order. Each is asked for once.
    """
    domain, known = chain.domain(), {}
    for source, order in found:
        if not isinstance(order, AppOrder | DatasetOrder | RequestOrder):
            continue
        digest = order.hash(domain)
        owner = None if digest in known else _owner(chain, order)
        if owner is None or not chain.signed(order, owner):
            continue
        known[digest] = Known(order, digest, source, max(0, order.volume - chain.consumed(digest)), owner)
    return list(known.values())


def deals(chain: Hub, ids: Iterable[str]) -> list[Made]:
    """The deals that this chain has of these ids, with what can still run of them."""
    found = [deal for dealid in dict.fromkeys(ids) if (deal := chain.view_deal(dealid)) is not None]
    time = chain.block_time() if found else 0
    return [Made(deal, _running(chain, deal, time)) for deal in found]


def _running(chain: Hub, deal: Deal, time: int) -> int:
    """How many tasks are not over; none once the deadline of all of them has passed."""
    category = chain.category(deal.category)
    if category is None or time > deal.start_time + category.seconds * FINAL_RATIO:
        return 0
    tasks = [taskid(deal.dealid, index) for index in deal.indexes[:_ASKED]]
    return sum(chain.view_task(task).status not in _ENDED for task in tasks) + len(deal.indexes[_ASKED:])


def _kind(value: Mapping[Any, Any]) -> type[Order] | None:
    for kind in KINDS.values():
        if {f.name for f in fields(kind)} - {"salt", "sign"} <= set(map(str, value)):
            return kind
    return None


def _owner(chain: Hub, order: Order) -> str | None:
    """Whose signature the order needs; None when there is no such thing on this chain, or nothing to sign."""
    resource: str = getattr(order, order.resource)
    if resource == ZERO_ADDRESS or not unhex(order.sign):
        return None
    if isinstance(order, RequestOrder):
        return resource
    return chain.owner(resource) if chain.is_registered(_REGISTRY[order.kind], resource) else None


_REGISTRY: Mapping[str, Any] = {"apporder": "app", "datasetorder": "dataset"}
