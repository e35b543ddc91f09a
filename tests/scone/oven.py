"""Small enclave apps, drafted and built by the real engine on the localnet's stand-in base."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflows.containers.build import Built, build
from workflows.containers.context import Context
from workflows.containers.engine import Engine
from workflows.localnet.images import StandIn, forget, stand_in
from workflows.scone import catalogue, dockerfile, recording
from workflows.scone.project import look
from workflows.scone.record import Record
from workflows.scone.regions import Kind

ROOT_PEM = b"-----BEGIN CERTIFICATE-----\nSIMULATED root of %b\n-----END CERTIFICATE-----\n"
APP = "import os\n\nprint('tea')\nprint(os.getcwd())\n"


def project(folder: Path, **files: str) -> Path:
    """A folder with an app, a model to encrypt, notes to leave open, and more files."""
    texts = {"app.py": APP, "model/weights.txt": "0.1 0.2\n", "notes/read.txt": "open\n", **files}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@dataclass
class Oven:
    """Builds on a base of its own, and remembers what to remove."""

    engine: Engine
    tags: list[str] = field(default_factory=list)
    root_pem: bytes = field(default_factory=lambda: ROOT_PEM % uuid.uuid4().hex.encode())

    def draft(self, folder: Path, heap: int = 1 << 30, regions: Mapping[str, Kind] | None = None) -> str:
        return dockerfile.draft(
            look(folder), catalogue.default("python"), heap=heap, regions=regions or {}, stand_in=True
        )

    def base(self) -> StandIn:
        """The stand-in base of this oven alone: no other session may take it away."""
        return stand_in(self.engine, "python", lambda _: None, root_pem=self.root_pem)

    def context(self, folder: Path, text: str) -> tuple[Context, str]:
        """What is sent, and the base that stands in."""
        base = self.base().image
        whole = Context(folder, text, apart=look(folder).excludes)
        return whole.rewritten({catalogue.default("python").reference: base})[0], base

    def bake(self, folder: Path, text: str, *, tag: str = "", **options: Any) -> Built:
        """One image."""
        context, _ = self.context(folder, text)
        return self.built(context, tag=tag, **options)

    def built(self, context: Context, *, tag: str = "", **options: Any) -> Built:
        self.tags.append(tag or f"creamtea-test/oven:{uuid.uuid4().hex[:12]}")
        work = build(self.engine, context, tag=self.tags[-1], **options)
        while True:
            try:
                next(work)
            except StopIteration as end:
                made: Built = end.value
                return made

    def record(self, folder: Path, text: str, **options: Any) -> Record:
        """An image's record with all that is known of its build."""
        made = self.bake(folder, text, **options)
        context, base = self.context(folder, text)
        reference = catalogue.default("python").reference
        return recording.take(
            self.engine,
            made.image_id,
            name=self.tags[-1],
            base=recording.base(self.engine, reference, base, "stands in"),
            sources=recording.sources(context),
            builder=made.builder,
        )

    def clear(self) -> None:
        for tag in self.tags:
            self.engine.remove(tag, force=True)
        forget(self.engine, self.root_pem)
