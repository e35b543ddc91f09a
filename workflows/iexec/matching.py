"""The conditions of `matchOrders`, asked one by one before it is sent (PoCo 6.1 `IexecPoco1Facet`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from workflows.iexec import tags
from workflows.iexec.hub import Hub
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.orders import AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from workflows.iexec.records import Kind


@dataclass(frozen=True)
class Orders:
    """Four orders that are to be matched; `NULL_DATASET_ORDER` for no dataset."""

    app: AppOrder
    dataset: DatasetOrder
    workerpool: WorkerpoolOrder
    request: RequestOrder

    @property
    def tag(self) -> str:
        """The tag of the deal that they make: the union of what is asked for."""
        return tags.union(self.app.tag, self.dataset.tag, self.request.tag)

    @property
    def has_dataset(self) -> bool:
        """Whether the tasks get a dataset."""
        return self.dataset.dataset != ZERO_ADDRESS


@dataclass(frozen=True)
class Condition:
    """One condition, by the code of its revert; `text` says what was compared."""

    code: str
    ok: bool
    text: str


def conditions(hub: Hub, orders: Orders, signers: Collection[str] = ()) -> Iterator[Condition]:
    """All conditions in the contract's order; those that make no sense after a failed one are left out.

    `signers`: addresses whose wallets are at hand, so that an order of theirs may still be unsigned.
    """
    yield from _agreement(hub, orders)
    yield from _restrictions(hub, orders)
    authentic = True
    for condition in _authenticity(hub, orders, signers):
        authentic = authentic and condition.ok
        yield condition
    if authentic:
        volume = remaining(hub, orders)
        yield Condition("0x60", volume > 0, f"{volume} of {orders.request.volume} tasks can be matched")


def remaining(hub: Hub, orders: Orders) -> int:
    """How many tasks these orders still make: the least of what is left of each."""
    domain = hub.domain()
    app, dataset, pool, request = orders.app, orders.dataset, orders.workerpool, orders.request
    volumes: list[tuple[Order, int]] = [(app, app.volume), (pool, pool.volume), (request, request.volume)]
    if orders.has_dataset:
        volumes.append((dataset, dataset.volume))
    return max(0, min(volume - hub.consumed(order.hash(domain)) for order, volume in volumes))


def _agreement(hub: Hub, orders: Orders) -> Iterator[Condition]:
    app, dataset, pool, request = orders.app, orders.dataset, orders.workerpool, orders.request
    yield Condition(
        "0x00",
        request.category == pool.category,
        f"category: request {request.category}, workerpool {pool.category}",
    )
    count = hub.category_count()
    yield Condition("0x01", request.category < count, f"category {request.category} of 0 to {count - 1}")
    yield Condition(
        "0x02", request.trust <= pool.trust, f"trust: request {request.trust}, workerpool {pool.trust}"
    )
    for code, name, price, limit in (
        ("0x03", "app", app.appprice, request.appmaxprice),
        ("0x04", "dataset", dataset.datasetprice, request.datasetmaxprice),
        ("0x05", "workerpool", pool.workerpoolprice, request.workerpoolmaxprice),
    ):
        yield Condition(code, price <= limit, f"{name} price {price} nRLC, at most {limit}")
    lacking = tags.missing(orders.tag, pool.tag)
    yield Condition(
        "0x06",
        not lacking,
        f"tags missing in the workerpool order: {', '.join(lacking)}"
        if lacking
        else "workerpool offers the tags",
    )
    yield Condition(
        "0x07",
        not tags.has_tee(orders.tag) or tags.has_tee(app.tag),
        f"app order's tag: {', '.join(tags.decode(app.tag)) or 'none'}",
    )
    yield Condition("0x10", request.app == app.app, f"app: request {request.app}, app order {app.app}")
    yield Condition(
        "0x11",
        request.dataset == dataset.dataset,
        f"dataset: request {request.dataset}, dataset order {dataset.dataset}",
    )


def _restrictions(hub: Hub, orders: Orders) -> Iterator[Condition]:
    app, dataset, pool, request = orders.app, orders.dataset, orders.workerpool, orders.request
    for code, who, restriction, address in (
        ("0x12", "request order to workerpool", request.workerpool, pool.workerpool),
        ("0x13", "app order to dataset", app.datasetrestrict, dataset.dataset),
        ("0x14", "app order to workerpool", app.workerpoolrestrict, pool.workerpool),
        ("0x15", "app order to requester", app.requesterrestrict, request.requester),
        ("0x16", "dataset order to app", dataset.apprestrict, app.app),
        ("0x17", "dataset order to workerpool", dataset.workerpoolrestrict, pool.workerpool),
        ("0x18", "dataset order to requester", dataset.requesterrestrict, request.requester),
        ("0x19", "workerpool order to app", pool.apprestrict, app.app),
        ("0x1a", "workerpool order to dataset", pool.datasetrestrict, dataset.dataset),
        ("0x1b", "workerpool order to requester", pool.requesterrestrict, request.requester),
    ):
        limit = "anyone" if restriction == ZERO_ADDRESS else f"only {restriction}, here {address}"
        yield Condition(code, hub.allowed(restriction, address), f"{who}: {limit}")


def _authenticity(hub: Hub, orders: Orders, signers: Collection[str]) -> Iterator[Condition]:
    listed: list[tuple[str, Kind, str, Order]] = [
        ("0x2", "app", orders.app.app, orders.app),
        ("0x4", "workerpool", orders.workerpool.workerpool, orders.workerpool),
    ]
    if orders.has_dataset:
        listed.insert(1, ("0x3", "dataset", orders.dataset.dataset, orders.dataset))
    for code, kind, address, order in listed:
        registered = hub.is_registered(kind, address)
        yield Condition(
            code + "0", registered, f"{kind} {address} is {'' if registered else 'not '}registered"
        )
        if registered:
            yield _signature(hub, code + "1", order, hub.owner(address), signers)
    yield _signature(hub, "0x50", orders.request, orders.request.requester, signers)


def _signature(hub: Hub, code: str, order: Order, owner: str, signers: Collection[str]) -> Condition:
    if hub.signed(order, owner):
        return Condition(code, True, f"{order.kind} is signed by {owner}")
    if order.sign == "0x" and owner in signers:
        return Condition(code, True, f"{order.kind} is to be signed by {owner}")
    return Condition(code, False, f"{order.kind} is not signed by {owner}")
