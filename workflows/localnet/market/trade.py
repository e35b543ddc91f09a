"""What may be published, and what of it is open: the market's rules (iexec-market-api `services/order.js`). Blocking.

What is left of an order, and whether its signer still owns what is sold, is asked of the chain at every look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from workflows.iexec import ids
from workflows.iexec.cost import POOL_STAKE_PERCENT
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.orders import Order, RequestOrder, WorkerpoolOrder
from workflows.localnet.market.book import MOST_OPEN, Book, Published
from workflows.localnet.market.query import Query

if TYPE_CHECKING:
    from workflows.iexec.hub import Hub
    from workflows.iexec.records import Kind

_ONE, _LAST, _ALL = "unpublish_orderHash", "unpublish_last", "unpublish_all"


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """What the market says no to, with the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Look:
    """An order and what the chain says of it: `status` is open, filled, canceled or dead."""

    published: Published
    remaining: int
    status: str


class Trade:
    """The rules over one book; `chain()` gives the contracts."""

    def __init__(self, book: Book, chain: Callable[[], Hub]) -> None:
        self._book = book
        self._chain = chain

    def find(self, kind: str, order_hash: str) -> Look:
        """One order; Refused 404."""
        published = self._book.find(kind, order_hash)
        if published is None:
            raise Refused(404, f"{kind} not found")
        return self._look(published)

    def open(self, query: Query) -> list[Look]:
        """The open orders that a query asks for, the best first."""
        looks = map(self._look, query.sort(self._book.of_kind(query.kind, query.wants)))
        return [look for look in looks if look.status == "open" and look.remaining >= query.least_volume]

    def publish(self, order: Any, wallet: str) -> Look:
        """Put an order on the market for its signer; Refused 403 says why not."""
        order_hash = order.hash(self._chain().domain())
        if self._book.find(order.kind, order_hash) is not None:
            raise Refused(403, "order already published")
        signer = self._signer(order)
        if signer != wallet:
            raise Refused(403, f"only order signer {signer} can publish an order")
        if not self._chain().signed(order, signer):
            raise Refused(403, "invalid sign")
        theirs = self._book.of_kind(order.kind, lambda one: one.signer == signer)
        if len(theirs) >= MOST_OPEN <= sum(self._look(one).status == "open" for one in theirs):
            raise Refused(
                403,
                f"maximun of {MOST_OPEN} published open {order.kind} has been reached for wallet {signer}",
            )
        remaining = self._remaining(order_hash, order)
        if not remaining:
            raise Refused(403, "order already consumed")
        self._covered(order, signer, remaining)
        published = self._book.add(order_hash, order, signer)
        if published is None:  # somebody was quicker
            raise Refused(403, "order already published")
        return Look(published, remaining, "open")

    def unpublish(self, kind: str, wallet: str, body: Mapping[str, Any]) -> list[str]:
        """Take orders of a wallet off the market: one by hash, or the last or all of a resource. Their hashes."""
        target = body.get("target", _ONE)
        if target == _ONE:
            wanted = ids.hash32(str(body.get("orderHash")))
            found = self._book.find(kind, wanted)
            if found is None:
                raise Refused(403, f"{kind} with orderHash {wanted} is not published")
            if found.signer != wallet:
                raise Refused(403, f"only order signer {found.signer} can unpublish an order")
            chosen = [found]
        elif target in (_LAST, _ALL):
            field = kind.removesuffix("order") if kind != RequestOrder.kind else RequestOrder.resource
            resource = ids.address(str(body.get(field)).lower())
            every = self._book.of_kind(
                kind, lambda one: one.signer == wallet and getattr(one.order, field) == resource
            )
            if not every:
                raise Refused(403, f"no open {kind} published by signer {wallet} for {field} {resource}")
            chosen = every[::-1] if target == _ALL else every[-1:]
        else:
            raise ValueError(f"target must be one of {_ONE}, {_LAST}, {_ALL}")
        for one in chosen:
            self._book.remove(one.hash)
        return [one.hash for one in chosen]

    def _look(self, published: Published) -> Look:
        remaining = self._remaining(published.hash, published.order)
        if not remaining:
            return Look(published, 0, "canceled" if self._chain().closed(published.order) else "filled")
        alive = self._signer(published.order) == published.signer
        return Look(published, remaining, "open" if alive else "dead")

    def _remaining(self, order_hash: str, order: Any) -> int:
        return max(int(order.volume) - self._chain().consumed(order_hash), 0)

    def _signer(self, order: Order) -> str:
        """Whose signature an order needs: the requester's, or that of the owner of what is sold."""
        address = str(getattr(order, order.resource))
        if isinstance(order, RequestOrder):
            return address
        if not self._chain().is_registered(cast("Kind", order.resource), address):
            raise Refused(403, "Resource not deployed")
        return self._chain().owner(address)

    def _covered(self, order: Order, signer: str, remaining: int) -> None:
        """Who pays or stakes has the money, and what a request asks for is on offer."""
        stake = self._chain().account_of(signer).stake
        if isinstance(order, WorkerpoolOrder):
            if stake < order.workerpoolprice * POOL_STAKE_PERCENT // 100 * remaining:
                raise Refused(403, "workerpool owner's stake is too low to cover required workerpool lock")
        elif isinstance(order, RequestOrder):
            cost = (order.appmaxprice + order.datasetmaxprice + order.workerpoolmaxprice) * remaining
            if stake < cost:
                raise Refused(
                    403,
                    "requester stake is too low to cover requestorder payment, "
                    f"minimum stake required is {cost} nRLC",
                )
            for kind in ("app", "dataset"):
                if getattr(order, kind) != ZERO_ADDRESS:
                    self._on_offer(kind, order)

    def _on_offer(self, kind: str, order: RequestOrder) -> None:
        parties = {name: str(getattr(order, name)) for name in ("app", "dataset", "workerpool", "requester")}
        offers = self.open(
            Query(f"{kind}order", {name: one for name, one in parties.items() if one != ZERO_ADDRESS})
        )
        if not offers:
            raise Refused(403, f"No {kind}order published for {kind} {parties[kind]}")
        best, most = getattr(offers[0].published.order, f"{kind}price"), getattr(order, f"{kind}maxprice")
        if most < best:
            raise Refused(
                403, f"{kind}maxprice for {kind} {parties[kind]} is too low, actual best price is {best} nRLC"
            )
