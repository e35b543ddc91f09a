"""The SMS as one HTTP service: paths, hashes, order of checks, statuses and bodies of iExec's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from workflows.localnet.service import HttpService
from workflows.localnet.sms.admin_routes import AdminKey, AdminRoutes
from workflows.localnet.sms.backups import Backups
from workflows.localnet.sms.chain import Chain
from workflows.localnet.sms.properties import TeeServices
from workflows.localnet.sms.secret_routes import SecretRoutes
from workflows.localnet.sms.spring import cross_origin, errors_as_documents
from workflows.localnet.sms.status_routes import StatusRoutes
from workflows.localnet.sms.store import Store
from workflows.localnet.sms.tee_routes import PostSession, TeeRoutes

PROVISIONING = "cas:18765"
_HOUR = 3600


class Sms(HttpService):
    """`directory` is `<state>/sms`. `chain()` gives the blocking reads, called in a thread at the first need.

    `gateway()` is the base URL of the IPFS gateway that holds the dataset orders of bulk tasks.

    `post_session(yaml)` hands a session to CAS (see `cas.client.CasClient.post`). `tee` may be replaced while
    the server runs: the images of the stages can be built after the start. `key` encrypts what is stored, that in
    `sms.key` unless given; `admin_key` opens /admin, that in `admin.key` unless given, and with neither it is
    closed. Backups are below `storage`, or else in `backup`.
    """

    def __init__(
        self,
        directory: Path,
        chain: Callable[[], Chain],
        gateway: Callable[[], str],
        post_session: PostSession,
        *,
        tee: TeeServices | None = None,
        provisioning: str = PROVISIONING,
        port: int = 0,
        key: bytes | None = None,
        admin_key: str = "",
        storage: Path | None = None,
    ) -> None:
        super().__init__(port=port)
        self.tee = tee or TeeServices()
        self._store = Store(directory, key)
        self._cleaning: asyncio.Task[None] | None = None
        self.app.middlewares.extend([cross_origin, errors_as_documents])
        self.app.add_routes(SecretRoutes(self._store, chain).table())
        routes = TeeRoutes(self._store, chain, gateway, lambda: self.tee, post_session, provisioning)
        self.app.add_routes(routes.table())
        self.app.add_routes(StatusRoutes(self._store).table())
        admin = AdminRoutes(
            Backups(self._store, storage or directory / "backup"),
            AdminKey(directory / "admin.key", admin_key),
        )
        self.app.middlewares.append(admin.gate)
        self.app.add_routes(admin.table())

    async def start(self) -> None:
        """Listen, and forget expired challenges every hour."""
        await super().start()
        self._cleaning = asyncio.create_task(self._clean())

    async def stop(self) -> None:
        """Stop and close the store; a stopped SMS is not started again."""
        if self._cleaning:
            self._cleaning.cancel()
        await super().stop()
        await asyncio.to_thread(self._store.close)

    async def _clean(self) -> None:
        while True:
            await asyncio.to_thread(self._store.purge, int(time.time()))
            await asyncio.sleep(_HOUR)
