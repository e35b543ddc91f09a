"""What the SMS says of itself: /version, /metrics, /actuator/health and /v3/api-docs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from workflows.localnet.sms.answers import document
from workflows.localnet.sms.incoming import Operation, operation_of
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

    @Operation((200,))
    async def version(self, request: web.Request) -> web.Response:
        """The version, and that nothing here is protected by SGX."""
        return web.Response(text=_version())

    @Operation((200,))
    async def health(self, request: web.Request) -> web.Response:
        """That it is up."""
        return document({"status": "UP"})

    @Operation((200,))
    async def metrics(self, request: web.Request) -> web.Response:
        """How many secrets and challenges there are, were at the start, and came since."""
        stored = await asyncio.to_thread(self._store.counts)
        return document({"secretsMetrics": {name: self._measured(name, stored) for name in _MEASURED}})

    @Operation((200,))
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
    operation = operation_of(route.handler)
    parameters = [
        *((name, "path", True) for name in re.findall(r"{(\w+)", path)),
        *((name, "query", True) for name in operation.query),
        *((name, "query", False) for name in operation.optional),
        *([(operation.header, "header", True)] if operation.header else ()),
    ]
    document: dict[str, Any] = {
        "operationId": getattr(route.handler, "__name__", ""),
        "summary": (route.handler.__doc__ or "").partition("\n")[0],
        "parameters": [
            {"name": name, "in": place, "required": required, "schema": {"type": "string"}}
            for name, place, required in parameters
        ],
        "responses": {
            str(status): {"description": HTTPStatus(status).phrase} for status in operation.answers
        },
    }
    if operation.body:
        document["requestBody"] = {"required": True, "content": {operation.body: {}}}
    return document
