"""The relay through the real engine: connections both ways, peers' addresses, nothing off loopback."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from workflows.containers.engine import Engine
from workflows.localnet.images import root_image
from workflows.localnet.relay import Relay, Route

pytestmark = pytest.mark.engine

PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.connect() as engine:
        yield engine


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return root_image(engine, "python", lambda event: None)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
    line = (await reader.readline()).decode().strip()
    writer.write(json.dumps({"peer": peer, "said": line}).encode())
    await writer.drain()


def _with_relay(engine: Engine, image: str, use: Callable[[Relay], Awaitable[None]]) -> Relay:
    async def body() -> Relay:
        server = await asyncio.start_server(_echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        routes: dict[tuple[str, int], Route] = {
            ("sms", 13300): ("127.0.0.1", port),
            ("ipfs", 8080): ("127.0.0.1", 1),
            ("las", 18766): _peer,
        }
        relay = Relay(engine, image, f"creamtea-test-{secrets.token_hex(4)}", routes)
        await relay.start()
        try:
            await use(relay)
        finally:
            await relay.stop()
            server.close()
        return relay

    return asyncio.run(body())


def _inside(engine: Engine, image: str, relay: Relay, program: str) -> str:
    ran = engine.run(image, ["-Ic", program], entrypoint=[PYTHON], network=relay.network)
    assert ran.code == 0, ran.err
    return ran.out


def test_containers_reach_services_by_name_and_the_handler_knows_who_asks(engine: Engine, image: str) -> None:
    program = (
        "import json, socket\n"
        "s = socket.create_connection(('las', 18766)); s.sendall(b'hello\\n')\n"
        "answer = json.loads(s.makefile().read()); assert answer['said'] == 'hello'\n"
        "assert answer['peer'] == s.getsockname()[0], answer\n"
        "try: print(socket.create_connection(('ipfs', 8080)).recv(1))\n"
        "except ConnectionError: print(b'')\n"
        "try: socket.create_connection(('cas', 9), 2)\n"
        "except OSError: print('refused')\n"
        "try: socket.create_connection(('9.9.9.9', 53), 2)\n"
        "except OSError: print('no way out')\n"
    )

    async def use(relay: Relay) -> None:
        out = await asyncio.to_thread(_inside, engine, image, relay, program)
        assert out.splitlines() == ["b''", "refused", "no way out"]

    relay = _with_relay(engine, image, use)
    assert not engine.api.networks(names=[relay.network])
    assert not engine.api.containers(all=True, filters={"name": relay.network})


def test_many_connections_at_once_with_half_close(engine: Engine, image: str) -> None:
    program = (
        "import asyncio, os\n"
        "async def one(n):\n"
        "  r, w = await asyncio.open_connection('sms', 13300)\n"
        "  data = os.urandom(100_000 + n)\n"
        "  async def put():\n"
        "    w.write(data); await w.drain(); w.write_eof()\n"
        "  t = asyncio.create_task(put())\n"
        "  assert await r.read(-1) == data; await t; w.close()\n"
        "async def main(): await asyncio.gather(*(one(n) for n in range(80)))\n"
        "asyncio.run(main()); print('all')\n"
    )

    async def use(relay: Relay) -> None:
        assert await asyncio.to_thread(_inside, engine, image, relay, program) == "all"

    _with_relay(engine, image, use)


def _listeners() -> set[str]:
    """Local addresses of this machine's listening TCP sockets, as the kernel writes them."""
    rows = [
        row.split()
        for name in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A"}


def test_nothing_new_listens_off_loopback(engine: Engine, image: str) -> None:
    before = _listeners()

    async def use(relay: Relay) -> None:
        new = _listeners() - before
        ours = json.dumps(engine.api.inspect_container(f"{relay.network}-relay")["NetworkSettings"]["Ports"])
        assert ours in ("{}", "null")
        assert all(address[6:9] == "7F:" for address in new), new  # 127.0.0.0/8, last byte first

    _with_relay(engine, image, use)


def test_a_killed_relay_is_noticed_and_cleaned_up(engine: Engine, image: str) -> None:
    async def use(relay: Relay) -> None:
        assert relay.alive
        engine.api.kill(f"{relay.network}-relay")
        for _ in range(100):
            if not relay.alive:
                break
            await asyncio.sleep(0.05)
        assert not relay.alive

    _with_relay(engine, image, use)
