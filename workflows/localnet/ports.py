"""The ports of a state folder's servers: the same at every start, as far as they are free."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workflows.core.files import write_atomic


class Ports:
    """`tell` gets a sentence for a port that another program has taken in the meantime."""

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self._path = path
        self._tell = tell
        self._known: dict[str, int] = {}
        with suppress(OSError, ValueError, AttributeError):
            kept = json.loads(path.read_bytes())
            self._known = {str(name): port for name, port in kept.items() if _is_port(port)}

    def __getitem__(self, name: str) -> int:
        """The port that a server had last, 0 when it is new."""
        return self._known.get(name, 0)

    def __setitem__(self, name: str, port: int) -> None:
        if (before := self[name]) and before != port:
            self._tell(f"port {before} of the {name} is taken by another program: it is on {port} now")
        self._known[name] = port

    def save(self) -> None:
        """Keep them for the next start."""
        write_atomic(self._path, json.dumps(self._known, indent=1) + "\n")


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value < 1 << 16
