"""The images of pre-compute and post-compute: on the Python stand-in, their program a part of the enclave.

As with sconify's --binary-fs: MRENCLAVE alone says what they are, and a session needs no file shield for them. Made
in a container and committed, so that no builder and no context is needed; kept by what went in.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.containers.container import run_to_end, speaking
from workflows.core.command import Emit
from workflows.core.failure import Failed
from workflows.core.step import Cancel
from workflows.localnet.images import SIMULATED, StandIn, task, tidy
from workflows.localnet.leftovers import UNOWNED, labels
from workflows.localnet.trim import BASE_JSON, add_file

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

VERSION = "v5.9"
PROGRAM = "/app/tee.pyz"
# Sizes that no app is likely to choose, so that each stage has an MRENCLAVE of its own.
HEAPS = {"pre-compute": 1536 << 20, "post-compute": 1792 << 20}
_FINGERPRINT = "creamtea.fingerprint"
_BUILD_SECONDS = 300
_PACKAGE = Path(__file__).parents[1]
_MAIN = """import os, sys
from importlib import import_module
stage = import_module("workflows.localnet.tee." + sys.argv[1].replace("-", "_"))
sys.exit(stage.main(os.environ))
"""


@dataclass(frozen=True)
class StageImage:
    """A stage's image in the engine; `fingerprint` is its MRENCLAVE, 64 hex, `heap` in bytes."""

    name: str
    image: str
    id: str
    fingerprint: str
    entrypoint: str
    heap: int


def stage_images(
    engine: Engine, base: StandIn, emit: Emit, cancel: Cancel | None = None
) -> dict[str, StageImage]:
    """`pre-compute` and `post-compute`, made unless the engine has them (seconds).

    Their files are the same; heap, entrypoint and so the MRENCLAVE differ.
    """
    pyz = program()
    tags = {name: _tag(base, name, pyz) for name in HEAPS}
    if lacking := {name: tag for name, tag in tags.items() if not engine.exists(tag)}:
        with task(emit, "stages", "images of " + " and ".join(lacking)):
            _make(engine, base, lacking, pyz, cancel or Cancel())
        for tag in lacking.values():
            tidy(engine, tag)
    return {name: _found(engine, name, tag) for name, tag in tags.items()}


def program() -> bytes:
    """The zipapp with both stages: the same bytes for the same sources."""
    names = sorted(path.relative_to(_PACKAGE.parent) for path in (_PACKAGE / "tee").glob("*.py"))
    names = [name for name in names if name.name != "images.py"]
    names += [Path("localnet/runtime") / name for name in ("libcrypto.py", "refusals.py")]
    contents = {f"workflows/{package}__init__.py": b"" for package in ("", "localnet/", "localnet/runtime/")}
    contents |= {f"workflows/{name.as_posix()}": (_PACKAGE.parent / name).read_bytes() for name in names}
    contents["__main__.py"] = _MAIN.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _tag(base: StandIn, name: str, pyz: bytes) -> str:
    key = json.dumps([4, base.id, hashlib.sha256(pyz).hexdigest(), HEAPS[name]])
    return f"creamtea/tee-{name}:{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _found(engine: Engine, name: str, tag: str) -> StageImage:
    image = engine.require(tag)
    entrypoint = " ".join(_entrypoint(name))
    return StageImage(name, tag, image.id, image.labels.get(_FINGERPRINT, ""), entrypoint, HEAPS[name])


def _entrypoint(name: str) -> list[str]:
    return ["python3", PROGRAM, name]


def _make(engine: Engine, base: StandIn, tags: Mapping[str, str], pyz: bytes, cancel: Cancel) -> None:
    measure = "".join(
        f"SCONE_MODE=sim SCONE_HEAP={HEAPS[name]} SCONE_HASH=1 python3 > /build/{name}.mrenclave\n"
        for name in tags
    )
    with engine.create(
        base.image, ["-e", "/build/measure.sh"], entrypoint=["/bin/sh"], labels=labels()
    ) as container:
        known = json.loads(container.read("/" + BASE_JSON))
        known["interpreters"]["python3"]["libraries"].append(PROGRAM)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as files:
            add_file(files, PROGRAM.lstrip("/"), pyz)
            add_file(files, BASE_JSON, json.dumps(known, indent=1, sort_keys=True).encode())
            add_file(files, "build/measure.sh", measure.encode())
        container.put("/", buffer.getvalue())
        with cancel.on(container.kill):
            ran = run_to_end(container, _BUILD_SECONDS, 1 << 16)
        cancel.check()
        if ran.code:
            raise Failed(
                f"the images of {' and '.join(tags)} could not be measured: {(ran.err or ran.out)[-500:]}",
                "The stand-in base may be damaged: remove it (docker rmi " + base.image + ") and run again.",
                name="tee_image_failed",
            )
        for name, tag in tags.items():
            mrenclave = container.read(f"/build/{name}.mrenclave").decode().strip()
            _commit(engine, container.id, name, tag, mrenclave)


def _commit(engine: Engine, container: str, name: str, tag: str, fingerprint: str) -> None:
    repository, _, version = tag.partition(":")
    changes = [
        f"ENV SCONE_HEAP={HEAPS[name]}",
        f"ENTRYPOINT {json.dumps(_entrypoint(name))}",
        "CMD []",
        f'LABEL {SIMULATED}="1"',
        f'LABEL {_FINGERPRINT}="{fingerprint}"',
        UNOWNED,
    ]
    with speaking(f"the image of {name} was not made", "Is the engine's disk full?"):
        engine.api.commit(container, repository=repository, tag=version, changes="\n".join(changes))
