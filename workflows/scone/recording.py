"""Making a measurement record: of an image through the engine, and of what went into its build."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from workflows.core.events import now
from workflows.core.failure import Failed
from workflows.core.step import Cancel
from workflows.scone import heap as sizes
from workflows.scone import image as images
from workflows.scone import printouts, protection, tree
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.image import Measured
from workflows.scone.printouts import Settings
from workflows.scone.record import Base, Builder, Interpreter, Picture, Record, Region, Runtime, Sources
from workflows.scone.regions import SYSTEM, Kind
from workflows.scone.tree import Entry, Tree

if TYPE_CHECKING:
    from workflows.containers.context import Context
    from workflows.containers.engine import Engine, Image
    from workflows.sgx.sigstruct import Sigstruct

_LARGEST_PROGRAM = 256 << 20
_STAND_IN = "/etc/scone-simulated/base.json"
_VENDORED = {"node_modules", "site-packages", "dist-packages"}
# Outside the protected regions: what the engine or a package manager writes, and no app reads.
_NOISE = (
    "/.dockerenv", "/boot", "/build", "/dev", "/etc/hostname", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf",
    "/etc/scone-simulated", "/proc", "/root/.cache", "/root/.npm", "/run", "/sys", "/var/cache",
    "/var/lib/apt", "/var/lib/dpkg", "/var/log", "/var/run",
    "/tmp", "/var/tmp",  # noqa: S108 - names, not files that we make
)  # fmt: skip
_HIDDEN = ("TOKEN", "PASSWORD", "SECRET")


def take(
    engine: Engine,
    reference: str,
    *,
    name: str = "",
    run: str | None = None,
    base: Base | None = None,
    sources: Sources | None = None,
    builder: str | None = None,
    measured: Measured | None = None,
    cancel: Cancel | None = None,
) -> Record:
    """The record of a local image; base, sources and builder where its build is known.

    measured: what `image.measure` found, if it was asked already. Failed when the image is none of SCONE's.
    """
    found = engine.require(reference)
    simulated = found.labels.get(images.SIMULATED) == "1"
    parts, kinds = _measured(engine, found, measured)
    words = (parts.entrypoint or "").split() or list(found.entrypoint)
    printed = _settings(engine, found, words[0])
    whole = _tree(engine, found, kinds, cancel)
    program = _interpreter(engine, found, words[0], whole, simulated)
    signed = _signed(engine, found, program) if not simulated else None
    regions = {path: Region(kind, whole.resolve(path)) for path, kind in kinds.items()}
    return Record(
        name=name or reference,
        at=now(),
        fingerprint=replace(parts, heap=printed.heap) if printed else parts,
        simulated=simulated,
        run=run,
        image=Picture(reference, found.id, found.digest),
        base=base,
        runtime=Runtime(printed.scone, printed.musl, printed.revision) if printed else None,
        settings=_in_effect(found, printed),
        stack=printed.stack if printed else None,
        threads=printed.threads if printed else None,
        dlopen=printed.dlopen if printed else None,
        fork=printed.settings.get("SCONE_FORK") if printed else None,
        signer=signed.mrsigner if signed else None,
        product=f"ISVPRODID {signed.isv_prod_id} ISVSVN {signed.isv_svn}" if signed else None,
        debug=signed.debug if signed else None,
        interpreter=program,
        regions=regions,
        files=_kept(whole.entries, regions),
        texts=whole.texts,
        sources=sources,
        builder=Builder(engine.kind, engine.version, engine.api_version, builder),
    )


def sources(context: Context, arguments: Mapping[str, str] | None = None) -> Sources:
    """What goes into a build: hashes of the Dockerfile as sent, of build arguments and of every file."""
    text = context.dockerfile.encode()
    return Sources(
        dockerfile=_sha256(text),
        lines=tree.lines_of(text) or (),
        arguments={name: _sha256(value.encode()) for name, value in (arguments or {}).items()},
        context=context.digest(),
        files=dict(_files(context)),
    )


def base(engine: Engine, reference: str, used: str, stand_in: str | None) -> Base:
    """The base image of a build, with the id and the digest that it has in the engine now."""
    found = engine.image(used)
    return Base(reference, used, found.id if found else None, found.digest if found else None, stand_in)


def _files(context: Context) -> list[tuple[str, str]]:
    found = []
    for path in context.paths():
        file = context.folder / path
        if file.is_symlink():
            found.append((path, _sha256(b"link " + os.fsencode(os.readlink(file)))))  # noqa: PTH115
        elif file.is_file():
            with file.open("rb") as opened:
                digest = hashlib.sha256()
                while block := opened.read(1 << 20):
                    digest.update(block)
            found.append((path, digest.hexdigest()))
    found += [(path, _sha256(content)) for path, content in context.extra.items()]
    return sorted(item for item in found if item[0] != context.name)


def _measured(
    engine: Engine, image: Image, measured: Measured | None
) -> tuple[Fingerprint, Mapping[str, Kind]]:
    """The fingerprint with the MRENCLAVE that the image really starts, and region → kind.

    An image without FSPF (sconified) has its MRENCLAVE alone.
    """
    if measured is not None:
        return measured.fingerprint, measured.regions
    try:
        taken = images.claimed(engine, image)
    except Failed as failure:
        if failure.name != "no_fingerprint" or engine.read_file(image.id, "/build/fingerprint") is not None:
            raise
        heap = image.environment.get("SCONE_HEAP")
        return Fingerprint(
            None, None, images.enclave_hash(engine, image, ""), " ".join(image.entrypoint) or None,
            sizes.parse(heap) if heap else None,
        ), {}  # fmt: skip
    parts = taken.fingerprint
    return replace(parts, mrenclave=images.enclave_hash(engine, image, parts.entrypoint or "")), taken.regions


def _settings(engine: Engine, image: Image, program: str) -> Settings | None:
    """What SCONE_VERSION=1 prints; None when the runtime prints nothing that can be read."""
    asked = {"SCONE_VERSION": "1", "SCONE_MODE": "sim"}
    ran = engine.run(image.id, ["--version"], entrypoint=[program], environment=asked)
    try:
        return printouts.settings(ran.out)
    except Failed:
        return None


def _in_effect(image: Image, printed: Settings | None) -> dict[str, str] | None:
    """Every SCONE_* value: as the runtime says, and what the image sets beside; None when it says nothing."""
    if printed is None:
        return None
    given = {name: value for name, value in image.environment.items() if name.startswith("SCONE_")}
    hidden = {name: "(hidden)" for name in given if any(mark in name for mark in _HIDDEN)}
    return {**given, **printed.settings, **hidden}


def _tree(engine: Engine, image: Image, kinds: Mapping[str, str], cancel: Cancel | None) -> Tree:
    def wanted(path: str) -> bool:
        region = tree.owner(path, kinds)
        return (
            region not in (None, "/", *SYSTEM)
            and kinds[str(region)] != "encrypted"
            and not _VENDORED.intersection(PurePosixPath(path).parts)
        )

    with engine.create(image.id, ["-"], entrypoint=[]) as container, closing(container.get("/")) as archive:
        return tree.read(archive, wanted, cancel)


def _kept(entries: Mapping[str, Entry], regions: Mapping[str, Region]) -> dict[str, Entry]:
    kinds: dict[str, Kind] = {region.root: region.kind for region in regions.values()}
    found = {}
    for path, entry in entries.items():
        kind = kinds.get(tree.owner(path, kinds) or "", "not-protected")
        noise = kind == "not-protected" and (entry.kind == "dir" or any(_within(path, one) for one in _NOISE))
        if not noise and path != protection.FSPF:
            found[path] = entry
    return found


def _interpreter(
    engine: Engine, image: Image, program: str, whole: Tree, simulated: bool
) -> Interpreter | None:
    found = whole.program(program, image.environment.get("PATH", ""))
    if found is None:
        return None
    path, file = found
    measured = [file, *(_behind(engine, image, path) if simulated else [])]
    hashes = {
        real: whole.entries[real].content
        for real in (whole.resolve(one) for one in measured)
        if real in whole.entries
    }
    return Interpreter(path, hashes)


def _signed(engine: Engine, image: Image, program: Interpreter | None) -> Sigstruct | None:
    """The SIGSTRUCT inside of SCONE's interpreter; None where none is found, or its signature is wrong."""
    from workflows.sgx import sigstruct
    from workflows.sgx.source import Source

    for path in program.files if program else ():
        try:
            data = engine.read_file(image.id, path, _LARGEST_PROGRAM)
        except Failed:  # larger than any interpreter
            continue
        with Source.of(data or b"") as source:
            for _, found in sigstruct.scan(source):
                if found.valid:
                    return found
    return None


def _behind(engine: Engine, image: Image, path: str) -> list[str]:
    """The real interpreter behind the stand-in's launcher, and its libraries."""
    name = PurePosixPath(path).name
    known = "python3" if name.startswith("python") else "node" if name == "nodejs" else name
    try:
        entry = json.loads(engine.read_file(image.id, _STAND_IN) or b"")["interpreters"][known]
        return [str(entry["path"]), *map(str, entry["libraries"])]
    except (ValueError, LookupError, TypeError):
        return []


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
