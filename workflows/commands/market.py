"""What a network's market has of a person's apps and datasets, and what to say where it cannot be asked."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed
from workflows.core.several import several
from workflows.core.text import clean

if TYPE_CHECKING:
    from workflows.core.events import Event
    from workflows.iexec.networks import Network
    from workflows.iexec.orders import Order
    from workflows.iexec.secrets.matrix import Advice

_ELSEWHERE = "orders that were signed elsewhere are known here only from files"


@dataclass(frozen=True)
class Offers:
    """Orders as the market shows them, `count` of them in all (None when it was not told), and what to say of it."""

    orders: tuple[Order, ...] = ()
    count: int | None = None
    noticed: tuple[Advice, ...] = ()


def offers(
    network: Network, wallet: str | None, app: str | None, dataset: str | None
) -> Generator[Event, None, Offers]:
    """The open orders of the wallet's apps and datasets, and of these two. Yields what is waited for."""
    from workflows.iexec import market, web
    from workflows.iexec.secrets.matrix import Advice

    if not network.market:
        text = f"{network.name} has no market to ask: {_ELSEWHERE}"
        return Offers(
            noticed=(Advice("no_market", "know", text, "creamtea secrets audit --orders FILE takes more"),)
        )
    questions: list[tuple[Any, str, str | None]] = [
        ("app", "appOwner", wallet), ("dataset", "datasetOwner", wallet), ("app", "app", app),
        ("dataset", "dataset", dataset),
    ]  # fmt: skip
    where = web.shown(network.market)
    try:
        answers = yield from several(
            lambda one: market.offered(network, one[0], **{one[1]: str(one[2])}),
            [one for one in questions if one[2]],
            lambda _: f"waiting for the market {where}",
        )
    except Failed as failure:
        text = f"the market is not heard: {failure.message}; {_ELSEWHERE}"
        return Offers(
            noticed=(
                Advice(
                    "no_market_answer", "act", clean(text), "try again, or give --orders FILE", subject=where
                ),
            )
        )
    shown = tuple(dict.fromkeys(order for found, _ in answers for order in found))
    hidden = sum(count - len(found) for found, count in answers)
    said = [
        Advice(
            "many_offers", "know", f"the market {where} has more orders than it shows at once: {hidden:,} are not read",
            "creamtea secrets audit --app or --dataset ADDRESS asks for those of one",
        )
    ] if hidden else []  # fmt: skip
    return Offers(shown, len(shown) + hidden, tuple(said))
