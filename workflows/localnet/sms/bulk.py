"""The datasets of a bulk task: orders that the requester put on IPFS, each held against the deal on the chain.

`bulk_cid` of a deal is the CID of a JSON list with a CID for each task index; behind that is a JSON list of signed
dataset orders (iexec-sms e4a3fd7 `SecretSessionBaseService`, SDK 8.24 `prepareDatasetBulk`). As there, a list that
cannot be read is an empty one, and an order that does not fit the deal leaves a dataset without place and key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from workflows.core.failure import Failed
from workflows.core.text import clean, shorten
from workflows.iexec import cid, web
from workflows.iexec.orders import DatasetOrder
from workflows.localnet.sms.chain import Chain, TaskDescription
from workflows.localnet.sms.store import Store

log = logging.getLogger(__name__)

MOST = 100  # datasets of a task: MAX_DATASET_PER_TASK of the SDK
LARGEST = 1 << 20  # bytes of a list; a hundred orders are 80 kB
PATIENCE = 10.0  # seconds in which a list has to come
_FIELDS = {member.name for member in fields(DatasetOrder)}


class TooMuch(Exception):  # noqa: N818 - what it is
    """A list beyond these bounds, which the real service does not have."""


@dataclass(frozen=True)
class BulkDataset:
    """`name` is the address as the order has it; the rest is empty for an order that does not fit the deal.

    `key` is also empty when the SMS has none.
    """

    name: str
    url: str = ""
    checksum: str = ""
    key: str = field(default="", repr=False)


def datasets(gateway: str, chain: Chain, store: Store, task: TaskDescription) -> tuple[BulkDataset, ...]:
    """Those of the task's index, in the order of its list. Raises TooMuch; blocks."""
    try:
        orders = _orders(gateway, task.params.bulk_cid or "", task.task.index)
    except (Failed, ValueError) as error:
        log.warning("no dataset orders for task %s: %s", task.id, clean(str(error)))
        return ()
    return tuple(_dataset(order, chain, store, task) for order in orders)


def _orders(gateway: str, root: str, index: int) -> list[Mapping[str, Any]]:
    """The orders of an index as they were written. ValueError or Failed: there are none to be read."""
    slices = _list(gateway, root)
    if index >= len(slices):
        raise ValueError(f"{_shown(root)} has {len(slices)} slices, none for the index {index}")
    orders = _list(gateway, slices[index])
    for order in orders:
        # Jackson refuses the whole list for one thing in it that it does not know.
        if not (
            isinstance(order, dict) and order.keys() <= _FIELDS and isinstance(order.get("dataset"), str)
        ):
            raise ValueError(f"{_shown(slices[index])} holds something that is no dataset order")
    if len(orders) > MOST:
        raise TooMuch(f"{len(orders)} dataset orders for one task, {MOST} are served")
    return orders


def _list(gateway: str, name: Any) -> list[Any]:
    """The JSON list of a CID. ValueError or Failed: there is none."""
    if not isinstance(name, str):
        raise ValueError("something in the list of slices is no CID")
    cid.parse(name)
    try:
        reply = web.request("GET", f"{gateway}/ipfs/{name}", deadline=PATIENCE, limit=LARGEST)
    except Failed as error:
        if error.name == "answer_too_large":
            raise TooMuch(f"{_shown(name)} is larger than {LARGEST} bytes") from None
        raise
    if reply.status != 200:
        raise ValueError(f"the gateway answers {reply.status} to {_shown(name)}")
    found = reply.json()
    if not isinstance(found, list):
        raise ValueError(f"{_shown(name)} is no list")
    return found


def _dataset(written: Mapping[str, Any], chain: Chain, store: Store, task: TaskDescription) -> BulkDataset:
    name: str = written["dataset"]
    try:
        if written.keys() != _FIELDS:
            raise ValueError("a field of it is missing")
        order = DatasetOrder.from_json(written)
        if not order.endless:
            raise ValueError(f"its volume is {order.volume}, and has to be endless")
        dataset = chain.bulk_dataset(order, task.deal.dealid)
    except Exception as error:  # whatever the chain client raises: it has not said yes
        log.warning("dataset %s does not fit task %s: %s", _shown(name), task.id, clean(str(error)))
        return BulkDataset(name)
    return BulkDataset(name, dataset.multiaddr, dataset.checksum, store.get("web3", order.dataset) or "")


def _shown(name: str) -> str:
    return shorten(clean(name), 60, 0)
