"""Labels by which containers, networks and volumes of a localnet that was killed are found and removed."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.containers.container import Container, speaking
from workflows.localnet.process import runs

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

LABEL = "creamtea.localnet"
# For an image that is made of a labelled container: what users build on it inherits its labels, and their
# containers are no leftovers.
UNOWNED = f'LABEL {LABEL}=""'


def labels() -> dict[str, str]:
    """For everything that must not outlive this process."""
    return {LABEL: f"{_machine()}.{_boot()}.{os.getpid()}"}


def sweep(engine: Engine) -> dict[str, list[str]]:
    """Remove what processes of this machine left that no longer run; others' things stay.

    What was removed: the names of `containers`, `networks`, `volumes`.
    """
    wanted = {"label": LABEL}
    with speaking("what is left over cannot be listed"):
        containers = engine.api.containers(all=True, filters=wanted)
        networks = engine.api.networks(filters=wanted)
        volumes = engine.api.volumes(filters=wanted).get("Volumes") or []
    removed: dict[str, list[str]] = {"containers": [], "networks": [], "volumes": []}
    for record in filter(_orphaned, containers):
        Container(engine.api, record["Id"]).remove()
        removed["containers"].append(record["Id"][:12])
    for record in filter(_orphaned, networks):
        engine.remove_network(record["Id"])
        removed["networks"].append(record["Name"])
    for record in filter(_orphaned, volumes):
        engine.remove_volume(record["Name"])
        removed["volumes"].append(record["Name"])
    return removed


def _orphaned(record: dict[str, dict[str, str]]) -> bool:
    machine, _, rest = str((record.get("Labels") or {}).get(LABEL, "")).partition(".")
    boot, _, pid = rest.partition(".")
    if machine != _machine() or not pid.isdigit():
        return False
    return boot != _boot() or not runs(int(pid))


@cache
def _machine() -> str:
    return _short("/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/hostname")


@cache
def _boot() -> str:
    return _short("/proc/sys/kernel/random/boot_id")


def _short(*paths: str) -> str:
    """A few digits that stand for the content of the first of these files, so that it is not told itself."""
    for path in paths:
        try:
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
        except OSError:
            continue
    return "unknown"
