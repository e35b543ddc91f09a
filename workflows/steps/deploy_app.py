"""Register the app on the chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflows.core.events import Asked, Noted, TaskChanged
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Field
from workflows.core.step import Context, Done, Step, Work
from workflows.steps import chosen_network, clients, keyring, project_files, signing, transactions

if TYPE_CHECKING:
    from workflows.iexec.records import NewApp


@dataclass(frozen=True)
class Plan:
    """What will be registered, and whether the image has to go to a registry first."""

    new: NewApp | None
    push: bool
    reference: str


class DeployApp(Step):
    """Register the app with its fingerprint on the blockchain.

    The registry stores where the image is, its checksum and the fingerprint, for good: none of it can be changed
    later. The address follows from these values (CREATE2), so it is known before anything is sent, and the same
    app is never registered twice. The chain checks no enclave: it only keeps what the SMS and the worker compare.
    """

    id = "deploy_app"
    title = "Deploy"
    heading = "Register the app on the chain"
    after = ("measure",)
    workflows = ("onboard", "demo", "deploy")
    fields = (
        Field(
            "wallet", "Wallet", "path", required=False, metavar="FILE",
            when=lambda ctx: chosen_network.entry(ctx).own_wallet,
            help="a keystore file; without one the newest of your Ethereum keystore",
        ),
        Field(
            "password_file", "Password file", "path", required=False, metavar="FILE",
            when=lambda ctx: chosen_network.entry(ctx).own_wallet, help="without one you are asked",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        return "iexec app deploy"

    def inputs(self, ctx: Context) -> dict[str, object]:
        return {"measure": ctx.outputs.get("measure"), "network": ctx.outputs.get("network")}

    def done(self, ctx: Context) -> Done | None:
        plan = _plan(ctx)
        if plan.new is None:
            return None
        chain = clients.poco(ctx, sign=False)
        predicted = chain.predict_app(plan.new)
        if not chain.is_registered("app", predicted):
            return None
        _remember(ctx, predicted)
        return Done(
            _outputs(plan.new, predicted, None), f"this very app is registered already, at {predicted}"
        )

    def run(self, ctx: Context) -> Work:
        network = chosen_network.network(ctx)
        _bar(ctx)
        yield from signing.unlock(ctx)
        plan = _plan(ctx)
        checksum = ""
        if plan.push:
            yield TaskChanged(task="push", title=f"push {plan.reference}", state="running")
            checksum = yield from clients.engine(ctx).push(plan.reference, task="push", cancel=ctx.cancel)
            yield TaskChanged(task="push", title=f"push {plan.reference}", state="done", detail=checksum[:19])
        else:
            yield Noted(
                level="warning" if network.shared else "info",
                text="the image stays in this engine: its id stands in for a registry's digest"
                + (f"; {network.name} can run it only if its worker uses this very engine" * network.shared),
                hint="for it to be pushed, give it a registry's name: Image name in the step Build, or --image",
            )
        new = _new(ctx, plan.reference, checksum or ctx.outputs["measure"]["image_id"])
        chain = clients.poco(ctx)
        address = chain.predict_app(new)
        if chain.is_registered("app", address):  # not even --force makes it twice
            _remember(ctx, address)
            yield Noted(text=f"this very app is registered already, at {address}")
            yield from _secretless(ctx, address)
            return _outputs(new, address, None)
        for line in _before(new, address, network.native):
            yield Noted(text=line)
        yield from _secretless(ctx, address)
        agreed = yield Asked(
            field="deploy", question=f"Sign and register the app on {network.name}?", kind="confirm"
        )
        if not agreed:
            raise Cancelled("the app was not registered", "nothing was sent; the image is built and measured")
        receipt = yield from transactions.transact(
            ctx, self.id, "register the app", address, lambda: chain.deploy_app(new)
        )
        if not chain.is_registered("app", address):
            raise Failed(
                f"the registry does not know {address}",
                "the transaction made another address than predicted: push no secret, report it",
                name="address_mismatch",
            )
        _remember(ctx, address)
        yield Noted(text=f"the app is {address}")
        return _outputs(new, address, receipt.hash)


def _plan(ctx: Context) -> Plan:
    measured = ctx.outputs["measure"]
    image = clients.engine(ctx).require(str(measured["image_id"]))
    reference = str(ctx["image"] or measured["image_id"])
    push = not chosen_network.entry(ctx).simulated or _names_registry(reference)
    if not push:
        return Plan(_new(ctx, reference, image.id), push, reference)
    from workflows.containers.reference import Reference

    name = Reference.parse(reference).name
    known = [one.rpartition("@")[2] for one in image.digests if one.startswith(f"{name}@")]
    return Plan(_new(ctx, reference, known[0]) if known else None, push, reference)


def _names_registry(reference: str) -> bool:
    first, slash, _ = reference.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _new(ctx: Context, reference: str, digest: str) -> NewApp:
    from workflows.iexec.records import NewApp

    return NewApp(
        owner=signing.address(ctx),
        name=_name(ctx),
        multiaddr=reference,
        checksum="0x" + digest.rpartition(":")[2],
        mrenclave=str(ctx.outputs["measure"]["fingerprint"]).encode(),
    )


def _name(ctx: Context) -> str:
    return str(ctx.manifest.get("app.name") or ctx.project.name)


def _bar(ctx: Context) -> None:
    """A simulated fingerprint never reaches a live chain.

    The image's label says so, and as a Dockerfile can drop labels, the base that it was built on too.
    """
    stood_in = ctx.outputs["base_image"]["stand_in"] is not None
    if (stood_in or ctx.outputs["measure"]["simulated"]) and not chosen_network.entry(ctx).simulated:
        raise Failed(
            "this image was measured by the SIMULATED runtime",
            "build it on the real SCONE base first: creamtea run deploy --network NAME with an account at Scontain",
            name="simulated",
        )


def _before(new: NewApp, address: str, free: bool) -> list[str]:
    """What the signature does, in sentences."""
    return [
        f"it will be at {address}, owned by {new.owner}",
        f"image {new.multiaddr}, checksum {new.checksum[:18]}…",
        "you pay nothing: this chain asks no gas" if free else "you pay the chain's gas, once",
        "this cannot be undone or changed: another image or heap is another app at another address",
    ]


def _secretless(ctx: Context, address: str) -> Iterator[Noted]:
    """A word when an app of this project had a developer secret pushed from here, and the one here has none yet."""
    from workflows.iexec.secrets.ledger import newest

    pushes = keyring.ledger(ctx).pushes()
    if newest(pushes, "app-secret", {address.lower()}) is not None:
        return
    if newest(pushes, "app-secret", keyring.former_apps(ctx, address)) is not None:
        named = ctx["app_secret_file"] or ctx.manifest.get(project_files.APART["app_secret_file"])
        yield Noted(
            level="info" if named else "warning",
            text="the app before had a developer secret; this address has none until it is pushed",
            hint="creamtea run onboard pushes it, in the step Secrets"
            if named
            else f"creamtea secrets push app-secret --app {address} --from FILE",
        )


def _outputs(new: NewApp, address: str, tx: str | None) -> dict[str, object]:
    return {"app": address, "tx": tx, "checksum": new.checksum, "multiaddr": new.multiaddr}


def _remember(ctx: Context, address: str) -> None:
    ctx.manifest.set(f"networks.{chosen_network.entry(ctx).name}.app", address)
    ctx.manifest.set("app.name", _name(ctx))  # or the folder's next name would be another app
