"""The TEE endpoints of the SMS: framework, properties, challenges and sessions (sms.md §2, §6 to §8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from workflows.iexec.ids import address
from workflows.localnet.service import read_json
from workflows.localnet.sms import answers
from workflows.localnet.sms.authorisation import WorkerpoolAuthorization, check
from workflows.localnet.sms.chain import Chain
from workflows.localnet.sms.incoming import JSON, SIGNATURE, Operation, signature
from workflows.localnet.sms.ingredients import GenerationError, Sources
from workflows.localnet.sms.properties import FRAMEWORK, FRAMEWORKS, TeeServices
from workflows.localnet.sms.sessions import make
from workflows.localnet.sms.store import Challenge, Store
from workflows.scone.session import render
from workflows.scone.session_model import Session

log = logging.getLogger(__name__)

PostSession = Callable[[str], Awaitable[str]]


class TeeRoutes:
    """Handlers that decide from the chain; `post_session` hands a session to CAS and returns its hash."""

    def __init__(
        self,
        store: Store,
        chain: Callable[[], Chain],
        gateway: Callable[[], str],
        services: Callable[[], TeeServices],
        post_session: PostSession,
        provisioning: str,
    ) -> None:
        self._store = store
        self._chain = chain
        self._gateway = gateway
        self._services = services
        self._post_session = post_session
        self._provisioning = provisioning

    def table(self) -> list[web.RouteDef]:
        """The routes of these endpoints."""
        return [
            web.get("/tee/framework", self.framework),
            web.get("/tee/properties/{framework}", self.properties),
            web.get("/tee/properties/{framework}/{version}", self.properties),
            web.post("/tee/challenges/{task}", self.challenge),
            web.post("/tee/sessions", self.session),
        ]

    @Operation((200, 503))
    async def framework(self, request: web.Request) -> web.Response:
        """One framework an instance."""
        return answers.document(FRAMEWORK)

    @Operation((200, 400, 404, 409, 503))
    async def properties(self, request: web.Request) -> web.Response:
        """The stages of a version; without one, of the first that is configured."""
        framework = request.match_info["framework"].upper()
        if framework not in FRAMEWORKS:
            raise web.HTTPBadRequest(text=f"A framework is one of {', '.join(FRAMEWORKS)}.")
        services = self._services()
        pipeline = services.pipeline(request.match_info.get("version"))
        if pipeline is None:
            return web.Response(status=404)
        if framework != FRAMEWORK:
            return web.Response(status=409)
        return answers.document(services.document(pipeline))

    @Operation((200, 400, 401, 404, 503), header=SIGNATURE)
    async def challenge(self, request: web.Request) -> web.Response:
        """The address of the task's enclave key, for the scheduler."""
        task = request.match_info["task"]
        authorization = WorkerpoolAuthorization(task, "", "", signature(request))
        if await asyncio.to_thread(lambda: check(self._chain(), authorization)):
            return web.Response(status=401)
        try:
            made = await asyncio.to_thread(self._challenge, task)
        except Exception as error:
            log.warning("no challenge for task %s: %s", task, type(error).__name__)
            return web.Response(status=404)
        return web.Response(text=made.address)

    @Operation((200, 400, 401, 413, 500, 503), header=SIGNATURE, body=JSON)
    async def session(self, request: web.Request) -> web.Response:
        """A CAS session for a worker; what it holds is decided by the deal on the chain."""
        signed = signature(request)
        try:
            authorization = WorkerpoolAuthorization.of(await read_json(request))
        except ValueError:
            raise web.HTTPBadRequest(text="The body is not the JSON of an authorisation.") from None
        if not await asyncio.to_thread(authorization.signed_by, signed, authorization.worker):
            return answers.error(401, "INVALID_AUTHORIZATION")
        refusal = await asyncio.to_thread(lambda: check(self._chain(), authorization))
        if refusal is not None:
            return answers.error(401, f"EXECUTION_NOT_AUTHORIZED_{refusal.value}")
        try:
            made = await asyncio.to_thread(self._make, authorization)
            await self._store_session(render(made))
        except GenerationError as error:
            log.warning("no session: %s: %s", error.name, error.message)
            return answers.error(500, error.name)
        except Exception as error:
            log.warning("no session for task %s: %s", authorization.task, type(error).__name__)
            return answers.error(500, "SECURE_SESSION_GENERATION_FAILED")
        return answers.document(
            {"data": {"sessionId": made.name, "secretProvisioningUrl": self._provisioning}}
        )

    def _challenge(self, task: str) -> Challenge:
        return self._store.challenge(task, self._chain().view_task(task).final_deadline)

    def _make(self, authorization: WorkerpoolAuthorization) -> Session:
        return make(
            Sources(self._chain(), self._store, self._gateway()),
            self._services(),
            authorization.task,
            address(authorization.worker.lower()),
            authorization.enclave_challenge,
        )

    async def _store_session(self, text: str) -> None:
        try:
            await self._post_session(text)
        except Exception as error:  # the text of a refusal may quote the session
            raise GenerationError(
                "SECURE_SESSION_STORAGE_CALL_FAILED", f"CAS did not take the session: {type(error).__name__}"
            ) from None
