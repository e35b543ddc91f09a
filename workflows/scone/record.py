"""The measurement record: all that is known to decide a fingerprint, kept for every build.

One JSON file a build in `.creamtea/records/`, mode 0600: `0004-96aef42f854d.json` is build 4, of the image whose
id begins so. Reading is strict: a record that lacks a part, or has one too many, is refused, not guessed.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from workflows.core.failure import Failed, Missing
from workflows.core.files import private_dir, write_atomic
from workflows.core.text import clean
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.regions import Kind
from workflows.scone.tree import Entry

VERSION = 1
TYPE = "measurement"
FOLDER = "records"
LARGEST = 256 << 20
_NAME = re.compile(r"(?P<number>[0-9]{4,9})-(?P<image>[0-9a-f]{12})\.json")


@dataclass(frozen=True)
class Picture:
    """The image: how a person calls it, its id, its digest in a registry (None: it is in none)."""

    reference: str | None = None
    id: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Base:
    """The base image: as the Dockerfile names it, what was used instead (stand_in says why), id, digest."""

    reference: str
    used: str
    id: str | None = None
    digest: str | None = None
    stand_in: str | None = None


@dataclass(frozen=True)
class Runtime:
    """What SCONE_VERSION=1 says of itself."""

    scone: str | None = None
    libc: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Interpreter:
    """The program of the ENTRYPOINT: as it is found, and the SHA-256 of each file that is measured for it.

    files: the file behind the links of `path`; of a stand-in also the real interpreter and its libraries.
    """

    path: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Region:
    """A region of the file shield; root: its path with links followed."""

    kind: Kind
    root: str


@dataclass(frozen=True)
class Sources:
    """What went into the build: hashes (SHA-256) of the Dockerfile and of each argument and file sent.

    context: the hash of the whole; lines: short hashes of the Dockerfile's lines.
    """

    dockerfile: str
    lines: tuple[str, ...]
    arguments: Mapping[str, str]
    context: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Builder:
    """The engine and the builder (buildkit or classic; None: not known any more)."""

    engine: str
    version: str
    api: str
    builder: str | None = None


@dataclass(frozen=True)
class Area:
    """An area of a signed enclave: where, how large (pages), access (`R-X`), and short hashes of its pages."""

    offset: int
    pages: int
    access: str
    measured: bool
    content: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """All that is known of one measurement; None where its source does not say.

    name: how a person calls it. settings: every SCONE_* value in effect. debug: the enclave may be debugged.
    files: all names of the image that matter, not only protected ones. texts: short hashes of lines. layout: of a
    signed enclave, by the kind of area.
    """

    name: str
    at: str
    fingerprint: Fingerprint
    simulated: bool | None = None
    run: str | None = None
    image: Picture = Picture()
    base: Base | None = None
    runtime: Runtime | None = None
    settings: Mapping[str, str] | None = None
    stack: int | None = None
    threads: int | None = None
    dlopen: str | None = None
    fork: str | None = None
    signer: str | None = None
    product: str | None = None
    debug: bool | None = None
    layout: Mapping[str, Area] | None = None
    interpreter: Interpreter | None = None
    regions: Mapping[str, Region] | None = None
    files: Mapping[str, Entry] | None = None
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Sources | None = None
    builder: Builder | None = None


def write(record: Record) -> str:
    """The record as JSON text; equal records give equal text."""
    document = {"v": VERSION, "type": TYPE, **_plain(record)}
    return json.dumps(document, indent=None, separators=(",", ":"), sort_keys=True) + "\n"


def read(text: str | bytes) -> Record:
    """The record of a JSON text; Missing says which part is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong("", f"it is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("type") != TYPE:
        raise _wrong("type", "it is no measurement record")
    if document.get("v") != VERSION:
        raise _wrong("v", f"version {document.get('v')!r}, this program reads {VERSION}")
    values = {name: value for name, value in document.items() if name not in ("v", "type")}
    found: Record = _typed(Record, values, "")
    return found


def load(path: Path) -> Record:
    """The record in a file."""
    try:
        if path.stat().st_size > LARGEST:
            raise _wrong("", f"it has more than {LARGEST >> 20} MiB")
        return read(path.read_bytes())
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}", "give the file of a record") from None
    except Missing as failure:
        raise Missing(f"{clean(str(path))}: {failure.message}", failure.hint, name=failure.name) from None


# The records of a project


@dataclass(frozen=True)
class Kept:
    """A record on disk, not read yet. image: the first 12 hex digits of the image's id."""

    number: int
    image: str
    path: Path


def kept(state: Path) -> list[Kept]:
    """The records in a project's state folder, oldest first."""
    found = []
    for path in (state / FOLDER).glob("*.json"):
        if (match := _NAME.fullmatch(path.name)) is not None:
            found.append(Kept(int(match["number"]), match["image"], path))
    return sorted(found, key=lambda one: one.number)


def keep(state: Path, record: Record) -> Kept:
    """Write a record. The image's last one is replaced: it is the same build, measured again.

    What only the build knew (base, inputs, builder) stays, when the project has gone on since.
    """
    image = short_id(record.image.id or "")
    known = kept(state)
    same = next((one for one in reversed(known) if one.image == image), None)
    number = same.number if same else (known[-1].number + 1 if known else 1)
    path = private_dir(state / FOLDER) / f"{number:04}-{image}.json"
    if same and record.sources is None:
        record = _with_inputs(record, same.path)
    write_atomic(path, write(record))
    return Kept(number, image, path)


def _with_inputs(record: Record, before: Path) -> Record:
    """A record with what the one before knew of the build."""
    try:
        old = load(before)
    except Failed:  # damaged: the new one takes its place
        return record
    return replace(
        record, base=record.base or old.base, sources=old.sources, builder=old.builder or record.builder
    )


def short_id(image: str) -> str:
    """The first 12 hex digits of an image's id."""
    digits = image.rpartition(":")[2]
    if not re.fullmatch(r"[0-9a-f]{12,64}", digits):
        raise Failed(f"{clean(image)!r} is no image id", name="image_id")
    return digits[:12]


# JSON, strictly typed by the classes above


def _plain(value: Any) -> Any:
    if isinstance(value, Entry):
        return f"{value.kind} {value.mode:04o} {value.content}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _typed(kind: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        some = next(one for one in inner if one is not type(None))
        return None if value is None else _typed(some, value, where)
    if kind is Entry:
        return _entry(value, where)
    if dataclasses.is_dataclass(kind):
        return _object(kind, value, where)
    if origin is Literal:
        if value not in inner:
            raise _wrong(where, f"is none of {', '.join(inner)}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "is no list")
        return tuple(_typed(inner[0], item, where) for item in value)
    if origin is not None:  # a mapping
        if not isinstance(value, dict):
            raise _wrong(where, "is no object")
        return {name: _typed(inner[1], item, f"{where}.{name}") for name, item in value.items()}
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(where, f"is no {kind.__name__}")
    return value


def _object(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "is no object")
    hints = typing.get_type_hints(kind)
    if unknown := sorted(value.keys() - hints.keys()):
        raise _wrong(f"{where}.{unknown[0]}", "is unknown")
    if missing := sorted(hints.keys() - value.keys()):
        raise _wrong(f"{where}.{missing[0]}", "is missing")
    values = {name: _typed(hints[name], value[name], f"{where}.{name}") for name in hints}
    try:
        return kind(**values)
    except Failed as failure:  # the fingerprint checks its own parts
        raise _wrong(where, failure.message) from None


def _entry(value: Any, where: str) -> Entry:
    words = value.split(" ", 2) if isinstance(value, str) else []
    if len(words) != 3 or words[0] not in ("file", "link", "dir", "other"):
        raise _wrong(where, "is no `kind mode content`")
    kind, mode, content = words
    if not re.fullmatch(r"[0-7]{4}", mode) or (kind == "file" and not re.fullmatch(r"[0-9a-f]{64}", content)):
        raise _wrong(where, "is no `kind mode content`")
    return Entry(kind, int(mode, 8), content)  # type: ignore[arg-type]


def _wrong(where: str, why: str) -> Missing:
    what = f"{clean(where.lstrip('.'))[:120]}: " if where.strip(".") else ""
    return Missing(
        f"this is no measurement record that can be read: {what}{why}",
        "records are made by creamtea when it measures an image; measure it again",
        name="bad_record",
    )
