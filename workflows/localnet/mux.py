"""Many connections over one byte stream, with half-close and back-pressure; both ends of the relay use it.

The relay container runs this very file, so it needs nothing but Python's standard library.
Frame: kind (1 byte), connection (4), length (4), payload. A receiver grants credit for what it has handed
on; a sender without credit stops reading from its socket, so a slow reader never fills anybody's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
from collections.abc import Awaitable, Callable

OPEN, DATA, EOF, RESET, CREDIT, READY = range(6)
HEADER = struct.Struct("!BII")
WINDOW = 1 << 18
CHUNK = 1 << 16
MAX_CONNECTIONS = 256  # times WINDOW fits into the memory of the relay container


class Channel:
    """One connection: how much may be sent, and what came in."""

    def __init__(self) -> None:
        self.credit = WINDOW
        self.more_credit = asyncio.Event()
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None


class Mux:
    """`send` puts one frame on the stream. `opened(number, payload)` serves a connection the peer opened."""

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        opened: Callable[[int, bytes], Awaitable[None]],
        ready: Callable[[], None],
    ) -> None:
        self._send = send
        self._opened = opened
        self._ready = ready
        self._channels: dict[int, Channel] = {}
        self._buffer = bytearray()

    async def frame(self, kind: int, number: int = 0, payload: bytes = b"") -> None:
        """Send one frame."""
        await self._send(HEADER.pack(kind, number, len(payload)) + payload)

    def feed(self, data: bytes) -> None:
        """Bytes from the stream, cut anywhere. ValueError: the peer does not speak this protocol."""
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= HEADER.size:
            kind, number, length = HEADER.unpack_from(self._buffer, at)
            if kind > READY or length > CHUNK:
                raise ValueError("damaged relay stream")
            if len(self._buffer) - at - HEADER.size < length:
                break
            at += HEADER.size
            self._take(kind, number, bytes(self._buffer[at : at + length]))
            at += length
        del self._buffer[:at]

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        channel = self._channels.get(number)
        if kind == READY:
            self._ready()
        elif kind == OPEN and channel is None:
            channel = self._channels[number] = Channel()
            channel.task = asyncio.ensure_future(self._serve(number, payload))
        elif channel is None:
            return  # late frames of a connection that is over
        elif kind == DATA:
            channel.incoming.put_nowait(payload)
        elif kind == EOF:
            channel.incoming.put_nowait(None)
        elif kind == CREDIT:
            channel.credit += int.from_bytes(payload, "big")
            channel.more_credit.set()
        elif kind == RESET:
            self._channels.pop(number)
            if channel.task:
                channel.task.cancel()

    async def _serve(self, number: int, payload: bytes) -> None:
        try:
            await self._opened(number, payload)
        except asyncio.CancelledError:
            return
        except Exception:  # a service that is gone is a refused connection, not the end of the relay
            await self._reset(number)

    async def call(
        self, number: int, payload: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Open a connection at the peer and carry it to its end."""
        if len(self._channels) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        channel = self._channels[number] = Channel()
        channel.task = asyncio.current_task()
        await self.frame(OPEN, number, payload)
        await self.carry(number, reader, writer)

    async def carry(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy both ways until both ways have ended."""
        channel = self._channels[number]
        ways = [
            asyncio.ensure_future(self._outwards(number, channel, reader)),
            asyncio.ensure_future(self._inwards(number, channel, writer)),
        ]
        try:
            await asyncio.gather(*ways)
            writer.close()
        except BaseException as error:
            writer.transport.abort()
            if not isinstance(error, OSError):
                raise
            await self._reset(number)
        finally:
            for way in ways:
                way.cancel()
            self._channels.pop(number, None)

    async def _outwards(self, number: int, channel: Channel, reader: asyncio.StreamReader) -> None:
        while True:
            while channel.credit <= 0:
                channel.more_credit.clear()
                await channel.more_credit.wait()
            data = await reader.read(min(CHUNK, channel.credit))
            if not data:
                await self.frame(EOF, number)
                return
            channel.credit -= len(data)
            await self.frame(DATA, number, data)

    async def _inwards(self, number: int, channel: Channel, writer: asyncio.StreamWriter) -> None:
        owed = 0
        while (data := await channel.incoming.get()) is not None:
            writer.write(data)
            await writer.drain()
            owed += len(data)
            if owed >= WINDOW // 4 or channel.incoming.empty():
                await self.frame(CREDIT, number, owed.to_bytes(4, "big"))
                owed = 0
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _reset(self, number: int) -> None:
        if self._channels.pop(number, None):
            await self.frame(RESET, number)

    def close(self) -> None:
        """End every connection at once."""
        for channel in list(self._channels.values()):
            if channel.task:
                channel.task.cancel()
        self._channels.clear()


async def _main(ports: list[int]) -> None:
    """The program in the relay container: listen on each port, carry everything over stdin and stdout."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout.buffer)
    stdout = asyncio.StreamWriter(transport, protocol, None, loop)

    async def send(frame: bytes) -> None:
        stdout.write(frame)
        await stdout.drain()

    async def refuse(number: int, payload: bytes) -> None:
        raise ConnectionRefusedError  # nobody opens connections into the task network

    mux = Mux(send, refuse, lambda: None)
    numbers = iter(range(1, 1 << 32))

    def serve(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = {"port": port, "peer": writer.get_extra_info("peername")[0]}
            with contextlib.suppress(asyncio.CancelledError):
                await mux.call(next(numbers), json.dumps(peer).encode(), reader, writer)

        return accepted

    for port in ports:
        await asyncio.start_server(serve(port), "0.0.0.0", port)  # noqa: S104 - inside the task network only
    await mux.frame(READY)
    while data := await stdin.read(1 << 20):
        mux.feed(data)


if __name__ == "__main__":
    asyncio.run(_main([int(argument) for argument in sys.argv[1:]]))
