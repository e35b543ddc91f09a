"""A container of a stand-in image attests through the relay: LAS measures it, CAS gives the session."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from workflows.containers.container import Ran
from workflows.containers.engine import Engine
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.images import stand_in
from workflows.localnet.las import Las, Measurer, peers
from workflows.localnet.relay import Relay, Route
from workflows.scone.session import render
from workflows.scone.session_model import Attestation, Image, Injected, Secret, Service, Session
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import Quoter

pytestmark = pytest.mark.engine
SECRET = Secret("word", "ascii", value="s3cret")


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


async def story(engine: Engine, base: str, root: str, folder: Path) -> None:
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

    def start(config_id: str, heap: str = "32M") -> Ran:
        environment = {
            "SCONE_MODE": "auto",
            "SCONE_HEAP": heap,
            "SCONE_CONFIG_ID": config_id,
            "SCONE_CAS_ADDR": "cas",
            "SCONE_LAS_ADDR": "las",
        }
        command = ["python3", "-c", "print('the image says this, not the session')"]
        return engine.run(base, command[1:], entrypoint=command[:1], environment=environment, network=network)

    try:
        hashes = {"SCONE_HASH": "1", "SCONE_HEAP": "32M"}
        mrenclave = engine.run(base, [], entrypoint=["python3"], environment=hashes).out.strip()
        seen = "os.environ['SECRET'], open('/etc/app.conf').read(), 'SCONE_CONFIG_ID' in os.environ"
        program = f"import os; print({seen})"
        command = ("python3", "-c", program)
        app = Service(
            "app",
            "image",
            mrenclaves=(mrenclave,),
            command=command,
            environment={"SECRET": "$$SCONE::word$$"},
        )
        other = replace(app, name="other", mrenclaves=("00" * 32,))
        image = Image("image", injection_files=(Injected("/etc/app.conf", "$$SCONE::word$$"),))
        rules = Attestation(tolerate=("debug-mode",))
        one = Session("one", (app, other), images=(image,), secrets=(SECRET,), attestation=rules)
        await client.post(render(one))
        await client.post(render(replace(one, name="strict", attestation=Attestation())))

        attempts = {
            "fits": await asyncio.to_thread(start, "one/app"),
            "heap": await asyncio.to_thread(start, "one/app", "64M"),
            "service": await asyncio.to_thread(start, "one/other"),
            "debug": await asyncio.to_thread(start, "strict/app"),
            "session": await asyncio.to_thread(start, "two/app"),
        }
        told = [name for name, ran in attempts.items() if "s3cret" in ran.out + ran.err]
        assert told == ["fits"], attempts["fits"].err
        assert attempts["fits"].out.strip() == "s3cret s3cret False"
        assert "SIMULATED" in attempts["fits"].err
        assert {name: ran.code for name, ran in attempts.items() if name != "fits"} == dict.fromkeys(
            ("heap", "service", "debug", "session"), 243
        )
        for name, reason in (
            ("heap", f"expected {mrenclave}, actual "),
            ("service", f"expected {'00' * 32}, actual {mrenclave}"),
            ("debug", 'debug mode, which session "strict" does not tolerate'),
            ("session", 'session "two" not found'),
        ):
            assert reason in attempts[name].err
    finally:
        await relay.stop()
        await cas.stop()
