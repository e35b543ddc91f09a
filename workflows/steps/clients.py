"""Clients that steps share: of the engine, the contracts and the SMS, made once per run and when first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflows.core.failure import Missing
from workflows.core.step import Context
from workflows.steps import chosen_network, signing

if TYPE_CHECKING:
    from workflows.containers.engine import Engine
    from workflows.iexec.poco import Poco
    from workflows.iexec.sms import Sms


def engine(ctx: Context) -> Engine:
    """The container engine, without what killed runs left in it; Unavailable when none answers."""
    from workflows.containers.engine import Engine
    from workflows.localnet import leftovers

    def make() -> Engine:
        found = Engine.connect()
        found.marks = leftovers.labels()
        leftovers.sweep(found)
        return found

    return ctx.keep("engine", make, Engine.close)


def poco(ctx: Context, *, sign: bool = True) -> Poco:
    """The PoCo contracts of the chosen network; with `sign` able to sign for the account."""
    from workflows.iexec.poco import Poco

    def make() -> Poco:
        place = chosen_network.network(ctx)
        signer = signing.account(ctx) if sign else None
        return Poco(place.rpc, place.hub, signer, chain_id=place.chain_id, gas_free=place.native or None)

    return ctx.keep(chosen_network.at(ctx, "poco-signing" if sign else "poco"), make)


def sms(ctx: Context, *, sign: bool = True) -> Sms:
    """The Secret Management Service for SCONE tasks."""
    from workflows.iexec.sms import Sms

    url = chosen_network.network(ctx).sms.get("scone")
    if not url:
        raise Missing(
            f"{chosen_network.entry(ctx).name} has no SMS for SCONE",
            "SCONE left this network; use the localnet, or a network with an SMS of its own",
            name="no_sms",
        )
    name = chosen_network.at(ctx, "sms-signing" if sign else "sms")
    return ctx.keep(name, lambda: Sms(url, signing.account(ctx) if sign else None))
