"""The images of pre-compute and post-compute: on the Python stand-in, their files shielded like any app's.

Made in a container and committed, so that no builder and no context is needed; kept by what went in.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.containers.container import run_to_end, speaking
from workflows.core.command import Emit
from workflows.core.failure import Failed
from workflows.core.step import Cancel
from workflows.localnet.images import SIMULATED, StandIn, task, tidy
from workflows.localnet.leftovers import UNOWNED, labels
from workflows.localnet.trim import add_file

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
PROTECT = """set -e
export SCONE_MODE=sim
fspf=/fspf.pb
scone fspf create $fspf > /dev/null
scone fspf addr $fspf / --not-protected --kernel / > /dev/null
for folder in /usr /bin /lib /sbin /etc/ssl /app; do
  scone fspf addr $fspf $folder --authenticated --kernel $folder > /dev/null
  scone fspf addf $fspf $folder $folder > /dev/null
done
sealed=$(scone fspf encrypt $fspf)
tag=$(echo "$sealed" | sed -n 's/.*AES-GCM tag: \\([0-9a-f]\\{32\\}\\) key: \\([0-9a-f]\\{64\\}\\)$/\\1/p')
key=$(echo "$sealed" | sed -n 's/.*AES-GCM tag: \\([0-9a-f]\\{32\\}\\) key: \\([0-9a-f]\\{64\\}\\)$/\\2/p')
printf '%s|%s|%s' "$key" "$tag" "$(SCONE_HASH=1 python3)" > /build/fingerprint
"""


@dataclass(frozen=True)
class StageImage:
    """A stage's image in the engine; `fingerprint` is FSPF_KEY|FSPF_TAG|MRENCLAVE, `heap` in bytes."""

    name: str
    image: str
    id: str
    fingerprint: str
    entrypoint: str
    heap: int


def stage_images(
    engine: Engine, base: StandIn, emit: Emit, cancel: Cancel | None = None
) -> dict[str, StageImage]:
    """`pre-compute` and `post-compute`, made unless the engine has them (seconds)."""
    return {name: _stage(engine, base, name, emit, cancel or Cancel()) for name in HEAPS}


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


def _stage(engine: Engine, base: StandIn, name: str, emit: Emit, cancel: Cancel) -> StageImage:
    heap = HEAPS[name]
    pyz = program()
    key = json.dumps([2, base.id, hashlib.sha256(pyz).hexdigest(), PROTECT, heap])
    tag = f"creamtea/tee-{name}:{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not engine.exists(tag):
        with task(emit, name, f"image of {name}"):
            _make(engine, base, name, heap, pyz, tag, cancel)
        tidy(engine, tag)
    image = engine.require(tag)
    entrypoint = " ".join(_entrypoint(name))
    return StageImage(name, tag, image.id, image.labels.get(_FINGERPRINT, ""), entrypoint, heap)


def _entrypoint(name: str) -> list[str]:
    return ["python3", PROGRAM, name]


def _make(engine: Engine, base: StandIn, name: str, heap: int, pyz: bytes, tag: str, cancel: Cancel) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as files:
        add_file(files, PROGRAM.lstrip("/"), pyz)
        add_file(files, "build/protect.sh", PROTECT.encode())
    with engine.create(
        base.image,
        ["-e", "/build/protect.sh"],
        entrypoint=["/bin/sh"],
        environment={"SCONE_HEAP": str(heap)},
        labels=labels(),
    ) as container:
        container.put("/", buffer.getvalue())
        with cancel.on(container.kill):
            ran = run_to_end(container, _BUILD_SECONDS, 1 << 16)
        cancel.check()
        if ran.code:
            raise Failed(
                f"the image of {name} could not be protected: {(ran.err or ran.out)[-500:]}",
                "The stand-in base may be damaged: remove it (docker rmi " + base.image + ") and run again.",
                name="tee_image_failed",
            )
        fingerprint = container.read("/build/fingerprint").decode()
        repository, _, version = tag.partition(":")
        changes = [
            f"ENV SCONE_HEAP={heap}",
            f"ENTRYPOINT {json.dumps(_entrypoint(name))}",
            "CMD []",
            f'LABEL {SIMULATED}="1"',
            f'LABEL {_FINGERPRINT}="{fingerprint}"',
            UNOWNED,
        ]
        with speaking(f"the image of {name} was not made", "Is the engine's disk full?"):
            engine.api.commit(container.id, repository=repository, tag=version, changes="\n".join(changes))
