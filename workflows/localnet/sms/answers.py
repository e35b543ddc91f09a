"""The JSON that the SMS answers with, byte for byte as Jackson writes it: no spaces, UTF-8 as it is."""

from __future__ import annotations

import functools
import json
from typing import Any

from aiohttp import web

_dumps = functools.partial(json.dumps, separators=(",", ":"), ensure_ascii=False)


def document(data: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.json_response(data, status=status, dumps=_dumps)


def errors(status: int, *messages: str) -> web.Response:
    """The body that the app and requester controllers send."""
    return document({"error": list(messages)}, status)


def error(status: int, name: str) -> web.Response:
    """The body of a session that was not made."""
    return document({"error": name}, status)
