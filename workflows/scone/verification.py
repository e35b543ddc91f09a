"""Whether a local image is the app that the chain registered: each thing compared, and what can be, recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflows.core.failure import Failed
from workflows.core.text import clean
from workflows.scone import heap as sizes
from workflows.scone import image as images
from workflows.scone import protection
from workflows.scone.fingerprint import Fingerprint

if TYPE_CHECKING:
    from workflows.containers.engine import Engine, Image


_KILLED = (-1, 137)  # no exit code at all, and SIGKILL: not a word of the file shield


@dataclass(frozen=True)
class Check:
    """One comparison; ok is None where it could not be made, and `actual` says why."""

    name: str
    expected: str
    actual: str
    ok: bool | None


def checks(
    engine: Engine, image: Image, registered: Fingerprint, checksum: str, *, simulated: bool
) -> list[Check]:
    """All checks of an image. checksum: 0x hex as on the chain; simulated: the network is.

    The image's interpreter is started without a network: for SCONE_HASH, and with the file shield up.
    """
    found = [_checksum(image, checksum), _mark(image, simulated), _mrenclave(engine, image, registered)]
    if registered.fspf_key is not None:
        found += _parts(engine, image, registered)
        found.append(_shield(engine, image, registered))
    if registered.entrypoint is not None:
        found.append(_same("entrypoint", registered.entrypoint, " ".join(image.entrypoint)))
    if registered.heap is not None:
        found.append(_heap(image, registered.heap))
    return found


def _checksum(image: Image, checksum: str) -> Check:
    wanted = checksum.removeprefix("0x")
    digests = [one.rpartition(":")[2] for one in image.digests]
    actual = wanted if wanted in digests else digests[0] if digests else image.id.rpartition(":")[2]
    return _same("checksum", f"0x{wanted}", f"0x{actual}")


def _mark(image: Image, simulated: bool) -> Check:
    """A simulated runtime has no place on a live network; the other way round nothing is wrong."""
    marked = image.labels.get(images.SIMULATED) == "1"
    expected = "SCONE's or SIMULATED" if simulated else "SCONE's"
    return Check("runtime", expected, "SIMULATED" if marked else "SCONE's", simulated or not marked)


def _mrenclave(engine: Engine, image: Image, registered: Fingerprint) -> Check:
    """Recomputed by the image's own interpreter, with the image's settings."""
    try:
        return _same(
            "mrenclave", registered.mrenclave, images.enclave_hash(engine, image, _program(image, registered))
        )
    except Failed as failure:
        return Check("mrenclave", registered.mrenclave, failure.message, False)


def _parts(engine: Engine, image: Image, registered: Fingerprint) -> list[Check]:
    """FSPF key and tag as the image keeps them in /build."""
    expected = {"fspf_key": str(registered.fspf_key), "fspf_tag": str(registered.fspf_tag)}
    try:
        taken = images.claimed(engine, image)
    except Failed as failure:
        return [Check(name, value, failure.message, None) for name, value in expected.items()]
    return [
        _same(name, value, str(getattr(taken.fingerprint, name) or "none"))
        for name, value in expected.items()
    ]


def _shield(engine: Engine, image: Image, registered: Fingerprint) -> Check:
    """The image's files against its FSPF, opened with the chain's key: SCONE's way to debug a file shield."""
    expected = "every protected file as the FSPF lists it"
    program = (_program(image, registered).split() or list(image.entrypoint))[:1]
    environment = {
        "SCONE_MODE": "sim",
        "SCONE_FSPF": protection.FSPF,
        "SCONE_FSPF_KEY": str(registered.fspf_key),
        "SCONE_FSPF_TAG": str(registered.fspf_tag),
    }
    try:
        ran = engine.run(image.id, ["--version"], entrypoint=program, environment=environment)
    except Failed as failure:
        return Check("files", expected, failure.message, False)
    if ran.code == 0:
        return Check("files", expected, expected, True)
    if ran.timed_out or ran.code in _KILLED:
        return Check("files", expected, "it was stopped before it could check: is memory short?", None)
    said = [line for line in (ran.err or ran.out).splitlines() if line.strip()]
    return Check("files", expected, clean(said[-1]) if said else f"exit code {ran.code}", False)


def _heap(image: Image, registered: int) -> Check:
    text = image.environment.get("SCONE_HEAP")
    if text is None:
        return Check("heap", sizes.show(registered), "the image sets no SCONE_HEAP", None)
    try:
        return _same("heap", sizes.show(registered), sizes.show(sizes.parse(text)))
    except Failed as failure:
        return Check("heap", sizes.show(registered), failure.message, False)


def _program(image: Image, registered: Fingerprint) -> str:
    return " ".join(image.entrypoint) or registered.entrypoint or ""


def _same(name: str, expected: str, actual: str) -> Check:
    return Check(name, clean(expected), clean(actual), expected == actual)
