"""The TEE services of this SMS: which pre-compute and post-compute a framework version stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

FRAMEWORK = "SCONE"
FRAMEWORKS = ("SCONE", "GRAMINE", "TDX")


@dataclass(frozen=True)
class Stage:
    """An image beside the app: pre-compute or post-compute. `fingerprint`: MRENCLAVE, 64 hex; `heap` in bytes."""

    image: str
    fingerprint: str
    entrypoint: str
    heap: int


@dataclass(frozen=True)
class Pipeline:
    """One framework version (`v5`, `v5.9`) with its stages."""

    version: str
    pre_compute: Stage
    post_compute: Stage


@dataclass(frozen=True)
class TeeServices:
    """What `GET /tee/properties` serves; the first pipeline is the default."""

    pipelines: Sequence[Pipeline] = ()
    las_image: str = field(default="creamtea-las:SIMULATED")

    def pipeline(self, version: str | None = None) -> Pipeline | None:
        """The pipeline of a version, the default for None; None when it is not configured."""
        return next((p for p in self.pipelines if version in (None, p.version)), None)

    def document(self, pipeline: Pipeline) -> dict[str, Any]:
        """The JSON of a pipeline."""
        return {
            "teeFramework": FRAMEWORK,
            "teeFrameworkVersion": pipeline.version,
            "preComputeProperties": _stage(pipeline.pre_compute),
            "postComputeProperties": _stage(pipeline.post_compute),
            "lasImage": self.las_image,
        }


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "image": stage.image,
        "fingerprint": stage.fingerprint,
        "entrypoint": stage.entrypoint,
        "heapSizeInBytes": stage.heap,
    }
