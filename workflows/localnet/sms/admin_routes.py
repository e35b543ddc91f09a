"""The /admin endpoints: who may use them, one operation at a time, and the maintenance during a restore.

As iexec-sms has them (`AdminController`, `ApiKeyRequestFilter`, `OutOfServiceRequestFilter`), but for the comparison
of keys, which takes as long for a wrong one as for the right one, and for paths (see `backups`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from workflows.core.failure import Failed
from workflows.localnet.service import Handler
from workflows.localnet.sms.backups import Backups, file_name, folder_name
from workflows.localnet.sms.incoming import Operation, query
from workflows.localnet.vault import read_private

log = logging.getLogger(__name__)

HEADER = "X-API-KEY"
DISABLED = "This endpoint is disabled."
UNAUTHORISED = "You are not authorized to access this endpoint."
MAINTENANCE = "The server is temporarily unable to serve your request due to maintenance downtime"
_CLOSED_MEANWHILE = ("tee", "secrets", "apps", "requesters")
_ANSWERS = (200, 400, 401, 403, 404, 429, 500)
_PATIENCE = 0.1  # seconds that an operation waits for the one before it


class AdminKey:
    """What opens /admin: `given` at the start, or in a private file, which is looked at with every request."""

    def __init__(self, path: Path, given: str = "") -> None:
        self._path = path
        self._given = given.strip()

    def current(self) -> str:
        """The key; empty when there is none, and /admin is closed."""
        if self._given:
            return self._given
        try:
            return read_private(self._path).decode("utf-8", "replace").strip()
        except Failed as failure:
            log.warning("/admin stays closed: %s", failure.message)
        except OSError:
            pass
        return ""


class AdminRoutes:
    """Handlers over backups, and the gates that stand before all routes."""

    def __init__(self, backups: Backups, key: AdminKey) -> None:
        self._backups = backups
        self._key = key
        self._one = asyncio.Lock()
        self._restoring = False

    def table(self) -> list[web.RouteDef]:
        """The routes of these endpoints."""
        return [
            web.post("/admin/backup", self.backup),
            web.post("/admin/{storage}/replicate-backup", self.replicate),
            web.post("/admin/{storage}/restore-backup", self.restore),
            web.delete("/admin/{storage}/delete-backup", self.delete),
            web.post("/admin/{storage}/copy-to/{destination}", self.copy),
        ]

    @web.middleware
    async def gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """403 without a key of ours, 401 without the caller's; 503 for what a restore changes."""
        first = request.path.lstrip("/").partition("/")[0]
        if first == "admin":
            wanted = self._key.current()
            if not wanted:
                return web.Response(status=403, text=DISABLED)
            if not _same(request.headers.get(HEADER, ""), wanted):
                return web.Response(status=401, text=UNAUTHORISED)
        elif self._restoring and first in _CLOSED_MEANWHILE:
            return web.Response(status=503, text=MAINTENANCE)
        return await handler(request)

    @Operation((201, 401, 403, 429, 500), header=HEADER)
    async def backup(self, request: web.Request) -> web.Response:
        """A snapshot of the database."""
        return await self._do(self._backups.create, done=201)

    @Operation(_ANSWERS, query=("fileName",), header=HEADER)
    async def replicate(self, request: web.Request) -> web.Response:
        """The snapshot copied to another folder of the storage."""
        place, name = _place(request, "storage"), _file(request, "fileName")
        return await self._do(lambda: self._backups.replicate(place, name))

    @Operation(_ANSWERS, query=("fileName",), header=HEADER)
    async def restore(self, request: web.Request) -> web.Response:
        """The database as it was in a backup; secrets are out of service meanwhile."""
        place, name = _place(request, "storage"), _file(request, "fileName")
        return await self._do(lambda: self._backups.restore(place, name), closed=True)

    @Operation(_ANSWERS, query=("fileName",), header=HEADER)
    async def delete(self, request: web.Request) -> web.Response:
        """A backup removed."""
        place, name = _place(request, "storage"), _file(request, "fileName")
        return await self._do(lambda: self._backups.delete(place, name))

    @Operation(_ANSWERS, query=("sourceFileName",), optional=("destinationFileName",), header=HEADER)
    async def copy(self, request: web.Request) -> web.Response:
        """A backup copied from folder to folder, under the same name unless another is given."""
        place, name = _place(request, "storage"), _file(request, "sourceFileName")
        other = _place(request, "destination")
        new = (
            _file(request, "destinationFileName")
            if request.query.get("destinationFileName", "").strip()
            else name
        )
        return await self._do(lambda: self._backups.copy(place, name, other, new))

    async def _do(self, work: Callable[[], None], done: int = 200, closed: bool = False) -> web.Response:
        """429 while another operation runs, 404 for what is not there, 500 for what cannot be done."""
        try:
            await asyncio.wait_for(self._one.acquire(), _PATIENCE)
        except asyncio.TimeoutError:
            return web.Response(status=429)
        self._restoring = closed
        try:
            await asyncio.to_thread(work)
        except LookupError:
            return web.Response(status=404)
        except (Failed, OSError, sqlite3.Error) as error:
            log.warning(
                "admin operation failed: %s", error if isinstance(error, Failed) else type(error).__name__
            )
            return web.Response(status=500)
        finally:
            self._restoring = False
            self._one.release()
        return web.Response(status=done)


def _same(presented: str, wanted: str) -> bool:
    """In constant time, whatever the lengths."""
    one, other = (
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (presented, wanted)
    )
    return hmac.compare_digest(one, other)


def _place(request: web.Request, name: str) -> str:
    try:
        return folder_name(request.match_info[name])
    except ValueError:
        raise web.HTTPBadRequest(text="A storage id is the hex of a folder's path.") from None


def _file(request: web.Request, name: str) -> str:
    try:
        return file_name(query(request, name))
    except ValueError:
        raise web.HTTPBadRequest(
            text=f"'{name}' is a file name of letters, digits, dot, dash and underscore, and not that of a key."
        ) from None
