"""What the tests of CAS share."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from workflows.localnet.cas import tls
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.las import Las, Measured
from workflows.localnet.runtime.attest import Session as Received
from workflows.localnet.runtime.attest import attest
from workflows.scone.session_model import Attestation, Image, Mount, Rule, Service, Session, Volume
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import Quoter

APP, OTHER, KEY, TAG = "54" * 32, "99" * 32, "3b" * 32, "b8" * 16
SECRET = "the dataset's key"


def session(name: str = "one", **changes: Any) -> Session:
    """A session with an app that has a file shield and two volumes."""
    given: dict[str, Any] = {
        "name": name,
        "version": "0.3",
        "services": (
            Service(
                "app",
                "app-image",
                mrenclaves=(APP,),
                command=("python3", "/app/app.py", "a b"),
                environment={"SECRET": SECRET},
                fspf_path="/fspf.pb",
                fspf_key=KEY,
                fspf_tag=TAG,
            ),
            Service("post", "post-image", mrenclaves=(OTHER,), command="python3 /tee/post.py"),
        ),
        "images": (
            Image("app-image", (Mount("in", "/iexec_in"), Mount("out", "/iexec_out"))),
            Image("post-image", (Mount("out", "/iexec_out"),)),
        ),
        "volumes": (Volume("in"), Volume("out")),
        "attestation": Attestation(tolerate=("debug-mode",)),
    }
    return Session(**(given | changes))


def ruled(name: str, *rules: Rule) -> Session:
    """A session whose only service knows its enclave by these alternatives."""
    service = Service("app", attestation=rules, command=("python3",), environment={"SECRET": SECRET})
    return session(name, services=(service,), images=(), volumes=())


@dataclass
class World:
    """A running CAS with a LAS that measures whatever `measured` says."""

    cas: Cas
    root: Path
    folder: Path
    measured: str = APP
    las_port: int = 0

    def client(self, name: str = "sms") -> CasClient:
        return CasClient(self.cas.url, self.root.read_text(), self.cas.client(name))

    def enclave(self, config_id: str) -> Received:
        """What the launcher of an enclave does, blocking; NotAttested when CAS refuses."""
        cas, las = f"localhost:{self.cas.enclave_port}", f"127.0.0.1:{self.las_port}"
        return attest(config_id, cas, las, str(self.root))

    async def attested(self, config_id: str) -> Received:
        return await asyncio.to_thread(self.enclave, config_id)

    async def request(
        self, method: str, path: str, body: str | None = None, client: str | None = "sms"
    ) -> tuple[int, Any]:
        pair = self.cas.client(client) if client else None
        context = tls.client_context(pair, self.root.read_text())
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.cas.url + path, data=body, ssl=context) as answer,
        ):
            return answer.status, await answer.json()

    async def by_hand(self, config_id: Any, quote: Any, wait: bool = True) -> dict[str, Any]:
        """One exchange on the enclave port, the quote made from the nonce by a function or given as bytes."""
        context = ssl.create_default_context(cafile=str(self.root))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.cas.enclave_port, ssl=context, server_hostname="cas"
        )
        try:
            nonce = bytes.fromhex(json.loads(await reader.readline())["nonce"])
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            made = quote(nonce, certificate) if callable(quote) else quote
            text = base64.b64encode(made).decode() if isinstance(made, bytes) else made
            writer.write(json.dumps({"config_id": config_id, "quote": text}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[World]:
    """CAS and LAS on loopback, their state in `folder`."""
    pki = development_pki(folder / "keys")
    root = folder / "root.pem"
    root.write_text(pki.root_pem)
    cas = Cas(folder / "cas", pki)
    await cas.start()
    world = World(cas, root, folder)

    def inspect(ip: str) -> Measured:
        return Measured(world.measured, "container", "python3")

    las = Las(inspect, Quoter(pki).quote)
    server = await asyncio.start_server(lambda r, w: las.serve(r, w, "10.0.0.2"), "127.0.0.1", 0)
    world.las_port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        server.close()
        await cas.stop()
