"""The localnet's own door: its status, and leases that keep it alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from workflows.localnet.service import HttpService


class Control(HttpService):
    """`GET /status` answers the status document; `GET /lease` stays open as long as its holder lives."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._status = status
        self._leases = 0
        self._closing = False
        self._free = asyncio.Event()
        self._free.set()
        self.app.add_routes([web.get("/status", self._show), web.get("/lease", self._lease)])

    async def abandoned(self, grace: float) -> None:
        """Return once nobody has held a lease for `grace` seconds."""
        while True:
            await self._free.wait()
            await asyncio.sleep(grace)
            if self._free.is_set():
                self._closing = True  # who comes now would hold what is going away
                return

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response({**self._status(), "leases": self._leases})

    async def _lease(self, request: web.Request) -> web.StreamResponse:
        if self._closing:
            return web.Response(status=503, text="stopping\n")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        self._leases += 1
        self._free.clear()
        try:
            await answer.prepare(request)
            while request.transport is not None and not request.transport.is_closing():
                # Writing is what notices that the holder is gone without a word.
                await answer.write(b".")
                await asyncio.sleep(0.5)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._leases -= 1
            if not self._leases:
                self._free.set()
        return answer
