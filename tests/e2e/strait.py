"""Between the program and the localnet: every call passes here and may find its caller killed.

A localnet's status names its services; a state folder whose status names these doors instead is all it takes.
The program cannot tell them from the real ones, so no fault hook is needed inside it.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

Moment = Literal["before", "after"]
_DROPPED = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class Drowned(Exception):  # noqa: N818 - not an error: what a plan raises so that a call goes no further
    """The caller is gone: a call is not passed on, an answer not given."""


@dataclass
class Call:
    """One request: `name` is the method and path, or for the chain the JSON-RPC method."""

    name: str
    path: str
    body: bytes


class Strait:
    """`plan(moment, call)` sees every call before it is passed on and after it was answered; Drowned ends it."""

    def __init__(self, folder: Path, status: Mapping[str, Any]) -> None:
        self.folder = folder
        self.plan: Callable[[Moment, Call], None] = lambda _moment, _call: None
        self.calls: list[str] = []
        self._servers: list[ThreadingHTTPServer] = []
        document = dict(status)
        document["rpc"] = self._door(str(status["rpc"]))
        document["sms"] = self._door(str(status["sms"]))
        document["control"] = self._control(document)
        folder.mkdir(mode=0o700)
        (folder / "status.json").write_text(json.dumps(document))

    def _door(self, target: str) -> str:
        host = urlsplit(target)
        strait = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                call = Call(_name(self.command, self.path, body), self.path, body)
                strait.calls.append(call.name)
                strait.plan("before", call)
                connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)
                headers = {
                    name: value for name, value in self.headers.items() if name.lower() not in _DROPPED
                }
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                payload = answer.read()
                connection.close()
                strait.plan("after", call)
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _DROPPED:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(payload)

            def log_message(self, *_: object) -> None: ...

        for verb in ("GET", "POST", "HEAD", "PUT", "PATCH"):
            setattr(Door, f"do_{verb}", Door._pass)
        return self._serve(Door)

    def _control(self, document: dict[str, Any]) -> str:
        """The localnet's own door: a status, and leases, which nobody needs here: it stays up."""
        ended = threading.Event()

        class Control(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                if self.path == "/lease":
                    while not ended.wait(0.5):
                        try:
                            self.wfile.write(b".")
                        except OSError:
                            return
                else:
                    self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_: object) -> None: ...

        self._ended = ended
        return self._serve(Control)

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    def close(self) -> None:
        """Shut the doors."""
        self._ended.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()


@contextmanager
def strait(folder: Path, status: Mapping[str, Any]) -> Iterator[Strait]:
    """A strait in front of a running localnet; `folder` is the state folder to give to the program."""
    found = Strait(folder, status)
    try:
        yield found
    finally:
        found.close()


def _name(verb: str, path: str, body: bytes) -> str:
    try:
        document = json.loads(body)
        return str(document["method"])
    except (ValueError, KeyError, TypeError):
        return f"{verb} {path}"
