"""Bulk processing as the official library prepares it: orders off the market, their bulk on IPFS, one deal for all."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.classroom import Person
from tests.peer import sdk as peer
from tests.peer.conftest import Built
from tests.peer.sdk import Library, Refused
from workflows.iexec import ids, storage
from workflows.iexec.dataset import encrypt, new_key
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewDataset, TaskStatus

TEE = ["tee", "scone"]
ENDLESS = str((1 << 53) - 1)
TOWNS = ("Oslo", "Turin", "Lagos")


def deployed(library: Library, who: Person, chain: Poco, api: str, folder: Path, town: str) -> str:
    """A dataset of one table, encrypted, on IPFS and registered; the library pushes its key."""
    (folder / town).write_text(f"name,town,steps\nsomebody,{town},{len(town)}\n")
    key = new_key()
    checksum = encrypt(folder / town, folder / f"{town}.enc", key).checksum
    place = storage.upload(api, folder / f"{town}.enc").multiaddr
    # Not by the library: it asks for the nonce at most every quarter of a second, and a transaction takes less here.
    transaction = chain.deploy_dataset(NewDataset(who.address, town, place, checksum))
    chain.send(transaction)
    address = chain.deployed_address("dataset", chain.wait(transaction), transaction)
    assert library.call(who, "dataset.pushDatasetSecret", address, base64.b64encode(key).decode())
    return address


def offered(library: Library, who: Person, dataset: str, app: str, volume: str = ENDLESS) -> dict[str, Any]:
    """An order of its owner for one app, signed and published by the library."""
    wish = {"dataset": dataset, "datasetprice": "0", "volume": volume, "tag": TEE, "apprestrict": app}
    order = library.call(who, "order.createDatasetorder", wish)
    signed: dict[str, Any] = library.call(who, "order.signDatasetorder", order)
    library.call(who, "order.publishDatasetorder", signed)
    return signed


def report(shared: dict[str, Any], chain: Poco, task: str) -> str:
    """The report in the result of a task, when it is there."""
    end = time.monotonic() + peer.PATIENCE
    while (found := chain.view_task(task)).status is not TaskStatus.COMPLETED:
        assert time.monotonic() < end, found
        time.sleep(0.2)
    url = shared["ipfs"]["gateway"] + json.loads(found.results)["location"]
    with urllib.request.urlopen(url) as answer, zipfile.ZipFile(io.BytesIO(answer.read())) as archive:
        return archive.read("report.txt").decode()


def test_a_bulk_that_the_library_prepares_is_processed(
    library: Library, shared: dict[str, Any], chain: Poco, built: Built, ready: None,
    developer: Person, customer: Person, tmp_path: Path,
) -> None:  # fmt: skip
    api = shared["ipfs"]["api"]
    (pool,) = library.call(customer, "orderbook.fetchWorkerpoolOrderbook", {"category": 0, "minVolume": 2})[
        "orders"
    ]
    price = int(pool["order"]["workerpoolprice"])
    if price:
        library.call(customer, "account.deposit", str(2 * price))
    datasets = [deployed(library, developer, chain, api, tmp_path, town) for town in TOWNS]
    for dataset in datasets:
        offered(library, developer, dataset, built.app)
    few = offered(library, developer, datasets[0], built.app, volume="5")

    # The customer finds the orders of bulk on the market, and those only.
    asked = {"datasetOwner": developer.address, "app": built.app, "bulkOnly": True}
    found = library.call(customer, "orderbook.fetchDatasetOrderbook", asked)["orders"]
    orders = {one["order"]["dataset"]: one["order"] for one in found}
    assert set(datasets) <= set(orders) and all(one["bulk"] for one in found)
    with pytest.raises(Refused, match="expected DATASET_INFINITE_VOLUME"):
        library.call(customer, "order.prepareDatasetBulk", [few])
    each = [orders[dataset] for dataset in datasets]
    bulk = library.call(customer, "order.prepareDatasetBulk", each, {"maxDatasetPerTask": 2})
    assert bulk["volume"] == 2

    # One request for both tasks of the bulk.
    offer = library.call(developer, "order.createApporder", {"app": built.app, "volume": 2, "tag": TEE})
    request = library.call(
        customer,
        "order.createRequestorder",
        {
            "app": built.app, "category": 0, "volume": bulk["volume"], "tag": TEE, "workerpoolmaxprice": str(price),
            "params": {"bulk_cid": bulk["cid"], "iexec_args": "steps by town"},
        },
    )  # fmt: skip
    deal = library.call(
        customer,
        "order.matchOrders",
        {
            "apporder": library.call(developer, "order.signApporder", offer),
            "workerpoolorder": pool["order"],
            "requestorder": library.call(customer, "order.signRequestorder", request),
        },
    )["dealid"]

    first, second = (report(shared, chain, ids.taskid(deal, index)) for index in (0, 1))
    assert all(text.startswith("steps by town\n") for text in (first, second))
    assert [town in first for town in TOWNS] == [True, True, False]
    assert [town in second for town in TOWNS] == [False, False, True]
