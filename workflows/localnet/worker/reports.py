"""Where pre-compute and post-compute report to, inside the task network as `worker:13100`.

An app in the same network must not be able to speak for them: a report counts when the task's enclave key
signed keccak(task ‖ worker). Without a key a stage can only say that it has none.
"""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from workflows.core.text import clean
from workflows.iexec.ids import keccak_hex
from workflows.iexec.signatures import signer_of
from workflows.localnet.service import HttpService, read_json

_STAGES = {"pre": "pre-compute", "post": "post-compute"}
_CAUSE = re.compile(r"(PRE|POST)_COMPUTE_[A-Z_]{1,60}")
_Kind = TypeVar("_Kind", dict[str, Any], list[Any])
_UNSIGNED = ("WORKER_ADDRESS_MISSING", "TEE_CHALLENGE_PRIVATE_KEY_MISSING", "INVALID_TEE_SIGNATURE")


@dataclass
class Expected:
    """A running task: who may report for it, and what was reported; `causes` as (name, message) by stage."""

    task: str
    worker: str
    enclave: str
    causes: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    computed: dict[str, Any] | None = None

    def signed(self, signature: str) -> bool:
        """Whether the task's enclave key made this signature."""
        return signer_of(keccak_hex(self.task, self.worker), signature) == self.enclave


class Reports(HttpService):
    """`expect` opens the door for one task, `forget` closes it."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._expected: dict[str, Expected] = {}
        self.app.add_routes(
            [
                web.post("/compute/{stage:pre|post}/{task}/exit-causes", self._exit),
                web.post("/compute/{stage:post}/{task}/computed", self._computed),
            ]
        )

    def expect(self, task: str, worker: str, enclave: str) -> Expected:
        """Take reports for a task from now on."""
        with self._lock:
            self._expected[task] = found = Expected(task, worker, enclave)
        return found

    def forget(self, task: str) -> None:
        """Take no more."""
        with self._lock:
            self._expected.pop(task, None)

    async def _exit(self, request: web.Request) -> web.Response:
        expected, stage, told = await self._read(request, list)
        prefix = request.match_info["stage"].upper() + "_"
        causes = tuple(_cause(one, prefix) for one in told)
        if not causes:
            raise web.HTTPBadRequest(text="no causes\n")
        if not all(name.endswith(_UNSIGNED) for name, _ in causes):
            await self._need_signature(request, expected)
        expected.causes.setdefault(stage, causes)
        return web.Response()

    async def _computed(self, request: web.Request) -> web.Response:
        expected, _, document = await self._read(request, dict)
        await self._need_signature(request, expected)
        expected.computed = document
        return web.Response()

    async def _read(self, request: web.Request, kind: type[_Kind]) -> tuple[Expected, str, _Kind]:
        expected = self._expected.get(request.match_info["task"])
        if expected is None:
            raise web.HTTPNotFound(text="this task is not running\n")
        try:
            document = await read_json(request)
        except ValueError:
            document = None
        if not isinstance(document, kind):
            raise web.HTTPBadRequest(text="not the JSON that belongs here\n")
        return expected, _STAGES[request.match_info["stage"]], document

    @staticmethod
    async def _need_signature(request: web.Request, expected: Expected) -> None:
        if not await asyncio.to_thread(expected.signed, request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(text="not signed by the enclave of this task\n")


def _cause(told: Any, prefix: str) -> tuple[str, str]:
    """The name and the message of a cause that a stage may have; 400 for anything else."""
    name = str(told.get("cause")) if isinstance(told, dict) else ""
    if not _CAUSE.fullmatch(name) or not name.startswith(prefix):
        raise web.HTTPBadRequest(text="no such cause\n")
    return name, clean(str(told.get("message") or ""))[:500]
