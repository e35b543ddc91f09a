"""One server of the localnet: an aiohttp application at the root of its own origin on loopback.

It may have a second door for other machines: another port, under TLS. Each service has a port of its own
because clients drop any path prefix of a base URL (iexec SDK `new URL(endpoint, api)`). The Host header is
checked against a list, so that a web page that points a name of its own here (DNS rebinding) is refused.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from workflows.core.failure import Unavailable

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK: Final = "127.0.0.1"
PATIENCE = 20.0  # seconds in which a body has to come
MOST_AT_ONCE: Final = 16  # requests of one client from outside that a server works at; its others wait
IDLE: Final = 75.0  # seconds that a connection may be open without a whole request; aiohttp has an hour
HOSTS: Final = frozenset(
    # loopback, then the names that the relay gives the services inside the task network
    {"127.0.0.1", "localhost", "[::1]", "cas", "las", "sms", "ipfs", "worker", "proxy"}
)


@dataclass(frozen=True)
class Door:
    """Where other machines come in. `hosts` are as in URLs and Host headers; the first is in the URL."""

    address: str
    hosts: tuple[str, ...]
    tls: ssl.SSLContext


def _without_the_request(record: logging.LogRecord) -> bool:
    """Of what is hardly HTTP aiohttp logs the bytes, which may be a signature or a secret: only that it came."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args, record.exc_info = "a request was no HTTP: %s", (type(error).__name__,), None
    return True


log.addFilter(_without_the_request)


async def read_body(request: web.Request) -> bytes:
    """The body of a request, 408 when it does not come: who stops in the middle holds nothing for ever."""
    try:
        return await asyncio.wait_for(request.read(), PATIENCE)
    except asyncio.TimeoutError:
        raise web.HTTPRequestTimeout from None


async def read_json(request: web.Request) -> Any:
    """The JSON of a request's body, UTF-8 whatever the headers say. ValueError: it is none."""
    try:
        return json.loads(await read_body(request))
    except RecursionError:
        raise ValueError("nested too deeply") from None


@web.middleware
async def _readable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """400 for a body that is not coded as its headers say."""
    try:
        return await handler(request)
    except web.RequestPayloadError:
        return web.Response(status=400)


class HttpService:
    """A server that is built stopped; `start` binds, `stop` closes every connection.

    `port` is a wish: the system chooses when it is 0 or taken.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        max_body: int = 1 << 20,
        hosts: frozenset[str] = HOSTS,
    ) -> None:
        self._tls = tls
        self._hosts = hosts
        self._runner: web.AppRunner | None = None
        self._door: Door | None = None
        self.port = port
        self.public_port = 0
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self.app = web.Application(
            middlewares=[_readable, self._check_host, self._take_turns], client_max_size=max_body
        )

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://{LOOPBACK}:{self.port}"

    @property
    def public_url(self) -> str | None:
        """The base URL for other machines; None when there is no door for them."""
        return f"https://{self._door.hosts[0]}:{self.public_port}" if self._door else None

    def open(self, door: Door, port: int = 0) -> None:
        """Let other machines in as well, from the next start on; `port` is a wish."""
        self._door, self.public_port = door, port

    async def start(self) -> None:
        """Listen. Unavailable: not at this address."""
        runner = web.AppRunner(
            self.app, access_log=None, logger=log, shutdown_timeout=1.0, keepalive_timeout=IDLE
        )
        await runner.setup()
        try:
            self.port = await _listen(runner, LOOPBACK, self.port, self._tls)
            if self._door:
                self.public_port = await _listen(runner, self._door.address, self.public_port, self._door.tls)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening and close what is open; harmless when not started."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    @web.middleware
    async def _check_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host = (request.headers.get("Host") or "").lower()
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name not in (door.hosts if (door := self._entered(request)) else self._hosts):
            return web.Response(status=403, text="this server answers to its own names only\n")
        return await handler(request)

    @web.middleware
    async def _take_turns(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What one client asks for all at once must not keep the others from being served."""
        if self._entered(request) is None:
            return await handler(request)
        client = request.remote or ""
        turn = self._turns.setdefault(client, asyncio.Semaphore(MOST_AT_ONCE))
        async with turn:
            return await handler(request)

    def _entered(self, request: web.Request) -> Door | None:
        """The door through which a request came; None on loopback."""
        here = request.transport and request.transport.get_extra_info("sockname")
        return None if here and here[:2] == (LOOPBACK, self.port) else self._door


async def _listen(runner: web.AppRunner, address: str, port: int, tls: ssl.SSLContext | None) -> int:
    sock = bound(address, port)
    await web.SockSite(runner, sock, ssl_context=tls).start()
    return int(sock.getsockname()[1])


def bound(address: str, port: int) -> socket.socket:
    """A listening socket at the wished port, at another one when it is taken. Unavailable: not at this address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        if not port or error.errno != errno.EADDRINUSE:
            raise Unavailable(
                f"nothing can listen at {address}: {os.strerror(error.errno or 0)}",
                "Give --listen an address that this machine has.",
                name="listen",
            ) from None
        return socket.create_server((address, 0), family=family)
