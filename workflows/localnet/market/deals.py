"""Deals as the market lists them, read off the chain at every question: a localnet has few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workflows.iexec import ids
from workflows.iexec.orders import KINDS

if TYPE_CHECKING:
    from workflows.iexec.hub import Hub
    from workflows.iexec.records import Deal, Matching, Resource

_PARTS = ("app", "dataset", "workerpool")


def deals(chain: Hub, given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The deals that a query asks for, newest first. ValueError: a hash or an address of it is none."""
    hashes = {kind: ids.hash32(given[f"{kind}Hash"]) for kind in KINDS if given.get(f"{kind}Hash")}
    wanted = {
        name: ids.address(given[name].lower())
        for name in ("requester", "beneficiary", *_PARTS, *(f"{part}Owner" for part in _PARTS))
        if given.get(name)
    }
    for match in reversed(chain.matches()):
        if any(match.orders[kind] != one for kind, one in hashes.items()):
            continue
        deal = chain.view_deal(match.dealid)
        if deal is not None and all(_value(deal, name) == one for name, one in wanted.items()):
            yield document(chain.expected_chain_id, match, deal)


def document(chain_id: int | None, match: Matching, deal: Deal) -> dict[str, Any]:
    """A deal in the market's words."""
    return {
        "chainId": str(chain_id),
        "dealid": deal.dealid,
        **{part: _resource(getattr(deal, part)) for part in _PARTS},
        **{kind.replace("order", "Hash"): one for kind, one in match.orders.items()},
        "volume": match.volume,
        "botFirst": deal.bot_first,
        "botSize": deal.bot_size,
        "trust": deal.trust,
        "category": deal.category,
        "tag": deal.tag,
        "requester": deal.requester,
        "beneficiary": deal.beneficiary,
        "callback": deal.callback,
        "params": deal.params,
        "startTime": deal.start_time,
        "workerStake": deal.worker_stake,
        "schedulerRewardRatio": deal.scheduler_reward_ratio,
        "blockNumber": match.block,
        "transactionHash": match.transaction,
    }


def _resource(found: Resource) -> dict[str, Any]:
    return {"pointer": found.address, "owner": found.owner, "price": found.price}


def _value(deal: Deal, name: str) -> str:
    if name in _PARTS:
        return str(getattr(deal, name).address)
    if name.endswith("Owner"):
        return str(getattr(deal, name.removesuffix("Owner")).owner)
    return str(getattr(deal, name))
