"""LAS measures what the engine shows, quotes that, and answers nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workflows.localnet.las import ARCHIVE, BASE, Las, Measurer, NotMeasured
from workflows.localnet.runtime.layout import measure, settings_from_env
from workflows.sgx.pki import Pki, development_pki
from workflows.sgx.quote import Quoter, verify

INTERPRETERS = {
    "python3": {"path": "/usr/bin/python3.11", "libraries": []},
    "node": {"path": "/usr/bin/node", "libraries": ["/usr/lib/z.so", "/usr/lib/a.so"]},
}
REPORT_DATA = "5a" * 64


@dataclass
class Box:
    """What the engine says of one container."""

    path: str = "/usr/local/bin/python3"
    args: list[str] = field(default_factory=lambda: ["/app/app.py"])
    env: list[str] = field(default_factory=lambda: ["PATH=/bin", "SCONE_HEAP=64M"])
    interpreters: Any = field(default_factory=lambda: INTERPRETERS)
    files: dict[str, bytes] = field(default_factory=dict)
    id: str = "f" * 64

    def __post_init__(self) -> None:
        self.files = {
            ARCHIVE: b"zipapp",
            "/usr/bin/python3.11": b"python" * 1000,
            "/usr/bin/node": b"node" * 1000,
            "/usr/lib/a.so": b"a",
            "/usr/lib/z.so": b"z",
            BASE: json.dumps({"version": 1, "interpreters": self.interpreters}).encode(),
        } | self.files

    def inspect(self) -> dict[str, Any]:
        return {"Path": self.path, "Args": self.args, "Config": {"Env": self.env}}

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]


def measured(box: Box | None) -> str:
    return Measurer(lambda ip: box)("10.0.0.2").mrenclave


def expected(parts: list[bytes], **env: str) -> str:
    return measure(settings_from_env(env), parts)


def test_what_is_measured_is_runtime_interpreter_and_settings() -> None:
    python = [b"zipapp", b"python" * 1000]
    assert measured(Box()) == expected(python, SCONE_HEAP="64M")
    assert measured(Box(env=["SCONE_HEAP=1G"])) == expected(python, SCONE_HEAP="1G")
    assert measured(Box(env=[])) == expected(python)
    assert measured(Box(env=["SCONE_HEAP=1M", "SCONE_HEAP=2M"])) == expected(python, SCONE_HEAP="2M")
    assert measured(Box(args=["/app/other.py"])) == measured(Box())  # scripts are not in it
    node = [b"zipapp", b"node" * 1000, b"a", b"z"]
    assert measured(Box(path="node", env=[])) == expected(node)


@pytest.mark.parametrize("path", ["python", "python3.11", "/usr/local/bin/python3"])
def test_every_name_of_an_interpreter_means_it(path: str) -> None:
    assert measured(Box(path=path)) == measured(Box())


def test_a_script_starts_the_interpreter_that_it_names_or_the_only_one() -> None:
    assert measured(Box(path="/bin/sh", args=["-c", "exec node /app/app.js"])) == measured(Box(path="node"))
    only = {"python3": INTERPRETERS["python3"]}
    assert measured(Box(path="/entrypoint.sh", args=[], interpreters=only)) == measured(Box())
    with pytest.raises(NotMeasured, match="no interpreter of this image; it has node, python3"):
        measured(Box(path="/entrypoint.sh", args=[]))


def test_a_file_changed_after_the_first_measurement_is_seen() -> None:
    box = Box()
    measurer = Measurer(lambda ip: box)
    first = measurer("10.0.0.2").mrenclave
    assert measurer("10.0.0.2").mrenclave == first
    box.files[ARCHIVE] = b"zipapp!"
    assert measurer("10.0.0.2").mrenclave != first


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (None, "no container"),
        (Box(interpreters={}), "no interpreter"),
        (Box(interpreters=None), "cannot be understood"),
        (Box(interpreters={"python3": {"path": "/none", "libraries": []}}), "no /none"),
        (Box(interpreters={"python3": {}}), "cannot be understood"),
        (Box(env=["SCONE_HEAP=lots"]), "SCONE_HEAP='lots' is not a size"),
    ],
)
def test_what_cannot_be_measured_is_told(box: Box | None, reason: str) -> None:
    with pytest.raises(NotMeasured, match=reason):
        measured(box)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return development_pki(tmp_path / "keys")


def ask(pki: Pki, line: bytes, box: Box | None = None) -> dict[str, str]:
    """One request to a LAS on loopback, as the relay would hand it on."""

    async def main() -> dict[str, str]:
        peers = {"10.0.0.2": box or Box()}
        las = Las(Measurer(peers.get), Quoter(pki).quote)
        server = await asyncio.start_server(lambda r, w: las.serve(r, w, "10.0.0.2"), "127.0.0.1", 0)
        try:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(line)
            writer.write_eof()
            answer: dict[str, str] = json.loads(await reader.read())
            writer.close()
            return answer
        finally:
            server.close()

    return asyncio.run(main())


def test_a_quote_says_what_was_measured_and_chains_to_the_development_root(pki: Pki) -> None:
    # a launcher that claims something is not believed
    line = {"report_data": REPORT_DATA, "mrenclave": "00" * 32, "container": "other"}
    answer = ask(pki, json.dumps(line).encode() + b"\n")
    proven = verify(base64.b64decode(answer["quote"]), pki.root)
    assert (proven.mrenclave, proven.report_data.hex()) == (measured(Box()), REPORT_DATA)
    assert proven.simulated
    assert proven.report.debug


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b'{"report_data":1}\n',
        b'{"report_data":"' + b"0" * 127 + b'"}\n',
    ],
)
def test_what_is_no_request_gets_an_error(pki: Pki, line: bytes) -> None:
    assert ask(pki, line) == {"error": "the request is not {report_data: 128 hex digits}"}


def test_a_refusal_names_its_reason_and_an_engine_fault_only_its_kind(pki: Pki) -> None:
    class Down(Box):
        def inspect(self) -> dict[str, Any]:
            raise ConnectionError("tcp://user:password@engine")

    request = json.dumps({"report_data": REPORT_DATA}).encode() + b"\n"
    assert "no interpreter" in ask(pki, request, Box(path="/bin/true", args=[]))["error"]
    assert ask(pki, request, Down()) == {"error": "the container could not be measured: ConnectionError"}
