"""Where the orders of others come from: a workerpool itself, or iExec's market.

Market: iexec-market-api `GET /workerpoolorders`, the cheapest first, `/datasetorders` and `/apporders` (reference
iexec-protocol §12.1).
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlencode

from workflows.core.failure import Failed, Missing
from workflows.iexec import tags, web
from workflows.iexec.networks import Network
from workflows.iexec.orders import Order, WorkerpoolOrder
from workflows.iexec.secrets.known import inside

_PAGE = 100
_PATIENCE = 10.0  # seconds; a look at secrets goes on without the market


def workerpool_order(network: Network, category: int, tag: str, pool: str | None = None) -> WorkerpoolOrder:
    """A signed order for one task of this category and tag, of `pool` (an address) or of the network's own.

    Failed `no_workerpool_order` when nobody offers one; Missing when the network has neither pool nor market.
    """
    if network.workerpool_api:
        query = urlencode({"category": category, "tag": tag})
        found = _get(f"{network.workerpool_api}/workerpoolorder?{query}")
        return _order(found, category, pool or network.workerpool)
    if not network.market:
        raise Missing(
            f"{network.name} has neither a workerpool nor a market to ask",
            "name one in networks.toml",
            name="no_market",
        )
    wanted: dict[str, Any] = {
        "chainId": network.chain_id,
        "category": category,
        "minTag": tag,
        "minVolume": 1,
    }
    wanted["workerpool"] = pool or network.workerpool or "any"
    document = _get(f"{network.market}/workerpoolorders?{urlencode(wanted)}")
    offers = document.get("orders") if isinstance(document, dict) else None
    if not offers:
        raise Failed(
            f"no workerpool offers category {category} with the tag {', '.join(tags.decode(tag))}",
            "try another category or pool; on live networks SCONE pools may be gone for good",
            name="no_workerpool_order",
        )
    first = (
        offers[0].get("order", offers[0])
        if isinstance(offers, list) and isinstance(offers[0], dict)
        else None
    )
    return _order(first, category, pool or network.workerpool)


def offered(network: Network, kind: Literal["app", "dataset"], **of: str) -> tuple[list[Order], int]:
    """Open orders of a kind on the network's market, and how many there are in all: it shows the first hundred.

    `of` is `app`, `dataset`, `appOwner` or `datasetOwner` with an address. What the market says of them is not
    checked. Unavailable or Failed when it does not answer as it should.
    """
    anybody = {name: "any" for name in ("app", "dataset", "workerpool", "requester") if name != kind}
    query = urlencode({"chainId": network.chain_id, "pageSize": _PAGE, **anybody, **of})
    document = _get(f"{network.market}/{kind}orders?{query}", name="market", timeout=_PATIENCE)
    found = [order for order in inside(document) if order.kind == f"{kind}order"]
    count = document.get("count") if isinstance(document, dict) else None
    return found, max(len(found), count if isinstance(count, int) else 0)


def _get(url: str, name: str = "no_workerpool_order", timeout: float = web.TIMEOUT) -> Any:
    reply = web.request("GET", url, timeout=timeout)
    if reply.status != 200:
        raise Failed(
            f"{web.shown(url)} answers {reply.status}: {reply.text()}", "is the network up?", name=name
        )
    return reply.json()


def _order(document: Any, category: int, pool: str | None) -> WorkerpoolOrder:
    """The order, if it is what was asked for: what is signed next pays it."""
    order = WorkerpoolOrder.from_json(document)
    wrong = ""
    if order.category != category:
        wrong = f"of category {order.category}, asked was {category}"
    elif pool and order.workerpool != pool:
        wrong = f"of workerpool {order.workerpool}, asked was {pool}"
    if wrong:
        raise Failed(f"the offered order is {wrong}", "Choose another --workerpool.", name="invalid_order")
    return order
