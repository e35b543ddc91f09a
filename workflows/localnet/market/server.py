"""iExec's market as one HTTP service: paths, statuses and texts of iexec-market-api, as far as the SDK asks for them.

The localnet's pool is always on offer: its order is signed when the first one looks, and anew when it is used up.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workflows.core.failure import Failed, Unavailable
from workflows.iexec.ids import hash32
from workflows.iexec.orders import KINDS, DatasetOrder, WorkerpoolOrder
from workflows.localnet.login import Logins
from workflows.localnet.market.book import Book
from workflows.localnet.market.deals import deals
from workflows.localnet.market.query import Query, in_bulk
from workflows.localnet.market.trade import Look, Refused, Trade
from workflows.localnet.service import Handler, HttpService, read_json

if TYPE_CHECKING:
    from workflows.iexec.hub import Hub

Sell = Callable[[int], Awaitable[WorkerpoolOrder]]
_GREETING = "Sign this message to log into iExec Gateway: "


class Market(HttpService):
    """`directory` is `<state>/market`; `chain()` gives the blocking reads.

    `sell(category)` signs an order of the pool `workerpool`, Failed when it does not offer that; `owner` is the
    wallet that signs.
    """

    def __init__(
        self,
        directory: Path,
        chain: Callable[[], Hub],
        sell: Sell,
        *,
        chain_id: int,
        workerpool: str,
        owner: str,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self._chain = chain
        self._chain_id = chain_id
        self._sell = sell
        self._workerpool = workerpool
        self._owner = owner
        self._book = Book(directory / "orders.sqlite")
        self._trade = Trade(self._book, chain)
        self._logins = Logins("iExec Gateway", chain_id, _GREETING)
        self._selling = asyncio.Lock()
        self.app.middlewares.append(self._told)
        self.app.add_routes(
            [
                web.get("/version", self._version),
                web.get("/challenge", self._challenge),
                web.get("/deals", self._deals),
            ]
        )
        for kind in KINDS:
            orders = f"/{{kind:{kind}}}s"
            self.app.add_routes(
                [
                    web.get(orders, self._list),
                    web.get(orders + "/{hash}", self._one),
                    web.post(orders, self._publish),
                    web.put(orders, self._unpublish),
                ]
            )

    async def stop(self) -> None:
        """Stop and close the book; a stopped market is not started again."""
        await super().stop()
        await asyncio.to_thread(self._book.close)

    @web.middleware
    async def _told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every answer is JSON with `ok`; the SDK shows the `error` of a refusal."""
        chain_id = request.query.get("chainId", "undefined")
        try:
            if request.path != "/version" and chain_id != str(self._chain_id):
                raise Refused(400, f"chainId {chain_id:.40} is not supported")
            return await handler(request)
        except Refused as refused:
            return web.json_response({"ok": False, "error": str(refused)}, status=refused.status)
        except (ValueError, Failed, RecursionError) as error:
            status = 503 if isinstance(error, Unavailable) else 400
            return web.json_response({"ok": False, "error": str(error)}, status=status)

    async def _version(self, request: web.Request) -> web.Response:
        from importlib.metadata import version

        return web.json_response({"ok": True, "version": f"{version('creamtea')}-SIMULATED"})

    async def _challenge(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "data": await self._logins.challenge()})

    async def _deals(self, request: web.Request) -> web.Response:
        query = Query("requestorder", request.query)
        found = await asyncio.to_thread(lambda: list(deals(self._chain(), request.query)))
        return _paged("deals", found, query)

    async def _list(self, request: web.Request) -> web.Response:
        query = Query(request.match_info["kind"], request.query)
        if query.kind == WorkerpoolOrder.kind:
            await self._stock(query.category)
        found = await asyncio.to_thread(self._trade.open, query)
        return _paged("orders", [self._document(look) for look in found], query)

    async def _one(self, request: web.Request) -> web.Response:
        wanted = hash32(request.match_info["hash"])
        look = await asyncio.to_thread(self._trade.find, request.match_info["kind"], wanted)
        return web.json_response({"ok": True, **self._document(look)})

    async def _publish(self, request: web.Request) -> web.Response:
        kind, wallet, body = await self._authorised(request)
        order = KINDS[kind].from_json(body.get("order"))
        look = await asyncio.to_thread(self._trade.publish, order, wallet)
        return web.json_response({"ok": True, "published": self._document(look)})

    async def _unpublish(self, request: web.Request) -> web.Response:
        kind, wallet, body = await self._authorised(request)
        hashes = await asyncio.to_thread(self._trade.unpublish, kind, wallet, body)
        return web.json_response({"ok": True, "unpublished": hashes})

    async def _authorised(self, request: web.Request) -> tuple[str, str, dict[str, Any]]:
        """Kind of order, wallet that logged in, and the body."""
        wallet = await self._logins.redeem(request.headers.get("Authorization", ""))
        if wallet is None:
            raise Refused(403, "invalid authorization")
        body = await read_json(request)
        if not isinstance(body, dict):
            raise ValueError("the body is not an object")
        return request.match_info["kind"], wallet, body

    async def _stock(self, category: int | None) -> None:
        """See that the pool is on offer in a category, or in all."""
        async with self._selling:
            every = range(await asyncio.to_thread(lambda: self._chain().category_count()))
            for number in every if category is None else (category,):
                query = Query(WorkerpoolOrder.kind, {"category": str(number), "workerpool": self._workerpool})
                if number in every and not await asyncio.to_thread(self._trade.open, query):
                    order = await self._sell(number)
                    await asyncio.to_thread(self._trade.publish, order, self._owner)

    def _document(self, look: Look) -> dict[str, Any]:
        one = look.published
        return {
            "orderHash": one.hash,
            "order": dataclasses.asdict(one.order),
            "chainId": str(self._chain_id),
            "remaining": look.remaining,
            "status": look.status,
            "signer": one.signer,
            "publicationTimestamp": one.at,
            **({"bulk": in_bulk(one.order)} if one.order.kind == DatasetOrder.kind else {}),
        }


def _paged(name: str, found: list[dict[str, Any]], query: Query) -> web.Response:
    first = query.page * query.size
    more = len(found) > first + query.size
    page = {name: found[first : first + query.size], **({"nextPage": query.page + 1} if more else {})}
    return web.json_response({"ok": True, "count": len(found), **page})
