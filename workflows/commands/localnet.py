"""The command `localnet`."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.failure import Missing, Unavailable


class Localnet(Command):
    """The embedded network: up, down, status, export DIR."""

    name = "localnet"
    arguments = (
        Argument(
            "action",
            "up holds it until interrupted; status exits 0 when ready",
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
        if action == "status":
            return Result(document or client.absent(state), 0 if document else Unavailable.exit_code)
        if document is None:
            raise Unavailable("no localnet is running", "creamtea localnet up starts one", name="localnet")
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
    """Start the localnet, or find it, and hold it until interrupted."""
    from workflows.localnet import client

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def hold() -> int:
        try:
            while lease.alive():
                time.sleep(0.2)
        except KeyboardInterrupt:
            client.leave(lease, state)
        return 0

    signal.signal(signal.SIGTERM, interrupt)
    lease = client.join(state, emit)
    return Result(lease.document, then=hold)
