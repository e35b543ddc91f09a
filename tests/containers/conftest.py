"""A real engine, a tiny base image made from Debian's static busybox, and a real registry on loopback."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from workflows.containers.engine import Engine

LABEL = "creamtea-test"
TOOLS = (
    "sh",
    "cat",
    "echo",
    "env",
    "false",
    "head",
    "id",
    "ls",
    "mkdir",
    "printf",
    "seq",
    "sleep",
    "true",
    "wget",
)
# bcrypt of "tea-and-scones", a password that opens nothing but the registry of these tests
HTPASSWD = "baker:$2b$05$L2WW1YJA4QgbiDzPpI0WgOw25r4bHKVWNzbLGAEO/slAR8/Z2Y/ni\n"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The container engine of this machine; an error, not a skip, when there is none."""
    with Engine.connect() as connected:
        yield connected


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A statically linked busybox: of this machine, else from Debian's package (unpacked, not installed)."""
    found = shutil.which("busybox")
    if found and b"/ld-linux" not in (data := Path(found).read_bytes()):
        return data
    folder = tmp_path_factory.mktemp("busybox")
    get = ["apt-get", "download", "busybox-static"]
    if subprocess.run(get, cwd=folder, capture_output=True).returncode:  # no package lists yet
        subprocess.run(["apt-get", "update"], check=True, capture_output=True)
        subprocess.run(get, cwd=folder, check=True, capture_output=True)
    package = next(folder.glob("busybox-static_*.deb"))
    subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    return (folder / "root" / "bin" / "busybox").read_bytes()


@pytest.fixture(scope="session")
def mark() -> str:
    """The label value of everything this session makes."""
    return uuid.uuid4().hex[:12]


@pytest.fixture(scope="session")
def base(engine: Engine, busybox: bytes, mark: str) -> Iterator[str]:
    """The reference of a small base image; it and all built on it are removed at the end."""
    reference = f"creamtea-test/base:{mark}"
    engine.import_rootfs(
        io.BytesIO(rootfs(busybox)), reference, [f"LABEL {LABEL}={mark}", "ENV TEA=earl-grey"]
    )
    yield reference
    wanted = {"label": f"{LABEL}={mark}"}
    for record in engine.api.containers(all=True, filters=wanted):
        engine.api.remove_container(record["Id"], force=True)
    for _ in range(20):  # children before parents, whatever the order of the list
        left = engine.api.images(all=True, filters=wanted)
        for record in left:
            for name in [tag for tag in record["RepoTags"] or () if tag != "<none>:<none>"] or [record["Id"]]:
                try:
                    engine.api.remove_image(name, force=True)
                except Exception:
                    continue
        if not left:
            break


def rootfs(busybox: bytes) -> bytes:
    """A tar of a root file system with busybox, a text file and links to it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, data, mode in (
            ("bin/busybox", busybox, 0o755),
            ("etc/tea", b"earl grey\n", 0o644),
            ("etc/passwd", b"root:x:0:0::/:/bin/sh\n", 0o644),
            ("tmp/.keep", b"", 0o644),
        ):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
        links = {f"bin/{tool}": "busybox" for tool in TOOLS}
        links |= {"etc/cup": "tea", "mug": "/etc/cup", "loop": "loop", "up": "../../../etc/tea"}
        for path, link in links.items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info)
    return target.getvalue()


@dataclass(frozen=True)
class Registry:
    """A running docker-registry."""

    host: str
    folder: Path


def _serve(folder: Path, htpasswd: str = "") -> tuple[subprocess.Popen[bytes], Registry]:
    auth = ""
    if htpasswd:
        (folder / "htpasswd").write_text(htpasswd)
        auth = f"auth:\n  htpasswd:\n    realm: tea\n    path: {folder}/htpasswd\n"
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\n"
        f"http:\n  addr: 127.0.0.1:0\n{auth}"
    )
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=output, stderr=output
        )
    while process.poll() is None:
        if match := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text()):
            return process, Registry(match[1], folder)
        time.sleep(0.02)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def serve_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Registry]]:
    """Starts real registries on free loopback ports; stopped at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def start(htpasswd: str = "") -> Registry:
        process, registry = _serve(tmp_path_factory.mktemp("registry"), htpasswd)
        running.append(process)
        return registry

    yield start
    for process in running:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def registry(serve_registry: Callable[..., Registry]) -> Registry:
    """An open registry."""
    return serve_registry()


@pytest.fixture(scope="session")
def private_registry(serve_registry: Callable[..., Registry]) -> Registry:
    """A registry that asks for the login `baker`, `tea-and-scones`."""
    return serve_registry(HTPASSWD)
