"""The layers of an image with what each adds, and the first thing in which two builds of the same inputs differ.

Read from what `docker save` writes, in its old form (folders with layer.tar) and as an OCI layout (blobs). Times
are left out: no fingerprint has them.
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed
from workflows.core.step import Cancel
from workflows.core.text import clean
from workflows.scone import protection, tree
from workflows.scone.record import Region
from workflows.scone.tree import Entry, Stream, Tree

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

_LARGEST_JSON = 16 << 20
_EXPECTED = (protection.FSPF, *(f"{protection.FOLDER}/{name}" for name in protection.PARTS))

# What the history puts before a command with build arguments: their number, and each NAME=value.
_ARGUMENTS = re.compile(r"(?:(?<=^RUN )|^)\|[0-9]+ .*?(?=/bin/sh -c )")
# Why a file differs from build to build, and what to do about it, by a part of its path.
_INSTALLED = "another version was installed, or it was built here"
_WHY = (
    (".pyc", "Python writes the time of the source into it", "RUN SOURCE_DATE_EPOCH=315619200 pip3 install …"),
    ("/var/log/", "a log, with times in it", "remove it in the same RUN: rm -rf /var/log/*"),
    ("/_logs/", "a log, with times in it", "remove it in the same RUN"),
    ("ldconfig/aux-cache", "inode numbers and times are in it", "rm -f /var/cache/ldconfig/aux-cache in the same RUN"),
    ("/var/lib/apt/", "lists of the registry", "remove them in the same RUN: rm -rf /var/lib/apt/lists/*"),
    ("/var/lib/dpkg/", "the package database", "give every package its version"),
    ("/lib/apk/db/", "the package database", "give every package its version"),
    ("/etc/shadow", "the day on which a user was added", "use a number instead of a new user: USER 1000"),
    ("/.cache/", "a cache", "switch it off: pip --no-cache-dir, npm --cache /tmp/npm"),
    ("/node_modules/", _INSTALLED, "npm ci with a lock file"),
    ("/site-packages/", _INSTALLED, "pin with == and hashes"),
    ("/dist-packages/", _INSTALLED, "pin with == and hashes"),
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer: the instruction that made it, its digest, and its names (`.wh.` names take one away)."""

    instruction: str
    digest: str
    entries: Mapping[str, Entry] = field(repr=False)


@dataclass(frozen=True)
class Differs:
    """A name in which two builds differ; layer counts from 1. protected: a region covers it."""

    layer: int
    instruction: str
    path: str
    protected: bool
    evidence: str

    @property
    def why(self) -> tuple[str, str]:
        """A likely reason and what to do, by the name."""
        for part, reason, remedy in _WHY:
            if part in self.path or self.path.endswith(part):
                return reason, remedy
        return (
            "the instruction makes something new each time",
            "look for dates, random numbers, downloads in it",
        )


def read(engine: Engine, image: str, cancel: Cancel | None = None) -> list[Layer]:
    """The layers of a local image, the first at the bottom. Failed when the engine's export cannot be read."""
    texts: dict[str, Any] = {}
    found: dict[str, Mapping[str, Entry]] = {}
    links: dict[str, str] = {}
    with _speaking(), tarfile.open(fileobj=Stream(iter(engine.api.get_image(image))), mode="r|") as archive:
        for member in archive:
            if cancel is not None:
                cancel.check()
            if member.issym():
                links[member.name] = posixpath.normpath(
                    posixpath.join(posixpath.dirname(member.name), member.linkname)
                )
            file = archive.extractfile(member) if member.isfile() else None
            if file is None:
                continue
            head = file.read(tarfile.BLOCKSIZE)
            if head[:1] in (b"{", b"["):
                texts[member.name] = _json(head + file.read(_LARGEST_JSON))
            elif head:
                found[member.name] = _listing(head, file)
    return _ordered(texts, {**found, **{link: found.get(target, {}) for link, target in links.items()}})


def merged(layers: Sequence[Layer]) -> Tree:
    """All names of all layers, upper ones winning: enough to follow links, though removed names are in it."""
    whole = Tree()
    for layer in layers:
        whole.entries.update(layer.entries)
    return whole


def compare(a: list[Layer], b: list[Layer], regions: Mapping[str, Region]) -> tuple[list[Differs], list[str]]:
    """(what differs, first layer first, protected names before others; what must differ: key, tag, cipher text)."""
    kinds = {region.root: region.kind for region in regions.values()}
    found, expected = [], []
    if len(a) != len(b):
        raise Failed("the two builds have another number of layers", "did the Dockerfile change meanwhile?")
    for number, (old, new) in enumerate(zip(a, b, strict=True), start=1):
        if old.digest == new.digest:
            continue
        for path in sorted(old.entries.keys() | new.entries.keys()):
            before, after = old.entries.get(path), new.entries.get(path)
            if before == after:
                continue
            kind = kinds.get(tree.owner(path, kinds) or "", "not-protected")
            if path in _EXPECTED or (kind == "encrypted" and before and after and before.mode == after.mode):
                expected.append(path)
                continue
            evidence = f"{_show(before)} → {_show(after)}"
            found.append(Differs(number, old.instruction, path, kind != "not-protected", evidence))
    return sorted(found, key=lambda one: (not one.protected, one.layer, one.path)), expected


def _ordered(texts: Mapping[str, Any], found: Mapping[str, Mapping[str, Entry]]) -> list[Layer]:
    try:
        manifest = texts["manifest.json"][0]
        settings = texts[manifest["Config"]]
        made = [
            " ".join(str(step.get("created_by", "")).split())
            for step in settings["history"]
            if not step.get("empty_layer")
        ]
        digests = [str(digest) for digest in settings["rootfs"]["diff_ids"]]
        names = [str(name) for name in manifest["Layers"]]
        made = [""] * (len(names) - len(made)) + made  # an imported base has no history
        return [
            Layer(_instruction(made[place]), digests[place], found[name]) for place, name in enumerate(names)
        ]
    except (KeyError, IndexError, TypeError):
        raise _unreadable() from None


@contextlib.contextmanager
def _speaking() -> Iterator[None]:
    try:
        yield
    except tarfile.TarError:
        raise _unreadable() from None


def _unreadable() -> Failed:
    return Failed(
        "the engine's export of the image cannot be read",
        "compare the two images instead: creamtea diff",
        name="export",
    )


def _listing(head: bytes, file: Any) -> Mapping[str, Entry]:
    def blocks() -> Iterator[bytes]:
        yield head
        while block := file.read(1 << 18):
            yield block

    try:
        with tarfile.open(fileobj=Stream(blocks()), mode="r|*") as layer:
            return tree.listing(layer)
    except tarfile.TarError:
        return {}


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _instruction(text: str) -> str:
    """`RUN pip install …` out of what the history has of it."""
    shown = clean(text).removeprefix("/bin/sh -c #(nop) ").removesuffix(" # buildkit").strip()
    shown = _ARGUMENTS.sub("", shown, count=1).replace("RUN /bin/sh -c ", "RUN ", 1)
    return f"RUN {shown.removeprefix('/bin/sh -c ')}" if shown.startswith("/bin/sh -c ") else shown


def _show(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    what = f"sha256 {entry.content[:12]}…" if entry.kind == "file" else clean(f"{entry.kind} {entry.content}")
    return f"{what} mode {entry.mode:04o}"
