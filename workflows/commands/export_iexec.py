"""The command `export`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.commands import onchain
from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.failure import Missing
from workflows.core.files import private_dir, write_atomic
from workflows.core.journal import FOLDER, Journal
from workflows.core.manifest import Manifest

if TYPE_CHECKING:
    from workflows.iexec.networks import Network
    from workflows.iexec.orders import Order
    from workflows.iexec.records import App, Dataset
    from workflows.iexec.wallet import Wallet

_KINDS = ("app", "dataset", "workerpool", "request")


@dataclass
class Written:
    """What was written, by paths in the folder, and what the reader must know."""

    folder: Path
    files: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def put(self, path: Path, content: bytes) -> None:
        """A file of a secret; it is never overwritten."""
        from workflows.iexec import sdk

        sdk.put_private(self.folder / path, content)
        self.keys.append(str(path))

    def change(self, name: str, changes: Mapping[str, Any]) -> None:
        """Entries of a JSON file."""
        from workflows.iexec import sdk

        sdk.change(self.folder / name, changes)
        self.files.append(name)


class Export(Command):
    """Write this project as the official iexec client reads it: iexec.json, deployed.json, orders.json, keys, wallet.

    In JSON files that are there already only creamtea's own entries change; keys and wallets are never overwritten.
    """

    name = "export"
    arguments = (
        Argument("form", "the files of the iexec client 8.24.0", choices=("iexec",)),
        Argument(
            "folder", "where to [.creamtea/iexec]; there will be keys in it", metavar="DIR", optional=True
        ),
        Argument("--project", "the app's folder", metavar="DIR", default="."),
        Argument("--network", "the network it was registered on [the project's]", metavar="NAME"),
        Argument("--wallet", "the owner's wallet, copied as it is [the keystore's]", metavar="FILE"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.iexec import sdk

        project = Path(str(options["project"])).expanduser().resolve()
        folder = _target(project, options["folder"])
        manifest = Manifest(project)
        with onchain.hub(onchain.chosen(project, options["network"]), None, emit) as (place, chain):
            address = manifest.get(f"networks.{place.name}.app")
            app = chain.app(str(address)) if address else None
            if app is None:
                raise Missing(
                    f"no app of this project is registered on {place.name}",
                    "creamtea run deploy registers it; --project and --network say which is meant",
                    name="no_app",
                )
            known = manifest.get(f"networks.{place.name}.dataset")
            dataset = chain.dataset(str(known)) if known else None
            for file in (sdk.IEXEC, sdk.CHAIN, sdk.DEPLOYED, sdk.ORDERS):
                sdk.load(folder / file)  # refused before anything is written
            wallet = _owners(options["wallet"], app.owner)
            orders = _orders(project, app.address)
            written = Written(_made(folder, project))
            _keys(written, project, place, app.owner, dataset)
            _network(written, place)
            _wallet(written, app.owner, wallet)
            _documents(written, place, app, dataset, orders)
        document = {
            "folder": str(folder),
            "network": place.name,
            "chain_id": place.chain_id,
            "app": app.address,
            "dataset": dataset.address if dataset else None,
            "orders": list(orders),
            "files": written.files,
            "keys": written.keys,
            "warnings": written.warnings,
        }
        return Result(document)

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        yield f"written to {document['folder']}"
        yield from (f"  {name}" for name in (*document["files"], *document["keys"]))
        yield from (f"! {warning}" for warning in document["warnings"])
        trusted = "NODE_EXTRA_CA_CERTS=ca.pem " if "ca.pem" in document["files"] else ""
        wallet = (
            " --keystoredir keystore" if any(it.startswith("keystore/") for it in document["keys"]) else ""
        )
        yield f"cd {document['folder']} && {trusted}iexec app show{wallet}"


def _target(project: Path, given: Any) -> Path:
    """The folder; Missing when keys in it would be in the next image."""
    if not given:
        return project / FOLDER / "iexec"
    folder = Path(str(given)).expanduser().resolve()
    if folder.is_relative_to(project) and not folder.is_relative_to(project / FOLDER):
        raise Missing(
            f"{folder} is inside the project, and keys go there",
            f"give a folder outside, or none: {FOLDER}/iexec is never in a build",
            name="inside",
        )
    return folder


def _made(folder: Path, project: Path) -> Path:
    """The folder, for its owner only when it is new; one that is there keeps its mode."""
    if folder.is_relative_to(project / FOLDER):
        _ = Journal(project).folder  # with what keeps git out of it
    return folder if folder.is_dir() else private_dir(folder)


def _orders(project: Path, app: str) -> dict[str, Order]:
    """The orders that were signed last for this app, by kind."""
    from workflows.iexec.orders import KINDS

    for entry in reversed(Journal(project).every("intent", "request")):
        signed = entry.data.get("orders")
        if signed and signed["app"]["app"] == app:
            found = {kind: KINDS[kind].from_json(signed[kind.removesuffix("order")]) for kind in KINDS}
            return {kind: order for kind, order in found.items() if order.sign != "0x"}
    return {}


def _documents(
    written: Written, place: Network, app: App, dataset: Dataset | None, orders: Mapping[str, Order]
) -> None:
    from workflows.iexec import sdk

    chain = str(place.chain_id)
    about: dict[str, Any] = {"app": sdk.app_entry(app)}
    deployed = {"app": {chain: app.address}}
    if dataset is not None:
        about["dataset"] = sdk.dataset_entry(dataset)
        deployed["dataset"] = {chain: dataset.address}
    if orders:
        about["order"] = {kind: sdk.template(order) for kind, order in orders.items()}
        written.change(sdk.ORDERS, {chain: {kind: order.to_json() for kind, order in orders.items()}})
    if "mrenclave" in about["app"] and not isinstance(about["app"]["mrenclave"], dict):
        written.warnings.append(
            "the client 8.24.0 refuses orders of an app in the forms 3 and 4 (Tag mismatch the TEE framework): "
            "creamtea run deploy --form json registers another app, which it takes, then export again; "
            "that form carries MRENCLAVE alone, so your files are outside of what is attested"
        )
    written.change(sdk.IEXEC, about)
    written.change(sdk.DEPLOYED, deployed)


def _keys(written: Written, project: Path, place: Network, owner: str, dataset: Dataset | None) -> None:
    """The keys of the datasets, the one in use also as the client's default, and the key pair of results."""
    from workflows.iexec import dataset as coding
    from workflows.iexec import keys, sdk
    from workflows.steps import keyring

    for record, key_file in _encrypted(project):
        key = coding.key_text(coding.read_key(key_file)).encode()
        written.put(sdk.DATASET_KEYS / key_file.name, key)
        if dataset is not None and record == dataset.checksum:
            sdk.set_last_key(written.folder, key)
            written.keys.append(str(sdk.DATASET_KEYS / sdk.LAST_KEY))
    pair = keys.find(keyring.pairs_of(place), owner)
    if pair is None:
        return
    if pair.public.is_file():
        written.put(sdk.RESULT_KEYS / pair.public.name, pair.public.read_bytes())
    if pair.protected:
        written.warnings.append(
            f"{pair.private} has a passphrase, which the client cannot ask for: creamtea decrypt opens results"
        )
    else:
        written.put(sdk.RESULT_KEYS / pair.private.name, pair.private.read_bytes())


def _encrypted(project: Path) -> Iterator[tuple[str, Path]]:
    """Checksum and key file of every dataset that was encrypted here."""
    from workflows.iexec import sdk

    for record in sorted((project / FOLDER / "datasets").glob("*.json")):
        key_file = project / FOLDER / "keys" / f"{record.stem}.key"
        if key_file.is_file():
            yield str(sdk.load(record).get("checksum")), key_file


def _network(written: Written, place: Network) -> None:
    """chain.json; of the localnet with its funded wallet, as `creamtea localnet export` writes them."""
    from workflows.iexec import sdk
    from workflows.localnet import client
    from workflows.localnet.export import export

    status = client.status(client.default_state()) if place.embedded else None
    if status is None:
        sdk.write_chain(written.folder / sdk.CHAIN, place)
        if place.ca:
            write_atomic(written.folder / sdk.CA, place.ca, 0o644)
            written.files.append(sdk.CA)
            written.warnings.append(
                f"the servers of {place.name} have a CA of their own: NODE_EXTRA_CA_CERTS={sdk.CA} iexec …"
            )
    else:
        made = export(status, written.folder)
        written.files += [Path(made[name]).name for name in ("network", "ca") if made[name]]
        written.keys.append(str(Path(made["keystore"]).relative_to(written.folder)))
        how = made["password"] or f"in {made['password_file']}"
        written.warnings.append(f"the localnet's wallet has the password {how}")
        written.warnings.append(
            "chain.json is good while this localnet runs: its addresses may change after that"
        )
    written.files.append(sdk.CHAIN)


def _owners(given: Any, owner: str) -> Wallet | None:
    """The wallet that was asked for; Missing when it is another's."""
    from workflows.iexec import wallet

    found = wallet.find(str(given)) if given else None
    if found is not None and found.address != owner:
        raise Missing(
            f"{given} is the wallet of {found.address}, and the app is owned by {owner}",
            "Give the owner's wallet, or leave out --wallet.",
            name="wallet",
        )
    return found


def _wallet(written: Written, owner: str, chosen: Wallet | None) -> None:
    """The owner's wallet, still locked, the one given or from the keystore; not when it is the localnet's."""
    from workflows.iexec import sdk, wallet

    if any(one.address == owner for one in wallet.list_wallets(written.folder / sdk.KEYSTORE)):
        return
    known = [chosen] if chosen else [one for one in wallet.list_wallets() if one.address == owner]
    if not known:
        written.warnings.append(
            f"the wallet of {owner} is not in {wallet.keystore_dir()}: none was copied; --wallet FILE names it"
        )
        return
    written.put(sdk.KEYSTORE / known[0].path.name, known[0].path.read_bytes())
