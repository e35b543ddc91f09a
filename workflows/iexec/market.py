"""Where a workerpool's orders come from: the pool itself, or iExec's market.

Market: iexec-market-api `GET /workerpoolorders` (reference iexec-protocol §12.1), the cheapest first.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from workflows.core.failure import Failed, Missing
from workflows.iexec import tags, web
from workflows.iexec.networks import Network
from workflows.iexec.orders import WorkerpoolOrder


def workerpool_order(network: Network, category: int, tag: str, pool: str | None = None) -> WorkerpoolOrder:
    """A signed order for one task of this category and tag, of `pool` or of the network's own.

    Failed `no_workerpool_order` when nobody offers one; Missing when the network has neither pool nor market.
    """
    if network.workerpool_api:
        query = urlencode({"category": category, "tag": tag})
        return _order(_get(f"{network.workerpool_api}/workerpoolorder?{query}"), category)
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
    return _order(offers[0].get("order", offers[0]) if isinstance(offers[0], dict) else None, category)


def _get(url: str) -> Any:
    reply = web.request("GET", url)
    if reply.status != 200:
        raise Failed(
            f"{web.shown(url)} answers {reply.status}: {reply.text()}",
            "is the network up?",
            name="no_workerpool_order",
        )
    return reply.json()


def _order(document: Any, category: int) -> WorkerpoolOrder:
    order = WorkerpoolOrder.from_json(document)
    if order.category != category:
        raise Failed(
            f"the pool answered for category {order.category}, asked was {category}", name="invalid_order"
        )
    return order
