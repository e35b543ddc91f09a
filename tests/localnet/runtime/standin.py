"""A stand-in base image as a folder, and services that speak LAS's and CAS's side of the wire."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflows.localnet.cas.tls import Pair
from workflows.localnet.runtime.attest import report_data
from workflows.localnet.runtime.places import Places
from workflows.sgx.pki import Pki
from workflows.sgx.quote import Quoter, verify

# The places of a container are fixed inside of it; the zipapp's own entry takes others, so a folder can be one.
_START = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from workflows.localnet.runtime.entry import main
from workflows.localnet.runtime.places import Places
sys.exit(main(sys.argv[3:], os.environ, Places(*json.loads(sys.argv[2]))))
"""


@dataclass
class Base:
    """The runtime, and the folders that it would find in a container."""

    folder: Path
    places: Places
    python: str = sys.executable

    def command(self, *argv: str) -> list[str]:
        return [self.python, "-ISBc", _START, self.places.archive, json.dumps(self.places), *argv]

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Start the zipapp under the name `argv[0]` with nothing but `env` and PATH in its environment."""
        given = {"PATH": os.environ["PATH"], **env}
        return subprocess.run(self.command(*argv), env=given, text=True, capture_output=True, timeout=60)

    def volume(self, name: str) -> Path:
        """The folder where the engine would mount a volume."""
        place = Path(self.places.volumes) / name
        place.mkdir(parents=True, exist_ok=True)
        return place


@dataclass
class Services:
    """LAS and CAS: CAS checks the quote for real and gives `session`; both note what they were told."""

    pki: Pki
    server: Pair
    session: dict[str, Any] = field(default_factory=dict)
    mrenclave: str = "5e" * 32
    error: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    quotes: list[bytes] = field(default_factory=list)
    stale: bool = False
    env: dict[str, str] = field(default_factory=dict)

    def las(self, stream: socketserver.StreamRequestHandler) -> None:
        data = bytes.fromhex(json.loads(stream.rfile.readline())["report_data"])
        quote = Quoter(self.pki).quote(self.mrenclave, bytes(64) if self.stale else data)
        stream.wfile.write(json.dumps({"quote": base64.b64encode(quote).decode()}).encode() + b"\n")

    def cas(self, stream: socketserver.StreamRequestHandler) -> None:
        nonce = secrets.token_bytes(32)
        stream.wfile.write(json.dumps({"nonce": nonce.hex()}).encode() + b"\n")
        asked = json.loads(stream.rfile.readline())
        self.asked.append(asked)
        seen = verify(base64.b64decode(asked["quote"]), self.pki.root)
        fresh = seen.report_data == report_data(nonce, asked["config_id"], self.server.der())
        why = self.error if fresh else "the quote is not for this connection"
        answer = {"error": why} if why else {"ok": self.session}
        stream.wfile.write(json.dumps(answer).encode() + b"\n")


def serve(handle: Callable[[Any], None], context: ssl.SSLContext | None) -> socketserver.ThreadingTCPServer:
    class Handler(socketserver.StreamRequestHandler):
        def setup(self) -> None:
            if context:
                self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def handle(self) -> None:
            handle(self)

    class Server(socketserver.ThreadingTCPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
