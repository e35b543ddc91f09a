"""The market over HTTP and the real contracts: who may publish, what is found, and what the chain changes in it."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from tests.localnet.logins import authorization
from workflows.core.failure import Failed
from workflows.iexec import ids, market, networks, tags
from workflows.iexec.ids import ZERO_ADDRESS, ZERO_HASH
from workflows.iexec.orders import NULL_DATASET_ORDER, AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp, NewDataset
from workflows.localnet.chain import Chain
from workflows.localnet.market.book import MOST_OPEN, Book, Published
from workflows.localnet.market.query import Query
from workflows.localnet.market.server import Market

CHECKSUM = "0x" + "cc" * 32
TEE = tags.encode(["tee", "scone"])
GPU = tags.encode(["gpu"])


@dataclass
class World:
    """Contracts as each one signs, an app and a dataset of the owner, and how the market is called."""

    chain: Chain
    http: aiohttp.ClientSession
    url: str

    def poco(self, name: str) -> Poco:
        account = Account.from_key(self.chain.key(name))
        return Poco(self.chain.rpc, self.chain.hub, account, chain_id=self.chain.chain_id, gas_free=True)

    @cached_property
    def owner(self) -> Poco:
        return self.poco("owner")

    @cached_property
    def requester(self) -> Poco:
        return self.poco("requester")

    def app(self, name: str = "market") -> str:
        new = NewApp(self.owner.sender, name, "docker.io/market:1", CHECKSUM, b"")
        transaction = self.owner.deploy_app(new)
        self.owner.send(transaction)
        return self.owner.deployed_address("app", self.owner.wait(transaction), transaction)

    def dataset(self) -> str:
        new = NewDataset(self.owner.sender, "market", "https://example.org/none", CHECKSUM)
        transaction = self.owner.deploy_dataset(new)
        self.owner.send(transaction)
        return self.owner.deployed_address("dataset", self.owner.wait(transaction), transaction)

    def signed(self, order: Any, who: Poco) -> Any:
        return order.sign_with(who.account, who.domain())

    async def ask(self, path: str, **query: Any) -> tuple[int, dict[str, Any]]:
        wanted = {"chainId": str(self.chain.chain_id), **{name: str(value) for name, value in query.items()}}
        async with self.http.get(self.url + path, params=wanted) as answer:
            return answer.status, await answer.json()

    async def send(self, verb: str, path: str, body: Any, who: Poco | None) -> tuple[int, dict[str, Any]]:
        headers = {}
        if who is not None:
            _, challenge = await self.ask("/challenge", address=who.sender)
            headers["Authorization"] = authorization(challenge["data"], who.account)
        url = f"{self.url}{path}?chainId={self.chain.chain_id}"
        async with self.http.request(verb, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def publish(self, order: Any, who: Poco | None) -> tuple[int, dict[str, Any]]:
        return await self.send("POST", f"/{order.kind}s", {"order": order.to_json()}, who)


On = Callable[[Callable[[World], Awaitable[None]]], None]


@pytest.fixture
def on_market(chain: Chain, tmp_path: Path) -> Iterator[On]:
    """Run a body against a market of its own; the chain is as before afterwards."""
    pool = Poco(
        chain.rpc, chain.hub, Account.from_key(chain.key("workerpool")), chain_id=chain.chain_id, gas_free=True
    )  # fmt: skip

    async def sell(category: int) -> WorkerpoolOrder:
        order = WorkerpoolOrder(
            workerpool=chain.workerpool, workerpoolprice=7, volume=2, tag=TEE, category=category, trust=1
        )
        return order.sign_with(pool.account, pool.domain())  # type: ignore[arg-type]

    def run(body: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            served = Market(
                tmp_path / "market", lambda: pool, sell,
                chain_id=chain.chain_id, workerpool=chain.workerpool, owner=pool.sender,
            )  # fmt: skip
            await served.start()
            try:
                async with aiohttp.ClientSession() as http:
                    await body(World(chain, http, served.url))
            finally:
                await served.stop()

        asyncio.run(main())

    before = pool.w3.provider.make_request("evm_snapshot", [])["result"]  # type: ignore[arg-type]
    yield run
    pool.w3.provider.make_request("evm_revert", [before])  # type: ignore[arg-type]


@pytest.mark.chain
def test_only_the_owner_publishes_and_once(on_market: On) -> None:
    async def body(world: World) -> None:
        app = world.app()
        order = world.signed(AppOrder(app=app, appprice=3, volume=5, tag=TEE), world.owner)
        assert await world.publish(order, None) == (403, {"ok": False, "error": "invalid authorization"})
        only = f"only order signer {world.owner.sender} can publish an order"
        assert await world.publish(order, world.requester) == (403, {"ok": False, "error": only})
        forged = dataclasses.replace(order, appprice=1)
        assert await world.publish(forged, world.owner) == (403, {"ok": False, "error": "invalid sign"})
        nowhere = world.signed(AppOrder(app=ids.address("0x" + "1f" * 20)), world.owner)
        assert (await world.publish(nowhere, world.owner))[1]["error"] == "Resource not deployed"
        status, answer = await world.publish(order, world.owner)
        assert status == 200 and answer["published"]["orderHash"] == order.hash(world.owner.domain())
        assert answer["published"]["remaining"] == 5 and answer["published"]["status"] == "open"
        assert (await world.publish(order, world.owner))[1]["error"] == "order already published"

    on_market(body)


@pytest.mark.chain
def test_nobody_fills_the_market(on_market: On, tmp_path: Path) -> None:
    async def body(world: World) -> None:
        app = world.app()
        book = Book(tmp_path / "market" / "orders.sqlite")
        for number in range(MOST_OPEN):
            book.add(f"0x{number:064x}", AppOrder(app=app), world.owner.sender)
        book.close()
        status, answer = await world.publish(world.signed(AppOrder(app=app), world.owner), world.owner)
        assert status == 403 and answer["error"].startswith(f"maximun of {MOST_OPEN} published open apporder")

    on_market(body)


@pytest.mark.chain
def test_what_is_used_up_takes_no_place_of_what_is_open(on_market: On, tmp_path: Path) -> None:
    async def body(world: World) -> None:
        app = world.app()
        gone = world.signed(AppOrder(app=app), world.owner)
        assert (await world.publish(gone, world.owner))[0] == 200
        world.owner.run(lambda: world.owner.cancel_order(gone))
        book = Book(tmp_path / "market" / "orders.sqlite")
        for number in range(MOST_OPEN - 1):
            book.add(f"0x{number:064x}", AppOrder(app=app), world.owner.sender)
        book.close()
        statuses = [
            (await world.publish(world.signed(AppOrder(app=app), world.owner), world.owner))[0] for _ in "12"
        ]
        assert statuses == [200, 403]

    on_market(body)


@pytest.mark.chain
def test_a_body_is_utf_8_whatever_its_headers_say(on_market: On) -> None:
    async def body(world: World) -> None:
        order = world.signed(AppOrder(app=world.app()), world.owner)
        _, challenge = await world.ask("/challenge")
        headers = {
            "Authorization": authorization(challenge["data"], world.owner.account),
            "Content-Type": "application/json; charset=klingon",
        }
        url = f"{world.url}/apporders?chainId={world.chain.chain_id}"
        text = json.dumps({"order": order.to_json()})
        async with world.http.post(url, data=text.encode(), headers=headers) as answer:
            assert answer.status == 200

    on_market(body)


@pytest.mark.chain
def test_a_login_serves_once(on_market: On) -> None:
    async def body(world: World) -> None:
        _, challenge = await world.ask("/challenge", address=world.owner.sender)
        text = authorization(challenge["data"], world.owner.account)
        assert challenge["data"]["domain"]["name"] == "iExec Gateway"
        for expected in (400, 403):
            url = f"{world.url}/apporders?chainId={world.chain.chain_id}"
            async with world.http.post(url, json={"order": {}}, headers={"Authorization": text}) as answer:
                assert answer.status == expected

    on_market(body)


@pytest.mark.chain
def test_what_is_sold_on_the_chain_goes_off_the_market(on_market: On) -> None:
    async def body(world: World) -> None:
        app = world.app()
        order = world.signed(AppOrder(app=app, volume=2, tag=TEE), world.owner)
        _, published = await world.publish(order, world.owner)
        path = f"/apporders/{published['published']['orderHash']}"
        offers = (await world.ask("/workerpoolorders", category=0, workerpool=world.chain.workerpool))[1]
        (pool,) = offers["orders"]
        assert (pool["remaining"], pool["order"]["workerpoolprice"]) == (2, 7)
        for left in (1, 0):
            request = RequestOrder(
                app=app, workerpool=world.chain.workerpool, workerpoolmaxprice=7, tag=TEE,
                requester=world.requester.sender, beneficiary=world.requester.sender,
            )  # fmt: skip
            transaction = world.requester.match_orders(
                order, NULL_DATASET_ORDER, WorkerpoolOrder.from_json(pool["order"]),
                world.signed(request, world.requester),
            )  # fmt: skip
            world.requester.send(transaction)
            world.requester.wait(transaction)
            shown = (await world.ask(path))[1]
            assert (shown["remaining"], shown["status"]) == (left, "open" if left else "filled")
        assert (await world.ask("/apporders", app=app))[1]["orders"] == []
        deals = (await world.ask("/deals", apporderHash=shown["orderHash"]))[1]
        assert deals["count"] == 2 and {one["app"]["pointer"] for one in deals["deals"]} == {app}
        assert {one["requester"] for one in deals["deals"]} == {world.requester.sender}
        assert (await world.ask("/deals", requester=world.owner.sender, app=app))[1]["count"] == 0
        # The pool's order is used up as well, so that it offers another one.
        again = (await world.ask("/workerpoolorders", category=0))[1]["orders"]
        assert len(again) == 1 and again[0]["orderHash"] != pool["orderHash"]

    on_market(body)


@pytest.mark.chain
def test_what_its_signer_cancels_is_shown_as_canceled(on_market: On) -> None:
    async def body(world: World) -> None:
        app, other = world.app(), world.app("of another order")
        sold = world.signed(AppOrder(app=app, volume=2, tag=TEE), world.owner)
        kept = world.signed(AppOrder(app=other, volume=2, tag=TEE), world.owner)
        data = world.signed(DatasetOrder(dataset=world.dataset(), tag=TEE), world.owner)
        asked = world.signed(
            RequestOrder(
                app=app, tag=TEE, requester=world.requester.sender, beneficiary=world.requester.sender
            ),
            world.requester,
        )
        orders = [(kept, world.owner), (sold, world.owner), (data, world.owner), (asked, world.requester)]
        for order, who in orders:
            assert (await world.publish(order, who))[0] == 200
        for order, who in orders[:0:-1]:
            path = f"/{order.kind}s/{order.hash(who.domain())}"
            assert (await world.ask(path))[1]["status"] == "open"
            await asyncio.to_thread(who.run, functools.partial(who.cancel_order, order))
            shown = (await world.ask(path))[1]
            assert (shown["remaining"], shown["status"]) == (0, "canceled"), order.kind
        assert (await world.ask("/apporders", app=app))[1]["orders"] == []
        assert (await world.ask("/apporders", app=other))[1]["count"] == 1

    on_market(body)


@pytest.mark.chain
def test_who_asks_for_orders_of_bulk_finds_those_that_are_free_and_endless(on_market: On) -> None:
    most = (1 << 53) - 1

    async def body(world: World) -> None:
        dataset = world.dataset()
        for volume, price in ((most, 0), (most - 1, 0), (most - 2, 0), (most, 1)):
            order = DatasetOrder(dataset=dataset, volume=volume, datasetprice=price, tag=TEE)
            assert (await world.publish(world.signed(order, world.owner), world.owner))[0] == 200

        async def found(**asked: Any) -> list[tuple[int, int, bool]]:
            orders = (await world.ask("/datasetorders", dataset=dataset, **asked))[1]["orders"]
            return [(o["order"]["volume"], o["order"]["datasetprice"], o["bulk"]) for o in orders]

        bulk = [(most, 0, True), (most - 1, 0, True)]
        assert await found(bulkOnly="true") == bulk
        assert await found(bulkOnly="false") == [*bulk, (most - 2, 0, False), (most, 1, False)]
        assert await found(minVolume=most) == [bulk[0], (most, 1, False)]
        assert "bulk" not in (await world.ask("/workerpoolorders", category=0))[1]["orders"][0]
        status, answer = await world.ask("/datasetorders", dataset=dataset, minVolume=most + 1)
        assert (status, answer["error"]) == (400, "minVolume must be a positive integer")

    on_market(body)


@pytest.mark.chain
def test_our_own_client_buys_there_too(on_market: On) -> None:
    async def body(world: World) -> None:
        place = dataclasses.replace(
            networks.load("localnet"), market=world.url, workerpool=world.chain.workerpool
        )
        order = await asyncio.to_thread(market.workerpool_order, place, 1, TEE)
        assert (order.workerpool, order.category) == (world.chain.workerpool, 1)
        with pytest.raises(Failed, match="no workerpool offers"):
            await asyncio.to_thread(market.workerpool_order, place, 1, tags.union(TEE, GPU))
        with pytest.raises(Failed, match="no workerpool offers"):
            await asyncio.to_thread(market.workerpool_order, place, 99, TEE)
        assert (await world.ask("/workerpoolorders"))[1]["count"] == 5  # one in every category

    on_market(body)


@pytest.mark.chain
def test_a_request_needs_money_and_something_to_match(on_market: On) -> None:
    async def body(world: World) -> None:
        app, dataset = world.app(), world.dataset()
        me = world.requester.sender

        async def ask_for(**changes: Any) -> str:
            order = RequestOrder(app=app, requester=me, beneficiary=me, tag=TEE, **changes)
            status, answer = await world.publish(world.signed(order, world.requester), world.requester)
            assert status == (200 if answer["ok"] else 403)
            return str(answer.get("error", ""))

        assert await ask_for() == f"No apporder published for app {app}"
        await world.publish(
            world.signed(AppOrder(app=app, appprice=4, volume=9, tag=TEE), world.owner), world.owner
        )
        assert (
            await ask_for(appmaxprice=3)
            == f"appmaxprice for app {app} is too low, actual best price is 4 nRLC"
        )
        assert "stake is too low" in await ask_for(appmaxprice=4, workerpoolmaxprice=10**18)
        assert await ask_for(appmaxprice=4, dataset=dataset) == (
            f"No datasetorder published for dataset {dataset}"
        )
        mine = DatasetOrder(dataset=dataset, volume=9, tag=TEE, apprestrict=app)
        await world.publish(world.signed(mine, world.owner), world.owner)
        assert await ask_for(appmaxprice=4, dataset=dataset) == ""
        found = (await world.ask("/requestorders", requester=me))[1]["orders"]
        assert [one["order"]["dataset"] for one in found] == [dataset]

    on_market(body)


@pytest.mark.chain
def test_orders_are_taken_off_by_hash_the_last_or_all(on_market: On) -> None:
    async def body(world: World) -> None:
        app = world.app()
        hashes = []
        for price in (1, 2, 3):
            _, answer = await world.publish(
                world.signed(AppOrder(app=app, appprice=price, volume=9), world.owner), world.owner
            )
            hashes.append(answer["published"]["orderHash"])

        async def off(who: Poco, **target: Any) -> Any:
            answer = (await world.send("PUT", "/apporders", target, who))[1]
            return answer.get("unpublished") or answer["error"]

        only = f"only order signer {world.owner.sender} can unpublish an order"
        assert await off(world.requester, orderHash=hashes[0]) == only
        assert await off(world.owner, target="unpublish_last", app=app) == [hashes[2]]
        assert (
            await off(world.owner, orderHash=hashes[2])
            == f"apporder with orderHash {hashes[2]} is not published"
        )
        assert await off(world.owner, target="unpublish_all", app=app) == [hashes[1], hashes[0]]
        none = f"no open apporder published by signer {world.owner.sender} for app {app}"
        assert await off(world.owner, target="unpublish_all", app=app) == none
        assert (await world.ask(f"/apporders/{hashes[0]}"))[0] == 404

    on_market(body)


@pytest.mark.chain
def test_questions_that_make_no_sense_are_told(on_market: On) -> None:
    async def body(world: World) -> None:
        for path, query, error in (
            ("/apporders", {}, "app or appOwner is required"),
            ("/apporders", {"app": "0x12"}, "app is not a valid ethereum address"),
            ("/workerpoolorders", {"minTag": "0x3"}, "minTag must be a bytes32 hexstring"),
            ("/workerpoolorders", {"category": "-1"}, "category must be a positive integer"),
            ("/apporders/0x12", {}, "not 32 bytes of 0x-hex: '0x12'"),
            ("/workerpoolorders", {"chainId": "1"}, "chainId 1 is not supported"),
        ):
            assert await world.ask(path, **query) == (400, {"ok": False, "error": error})
        assert (await world.ask(f"/apporders/{ZERO_HASH}"))[1]["error"] == "apporder not found"

    on_market(body)


ADDRESSES = [ZERO_ADDRESS, *(ids.address("0x" + f"{n}" * 40) for n in "123")]
SOME = st.sampled_from(ADDRESSES)
TAGS = st.sampled_from([ZERO_HASH, TEE, GPU, tags.union(TEE, GPU)])


@given(order=st.builds(AppOrder, app=SOME, tag=TAGS, datasetrestrict=SOME, requesterrestrict=SOME),
       app=SOME, requester=st.sampled_from(["any", "", *ADDRESSES[1:]]), strict=st.booleans(), most=TAGS)  # fmt: skip
def test_a_restriction_lets_pass_who_it_names(
    order: AppOrder, app: str, requester: str, strict: bool, most: str
) -> None:
    query = Query(
        "apporder",
        {
            "app": app,
            "requester": requester,
            "isRequesterStrict": str(strict).lower(),
            "dataset": "any",
            "maxTag": most,
        },
    )
    passes = requester == "any" or order.requesterrestrict == (requester or ZERO_ADDRESS)
    anyone = not strict and order.requesterrestrict == ZERO_ADDRESS
    expected = order.app == app and (passes or anyone) and not tags.missing(order.tag, most)
    assert query.wants(Published(ZERO_HASH, order, ADDRESSES[1], "")) is expected


def test_the_book_survives(tmp_path: Path) -> None:
    path = tmp_path / "orders.sqlite"
    book = Book(path)
    order = AppOrder(app=ADDRESSES[1], salt="0x" + "01" * 32, sign="0x" + "02" * 65)
    assert book.add("0x" + "aa" * 32, order, ADDRESSES[2]) is not None
    assert book.add("0x" + "aa" * 32, order, ADDRESSES[2]) is None
    book.close()
    (kept,) = Book(path).of_kind("apporder", lambda _: True)
    assert (kept.order, kept.signer) == (order, ADDRESSES[2]) and kept.at.endswith("Z")
