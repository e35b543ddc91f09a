"""Reading an app from a chain without a wallet: what `diff` and `verify` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.command import Argument, Emit
from workflows.core.events import now
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.manifest import Manifest
from workflows.core.step import Cancel

if TYPE_CHECKING:
    from workflows.iexec.hub import Hub
    from workflows.iexec.networks import Network
    from workflows.iexec.records import App
    from workflows.scone.record import Record

OPTIONS = (
    Argument("--network", "the network the app is on [the project's]", metavar="NAME"),
    Argument("--rpc", "ask this node of the network instead of the usual one", metavar="URL"),
)


def chosen(project: Path, given: Any) -> str:
    """The network that is meant: the given one, else the project's, else the localnet."""
    from workflows.iexec import networks

    kept = str(given or Manifest(project).get("network") or "localnet")
    return str(project / Path(kept).expanduser()) if not given and networks.is_file(kept) else kept


@contextmanager
def hub(
    name: str, rpc: str | None, emit: Emit, cancel: Cancel | None = None
) -> Iterator[tuple[Network, Hub]]:
    """The network and its contracts, for reading. A localnet that was stopped is started for as long."""
    from workflows.iexec import networks
    from workflows.iexec.hub import Hub
    from workflows.localnet import client

    place = networks.load(name)
    lease = None
    if place.embedded:
        state = client.default_state()
        if not state.is_dir():
            raise Unavailable(
                "no localnet has ever run here", "creamtea localnet up, or --network NAME", name="no_localnet"
            )
        lease = client.join(state, emit, cancel)
        place = networks.from_status(lease.document)
    try:
        place = replace(place, rpc=rpc or place.rpc)
        yield place, Hub(place.rpc, place.hub, chain_id=place.chain_id, gas_free=place.native or None)
    finally:
        if lease is not None:
            lease.close()


def read_app(chain: Hub, place: Network, address: str) -> App:
    """A registered app. Missing when the address is none, Failed when no app is registered there."""
    from workflows.iexec import ids

    try:
        wanted = ids.address(address)
    except (ValueError, Failed):
        raise Missing(f"{address[:80]!r} is no address", "0x and 40 hex digits", name="address") from None
    found = chain.app(wanted)
    if found is None:
        raise Failed(
            f"no app is registered at {wanted} on {place.name}",
            "check the address and --network",
            name="no_app",
        )
    return found


def record_of(app: App) -> Record:
    """What the chain says of an app, as a record: its fingerprint, where its image is and the image's checksum.

    Failed when its fingerprint is none of SCONE's.
    """
    from workflows.scone import fingerprint
    from workflows.scone.record import Picture, Record

    digest = "sha256:" + app.checksum.removeprefix("0x")
    return Record(
        name=f"app {app.address}",
        at=now(),
        fingerprint=fingerprint.parse(app.mrenclave),
        image=Picture(app.multiaddr, None, digest),
    )
