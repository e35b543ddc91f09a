"""The secrets and orders of a project on a network, gathered: journal, manifest, files, chain and SMS."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.commands import market, onchain
from workflows.core import folders
from workflows.core.events import TaskChanged
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.journal import FOLDER, Entry, Journal
from workflows.core.listen import listen
from workflows.core.manifest import Manifest
from workflows.core.several import several
from workflows.core.step import Context
from workflows.core.text import clean
from workflows.steps import chosen_network, clients, keyring, signing
from workflows.steps.encrypt_dataset import key_path
from workflows.steps.push_secrets import PushSecrets, secret_files, secret_names

if TYPE_CHECKING:
    from workflows.core.events import Event
    from workflows.iexec.orders import Order
    from workflows.iexec.secrets.audit import Report
    from workflows.iexec.secrets.kinds import Secret
    from workflows.iexec.secrets.matrix import Advice, Facts, Held, Place
    from workflows.iexec.sms import Sms
    from workflows.localnet.client import Lease

_HASH = re.compile(r"0x[0-9a-f]{64}")
_REMEMBERED = (
    "dataset",
    "app_secret_file",
    "requester_secret",
    "wallet",
)  # fields of the last run that matter here


@dataclass(frozen=True)
class Inventory:
    """What was found, and the report on it. `offers`: open orders that the market has, None when it did not say."""

    wallet: str | None
    facts: Facts
    report: Report
    sources: tuple[str, ...]
    offers: int | None

    @property
    def silent(self) -> bool:
        """Whether an SMS did not answer."""
        return any(place.serves is None for place in self.facts.sms)


def context(options: Mapping[str, Any]) -> Context:
    """The project as the last run left it, for a command; close it. Nothing is written by making it."""
    folder = folders.existing(options["project"] or ".")
    ctx = Context(folder, Journal(folder), Manifest(folder))
    run = ctx.journal.last("run")
    given = run.data.get("given") if run is not None else None
    before = given if isinstance(given, Mapping) else {}
    ctx.values.update({name: before[name] for name in _REMEMBERED if before.get(name)})
    ctx.values.setdefault("dataset", ctx.manifest.get("dataset.file"))
    for field in PushSecrets.fields:
        if field.kind == "path" and field.manifest and (kept := ctx.manifest.get(field.manifest)):
            ctx.values[field.name] = field.located(kept, folder)
    for name in ("wallet", "password_file", "passphrase_file"):
        if options.get(name):
            ctx.values[name] = options[name]
    ctx.values["network"] = (
        options["network"]
        or (onchain.chosen(folder, None) if ctx.manifest.get("network") else before.get("network"))
        or "localnet"
    )
    return ctx


def reach(ctx: Context) -> None:
    """Unavailable when the network is a localnet that has never been."""
    from workflows.localnet import client

    if chosen_network.entry(ctx).embedded and not client.default_state().is_dir():
        raise Unavailable(
            "no localnet has ever run here", "creamtea localnet up, or --network NAME", name="no_localnet"
        )


def hold(ctx: Context) -> Generator[Event, Any, Lease]:
    """A lease on the localnet, started if need be; yields what its start tells, all within the task `localnet`."""
    from workflows.localnet import client

    state = client.default_state()
    starts = client.status(state) is None
    if starts:
        yield TaskChanged(task="localnet", title="start the localnet", state="running")
    lease = yield from listen(lambda emit: client.join(state, emit, ctx.cancel), ctx.cancel)
    if starts:
        yield TaskChanged(task="localnet", title="start the localnet", state="done")
    return lease


def sms(ctx: Context, framework: str, *, sign: bool = False) -> Sms:
    """The network's SMS for a framework. Missing when it has none."""
    from workflows.iexec.sms import Sms

    url = chosen_network.network(ctx).sms.get(framework)
    if not url:
        raise Missing(
            f"{chosen_network.entry(ctx).name} has no SMS for {framework}",
            "choose another --framework or --network",
            name="no_sms",
        )
    return Sms(url, signing.account(ctx) if sign else None, framework=framework)


def thing(ctx: Context, kind: str, given: Any = None) -> str | None:
    """The address of the project's app or dataset on this network: given, of the manifest, journal or the SDK's file.

    None when there is none; Missing when the given one is not registered.
    """
    chain = clients.poco(ctx, sign=False)
    if given:
        return _registered(chain, kind, str(given))
    step = {"app": "deploy_app", "dataset": "encrypt_dataset"}[kind]
    done = ctx.journal.last("done", step)
    known = [
        ctx.manifest.get(f"networks.{chosen_network.entry(ctx).name}.{kind}"),
        _left(done).get(kind),
        _deployed(ctx, kind, chain.chain_id()),
    ]
    for address in known:
        try:
            if address:
                return _registered(chain, kind, str(address))
        except Missing:  # of another network, or of a localnet that was wiped
            continue
    return None


def take(ctx: Context, options: Mapping[str, Any]) -> Generator[Event, None, Inventory]:
    """Look at everything and ask the market and the SMS. Unavailable when the chain does not answer.

    Yields what is waited for.
    """
    from workflows.iexec.secrets import audit, known, matrix
    from workflows.iexec.sms import Sms

    chain = clients.poco(ctx, sign=False)
    found = list(_orders(ctx, options.get("orders") or ()))
    app, dataset = thing(ctx, "app", options.get("app")), thing(ctx, "dataset", options.get("dataset"))
    wallet = _wallet(ctx, options.get("owner"))
    offers = yield from market.offers(chosen_network.network(ctx), wallet, app, dataset)
    orders = known.read(
        chain,
        [(source, order) for source, order in found if not isinstance(order, matrix.Advice)]
        + [("the market", order) for order in offers.orders],
    )
    if wallet is not None:  # a file of a market's may hold those of anybody
        orders = [one for one in orders if one.owner == wallet or _resource(one.order) in (app, dataset)]
    held, noticed = _held(ctx, app, dataset, wallet)
    book = keyring.ledger(ctx)
    services = {url: Sms(url) for url in chosen_network.network(ctx).sms.values()}
    places = yield from _places(ctx, services)
    facts = matrix.Facts(
        sms=tuple(places), wallet=wallet, app=app, dataset=dataset, places=tuple(_own(app, dataset, wallet)),
        pushes=tuple(book.pushes()), accepted=book.accepted(), held=tuple(held), orders=tuple(orders),
        deals=tuple(known.deals(chain, _deals(ctx))), forms=_forms(ctx, app),
        former=frozenset() if options.get("app") else keyring.former_apps(ctx, app),
        noticed=(
            *noticed, *(order for _, order in found if isinstance(order, matrix.Advice)), *offers.noticed
        ),
    )  # fmt: skip
    answers = yield from _asked(facts, services)
    sources = dict.fromkeys(order.source for order in orders)
    return Inventory(wallet, facts, audit.report(facts, answers), tuple(sources), offers.count)


def _resource(order: Order) -> str:
    """The app, dataset or requester whose order it is."""
    return str(getattr(order, order.resource))


def _registered(chain: Any, kind: str, address: str) -> str:
    from workflows.iexec import ids

    try:
        found = ids.address(address)
    except ValueError as error:
        raise Missing(clean(str(error)), f"give --{kind}: 0x and 40 hex digits", name="bad_address") from None
    if not chain.is_registered(kind, found):
        raise Missing(
            f"no {kind} is registered at {found}", f"check --{kind} and --network", name=f"no_{kind}"
        )
    return found


def _deployed(ctx: Context, kind: str, chain_id: int) -> str | None:
    """The address in the official client's file of this project."""
    from workflows.iexec import sdk

    try:
        return sdk.deployed(ctx.project / sdk.DEPLOYED).get(chain_id, {}).get(kind)
    except Missing:  # a broken file says nothing
        return None


def _wallet(ctx: Context, given: Any) -> str | None:
    from workflows.iexec import ids

    try:
        return ids.address(str(given)) if given else signing.address(ctx)
    except ValueError as error:
        raise Missing(clean(str(error)), "give --owner: 0x and 40 hex digits", name="bad_address") from None
    except Missing:  # to look takes no wallet
        return None


def _own(app: str | None, dataset: str | None, wallet: str | None) -> Iterator[Secret]:
    """The places that a project has in any case, pushed or not."""
    from workflows.iexec.secrets.kinds import KINDS, secret

    for kind, owner in (("dataset-key", dataset), ("app-secret", app), ("result-key", wallet)):
        if owner:
            yield secret(KINDS[kind], owner)


def _places(ctx: Context, services: Mapping[str, Sms]) -> Generator[Event, None, list[Place]]:
    from workflows.iexec.secrets.matrix import Place

    frameworks: dict[str, list[str]] = {}
    for framework, url in chosen_network.network(ctx).sms.items():
        frameworks.setdefault(url, []).append(framework)

    def look(url: str) -> Place:
        try:
            serves = services[url].framework().lower()
        except Unavailable:
            serves = None
        return Place(url, tuple(frameworks[url]), serves)

    return (yield from several(look, frameworks, _awaited))


def _asked(facts: Facts, services: Mapping[str, Sms]) -> Generator[Event, None, dict[Any, bool | None]]:
    from workflows.iexec.secrets import matrix, service

    heard = {place.url for place in facts.sms if place.serves is not None}
    questions = matrix.wanted(facts)

    def ask(question: tuple[str, Secret]) -> bool | None:
        url, secret = question
        try:
            return service.is_set(services[url], secret) if url in heard else None
        except Unavailable:
            return None

    found = yield from several(ask, questions, lambda still: _awaited([url for url, _ in still]))
    return {(url, secret.key): answer for (url, secret), answer in zip(questions, found, strict=True)}


def _awaited(urls: Sequence[str]) -> str:
    from workflows.iexec import web

    return f"waiting for the SMS {', '.join(map(web.shown, dict.fromkeys(urls)))}"


def _orders(ctx: Context, files: Any) -> Iterator[tuple[str, Order | Advice]]:
    """Where each order was found, and the order; in place of the SDK's file, if it is damaged, what to say of it."""
    from workflows.iexec import sdk
    from workflows.iexec.secrets import known
    from workflows.iexec.secrets.matrix import Advice

    for entry in ctx.journal.every("intent", "request"):
        if "orders" in entry.data:
            yield from (("a run of this project", order) for order in known.inside(entry.data["orders"]))
    for name in files:
        yield from ((str(name), order) for order in known.load(Path(str(name)).expanduser()))
    theirs = ctx.project / sdk.ORDERS
    if theirs.exists():
        try:
            yield from [("orders.json", order) for order in known.load(theirs)]
        except Failed as failure:
            text = f"orders.json of this project is not looked at: {failure.message}"
            yield (
                "orders.json",
                Advice("unreadable_orders", "act", text, failure.hint or "sign the orders again"),
            )


def _deals(ctx: Context) -> Iterator[str]:
    """The deals of this project's runs, and one that was sent before a crash."""
    made = [_left(entry).get("deal") for entry in ctx.journal.every("done", "request")]
    sent = [entry.data.get("transaction") for entry in ctx.journal.pending("request")]
    made += [one.get("predicted") for one in sent if isinstance(one, Mapping)]
    yield from (str(one) for one in made if _HASH.fullmatch(str(one)))


def _left(entry: Entry | None) -> Mapping[str, Any]:
    """What a step left when it was done."""
    outputs = entry.data.get("outputs") if entry is not None else None
    return outputs if isinstance(outputs, Mapping) else {}


def _forms(ctx: Context, app: str | None) -> dict[str, str]:
    from workflows.scone import fingerprint

    registered = clients.poco(ctx, sign=False).app(app) if app else None
    if registered is None:
        return {}
    try:
        return {registered.address: fingerprint.form_of(registered.mrenclave)}
    except fingerprint.InvalidFingerprint:
        return {}


def _held(
    ctx: Context, app: str | None, dataset: str | None, wallet: str | None
) -> tuple[list[Held], list[Advice]]:
    """What the files of the project and the person hold now, and what is wrong with how they are kept."""
    from workflows.iexec import dataset as datasets
    from workflows.iexec.secrets.matrix import Advice

    held: list[Held] = []
    noticed: list[Advice] = []
    for place, path, value in _files(ctx, app, dataset, wallet):
        held.append(_one(ctx, place, path, value))
        private = path.with_suffix("") if place.kind.public else path
        if private.exists() and (exposed := datasets.exposed(private)):
            said, _, cure = exposed.partition(": ")
            noticed.append(Advice("exposed_file", "act", clean(said), clean(cure)))
        if (
            place.kind.public
            and private.exists()
            and not chosen_network.entry(ctx).simulated
            and not _protected(private)
        ):
            noticed.append(
                Advice(
                    "unprotected_key", "know",
                    f"{clean(str(private))} is not encrypted: whoever reads it reads your results",
                    f"give it a passphrase: openssl pkcs8 -topk8 -in {clean(str(private))}",
                )
            )  # fmt: skip
    return held, noticed


def _files(
    ctx: Context, app: str | None, dataset: str | None, wallet: str | None
) -> Iterator[tuple[Secret, Path, Any]]:
    """Place, file, and what reads its value as it is pushed."""
    from workflows.iexec import dataset as datasets
    from workflows.iexec import keys
    from workflows.iexec.secrets import values
    from workflows.iexec.secrets.kinds import KINDS, secret

    key = project_key(ctx, dataset)
    if key is not None and dataset:
        yield secret(KINDS["dataset-key"], dataset), key, lambda: datasets.key_text(datasets.read_key(key))
    path = Path(str(ctx["app_secret_file"] or "")).expanduser()
    if app and path.is_file():  # who has pushed it may well have deleted it
        yield secret(KINDS["app-secret"], app), path, lambda: values.read(path)
    if wallet and ctx["requester_secret"] and (ctx.project / FOLDER / "keys" / "commitment.key").exists():
        for number, name in _names(ctx).items():
            path = Path(secret_files(ctx)[number]).expanduser()
            yield secret(KINDS["requester-secret"], wallet, name), path, lambda path=path: values.read(path)
    pair = keyring.result_pair(ctx) if wallet and wallet == _wallet(ctx, None) else None
    if pair is not None and wallet and keyring.whole(pair):
        yield secret(KINDS["result-key"], wallet), pair.public, lambda: keys.sms_value(pair)


def project_key(ctx: Context, dataset: str | None) -> Path | None:
    """The file with the key of the project's dataset, if this is the dataset and the file is there."""
    mine = _left(ctx.journal.last("done", "encrypt_dataset")).get("dataset") == dataset
    if dataset is None or not mine or not ctx["dataset"]:
        return None
    path = key_path(ctx.project, str(ctx["dataset"]))
    return path if path.is_file() else None


def _names(ctx: Context) -> Mapping[int, str]:
    try:
        return secret_names(ctx)
    except (Missing, ValueError):  # a file is gone: what the orders name is looked at all the same
        return {}


def _one(ctx: Context, place: Secret, path: Path, value: Any) -> Held:
    from workflows.iexec.secrets.matrix import Held
    from workflows.iexec.secrets.values import checked

    try:
        text = checked(place.kind, value())
    except Failed as failure:
        return Held(place, str(path), None, failure.message)
    book = keyring.ledger(ctx)
    return Held(place, str(path), book.commitment(place, text) if book.path.exists() else None)


def _protected(private: Path) -> bool:
    from workflows.iexec import keys

    return keys.is_protected(private)
