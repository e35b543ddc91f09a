"""One server of the localnet: an aiohttp application at the root of its own origin on loopback.

Each service has a port of its own because clients drop any path prefix of a base URL (iexec SDK
`new URL(endpoint, api)`). The Host header is checked against a list, so that a web page that points a name
of its own at 127.0.0.1 (DNS rebinding) is refused.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK: Final = "127.0.0.1"
HOSTS: Final = frozenset(
    # loopback, then the names that the relay gives the services inside the task network
    {"127.0.0.1", "localhost", "[::1]", "cas", "las", "sms", "ipfs", "worker", "proxy"}
)


class HttpService:
    """A server that is built stopped; `start` binds, `stop` closes every connection."""

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
        self.port = port
        self.app = web.Application(middlewares=[self._check_host], client_max_size=max_body)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Listen; a port of 0 becomes the one that the system chose. OSError: the port is taken."""
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, self.port, ssl_context=self._tls).start()
        except BaseException:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
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
        if name not in self._hosts:
            return web.Response(status=403, text="this server answers to its own names only\n")
        return await handler(request)
