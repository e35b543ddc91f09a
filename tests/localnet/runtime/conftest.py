"""A stand-in base image as a folder, with LAS and CAS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.localnet.runtime.standin import Base, Services, serve
from workflows.localnet.cas.tls import server_context, server_pair
from workflows.localnet.runtime import build
from workflows.localnet.runtime.places import Places
from workflows.sgx.pki import Pki, development_pki


@pytest.fixture(scope="session")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("runtime") / "scone"
    target.write_bytes(build.zipapp(sys.executable))
    target.chmod(0o755)
    return target


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return development_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def base(zipapp: Path, pki: Pki, tmp_path: Path) -> Base:
    settings = tmp_path / "etc"
    settings.mkdir()
    (settings / "root.pem").write_text(pki.root_pem)
    python = {"path": os.path.realpath(sys.executable), "libraries": []}
    (settings / "base.json").write_text(json.dumps({"version": 1, "interpreters": {"python3": python}}))
    places = Places(str(zipapp), str(settings), str(tmp_path / "memory"), str(tmp_path / "volumes"))
    return Base(tmp_path, places)


@pytest.fixture
def services(pki: Pki, tmp_path: Path) -> Iterator[Services]:
    both = Services(pki, server_pair(tmp_path / "cas", pki))
    las = serve(both.las, None)
    cas = serve(both.cas, server_context(both.server, clients=False))
    both.env = {
        "SCONE_CONFIG_ID": "app-7/app",
        "SCONE_MODE": "auto",
        "SCONE_LAS_ADDR": f"127.0.0.1:{las.server_address[1]}",
        "SCONE_CAS_ADDR": f"localhost:{cas.server_address[1]}",
    }
    yield both
    for server in (las, cas):
        server.shutdown()
        server.server_close()
