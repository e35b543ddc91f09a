"""The command `localnet`."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.events import Noted
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.text import size


class Localnet(Command):
    """The embedded network: up, down, status, export DIR."""

    name = "localnet"
    arguments = (
        Argument(
            "action",
            "up holds it until interrupted; status exits 0 when ready",
            choices=("up", "down", "status", "export"), metavar="up|down|status|export",
        ),
        Argument(
            "folder", "export: where the files go that a client needs, a funded wallet with them", metavar="DIR",
            optional=True,
        ),
        Argument("--state", "another state folder", metavar="DIR"),
        Argument("--images", "down: remove what it left in the container engine, too", flag=True),
        Argument("--listen", "up: let other machines in at this address, under TLS", metavar="ADDRESS"),
        Argument("--host", "up: a name or address that others use for it; may be repeated", metavar="NAME", many=True),
        Argument("--tls-cert", "a certificate for these names; one is made without it", metavar="FILE"),
        Argument("--tls-key", "its private key", metavar="FILE"),
        Argument("--tls-ca", "the CA of that certificate, for export, where others do not know it", metavar="FILE"),
    )  # fmt: skip

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.localnet import client
        from workflows.localnet.sharing import sharing

        state = Path(options["state"]).expanduser().resolve() if options["state"] else client.default_state()
        action, shared = options["action"], sharing(options)
        if action == "up":
            return _up(state, shared, emit)
        if shared is not None:
            raise Missing("--listen is for up", "creamtea localnet up --listen ADDRESS …", name="usage")
        if action == "export" and not options["folder"]:
            raise Missing("export needs a folder", "creamtea localnet export DIR", name="usage")
        if options["images"] and action != "down":
            raise Missing("--images is for down", "creamtea localnet down --images", name="usage")
        if action == "down":
            stopped = client.stop(state)
            left = _clear(state) if options["images"] else None
            if left is None:
                _sweep()
            return Result({"stopped": stopped, "state_dir": str(state), "engine": left})
        document = client.look(state) or client.absent(state)
        if action == "status":
            return Result(document, 0 if document["ready"] else Unavailable.exit_code)
        if not document["ready"]:
            raise Unavailable(
                document["trouble"] or "no localnet is running",
                f"{client.line('up', state)} starts one",
                name="localnet",
            )
        from workflows.localnet.export import export

        return Result(export(document, Path(options["folder"]).expanduser().resolve()))

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        from workflows.localnet import client

        if document.get("ready") is False:
            start = client.line("up", Path(document["state_dir"]))
            return [document.get("trouble") or f"no localnet is running; {start} starts one"]
        if "stopped" in document:
            return _down_lines(document)
        lines = list(
            _flat(
                {name: value for name, value in document.items() if name not in ("v", "public", "accounts")}
            )
        )
        lines += [
            f"{'account ' + one['role']:<22} {one['address']}" for one in document.get("accounts") or ()
        ]
        lines += _flat(document.get("public") or {}, "public ")
        for one in document.get("revivals") or ():
            lines.append(f"the chain stopped by itself and went on from block {one['block']} at {one['at']}")
        return lines + ([_client(document)] if "chain" in document else [])


def _down_lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield "stopped" if document["stopped"] else "no localnet was running"
    if (left := document["engine"]) is None:
        return
    for kind, names in left["removed"].items():
        yield from (f"removed {kind.removesuffix('s')} {name}" for name in names)
    if any(left["removed"].values()):
        yield f"freed {size(left['freed'])}; what images built on them share with them stays"
    elif not left["in_use"]:
        yield f"the engine has nothing of the localnet in {document['state_dir']}"
    for tag in left["in_use"]:
        yield f"kept {tag}: a container was made of it; docker ps -a --filter ancestor={tag} shows which"
    for tag, count in left["shared"].items():
        yield f"kept {tag} ({size(count)}), of which every localnet's images are made"
        yield f"  → once there is no localnet: docker rmi {tag}"


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """A line for each value, those of an inner document under both names."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, list):
            if value and all(isinstance(item, str) for item in value):
                yield f"{prefix + name:<22} {', '.join(value)}"
        elif value is not None:
            yield f"{prefix + name:<22} {value}"


def _client(document: Mapping[str, Any]) -> str:
    """A command of the official client that works with what was exported."""
    folder = shlex.quote(str(Path(document["chain"]).parent))
    trusted = "NODE_EXTRA_CA_CERTS=$PWD/ca.pem " if document["ca"] else ""
    password = document["password"] or '"$(cat password)"'
    return f"cd {folder} && {trusted}iexec wallet show --keystoredir keystore --password {password}"


def _up(state: Path, shared: Any, emit: Emit) -> Result:
    """Start the localnet, or find it, and hold it until interrupted; what it tells meanwhile is told."""
    from workflows.localnet import client

    def hold() -> int:
        position = (state / client.EVENTS).stat().st_size
        try:
            emit(told)
            while lease.alive():
                time.sleep(0.2)
                position = client.relay(state, position, emit)
        except KeyboardInterrupt:
            client.leave(lease, state)
            return 0
        if failure := client.ended(state) or client.killed(state, lease.document["pid"]):
            raise failure
        return 0

    before = client.status(state)
    lease = client.join(state, emit, words=shared.words if shared else ())
    found = lease.document.get("public") or {}
    if shared and (found.get("listen"), found.get("hosts")) != (shared.listen, list(shared.hosts)):
        lease.close()
        raise Unavailable(
            "a localnet is running in this folder already, and not as asked for",
            f"End it first: {client.line('down', state)}",
            name="localnet",
        )
    pid = lease.document["pid"]
    told = Noted(text="it runs until Ctrl+C here; other terminals may use it meanwhile")
    if before is not None and before["pid"] == pid:
        text = f"it ran already (process {pid}); this holds it, too"
        told = Noted(text=text, hint="Ctrl+C lets go; it ends when nobody holds it any more")
    return Result(lease.document, then=hold)


def _clear(state: Path) -> dict[str, Any]:
    """Remove from the engine what was made for the localnet of this folder, which has ended, and say what.

    `removed` (names of images, containers, networks, volumes), `in_use` (images that a container needs), `freed`
    (bytes), `shared` (sizes of what stays because it is nobody's own).
    """
    from workflows.containers.engine import Engine
    from workflows.localnet import images
    from workflows.localnet.leftovers import sweep

    root = state / "keys" / "root.pem"
    with Engine.connect() as engine:
        before = engine.layers_size()
        left = sweep(engine)
        gone, kept = images.forget(engine, root.read_bytes()) if root.is_file() else ([], [])
        return {
            "removed": {"images": gone, **left},
            "in_use": kept,
            "freed": max(0, before - engine.layers_size()),
            "shared": images.shared(engine),
        }


def _sweep() -> None:
    """Remove what a killed localnet left in the container engine, where there is one."""
    from workflows.containers.engine import Engine
    from workflows.localnet.leftovers import sweep

    with contextlib.suppress(Failed), Engine.connect() as engine:
        sweep(engine)
