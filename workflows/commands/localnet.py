"""The command `localnet`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.failure import Missing


class Localnet(Command):
    """The embedded network: up, down, status, export DIR."""

    name = "localnet"
    arguments = (
        Argument(
            "action",
            "up stays in the foreground; status exits 0 when ready",
            choices=("up", "down", "status", "export"),
        ),
        Argument("folder", "export: where chain.json and a funded keystore go", metavar="DIR", optional=True),
        Argument("--state", "another state folder", metavar="DIR"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.localnet import client

        state = Path(options["state"]).expanduser().resolve() if options["state"] else client.default_state()
        action = options["action"]
        if action == "up":
            return _up(state, emit)
        if action == "down":
            return Result({"stopped": client.stop(state), "state_dir": str(state)})
        document = client.status(state)
        if document is None:
            return Result({"ready": False, "state_dir": str(state)}, 3)
        if action == "status":
            return Result(document)
        if not options["folder"]:
            raise Missing("export needs a folder", "creamtea localnet export DIR", name="usage")
        from workflows.localnet.export import export

        return Result(export(document, Path(options["folder"]).expanduser().resolve()))

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        if document.get("ready") is False:
            return ["no localnet is running; creamtea localnet up starts one"]
        if "stopped" in document:
            return ["stopped" if document["stopped"] else "no localnet was running"]
        return [
            f"{name:<14} {value}" for name, value in document.items() if not isinstance(value, list | dict)
        ]


def _up(state: Path, emit: Emit) -> Result:
    """Run the localnet in the foreground until it is interrupted."""
    from workflows.localnet import client

    found = client.status(state)
    if found is not None:
        raise Missing(
            f"a localnet is running already (process {found['pid']})", "creamtea localnet status shows it"
        )
    process = subprocess.Popen([sys.executable, "-m", "workflows.localnet", "--state", str(state), "--stay"])
    # Both get Ctrl-C from the terminal; the child ends in its own time and we report how.
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            code = process.wait()
            return Result({"stopped": True, "state_dir": str(state)}, 0 if code in (0, -2, 130) else 1)
        except KeyboardInterrupt:
            continue
