"""The worker's API on loopback: its orders, and its tasks for whoever watches them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from aiohttp import web

from workflows.core.failure import Failed
from workflows.localnet.service import HttpService
from workflows.localnet.worker.record import Record

STAGES = ("pre-compute", "app", "post-compute")
_PATIENCE = 10.0  # seconds: a watcher may ask before the worker has seen the deal


class Preparing(Protocol):
    """What must be over before tasks run."""

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        ...

    def follow(self) -> AsyncIterator[str]:
        """NDJSON of what happens until then; a last line of type `end` only when it failed."""
        ...


MakeOrder = Callable[[int, str, int], Awaitable[dict[str, str]]]


class Api(HttpService):
    """`order(category, tag, volume)` signs a workerpool order; `find(taskid)` gives a record or None."""

    def __init__(
        self,
        worker: str,
        order: MakeOrder,
        find: Callable[[str], Record | None],
        preparation: Preparing | None = None,
    ) -> None:
        super().__init__()
        self._worker = worker
        self._order = order
        self._find = find
        self._preparation = preparation
        self.app.add_routes(
            [
                web.get("/workerpoolorder", self._workerpool_order),
                web.get("/tasks/{task}", self._task),
                web.get("/tasks/{task}/events", self._events),
                web.get("/tasks/{task}/logs", self._logs),
            ]
        )

    async def _workerpool_order(self, request: web.Request) -> web.Response:
        """`?category=0[&tag=0x…][&volume=1]`: the signed order in the SDK's form."""
        try:
            category, volume = int(request.query["category"]), int(request.query.get("volume", "1"))
        except (KeyError, ValueError):
            return web.json_response({"error": "category must be a number"}, status=400)
        try:
            order = await self._order(category, request.query.get("tag", ""), volume)
        except Failed as error:
            return web.json_response({"error": error.message, "name": error.name}, status=400)
        return web.json_response(order)

    async def _task(self, request: web.Request) -> web.Response:
        record = await self._wanted(request, 0)
        return web.json_response(record.document())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """NDJSON: history first, then live, closed by one `{"type":"end"}`; empty lines mean nothing.

        Before the first task of a localnet the preparation comes first, and its failure is the end.
        """
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        known = self._find(request.match_info["task"].lower())
        if self._preparation and not self._preparation.done and not (known and known.ended):
            await answer.prepare(request)
            async for line in self._preparation.follow():
                await answer.write(line.encode() + b"\n")
            if not self._preparation.done:
                await answer.write_eof()
                return answer
        record = await self._record(request, _PATIENCE)
        if record is None and not answer.prepared:
            raise _unknown()
        await answer.prepare(request)
        if record is not None:
            async for line in record.follow():
                await answer.write(line.encode() + b"\n")
        await answer.write_eof()
        return answer

    async def _logs(self, request: web.Request) -> web.Response:
        """What the enclaves printed, in iexec-core's shape."""
        record = await self._wanted(request, 0)
        printed = await asyncio.to_thread(record.printed, *STAGES)
        log = {"walletAddress": self._worker, "stdout": printed["out"], "stderr": printed["err"]}
        return web.json_response([log])

    async def _wanted(self, request: web.Request, patience: float) -> Record:
        record = await self._record(request, patience)
        if record is None:
            raise _unknown()
        return record

    async def _record(self, request: web.Request, patience: float) -> Record | None:
        deadline = time.monotonic() + patience
        while True:
            record = self._find(request.match_info["task"].lower())
            if record is not None or time.monotonic() >= deadline:
                return record
            await asyncio.sleep(0.05)


def _unknown() -> web.HTTPNotFound:
    return web.HTTPNotFound(text='{"error": "no such task"}', content_type="application/json")
