"""How task containers reach the services on loopback, with nothing listening off loopback.

One `--internal` engine network per run, and in it one relay container with the services' names as aliases.
Its standard streams are attached through the engine's API (so it works with a remote engine too), and every
connection made to it comes out here, on the host side, as one to a loopback port or to a handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import socket
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from workflows.containers.container import Container
from workflows.core.failure import Unavailable
from workflows.core.text import clean
from workflows.localnet.leftovers import labels, sweep
from workflows.localnet.mux import Mux

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]
Route = tuple[str, int] | Handler

ALIASES = ("cas", "las", "sms", "ipfs", "worker", "proxy")
_PYTHON = "/usr/bin/python3"
_START_SECONDS = 30.0
_QUEUED = 256


class Relay:
    """`routes` maps (alias, port inside) to a loopback address or to `handler(reader, writer, peer_ip)`.

    `image` is any image with the real `/usr/bin/python3` (the stand-in's root), `network` the name of the
    network that is made. Ports inside must differ.
    """

    def __init__(
        self, engine: Engine, image: str, network: str, routes: Mapping[tuple[str, int], Route]
    ) -> None:
        self._engine = engine
        self._image = image
        self._routes = {port: route for (_, port), route in routes.items()}
        if len(self._routes) != len(routes):
            raise ValueError("two routes on one port")
        self._aliases = sorted({*ALIASES, *(alias for alias, _ in routes)})
        self.network = network
        self._made = False
        self._socket: Any = None
        self._raw: Any = None
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._errors: deque[str] = deque(maxlen=5)
        self._lost = asyncio.Event()

    async def start(self) -> None:
        """Network, container, streams; returns once the relay listens. Unavailable: it does not come up."""
        self._loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        self._mux = Mux(self._send, self._open, ready.set)
        self._slots = asyncio.Semaphore(_QUEUED)
        self._lost = asyncio.Event()
        try:
            container = await asyncio.to_thread(self._create)
            for target in (self._read, self._write):
                threading.Thread(target=target, daemon=True, name=f"relay{target.__name__}").start()
            await asyncio.to_thread(container.start)
            waits = [asyncio.ensure_future(ready.wait()), asyncio.ensure_future(self._lost.wait())]
            await asyncio.wait(waits, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if not ready.is_set():
                raise Unavailable(
                    "the relay between task containers and the localnet did not start: "
                    + (" ".join(self._errors) or "no answer"),
                    "Look at the engine's log; the relay is a plain container on an internal network.",
                    name="relay_failed",
                )
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every connection and remove container and network; harmless when repeated."""
        if hasattr(self, "_mux"):
            self._mux.close()
        self._outgoing.put(None)
        await asyncio.to_thread(self._remove)

    @property
    def alive(self) -> bool:
        """Whether the container's end is still there."""
        return self._made and not self._lost.is_set()

    async def lost(self) -> None:
        """Return once the container's end is gone: it was removed, or the engine ended it, or we stopped it."""
        await self._lost.wait()

    # -- engine side, in threads

    def _create(self) -> Container:
        sweep(self._engine)
        self._engine.make_network(self.network, labels())
        self._made = True
        source = files("workflows.localnet").joinpath("mux.py").read_text()
        container = self._engine.create(
            self._image,
            ["-IBuc", source, *map(str, sorted(self._routes))],
            entrypoint=[_PYTHON],
            name=f"{self.network}-relay",
            network=self.network,
            aliases=self._aliases,
            labels=labels(),
            user="65534:65534",
            stdin=True,
            memory=256 << 20,
            auto_remove=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            pids_limit=16,
            log_config={"type": "none"},
        )
        # Attached before the start: nothing of the stream can then hide in the buffer of the HTTP answer.
        self._socket = container.attach_socket()
        self._raw = getattr(self._socket, "_sock", self._socket)
        self._raw.settimeout(None)
        return container

    def _read(self) -> None:
        """Take the engine's stream apart: 8 bytes (1 stdout, 2 stderr; length), then that many."""
        buffer = bytearray()
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            while chunk := self._raw.recv(1 << 18):
                buffer += chunk
                at = 0
                while len(buffer) - at >= 8:
                    stream, length = struct.unpack_from("!BxxxI", buffer, at)
                    if len(buffer) - at - 8 < length:
                        break
                    payload = bytes(buffer[at + 8 : at + 8 + length])
                    at += 8 + length
                    if stream == 2:
                        self._errors.extend(
                            clean(line) for line in payload.decode(errors="replace").splitlines()
                        )
                    else:
                        self._loop.call_soon_threadsafe(self._feed, payload)
                del buffer[:at]
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._end)

    def _write(self) -> None:
        raw = self._raw
        with contextlib.suppress(OSError, RuntimeError):
            while (frame := self._outgoing.get()) is not None:
                raw.sendall(frame)
                self._loop.call_soon_threadsafe(self._slots.release)

    def _remove(self) -> None:
        if self._raw is not None:
            with contextlib.suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                self._socket.close()
        if self._made:
            remove_network(self._engine, self.network)
        self._raw, self._made = None, False

    # -- this side, on the loop

    def _feed(self, data: bytes) -> None:
        try:
            self._mux.feed(data)
        except ValueError as error:
            self._errors.append(str(error))
            self._end()

    def _end(self) -> None:
        self._lost.set()
        self._mux.close()

    async def _send(self, frame: bytes) -> None:
        await self._slots.acquire()
        self._outgoing.put(frame)

    async def _open(self, number: int, payload: bytes) -> None:
        wish = json.loads(payload)
        route = self._routes[wish["port"]]
        if isinstance(route, tuple):
            reader, writer = await asyncio.open_connection(*route)
            await self._mux.carry(number, reader, writer)
            return
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        handler = asyncio.ensure_future(self._handle(route, theirs, str(wish["peer"])))
        try:
            await self._mux.carry(number, reader, writer)
        finally:
            if not handler.done():
                await asyncio.sleep(0)
                handler.cancel()

    @staticmethod
    async def _handle(handler: Handler, end: socket.socket, peer: str) -> None:
        reader, writer = await asyncio.open_connection(sock=end)
        try:
            await handler(reader, writer, peer)
        finally:
            writer.close()


def remove_network(engine: Engine, name: str) -> None:
    """Remove a task network and every container on it; harmless when it is gone."""
    for record in engine.api.containers(all=True, filters={"network": name}):
        Container(engine.api, record["Id"]).remove()
    engine.remove_network(name)
