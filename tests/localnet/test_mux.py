"""The framing under the relay: any cut of the stream, half-close, back-pressure, hostile bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.localnet.mux import CHUNK, HEADER, WINDOW, Mux

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _refuse(number: int, payload: bytes) -> None:
    raise ConnectionRefusedError


class Pair:
    """Two muxes whose streams are cut into pieces of `cut` bytes; `serve` answers at the far end."""

    def __init__(self, serve: Serve, cut: int = 1 << 20) -> None:
        self.cut = cut
        self.in_flight = 0
        self.near = Mux(self._to_far, _refuse, lambda: None)
        self.far = Mux(self._to_near, self._opened, lambda: None)
        self._serve = serve
        self._numbers = iter(range(1, 1000))

    async def _to_far(self, frame: bytes) -> None:
        self.in_flight += len(frame)
        for at in range(0, len(frame), self.cut):
            self.far.feed(frame[at : at + self.cut])
        await asyncio.sleep(0)

    async def _to_near(self, frame: bytes) -> None:
        for at in range(0, len(frame), self.cut):
            self.near.feed(frame[at : at + self.cut])
        await asyncio.sleep(0)

    async def _opened(self, number: int, payload: bytes) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            await self.far.carry(number, reader, writer)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client's connection through both muxes."""
        entered: asyncio.Queue[None] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            entered.put_nowait(None)
            try:
                await self.near.call(next(self._numbers), b"{}", reader, writer)
            except asyncio.CancelledError:
                writer.transport.abort()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        ends = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        await entered.get()
        return ends


async def _echo_after_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(-1))
    await writer.drain()
    writer.close()


@given(data=st.binary(max_size=300_000), cut=st.integers(1, 70_000))
@settings(max_examples=25, deadline=None)
def test_all_bytes_arrive_in_order_and_half_close_passes(data: bytes, cut: int) -> None:
    async def body() -> bytes:
        reader, writer = await Pair(_echo_after_end, max(cut, len(data) // 50 + 1)).connect()
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(-1), 30)

    assert asyncio.run(body()) == data


def test_a_reader_that_does_not_read_stops_the_sender() -> None:
    async def body() -> int:
        gate = asyncio.Event()

        async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await gate.wait()
            writer.close()

        pair = Pair(idle)
        _, writer = await pair.connect()
        block = bytes(1 << 16)
        try:
            while True:
                writer.write(block)
                await asyncio.wait_for(writer.drain(), 0.5)
        except asyncio.TimeoutError:
            pass
        sent = pair.in_flight
        gate.set()
        return sent

    # The window, what sockets and their buffers hold, nothing without bound.
    assert asyncio.run(body()) < WINDOW + (16 << 20)


def test_a_service_that_is_gone_is_a_closed_connection() -> None:
    async def body() -> bytes:
        pair = Pair(_echo_after_end)
        pair.far._opened = _refuse
        reader, _ = await pair.connect()
        try:
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""

    assert asyncio.run(body()) == b""


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_nothing_but_value_error(data: bytes) -> None:
    async def nowhere(frame: bytes) -> None: ...

    async def body() -> None:
        mux = Mux(nowhere, _refuse, lambda: None)
        try:
            mux.feed(data)
        except ValueError:
            pass
        mux.close()

    asyncio.run(body())


def test_a_frame_longer_than_allowed_is_refused() -> None:
    async def nowhere(frame: bytes) -> None: ...

    with pytest.raises(ValueError):
        Mux(nowhere, _refuse, lambda: None).feed(HEADER.pack(1, 1, CHUNK + 1))
