"""What one client may take of a server that is open to others: its turn, and not the connections of the rest."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from workflows.core.failure import Unavailable
from workflows.localnet import service
from workflows.localnet.cas import tls
from workflows.localnet.service import MOST_AT_ONCE, Door, HttpService
from workflows.sgx.pki import development_pki


def test_a_client_that_asks_too_much_at_once_waits_and_the_others_do_not(tmp_path: Path) -> None:
    pki = development_pki(tmp_path / "keys")
    pair = tls.server_pair(tmp_path / "tls", pki, "a test", ("127.0.0.1",))
    trusting = ssl.create_default_context(cadata=pki.root_pem)
    go, busy, most = asyncio.Event(), 0, 0

    async def slow(_: web.Request) -> web.Response:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await go.wait()
        busy -= 1
        return web.Response(text="done")

    async def quick(_: web.Request) -> web.Response:
        return web.Response(text="done")

    async def ask(path: str, source: str) -> str:
        connector = aiohttp.TCPConnector(ssl=trusting, local_addr=(source, 0))
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get(f"{served.public_url}{path}") as answer,
        ):
            return await answer.text()

    async def body() -> None:
        await served.start()
        greedy = [asyncio.create_task(ask("/slow", "127.0.0.1")) for _ in range(MOST_AT_ONCE + 3)]
        while busy < MOST_AT_ONCE:
            await asyncio.sleep(0.01)
        assert await ask("/quick", "127.0.0.9") == "done"
        late = asyncio.create_task(ask("/quick", "127.0.0.1"))
        await asyncio.sleep(0.3)
        assert not late.done() and most == MOST_AT_ONCE
        async with aiohttp.ClientSession() as http, http.get(f"{served.url}/quick") as answer:
            assert answer.status == 200  # this machine has no limit
        go.set()
        assert {await it for it in (*greedy, late)} == {"done"}
        await served.stop()

    served = HttpService()
    served.app.add_routes([web.get("/slow", slow), web.get("/quick", quick)])
    served.open(Door("127.0.0.1", ("127.0.0.1",), tls.server_context(pair, clients=False)))
    asyncio.run(body())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_a_connection_on_which_nothing_is_asked_is_closed(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "IDLE", 0.5)

    async def body() -> None:
        served = HttpService()
        await served.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(begun)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await served.stop()

    asyncio.run(body())


def test_the_address_that_is_not_here_is_told_without_the_words_of_a_library() -> None:
    async def body() -> None:
        served = HttpService()
        served.open(Door("192.0.2.77", ("a.example",), ssl.create_default_context()))
        with pytest.raises(Unavailable, match=r"192\.0\.2\.77: Cannot assign requested address\Z"):
            await served.start()

    asyncio.run(body())
