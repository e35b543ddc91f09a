"""What a request must bring, 400 without it; said beside each handler, so that /v3/api-docs can tell it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from workflows.localnet.service import read_body

F = TypeVar("F", bound=Callable[..., Any])

SIGNATURE = "Authorization"
TEXT, JSON = "text/plain", "application/json"


@dataclass(frozen=True)
class Operation:
    """A handler's decorator: statuses that it answers with, and what it takes beside its path.

    `optional`: parameters of the query that may be missing. `body`: its media type.
    """

    answers: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    header: str = ""
    body: str = ""

    def __call__(self, handler: F) -> F:
        """Note it of a handler."""
        vars(handler)["operation"] = self
        return handler


def operation_of(handler: Any) -> Operation:
    """What is noted of a handler."""
    noted = getattr(handler, "operation", None)
    return noted if isinstance(noted, Operation) else Operation()


def query(request: web.Request, name: str) -> str:
    """A parameter of the query; it may be empty."""
    value = request.query.get(name)
    if value is None:
        raise web.HTTPBadRequest(text=f"Required parameter '{name}' is not present.")
    return value


def signature(request: web.Request) -> str:
    """What the Authorization header holds, whatever it is."""
    value = request.headers.get(SIGNATURE)
    if value is None:
        raise web.HTTPBadRequest(text=f"Required header '{SIGNATURE}' is not present.")
    return value


async def text(request: web.Request) -> str:
    """The body as UTF-8, whatever its headers say."""
    body = await read_body(request)
    if not body:
        raise web.HTTPBadRequest(text="Required request body is missing.")
    return body.decode("utf-8", "replace")
