"""A small HTTP server that stands where worker, gateway and result proxy are in the task network."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workflows.localnet.tee.stage import Services


class Seen:
    """What arrived, and what to answer: `files` by path, `refuse` a set of path prefixes answered with 500."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any, str]] = []
        self.files: dict[str, bytes] = {}
        self.refuse: set[str] = set()
        self.url = ""

    @property
    def causes(self) -> list[str]:
        return [one["cause"] for one in self.told]

    @property
    def told(self) -> list[dict[str, str]]:
        """Every cause with its message."""
        reports = [report for path, report, _ in self.posts if path.endswith("/exit-causes")]
        return [one for report in reports for one in report]

    def post(self, ending: str) -> tuple[Any, str]:
        """The one document that came to a path with this ending, and its Authorization."""
        [found] = [(document, key) for path, document, key in self.posts if path.endswith(ending)]
        return found


@contextmanager
def serving() -> Iterator[tuple[Seen, Services]]:
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = seen.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if any(self.path.startswith(prefix) for prefix in seen.refuse):
                self.send_response(500)
                self.end_headers()
                return
            seen.posts.append((self.path, json.loads(body), self.headers["Authorization"] or ""))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"/ipfs/QmTest")

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    seen.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield seen, Services(seen.url, seen.url, seen.url)
    finally:
        server.shutdown()
        server.server_close()
