"""The launcher with CAS itself: a program that starts has its secrets, and it starts in one case only."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.localnet.cas.cas_world import APP, OTHER, World, running, session
from tests.localnet.runtime.standin import Base
from workflows.localnet.runtime import protect
from workflows.localnet.runtime.fspf import AUTHENTICATED, NOT_PROTECTED
from workflows.scone.session import render
from workflows.scone.session_model import Image, Injected, Secret, Service, Session

CANARY = "5ecret-of-the-app"
PROGRAM = """
import json, os, pathlib, stat, sys
files = [pathlib.Path(name) for name in sys.argv[1:]]
print(json.dumps([os.environ["SECRET"], [[f.read_text(), oct(stat.S_IMODE(f.stat().st_mode))] for f in files]]))
"""
Start = Callable[[str], Awaitable["subprocess.CompletedProcess[str]"]]


@pytest.fixture
def app(base: Base) -> Path:
    folder = base.folder / "app"
    folder.mkdir()
    (folder / "app.py").write_text(PROGRAM)
    (folder / "app.conf").write_text("password=$$SCONE::word$$ hex=$$SCONE::raw:hex$$\n")
    return folder


def shielded(folder: Path) -> dict[str, str]:
    """The FSPF part of a service whose `folder` is authenticated."""
    file = str(folder.parent / "fspf.pb")
    protect.create(file)
    protect.add_region(file, "/", "/", NOT_PROTECTED, 32, 4096)
    protect.add_region(file, str(folder), str(folder), AUTHENTICATED, 32, 4096)
    protect.add_files(file, str(folder), str(folder))
    words = protect.encrypt(file).split()
    return {"fspf_path": file, "fspf_tag": words[8], "fspf_key": words[10]}


def of(name: str, service: Service, *files: Injected, provided: tuple[str, ...] | None = None) -> Session:
    return session(
        name,
        services=(replace(service, image_name="image"),),
        images=(Image("image", (), files, provided),),
        volumes=(),
        secrets=(Secret("word", "ascii"), Secret("raw", "binary", value="00ff"), Secret("other", "ascii")),
    )


def on_cas(base: Base, body: Callable[[World, Start], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(base.folder / "localnet") as world:
            (Path(base.places.settings) / "root.pem").write_text(world.root.read_text())

            def start(name: str) -> subprocess.CompletedProcess[str]:
                return base.run(
                    "python3",
                    SCONE_CONFIG_ID=f"{name}/app",
                    SCONE_CAS_ADDR=f"localhost:{world.cas.enclave_port}",
                    SCONE_LAS_ADDR=f"127.0.0.1:{world.las_port}",
                )

            await body(world, lambda name: asyncio.to_thread(start, name))

    asyncio.run(main())


def test_the_program_starts_with_its_secret_in_exactly_one_case(base: Base, app: Path) -> None:
    shield = shielded(app)
    service = Service(
        "app",
        mrenclaves=(APP,),
        command=("python3", str(app / "app.py")),
        environment={"SECRET": CANARY},
        **shield,
    )
    sessions = {
        "fits": service,
        "tag": replace(service, fspf_tag="00" * 16),
        "key": replace(service, fspf_key="00" * 32),
        "path": replace(service, fspf_path=str(app / "app.py")),
        "enclave": replace(service, mrenclaves=(OTHER,)),
    }

    async def body(world: World, start: Start) -> None:
        for name, each in sessions.items():
            await world.client().post(render(of(name, each)))
        codes, printed = {}, []
        for name in sessions:
            ran = await start(name)
            codes[name] = ran.returncode
            printed += [name] if CANARY in ran.stdout + ran.stderr else []
        (app / "app.conf").write_text("changed\n")
        ran = await start("fits")
        codes["changed"] = ran.returncode
        assert "app.conf was changed" in ran.stderr
        assert CANARY not in ran.stdout + ran.stderr
        assert printed == ["fits"]
        assert codes == {"fits": 0, "tag": 244, "key": 244, "path": 244, "enclave": 243, "changed": 244}

    on_cas(base, body)


def test_injection_files_hold_secrets_in_memory_and_leave_the_image_as_it_was(base: Base, app: Path) -> None:
    conf, made = app / "app.conf", base.folder / "new" / "made"
    before = conf.read_bytes()
    service = Service(
        "app",
        mrenclaves=(APP,),
        command=("python3", str(app / "app.py"), str(conf), str(made)),
        environment={"SECRET": "$$SCONE::word$$"},
        **shielded(app),
    )
    files = (Injected(str(conf)), Injected(str(made), "raw: $$SCONE::raw:base64$$ $$SCONE::other$$", 0o440))

    async def body(world: World, start: Start) -> None:
        await world.client().post(render(of("all", service, *files)))
        await world.client().post(render(of("limited", service, *files, provided=("word", "raw"))))
        await world.client().post(render(of("none", service, *files, provided=())))
        for name in ("all", "all", "limited"):  # twice: a container that is started again
            ran = await start(name)
            assert ran.returncode == 0, ran.stderr
            word, ((own, own_mode), (content, mode)) = json.loads(ran.stdout)
            assert (own, own_mode) == (f"password={word} hex=00ff\n", "0o700")
            assert (content.split()[:2], mode) == (["raw:", "AP8="], "0o440")
            assert len(content.split()[2]) == 20
            assert conf.read_bytes() == before
            assert not os.path.lexists(made)
        ran = await start("none")
        assert (ran.returncode, ran.stdout) == (244, "")
        assert "app.conf asks for 'word', which this image is not given" in ran.stderr
        assert conf.read_bytes() == before

    on_cas(base, body)
