"""A measurement record with everything in it, and ways to change one thing."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from workflows.core.journal import FOLDER
from workflows.scone import record
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.record import Base, Builder, Interpreter, Picture, Record, Region, Runtime, Sources
from workflows.scone.tree import Entry, lines_of


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def file(text: str, mode: int = 0o644) -> Entry:
    return Entry("file", mode, sha(text))


APP = "import os\n\nprint('tea')\nprint('scone')\n"
BUILD = Record(
    name="build 1",
    at="2026-11-23T10:00:00.000Z",
    fingerprint=Fingerprint(sha("key"), sha("tag")[:32], sha("mrenclave"), "python3 /app/app.py", 1 << 30),
    simulated=True,
    image=Picture("hello:0.1", "sha256:" + sha("image")),
    base=Base("curated/python:3", "stand-in:1", "sha256:" + sha("base"), None, "Debian stands in"),
    runtime=Runtime("5.8.0", "1.2.4", None),
    settings={"SCONE_HEAP": "1073741824", "SCONE_STACK": "2097152", "SCONE_TCS": "8", "SCONE_QUEUES": "4"},
    stack=2 << 20,
    threads=8,
    dlopen="no",
    fork="no",
    signer=sha("signer"),
    product="ISVPRODID 1 ISVSVN 2",
    debug=False,
    interpreter=Interpreter("/usr/local/bin/python3", {"/usr/bin/python3.11": sha("python")}),
    regions={
        "/": Region("not-protected", "/"),
        "/usr": Region("authenticated", "/usr"),
        "/bin": Region("authenticated", "/usr/bin"),
        "/app": Region("authenticated", "/app"),
        "/app/model": Region("encrypted", "/app/model"),
    },
    files={
        "/app/app.py": file(APP),
        "/app/model/w": file("cipher text"),
        "/usr/bin/python3.11": file("python", 0o755),
        "/usr/lib/libm.so": file("libm"),
        "/usr/lib/libz.so": file("libz"),
        "/etc/app.ini": file("[app]"),
        "/app/link": Entry("link", 0, "app.py"),
    },
    texts={"/app/app.py": lines_of(APP.encode()) or ()},
    sources=Sources(
        sha("Dockerfile"),
        lines_of(b"FROM a\nRUN b\n") or (),
        {"PIP": sha("1")},
        sha("context"),
        {"app.py": sha(APP), "model/w": sha("plain"), "README.md": sha("read me")},
    ),
    builder=Builder("docker", "20.10", "1.41", "buildkit"),
)


def new(one: Record = BUILD, /, **values: Any) -> Record:
    return dataclasses.replace(one, **values)


def parts(found: Record, *changed: str) -> Record:
    """The record with these parts of its fingerprint drawn anew."""
    values = {name: sha(f"new {name}")[: 32 if name == "fspf_tag" else 64] for name in changed}
    return new(found, fingerprint=dataclasses.replace(found.fingerprint, **values))


def rebuilt(found: Record) -> Record:
    """As every build: another key and tag."""
    return parts(found, "fspf_key", "fspf_tag")


def with_file(path: str, entry: Entry | None, texts: dict[str, tuple[str, ...]] | None = None) -> Record:
    files = {name: one for name, one in (BUILD.files or {}).items() if name != path}
    if entry is not None:
        files[path] = entry
    return new(files=files, texts=BUILD.texts if texts is None else texts)


def with_sources(**values: Any) -> Record:
    assert BUILD.sources is not None
    values.setdefault("context", sha("another context"))
    return new(sources=dataclasses.replace(BUILD.sources, **values))


def setting(name: str, value: str, **values: Any) -> Record:
    return new(settings={**(BUILD.settings or {}), name: value}, **values)


def fingerprint(**values: Any) -> Fingerprint:
    return dataclasses.replace(BUILD.fingerprint, **values)


def texts(text: str) -> dict[str, tuple[str, ...]]:
    return {"/app/app.py": lines_of(text.encode()) or ()}


def builds(folder: Path) -> Path:
    """A project that keeps three builds: one, the same rebuilt, and one with a larger heap."""
    folder.mkdir()
    larger = setting("SCONE_HEAP", str(2 << 30), fingerprint=fingerprint(heap=2 << 30))
    for digit, one in (("1", BUILD), ("2", rebuilt(BUILD)), ("3", rebuilt(larger))):
        record.keep(folder / FOLDER, new(one, image=Picture("hello:0.1", "sha256:" + digit * 64)))
    return folder
