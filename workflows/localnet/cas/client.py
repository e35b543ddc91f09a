"""The SMS's side of CAS: sessions posted over TLS with a client certificate."""

from __future__ import annotations

import asyncio

import aiohttp

from workflows.core.failure import Failed, Unavailable
from workflows.core.text import clean
from workflows.localnet.cas import tls


class CasClient:
    """Talks to the client API at `url`; trusts `root_pem`, shows `pair`."""

    def __init__(self, url: str, root_pem: str, pair: tls.Pair) -> None:
        self._url = url
        self._context = tls.client_context(pair, root_pem)

    async def post(self, session: str) -> str:
        """Store a session (YAML); its hash. Failed `session_refused`; Unavailable: CAS does not answer."""
        timeout = aiohttp.ClientTimeout(total=30)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(f"{self._url}/session", data=session.encode(), ssl=self._context) as answer,
            ):
                document = await answer.json(content_type=None)
                if answer.status != 201:
                    raise Failed(
                        f"CAS refused the session: {clean(str(document.get('error')))}",
                        "The line and the reason are of the session's YAML.",
                        name="session_refused",
                    )
                return str(document["hash"])
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            raise Unavailable(
                f"CAS does not answer at {self._url}: {type(error).__name__}",
                "Is the localnet up? `creamtea localnet status` tells.",
                name="cas_unavailable",
            ) from None
