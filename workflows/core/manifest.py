"""`creamtea.toml`: what a person would commit and review; comments survive every change."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from workflows.core.failure import Missing
from workflows.core.files import read_toml, write_atomic

NAME = "creamtea.toml"


class Manifest:
    """Dotted keys of the manifest of one project."""

    def __init__(self, project: Path) -> None:
        self.path = project / NAME
        self._data = self._read()

    def get(self, key: str) -> Any:
        """The value at a dotted key, or None."""
        node: Any = self._data
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        return node

    def set(self, key: str, value: Any) -> None:
        """Write one value; nothing happens when it is there already. None removes the key."""
        if self.get(key) == value:
            return
        import tomlkit
        from tomlkit.container import Container
        from tomlkit.items import Table

        text, mode = "", 0o644
        if self.path.exists():
            text, mode = self.path.read_text(encoding="utf-8"), stat.S_IMODE(self.path.stat().st_mode)
        document = tomlkit.parse(text)
        *tables, last = key.split(".")
        node: Any = document
        for part in tables:
            if part not in node:
                node[part] = tomlkit.table()
            node = node[part]
            if not isinstance(node, Table | Container | dict):
                raise Missing(
                    f"{part} in {self.path.name} is not a table", f"rename it: {key} has to go there"
                )
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
        write_atomic(self.path, tomlkit.dumps(document), mode)
        self._data = self._read()

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        return read_toml(self.path)
