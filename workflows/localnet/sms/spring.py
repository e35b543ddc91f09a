"""What Spring puts around the handlers of the real service: the document of an error, and CORS."""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus

from aiohttp import web

from workflows.localnet.service import Handler
from workflows.localnet.sms.answers import document

_OPEN_TO_BROWSERS = ("/secrets/", "/apps/", "/requesters/")


@web.middleware
async def errors_as_documents(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Spring Boot's body of an error that no handler answers itself, with a `message` where we have one."""
    try:
        return await handler(request)
    except web.HTTPClientError as error:
        phrase = HTTPStatus(error.status).phrase
        body = {
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "status": error.status,
            "error": phrase,
            "path": request.path,
        }
        if error.text and error.text != f"{error.status}: {error.reason}":
            body["message"] = error.text
        answer = document(body, error.status)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


@web.middleware
async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The controllers of secrets answer a browser of any origin (`@CrossOrigin`): what they take is signed."""
    response = await handler(request)
    if "Origin" in request.headers and request.path.startswith(_OPEN_TO_BROWSERS):
        response.headers["Access-Control-Allow-Origin"] = "*"
    return response


async def options(request: web.Request) -> web.Response:
    """What a browser asks before it sends: the one method, if the path has it, and any header."""
    resource = request.match_info.route.resource
    methods = sorted(route.method for route in resource or ())
    wanted = request.headers.get("Access-Control-Request-Method")
    if wanted is None:
        return web.Response(headers={"Allow": ",".join(methods)})
    if wanted not in methods:
        return web.Response(status=403, text="Invalid CORS request")
    headers = {"Access-Control-Allow-Methods": wanted, "Access-Control-Max-Age": "1800"}
    if asked := request.headers.get("Access-Control-Request-Headers"):
        headers["Access-Control-Allow-Headers"] = asked
    return web.Response(headers=headers)
