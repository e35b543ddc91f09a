"""The fingerprint of an image: read from its files, its MRENCLAVE asked of the image itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from workflows.core.failure import Failed
from workflows.core.text import clean
from workflows.scone import heap as sizes
from workflows.scone import printouts, protection
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.protection import Taken
from workflows.scone.regions import Kind

if TYPE_CHECKING:
    from workflows.containers.engine import Engine, Image

SIMULATED = "creamtea.simulated"


@dataclass(frozen=True)
class Measured:
    """What an image is: its fingerprint, the regions it protects, and whether its runtime is SIMULATED."""

    image: Image
    fingerprint: Fingerprint
    regions: Mapping[str, Kind]
    simulated: bool


def measure(engine: Engine, reference: str) -> Measured:
    """Read `/build` of an image, and have the image print its MRENCLAVE; the two must agree.

    Failed `no_fingerprint` when it has none, `mrenclave_differs` when the image starts another enclave than the
    one that was measured at its build.
    """
    image = engine.require(reference)
    taken = claimed(engine, image)
    fingerprint = taken.fingerprint
    said = enclave_hash(engine, image, fingerprint.entrypoint or "")
    if said != fingerprint.mrenclave:
        raise Failed(
            f"the image's interpreter has MRENCLAVE {said[:16]}…, its fingerprint says {fingerprint.mrenclave[:16]}…",
            "interpreter, heap or another SCONE setting changed after the fingerprint was taken: build it again",
            name="mrenclave_differs",
        )
    return Measured(image, fingerprint, dict(taken.regions), image.labels.get(SIMULATED) == "1")


def claimed(engine: Engine, image: Image) -> Taken:
    """What an image says of itself in `/build`, nothing of it checked; Failed `no_fingerprint` when it says nothing."""
    paths = {f"{protection.FOLDER}/{name}": name for name in protection.PARTS}
    found = engine.read_files(image.id, paths)
    taken = protection.read({paths[path]: data for path, data in found.items() if data is not None})
    return replace(taken, fingerprint=_complete(taken, image))


def enclave_hash(engine: Engine, image: Image, entrypoint: str) -> str:
    """What `SCONE_HASH=1` prints for the image's interpreter, with the image's own settings."""
    try:
        words = shlex.split(entrypoint) or list(image.entrypoint)
    except ValueError:  # a quote without its other half
        words = entrypoint.split()
    if not words:
        raise Failed(
            "the image has no entrypoint to measure", "give it an ENTRYPOINT in exec form", name="entrypoint"
        )
    settings = {"SCONE_HASH": "1", "SCONE_MODE": "sim"}
    ran = engine.run(image.id, [], entrypoint=words[:1], environment=settings)
    if ran.code == 0 and not ran.out.strip() and not ran.err.strip():  # an engine under load lost it
        ran = engine.run(image.id, [], entrypoint=words[:1], environment=settings)
    try:
        return printouts.enclave_hash(ran.out)
    except Failed:
        lines = (ran.err.strip() or ran.out.strip()).splitlines()
        said = clean(lines[-1]) if lines else f"nothing (exit code {ran.code})"
        raise Failed(
            f"{words[0]} printed no MRENCLAVE, it said: {said}",
            "is it SCONE's interpreter? A package may have put another one before it",
            name="no_mrenclave",
        ) from None


def _complete(taken: Taken, image: Image) -> Fingerprint:
    """The fingerprint with entrypoint and heap, from the image's settings where its files are silent."""
    found = taken.fingerprint
    heap = image.environment.get("SCONE_HEAP")
    return replace(
        found,
        entrypoint=found.entrypoint or " ".join(image.entrypoint) or None,
        heap=found.heap or (sizes.parse(heap) if heap else None),
    )
