"""What steps share: engine, network, wallet, contracts and services, made once per run and when first needed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Asked, Event, TaskChanged
from workflows.core.failure import Failed, Missing
from workflows.core.listen import listen
from workflows.core.step import Context

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from workflows.containers.engine import Engine
    from workflows.iexec.connection import Receipt, Transaction
    from workflows.iexec.networks import Network
    from workflows.iexec.poco import Poco
    from workflows.iexec.sms import Sms
    from workflows.localnet.client import Lease
    from workflows.scone.project import Project


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


# The project

APART = {  # fields that name files which no image may hold, and their keys in the manifest
    "dataset": "dataset.file",
    "app_secret_file": "app_secret_file",
    "requester_secret": "requester_secret",
}


def look(ctx: Context) -> Project:
    """The project as it may go into an image: without results, and the data and secrets that are named."""
    from workflows.scone import project

    chosen = ctx["language"] if ctx["language"] in ("python", "node") else None
    return project.without(project.look(ctx.project, chosen, ctx.cancel), private_files(ctx))


def text_of(path: Path) -> str:
    """The text of a Dockerfile; Missing when it is not UTF-8 or is gone."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Missing(f"{path} is not UTF-8 text", "save it as UTF-8", name="dockerfile") from None
    except FileNotFoundError:
        raise Missing(
            f"there is no {path}", "run the step again: --from dockerfile", name="dockerfile"
        ) from None


def private_files(ctx: Context) -> list[str]:
    """What belongs in no image: the data and secrets of the run, else of the manifest; what held a secret before; and
    folders of results. Paths in the project."""
    files = [
        item.partition("=")[2] if name == "requester_secret" else item
        for name, key in APART.items()
        for item in _listed(ctx[name]) or _listed(ctx.manifest.get(key))
    ]
    results = [str(done.data["outputs"]["folder"]) for done in ctx.journal.every("done", "result")]
    return inside(ctx, [*files, *secret_before(ctx), *results])


def inside(ctx: Context, files: Iterable[str]) -> list[str]:
    """Those that are in the project, each once, as paths in it."""
    named = [ctx.project / Path(file).expanduser() for file in files if file]
    paths = [Path(os.path.normpath(path)) for path in named]
    return list(
        dict.fromkeys(
            str(path.relative_to(ctx.project)) for path in paths if path.is_relative_to(ctx.project)
        )
    )


def secret_before(ctx: Context) -> list[str]:
    """The files of the project that were named as secrets in any run of it."""
    entries = ctx.journal.every("intent", "push_secrets")
    return [str(file) for entry in entries for file in _listed(entry.data.get("files"))]


def keep_out(ctx: Context, file: Path) -> None:
    """Failed when the image holds this file of the project in the clear: it was built before anybody named it."""
    path = Path(os.path.normpath(file.expanduser().absolute()))
    image = str(ctx.outputs["measure"]["image_id"])
    if not path.is_relative_to(ctx.project) or not engine(ctx).exists(image):
        return
    name = path.relative_to(ctx.project)
    with engine(ctx).create(image, ["-"], entrypoint=[]) as container:
        try:
            content = container.get(f"/app/{name}")
        except FileNotFoundError:
            return
        next(content, b"")
        content.close()
    raise Failed(
        f"{name} is in the app's image, where everyone who can pull it reads it",
        "run again and name it with its flag, or move it away: it is left out then, and the app is another one",
        name="in_image",
    )


def _listed(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list | tuple) else [value]) if item]


# The network


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
    for name in ("lease", *(_at(ctx, what) for what in ("poco", "poco-signing", "sms", "sms-signing"))):
        ctx.forget(name)


def _at(ctx: Context, what: str) -> str:
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


# Wallet and chain


def account(ctx: Context) -> LocalAccount:
    """The signing account: on a simulated network that nobody shares, its requester unless a wallet is chosen.

    Missing when a password is needed that no file gives; ask first with `unlock`.
    """
    return ctx.keep(_signer(ctx), lambda: _open(ctx, None))


def unlock(ctx: Context) -> Generator[Event, Any, LocalAccount]:
    """The signing account, asking for the wallet's password if no file gives it."""
    if ctx.has(_signer(ctx)) or _public(ctx) or ctx["password_file"]:
        return account(ctx)
    found = _wallet(ctx)
    password = yield Asked(field="password", question=f"password of {found.address}", kind="secret")
    return ctx.keep(_signer(ctx), lambda: _open(ctx, str(password)))


def passphrase(ctx: Context, question: str, *, new: bool = False) -> Generator[Event, Any, str]:
    """A passphrase from its file or from the person, who gives a new one twice."""
    from workflows.iexec.wallet import read_password

    if ctx["passphrase_file"]:
        return ctx.hide(read_password(Path(str(ctx["passphrase_file"]))))
    word = str((yield Asked(field="passphrase", question=question, kind="secret")) or "")
    if new and word and word != (yield Asked(field="passphrase", question="the same again", kind="secret")):
        raise Failed("the two passphrases differ", "nothing was made: try again", name="passphrase")
    if not word:
        raise Missing("a passphrase is needed", "type one, or give --passphrase-file", name="passphrase")
    return word


def _signer(ctx: Context) -> str:
    return _at(ctx, f"account {'' if _public(ctx) else ctx['wallet'] or ''}")


def address(ctx: Context) -> str:
    """The address that signs, without unlocking its wallet."""
    if ctx.has(_signer(ctx)) or _public(ctx):
        return str(account(ctx).address)
    return str(_wallet(ctx).address)


def _public(ctx: Context) -> bool:
    return not entry(ctx).own_wallet and not ctx["wallet"]


def _wallet(ctx: Context) -> Any:
    from workflows.iexec import wallet

    chosen = ctx["wallet"]
    if chosen:
        return wallet.find(str(chosen))
    known = wallet.list_wallets()
    if not known:
        raise Missing(
            "there is no wallet to sign with",
            "give --wallet and --password-file: both are in the folder that you got for this network"
            if entry(ctx).shared
            else f"make one with geth or the iexec SDK in {wallet.keystore_dir()}, or give --wallet FILE",
            name="no_wallet",
        )
    return known[0]


def _open(ctx: Context, password: str | None) -> LocalAccount:
    from workflows.iexec import wallet

    if _public(ctx):
        from workflows.localnet import genesis

        return genesis.account("requester", user_state(ctx))
    found = _wallet(ctx)
    if password is None:
        if not ctx["password_file"]:
            raise Missing("the wallet is locked", "give --password-file FILE", name="no_password")
        password = wallet.read_password(Path(str(ctx["password_file"])))
    return wallet.unlock(found, ctx.hide(password), simulated=not entry(ctx).own_wallet)


def poco(ctx: Context, *, sign: bool = True) -> Poco:
    """The PoCo contracts of the chosen network; with `sign` able to sign for the account."""
    from workflows.iexec.poco import Poco

    def make() -> Poco:
        place = network(ctx)
        signer = account(ctx) if sign else None
        return Poco(place.rpc, place.hub, signer, chain_id=place.chain_id, gas_free=place.native or None)

    return ctx.keep(_at(ctx, "poco-signing" if sign else "poco"), make)


def sms(ctx: Context, *, sign: bool = True) -> Sms:
    """The Secret Management Service for SCONE tasks."""
    from workflows.iexec.sms import Sms

    url = network(ctx).sms.get("scone")
    if not url:
        raise Missing(
            f"{entry(ctx).name} has no SMS for SCONE",
            "SCONE left this network; use the localnet, or a network with an SMS of its own",
            name="no_sms",
        )
    return ctx.keep(
        _at(ctx, "sms-signing" if sign else "sms"), lambda: Sms(url, account(ctx) if sign else None)
    )


def transact(
    ctx: Context, step: str, title: str, key: str, make: Callable[[], Transaction]
) -> Generator[Event, Any, Receipt]:
    """Sign, journal, send and await one transaction. One that was journalled before a crash is taken up again.

    The journal holds it before the chain does, so nothing is ever sent twice. `key` says what the
    transaction is for (an address, a deal): only one for the same purpose is taken up.
    """
    chain = poco(ctx)
    yield TaskChanged(task="tx", title=title, state="running")
    transaction = next((one for name, one in sent(ctx, step) if name == key), None)
    if transaction is None:
        transaction = make()
        ctx.journal.append(
            "intent", step, run=ctx.run, data={"key": key, "transaction": dataclasses.asdict(transaction)}
        )
        chain.send(transaction)
    receipt = chain.wait(transaction, cancel=ctx.cancel.event)
    yield TaskChanged(task="tx", title=title, state="done", detail=f"block {receipt.block}")
    return receipt


def sent(ctx: Context, step: str) -> Iterator[tuple[str, Transaction]]:
    """Purpose and transaction of what a step journalled since it last ended well, newest first.

    Only what the chain has, mined or waiting: one that was refused or dropped did nothing.
    """
    from workflows.iexec.connection import Transaction

    chain = poco(ctx, sign=False)
    for intent in reversed(ctx.journal.pending(step)):
        if "transaction" not in intent.data:
            continue
        transaction = Transaction(**intent.data["transaction"])
        if transaction.chain_id == chain.chain_id() and chain.state(transaction) in ("mined", "pending"):
            yield str(intent.data.get("key")), transaction


def settle(ctx: Context, step: str, purpose: str) -> None:
    """Wait for what was sent before a crash, under a key that begins so, and is not mined yet."""
    chain = poco(ctx, sign=False)
    for key, transaction in sent(ctx, step):
        if key.startswith(purpose):
            with contextlib.suppress(Failed):  # whatever became of it, the chain's state is asked next
                chain.wait(transaction, cancel=ctx.cancel.event)
    ctx.cancel.check()
