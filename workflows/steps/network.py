"""Pick a network and reach it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workflows.core.events import Noted, TaskChanged
from workflows.core.failure import Failed, Missing
from workflows.core.fields import Choice, Field
from workflows.core.step import Context, Step, Work
from workflows.steps import chosen_network, clients


def _choices(ctx: Context) -> Sequence[Choice]:
    """The networks by name, and the one of the file that was named."""
    from workflows.iexec import networks

    chosen = str(ctx["network"] or "")
    known = [*networks.names(), *([chosen] if networks.is_file(chosen) else [])]
    return [Choice(name, networks.load(name).title, networks.load(name).note) for name in known]


def _described(value: Any) -> str:
    """A network's name, or the file of one that can be read."""
    from workflows.iexec import networks

    try:
        networks.load(str(value))
    except Failed as failure:
        raise ValueError(f"{failure.message}. {failure.hint}") from None
    return str(value)


class Network(Step):
    """Choose where the app goes.

    A network is a chain with iExec's contracts (PoCo) on it and the services around it: the Secret Management
    Service, content storage, a workerpool. The localnet is a whole one on this machine: the real contracts on
    a chain of its own and real servers on loopback. Only SGX and SCONE's runtime are SIMULATED there.
    """

    id = "network"
    title = "Network"
    heading = "Pick a network"
    after = ("doctor",)
    workflows = ("onboard", "demo", "deploy")
    fields = (
        Field(
            "network", "Network", "choice", default="localnet", choices=_choices, manifest="network",
            tried=True, files=".toml", check=_described,
            help="localnet runs on this machine and costs nothing; a .toml file may describe another",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        return (
            "creamtea localnet up"
            if chosen_network.entry(ctx).embedded
            else f"curl {chosen_network.entry(ctx).rpc}"
        )

    def run(self, ctx: Context) -> Work:
        network = chosen_network.entry(ctx)
        ctx.outputs.pop(self.id, None)  # the one before, if the person came back to choose another
        if ctx.workflow == "demo" and not network.simulated:
            raise Missing(
                f"the demo asks nothing, so it signs and pays on no live network: {network.name} is one",
                "creamtea run onboard asks before it signs",
                name="live_network",
            )
        if network.embedded:
            network = yield from chosen_network.join(ctx)
            yield Noted(text=f"localnet on {network.rpc}; SGX and SCONE's runtime are SIMULATED")
        else:
            yield TaskChanged(task="rpc", title=f"chain at {network.rpc}", state="running")
            found = clients.poco(ctx, sign=False).chain_id()
            if found != network.chain_id:
                raise Failed(
                    f"{network.rpc} is chain {found}, not {network.chain_id}",
                    "check the network's entry and --network",
                )
            yield TaskChanged(
                task="rpc", title=f"chain at {network.rpc}", state="done", detail=f"chain {found}"
            )
            yield Noted(level="warning", text=network.note)
        return {"name": network.name, "chain_id": network.chain_id, "simulated": network.simulated}
