"""A container of a stand-in image attests through the relay: LAS measures it, CAS gives the session."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.containers.container import Ran
from workflows.containers.engine import Engine
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.images import stand_in
from workflows.localnet.las import Las, Measurer, peers
from workflows.localnet.relay import Relay, Route
from workflows.scone.session import Attestation, Service, Session, render
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import Quoter

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.connect() as engine:
        yield engine


def test_only_the_measured_enclave_gets_the_session(engine: Engine, tmp_path: Path) -> None:
    pki = development_pki(tmp_path / "keys")
    base = stand_in(engine, "python", lambda event: None, root_pem=pki.root_pem.encode())
    try:
        asyncio.run(story(engine, base.image, base.root, tmp_path))
    finally:
        engine.remove(base.image, force=True)


async def story(engine: Engine, image: str, root: str, folder: Path) -> None:
    pki = development_pki(folder / "keys")
    cas = Cas(folder / "cas", pki)
    await cas.start()
    client = CasClient(cas.url, pki.root_pem, cas.client("sms"))
    network = f"creamtea-test-{secrets.token_hex(4)}"
    las = Las(Measurer(peers(engine, network)), Quoter(pki).quote)
    routes: dict[tuple[str, int], Route] = {
        ("cas", 18765): ("127.0.0.1", cas.enclave_port),
        ("las", 18766): las.serve,
    }
    relay = Relay(engine, root, network, routes)
    await relay.start()

    def start(service: str, heap: str = "32M") -> Ran:
        environment = {
            "SCONE_MODE": "auto",
            "SCONE_HEAP": heap,
            "SCONE_CONFIG_ID": f"one/{service}",
            "SCONE_CAS_ADDR": "cas",
            "SCONE_LAS_ADDR": "las",
        }
        command = ["python3", "-c", "print('the image says this, not the session')"]
        return engine.run(
            image, command[1:], entrypoint=command[:1], environment=environment, network=network
        )

    try:
        hashes = {"SCONE_HASH": "1", "SCONE_HEAP": "32M"}
        mrenclave = engine.run(image, [], entrypoint=["python3"], environment=hashes).out.strip()
        program = "import os; print(os.environ['SECRET'], 'SCONE_CONFIG_ID' in os.environ)"
        command = ("python3", "-c", program)
        app = Service("app", mrenclaves=(mrenclave,), command=command, environment={"SECRET": "s3cret"})
        other = Service("other", mrenclaves=("00" * 32,), command=command, environment={"SECRET": "never"})
        rules = Attestation(tolerate=("debug-mode",))
        await client.post(render(Session("one", (app, other), attestation=rules)))

        ran = await asyncio.to_thread(start, "app")
        assert (ran.code, ran.out.strip()) == (0, "s3cret False"), ran.err
        assert "SIMULATED" in ran.err

        ran = await asyncio.to_thread(start, "app", "64M")
        assert ran.code == 243
        assert f"expected {mrenclave}, actual " in ran.err

        ran = await asyncio.to_thread(start, "other")
        assert ran.code == 243
        assert f"expected {'00' * 32}, actual {mrenclave}" in ran.err
        assert "never" not in ran.out + ran.err
    finally:
        await relay.stop()
        await cas.stop()
