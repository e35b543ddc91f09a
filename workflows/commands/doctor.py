"""The command `doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workflows.commands import onchain
from workflows.core.command import Argument, Command, Emit, Result


class Doctor(Command):
    """The state of this machine, with a fix for each fault."""

    name = "doctor"
    arguments = (
        Argument("--project", "the app's folder", metavar="DIR", default="."),
        Argument("--network", "the network whose services are tried [the project's]", metavar="NAME"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.core import folders
        from workflows.core.journal import Journal
        from workflows.core.manifest import Manifest
        from workflows.core.step import Context
        from workflows.steps import doctor

        folder = folders.existing(options["project"])
        ctx = Context(
            folder,
            Journal(folder),
            Manifest(folder),
            values={"network": onchain.chosen(folder, options["network"])},
        )
        try:
            checks = [probe() for probe in doctor.probes(ctx)]
        finally:
            ctx.close()
        healthy = not any(check.ok is False for check in checks)
        return Result(
            {"healthy": healthy, "checks": [doctor.document(one) for one in checks]}, 0 if healthy else 3
        )

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        for check in document["checks"]:
            mark = {True: "✓", False: "✗", None: "·"}[check["ok"]]
            yield f"{mark} {check['name']:<12} {check['text']}"
            if check["hint"]:
                yield f"  → {check['hint']}"
