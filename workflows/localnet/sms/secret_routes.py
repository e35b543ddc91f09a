"""The secret endpoints: /secrets/web3, /secrets/web2, /apps and /requesters, as sms.md §2 and §3 have them.

Order of checks: authorisation, key format, size, store. There is no way to read a secret over HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from aiohttp import web

from workflows.iexec import challenge, ids
from workflows.iexec.params import SECRET_NAME
from workflows.localnet.sms.answers import errors
from workflows.localnet.sms.authorisation import signed_by
from workflows.localnet.sms.chain import Chain
from workflows.localnet.sms.incoming import SIGNATURE, TEXT, Operation, query, signature, text
from workflows.localnet.sms.spring import options
from workflows.localnet.sms.store import Kind, Store

log = logging.getLogger(__name__)

MAX_SIZE = 4096
_BAD_KEY = "Secret key should contain at most 64 characters from [0-9A-Za-z-_]"
_TOO_LARGE = "Secret size should not exceed 4 Kb"
_EXISTS = "Secret already exists"
_ABSENT = "Secret not found"
_UNAUTHORISED = "Invalid authorization"


class SecretRoutes:
    """Handlers over a store; owners of apps and datasets come from the chain."""

    def __init__(self, store: Store, chain: Callable[[], Chain]) -> None:
        self._store = store
        self._chain = chain

    def table(self) -> list[web.RouteDef]:
        """The routes of these endpoints."""
        web3, web2, app, requester = (
            "/secrets/web3",
            "/secrets/web2",
            "/apps/{app}/secrets",
            "/requesters/{owner}/secrets/{key}",
        )
        return [  # all of a path together: only so are they one resource, whose methods OPTIONS tells
            web.head(web3, self.has_web3),
            web.post(web3, self.add_web3),
            web.options(web3, options),
            web.head(web2, self.has_web2),
            web.post(web2, self.add_web2),
            web.put(web2, self.update_web2),
            web.options(web2, options),
            web.head(app, self.has_app),
            web.post(app, self.add_app),
            web.options(app, options),
            web.head(requester, self.has_requester),
            web.post(requester, self.add_requester),
            web.options(requester, options),
        ]

    @Operation((204, 400, 404, 503), query=("secretAddress",))
    async def has_web3(self, request: web.Request) -> web.Response:
        """204 or 404."""
        address = query(request, "secretAddress")
        there = await asyncio.to_thread(self._store.has, "web3", address)
        return web.Response(status=204 if there else 404)

    @Operation((204, 400, 401, 409, 413, 503), query=("secretAddress",), header=SIGNATURE, body=TEXT)
    async def add_web3(self, request: web.Request) -> web.Response:
        """A dataset's key, once and for ever, by the owner of the dataset."""
        address = query(request, "secretAddress")
        signed, value = signature(request), await text(request)
        if not await self._by_owner(address, lambda: challenge.web3(address, value), signed):
            return web.Response(status=401)
        if _too_large(value):
            return web.Response(status=413)
        added = await self._add("web3", address, "", value)
        return web.Response(status=204 if added else 409)

    @Operation((204, 400, 404, 503), query=("ownerAddress", "secretName"))
    async def has_web2(self, request: web.Request) -> web.Response:
        """204 or 404."""
        owner, name = query(request, "ownerAddress"), query(request, "secretName")
        there = await asyncio.to_thread(self._store.has, "web2", owner, name)
        return web.Response(status=204 if there else 404)

    @Operation(
        (204, 400, 401, 409, 413, 503), query=("ownerAddress", "secretName"), header=SIGNATURE, body=TEXT
    )
    async def add_web2(self, request: web.Request) -> web.Response:
        """A named secret of a wallet."""
        return await self._put_web2(request, update=False)

    @Operation(
        (204, 400, 401, 404, 413, 503), query=("ownerAddress", "secretName"), header=SIGNATURE, body=TEXT
    )
    async def update_web2(self, request: web.Request) -> web.Response:
        """A new value for a named secret; the only kind that can change."""
        return await self._put_web2(request, update=True)

    @Operation((204, 404, 503))
    async def has_app(self, request: web.Request) -> web.Response:
        """204 or 404."""
        there = await asyncio.to_thread(self._store.has, "app", request.match_info["app"], "1")
        return web.Response(status=204) if there else errors(404, _ABSENT)

    @Operation((204, 400, 401, 409, 413, 503), header=SIGNATURE, body=TEXT)
    async def add_app(self, request: web.Request) -> web.Response:
        """The one secret of an app's developer, by the owner of the app."""
        address = request.match_info["app"].lower()
        signed, value = signature(request), await text(request)
        if not await self._by_owner(address, lambda: challenge.app(address, value), signed):
            return errors(401, _UNAUTHORISED)
        if _too_large(value):
            return errors(413, _TOO_LARGE)
        added = await self._add("app", address, "1", value)
        return web.Response(status=204) if added else errors(409, _EXISTS)

    @Operation((204, 400, 404, 503))
    async def has_requester(self, request: web.Request) -> web.Response:
        """204, 404, or 400 for a key that cannot be."""
        owner, key = request.match_info["owner"], request.match_info["key"]
        if not SECRET_NAME.match(key):
            return errors(400, _BAD_KEY)
        there = await asyncio.to_thread(self._store.has, "requester", owner, key)
        return web.Response(status=204) if there else errors(404, _ABSENT)

    @Operation((204, 400, 401, 409, 413, 503), header=SIGNATURE, body=TEXT)
    async def add_requester(self, request: web.Request) -> web.Response:
        """A requester's secret, by the requester. Oversize is 400 here, unlike everywhere else."""
        owner, key = request.match_info["owner"].lower(), request.match_info["key"]
        signed, value = signature(request), await text(request)
        if not await _by_self(owner, lambda: challenge.requester(owner, key, value), signed):
            return errors(401, _UNAUTHORISED)
        if not SECRET_NAME.match(key):
            return errors(400, _BAD_KEY)
        if _too_large(value):
            return errors(400, _TOO_LARGE)
        added = await self._add("requester", owner, key, value)
        return web.Response(status=204) if added else errors(409, _EXISTS)

    async def _put_web2(self, request: web.Request, *, update: bool) -> web.Response:
        owner, name = query(request, "ownerAddress"), query(request, "secretName")
        signed, value = signature(request), await text(request)
        if not await _by_self(owner, lambda: challenge.web2(owner, name, value), signed):
            return web.Response(status=401)
        if _too_large(value):
            return web.Response(status=413)
        if update:
            updated = await asyncio.to_thread(self._store.update, "web2", owner, name, value)
            return web.Response(status=204 if updated else 404)
        added = await self._add("web2", owner, name, value)
        return web.Response(status=204 if added else 409)

    async def _add(self, kind: Kind, owner: str, name: str, value: str) -> bool:
        """Whether it was stored; a database that fails is a no, as with the real service."""
        try:
            return await asyncio.to_thread(self._store.add, kind, owner, name, value)
        except sqlite3.Error as error:
            log.warning("a secret was not stored, the database failed: %s", type(error).__name__)
            return False

    async def _by_owner(self, address: str, digest: Callable[[], str], signed: str) -> bool:
        """Whether the on-chain owner of `address` signed; no answer from the chain is a no."""

        def decide() -> bool:
            try:
                # the node of the real service knows no address without 0x, and takes any case
                owner = self._chain().owner(ids.address(address.lower()))
                return signed_by(digest(), signed, owner)
            except Exception:  # not deployed, not an address, no chain: nobody owns it
                return False

        return await asyncio.to_thread(decide)


async def _by_self(address: str, digest: Callable[[], str], signed: str) -> bool:
    def decide() -> bool:
        try:
            return signed_by(digest(), signed, address)
        except ValueError:
            return False

    return await asyncio.to_thread(decide)


def _too_large(value: str) -> bool:
    return len(value.encode()) > MAX_SIZE
