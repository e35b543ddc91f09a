"""What the SMS says of itself: /version, /metrics, /actuator/health and /v3/api-docs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from workflows.localnet.sms.answers import document
from workflows.localnet.sms.store import Store

# The real service's names of what it counts (`SecretsConfig`), and our kinds of each.
_MEASURED = {
    "web2": ("web2",),
    "web3": ("web3",),
    "compute": ("app", "requester"),
    "TEE challenges": ("challenge",),
    "Ethereum Credentials": ("challenge",),
}


class StatusRoutes:
    """Handlers that tell of the store and of the application's own routes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def table(self) -> list[web.RouteDef]:
        """The routes of these endpoints."""
        return [
            web.get("/version", self.version),
            web.get("/metrics", self.metrics),
            web.get("/actuator/health", self.health),
            web.get("/v3/api-docs", self.api_docs),
        ]

    async def version(self, request: web.Request) -> web.Response:
        """The version, and that nothing here is protected by SGX."""
        return web.Response(text=_version())

    async def health(self, request: web.Request) -> web.Response:
        """That it is up."""
        return document({"status": "UP"})

    async def metrics(self, request: web.Request) -> web.Response:
        """How many secrets and challenges there are, were at the start, and came since."""
        stored = await asyncio.to_thread(self._store.counts)
        return document({"secretsMetrics": {name: self._measured(name, stored) for name in _MEASURED}})

    async def api_docs(self, request: web.Request) -> web.Response:
        """This surface as OpenAPI, read off the routes that are served."""
        paths: dict[str, dict[str, Any]] = {}
        for route in request.app.router.routes():
            if route.resource is not None and route.method != "OPTIONS":
                path = route.resource.canonical
                paths.setdefault(path, {})[route.method.lower()] = _operation(path, route)
        return document(
            {
                "openapi": "3.1.0",
                "info": {"title": "iExec SMS", "version": _version()},
                "servers": [{"url": str(request.url.origin()), "description": "Generated server url"}],
                "paths": paths,
            }
        )

    def _measured(self, name: str, stored: Mapping[str, int]) -> dict[str, Any]:
        def total(counts: Mapping[str, int]) -> int:
            return sum(counts.get(kind, 0) for kind in _MEASURED[name])

        return {
            "secretsType": name,
            "initialCount": total(self._store.initial),
            "storedCount": total(stored),
            "addedSinceStartCount": total(self._store.added),
            "cachedSecretsCount": 0,  # existence is looked up, not cached
        }


def _version() -> str:
    from importlib.metadata import version

    return f"{version('creamtea')}-SIMULATED"


def _operation(path: str, route: web.AbstractRoute) -> dict[str, Any]:
    names = re.findall(r"{(\w+)", path)
    return {
        "operationId": getattr(route.handler, "__name__", ""),
        "summary": (route.handler.__doc__ or "").partition("\n")[0],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ],
        "responses": {"default": {"description": "see docs/sms.md"}},
    }
