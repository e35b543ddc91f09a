"""The network that was chosen: its entry, its addresses, and the lease of the localnet while a run lasts."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Event
from workflows.core.failure import Missing
from workflows.core.listen import listen
from workflows.core.step import Context

if TYPE_CHECKING:
    from workflows.iexec.networks import Network
    from workflows.localnet.client import Lease


def entry(ctx: Context) -> Network:
    """The chosen network as its entry says, without reaching it."""
    from workflows.iexec import networks

    return networks.load(str(ctx["network"] or "localnet"))


def endpoints(network: Network) -> list[str]:
    """The service URLs of a network."""
    urls = (network.rpc, *network.sms.values(), network.ipfs_upload, network.ipfs_gateway)
    return [url for url in dict.fromkeys(urls) if url]


def join(ctx: Context) -> Generator[Event, Any, Network]:
    """The chosen network with all its addresses; the localnet is started or found, and held for this run."""
    from workflows.localnet import client

    if not entry(ctx).embedded:
        return network(ctx)
    if ctx.has("lease") and not _lease(ctx).alive():
        _forget_localnet(ctx)  # it went away, and what comes now has other ports
    if not ctx.has("lease"):
        lease = yield from listen(
            lambda emit: client.join(client.default_state(), emit, ctx.cancel), ctx.cancel
        )
        ctx.keep("lease", lambda: lease, lambda it: it.close())
    return network(ctx)


def network(ctx: Context) -> Network:
    """The chosen network with all its addresses; the localnet is started if need be.

    Missing when the steps before this one were done on another network.
    """
    from workflows.iexec import networks

    chosen = entry(ctx)
    before = ctx.outputs.get("network", {}).get("name", chosen.name)
    if before != chosen.name:
        raise Missing(
            f"the steps before this one were done on {before}, not on {chosen.name}",
            "begin at the network: --from network",
            name="other_network",
        )
    return networks.from_status(_lease(ctx).document) if chosen.embedded else chosen


def _lease(ctx: Context) -> Lease:
    from workflows.localnet import client

    def make() -> Lease:
        return client.join(client.default_state(), lambda _: None, ctx.cancel)

    return ctx.keep("lease", make, lambda it: it.close())


def _forget_localnet(ctx: Context) -> None:
    for name in ("lease", *(at(ctx, what) for what in ("poco", "poco-signing", "sms", "sms-signing"))):
        ctx.forget(name)


def at(ctx: Context, what: str) -> str:
    """The name under which a thing of the chosen network is kept: a client of one never serves another."""
    return f"{entry(ctx).name} {what}"


def user_state(ctx: Context) -> Path:
    """Where a person's own things for this network are kept, across projects."""
    network(ctx)
    if entry(ctx).embedded:
        return Path(str(_lease(ctx).document["state_dir"]))
    return kept_for(entry(ctx))


def kept_for(place: Network) -> Path:
    """The same folder of a network that need not run."""
    from platformdirs import user_data_path

    from workflows.localnet import client

    return client.default_state() if place.embedded else user_data_path("creamtea") / "networks" / place.name


def development_root(ctx: Context) -> bytes:
    """The certificate that everything SIMULATED on the chosen network chains to, PEM."""
    chosen = entry(ctx)
    if not chosen.embedded:
        if chosen.root is None:
            raise Missing(
                f"the entry of {chosen.name} has no root, so no simulated image can trust it",
                "ask who runs it for its network.toml: creamtea localnet export writes one",
                name="bad_network",
            )
        return chosen.root.encode()
    return (user_state(ctx) / "keys" / "root.pem").read_bytes()
