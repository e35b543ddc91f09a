"""CAS as two servers: sessions over HTTPS with a client certificate, and the port where enclaves attest."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
import secrets
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from workflows.core.text import clean
from workflows.localnet.cas import tls
from workflows.localnet.cas.attestation import AttestationFailed, attest
from workflows.localnet.cas.store import Refused, SessionStore
from workflows.localnet.service import LOOPBACK, Handler, HttpService, bound, read_body
from workflows.scone.session_model import MAX_SIZE, SessionError
from workflows.sgx.pki import Pki
from workflows.sgx.quote import verify

log = logging.getLogger(__name__)

_MAX_LINE = 1 << 18
_PATIENCE = 30.0
_VALUES = re.compile("session=(?P<session>[^,]+)(?:,secret=(?P<secret>[^,]+))?")


class Cas:
    """`directory` is `<state>/cas`; quotes must chain to the root of `pki`.

    `api` is the client API; `enclave_port` the port of the enclave API, both on loopback. `key`: that of what is
    stored, which is in a file of the directory when none is given. Ports are wishes, as those of `HttpService`.
    """

    def __init__(
        self,
        directory: Path,
        pki: Pki,
        *,
        port: int = 0,
        enclave_port: int = 0,
        key: bytes | None = None,
    ) -> None:
        self._directory = directory
        self._store = SessionStore(directory, key)
        self._verify = partial(verify, root=pki.root)
        pair = tls.server_pair(directory, pki)
        self._certificate = pair.der()
        self._client_tls = tls.server_context(pair, clients=True)
        self._enclave_tls = tls.server_context(pair, clients=False)
        self.api = HttpService(port=port, tls=self._client_tls, max_body=MAX_SIZE)
        self.api.app.middlewares.append(_in_json)
        self.api.app.add_routes(
            [
                web.post("/session", self._post),
                web.post("/v1/sessions", self._post),
                web.get("/v1/sessions/{name:.+}", self._get),
                web.get("/v1/values/{what:.+}", self._values),
            ]
        )
        self.enclave_port = enclave_port
        self._enclaves: asyncio.Server | None = None
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The client API's base URL."""
        return self.api.url

    def client(self, name: str) -> tls.Pair:
        """A client certificate of this name, made when new."""
        return tls.client_pair(self._directory / "clients", name)

    async def start(self) -> None:
        """Start both servers."""
        await self.api.start()
        self._enclaves = await asyncio.start_server(
            self._serve, sock=bound(LOOPBACK, self.enclave_port), ssl=self._enclave_tls, limit=_MAX_LINE
        )
        self.enclave_port = self._enclaves.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop both and close the store; a stopped CAS is not started again."""
        enclaves, self._enclaves = self._enclaves, None
        if enclaves:
            enclaves.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self.api.stop()
        await asyncio.to_thread(self._store.close)

    async def _post(self, request: web.Request) -> web.Response:
        """201 and the session's hash; 400 with the line and the reason."""
        text = await read_body(request)
        try:
            digest = await asyncio.to_thread(self._store.post, text, _creator(request))
        except SessionError as error:
            return web.json_response(
                {"error": str(error), "line": error.line, "reason": error.reason}, status=400
            )
        except Refused as error:
            return web.json_response({"error": error.message}, status=error.status)
        return web.json_response({"hash": digest}, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        """The session's text, for who its policy lets read it; `?hash=` is the current or an earlier one."""
        name, digest = request.match_info["name"], request.query.get("hash")
        try:
            text, found = await asyncio.to_thread(self._store.read, name, _creator(request), digest)
        except Refused as error:
            return web.json_response({"error": error.message}, status=error.status)
        return web.json_response({"session": text.decode(), "hash": found})

    async def _values(self, request: web.Request) -> web.Response:
        """What a session exports to everybody: `session=NAME[,secret=NAME]`, without a certificate."""
        wanted = _VALUES.fullmatch(request.match_info["what"])
        if wanted is None:
            return web.json_response(
                {"msg": ["the path is not session=NAME or session=NAME,secret=NAME"]}, status=400
            )
        session, secret = wanted["session"], wanted["secret"]
        try:
            public = await asyncio.to_thread(self._store.public, session)
        except Refused as error:
            return web.json_response({"msg": [error.message]}, status=error.status)
        if secret is None and public:
            return web.json_response({"values": public})
        if secret in public:
            return web.json_response(public[secret])
        what = f"value {secret!r}" if secret else "values"
        return web.json_response(
            {
                "msg": [
                    f"Failed to read {what} of '/session={session}' requested by a public client",
                    "Secret does not exist or is not visible for a public client",
                ]
            },
            status=404,
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        self._open.add(task)
        try:
            await asyncio.wait_for(self._attest(reader, writer), _PATIENCE)
        except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            log.info("an enclave connection ended early")
        finally:
            self._open.discard(task)
            writer.close()

    async def _attest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One attestation: nonce out, quote in, configuration or error out."""
        nonce = secrets.token_bytes(32)
        await _send(writer, {"nonce": nonce.hex()})
        line = await reader.readline()
        try:
            config_id, quote = _request(line)
            answer = await asyncio.to_thread(
                attest, self._store, self._verify, nonce, self._certificate, config_id, quote
            )
        except AttestationFailed as error:
            log.warning("attestation refused: %s", error)
            await _send(writer, {"error": str(error)})
            return
        except Exception:  # the enclave must hear that it gets nothing, instead of waiting
            log.exception("attestation failed")
            await _send(writer, {"error": "CAS could not decide: internal error"})
            return
        log.info("attested %s", config_id)
        await _send(writer, {"ok": answer})


def _request(line: bytes) -> tuple[str, bytes]:
    try:
        document = json.loads(line)
        config_id, quote = document["config_id"], base64.b64decode(document["quote"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        raise AttestationFailed("the request is not {config_id, quote}") from None
    if not isinstance(config_id, str):
        raise AttestationFailed("the request is not {config_id, quote}")
    return config_id, quote


async def _send(writer: asyncio.StreamWriter, document: dict[str, Any]) -> None:
    writer.write(json.dumps(document).encode() + b"\n")
    await writer.drain()


def _creator(request: web.Request) -> str:
    channel = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = channel.getpeercert(binary_form=True) if channel else None
    if not certificate:
        raise _forbidden("a client certificate is needed")
    try:
        if why := tls.untimely(certificate):
            raise _forbidden(
                f"this client certificate {why}: make one anew for the same key, which is who you are"
            )
        return tls.key_hash(certificate)
    except ValueError:
        raise _forbidden("this client certificate or its key cannot be read") from None


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the web server itself refuses, in the form of all other refusals."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        why, status, allowed = f"the session is larger than {MAX_SIZE} bytes", 413, None
    except web.HTTPRequestTimeout:
        why, status, allowed = "the session did not come whole in time", 408, None
    except web.HTTPNotFound:
        why, status, allowed = f"there is nothing at {clean(request.path)[:200]}", 404, None
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        why, status = f"{clean(request.path)[:200]} takes {allowed}, not {clean(request.method)[:20]}", 405
    headers = {"Allow": allowed} if allowed else None
    return web.json_response({"error": why}, status=status, headers=headers)


def _forbidden(why: str) -> web.HTTPForbidden:
    return web.HTTPForbidden(text=json.dumps({"error": why}), content_type="application/json")
