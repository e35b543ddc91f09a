"""The command `fingerprint`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result


class Fingerprint(Command):
    """The parts of an image's fingerprint, read from the image."""

    name = "fingerprint"
    arguments = (
        Argument("image", "a local image, by name or id", metavar="IMAGE"),
        Argument("--form", "how it is written on the chain", choices=("3", "4", "json"), default="3"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.containers.engine import Engine
        from workflows.scone import image

        with Engine.connect() as engine:
            found = image.measure(engine, options["image"])
        parts = found.fingerprint
        return Result(
            {
                "form": options["form"],
                "value": parts.write(options["form"]),
                "fspf_key": parts.fspf_key,
                "fspf_tag": parts.fspf_tag,
                "mrenclave": parts.mrenclave,
                "entrypoint": parts.entrypoint,
                "heap": parts.heap,
                "image_id": found.image.id,
                "digest": found.image.digest,
                "simulated": found.simulated,
            }
        )

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        return [f"{name:<11} {'—' if value is None else value}" for name, value in document.items()]
