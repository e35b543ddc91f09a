"""Tars of root file systems: what is left out, what is added, what version is in them."""

from __future__ import annotations

import fnmatch
import io
import json
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from workflows.core.failure import Failed

BASE_JSON = "etc/scone-simulated/base.json"
_STATUS = "var/lib/dpkg/status"


def trim(raw: Path, target: Path, drop: Sequence[str], base: Mapping[str, Any], package: str) -> str:
    """Copy a root tar without the files that match `drop`, with `base` as its base.json.

    Returns the version of `package`. Failed: a file of an interpreter in `base` is not in the tar.
    """
    wanted = {
        path for entry in base["interpreters"].values() for path in (entry["path"], *entry["libraries"])
    }
    status = b""
    keep = _keeper(drop)
    with tarfile.open(raw) as source, tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as out:
        for member in source:
            name = member.name.removeprefix("./").rstrip("/")
            if not keep(name, member):
                continue
            content: IO[bytes] | None = source.extractfile(member) if member.isreg() else None
            if name == _STATUS and content is not None:
                status = content.read()
                content = io.BytesIO(status)
            if member.isreg() or member.issym() or member.islnk():
                wanted.discard("/" + name)
            member.pax_headers = {}
            member.mtime = int(member.mtime)
            out.addfile(member, content)
        if wanted:
            raise Failed(f"the root file system lacks {', '.join(sorted(wanted))}")
        version = _version(status.decode(errors="replace"), package)
        add_file(out, BASE_JSON, json.dumps(base, indent=1, sort_keys=True).encode())
    return version


def _keeper(drop: Sequence[str]) -> Callable[[str, tarfile.TarInfo], bool]:
    patterns = re.compile("|".join(fnmatch.translate(pattern) for pattern in drop))

    def keep(name: str, member: tarfile.TarInfo) -> bool:
        if member.ischr() or member.isblk() or member.isfifo():
            return False
        return member.isdir() or not patterns.match(name)

    return keep


def add_file(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """One file of root's with a fixed time, so that the same content makes the same tar."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), mode, 1
    archive.addfile(info, io.BytesIO(content))


def add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    """One symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime = tarfile.SYMTYPE, target, 0o777, 1
    archive.addfile(info)


def _version(status: str, package: str) -> str:
    """The upstream version of a package out of dpkg's status file, without revision and epoch."""
    match = re.search(rf"^Package: {re.escape(package)}\n(?:.+\n)*?Version: (\S+)", status, re.MULTILINE)
    if not match:
        raise Failed(f"the root file system lacks the package {package}")
    return re.split(r"[-+~]", match[1].partition(":")[2] or match[1])[0]
