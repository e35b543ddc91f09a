"""The command `import`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.commands import onchain
from workflows.core import folders
from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.failure import Failed
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest

if TYPE_CHECKING:
    from workflows.iexec.networks import Network
    from workflows.iexec.sdk import Found


@dataclass
class Taken:
    """What was taken over, what was left because another value is there, and what the reader must know."""

    values: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    kept: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def put(self, path: Path, content: bytes) -> None:
        """A file of a secret, unless there is one."""
        from workflows.iexec import sdk

        try:
            if sdk.put_private(path, content):
                self.keys.append(str(path))
        except Failed:
            self.kept.append({"name": path.name, "here": str(path), "there": "another one"})


class Import(Command):
    """Take a project of the official iexec client over: addresses, names, keys, wallets. Nothing is overwritten.

    Addresses and names go to creamtea.toml, keys of datasets to .creamtea/keys, the key pair of results where the
    result step looks for it, wallets to the Ethereum keystore; all for their owner only.
    """

    name = "import"
    arguments = (
        Argument("form", "the files of the iexec client", choices=("iexec",)),
        Argument("folder", "where they are [.]", metavar="DIR", optional=True),
        Argument("--project", "the app's folder", metavar="DIR", default="."),
        Argument("--network", "whose results the key pair opens [the project's network]", metavar="NAME"),
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.iexec import networks, sdk

        project = folders.existing(options["project"])
        folder = Path(str(options["folder"] or ".")).expanduser().resolve()
        manifest, journal = Manifest(project), Journal(project)
        place = networks.load(onchain.chosen(project, options["network"]))
        found = sdk.read(folder)
        taken = Taken(warnings=list(found.unknown))
        with journal.lock():
            _values(taken, found, manifest, place)
            _dataset_keys(taken, found, journal.folder / "keys")
            _result_keys(taken, found, place)
            _wallets(taken, found)
        document = {
            "folder": str(folder),
            "project": str(project),
            "values": taken.values,
            "keys": taken.keys,
            "kept": taken.kept,
            "warnings": taken.warnings,
        }
        return Result(document)

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        yield f"taken over into {document['project']}"
        yield from (f"  {name} = {value}" for name, value in document["values"].items())
        yield from (f"  {path}" for path in document["keys"])
        yield from (f"· {one['name']} stays {one['here']}, not {one['there']}" for one in document["kept"])
        yield from (f"! {warning}" for warning in document["warnings"])
        if not document["values"] and not document["keys"]:
            yield "  nothing new"


def _values(taken: Taken, found: Found, manifest: Manifest, place: Network) -> None:
    """Addresses under every network of their chain, and names that decide the addresses of what comes next."""
    values = {f"{kind}.name": name for kind, name in found.names.items()}
    for chain_id, addresses in found.deployed.items():
        names = _networks(chain_id, place)
        if not names:
            taken.warnings.append(f"no network here has chain {chain_id}: its addresses are left out")
        for name in names:
            values |= {
                f"networks.{name}.{kind}": one
                for kind, one in addresses.items()
                if kind in ("app", "dataset")
            }
    for key, value in values.items():
        here = manifest.get(key)
        if here is None:
            manifest.set(key, value)
            taken.values[key] = value
        elif here != value:
            taken.kept.append({"name": key, "here": str(here), "there": value})


def _networks(chain_id: int, place: Network) -> list[str]:
    """The names of the networks of a chain; the chosen one may be known by its file alone."""
    from workflows.iexec import networks

    every = {name: networks.load(name) for name in networks.names()} | {place.name: place}
    return [name for name, one in every.items() if one.chain_id == chain_id]


def _dataset_keys(taken: Taken, found: Found, folder: Path) -> None:
    from workflows.iexec import dataset, sdk

    named = [key for name, key in found.dataset_keys.items() if name != sdk.LAST_KEY]
    for name, key in found.dataset_keys.items():
        if name != sdk.LAST_KEY or key not in named:  # the client's alias of one that has a name
            taken.put(folder / name, dataset.key_text(key).encode() + b"\n")


def _result_keys(taken: Taken, found: Found, place: Network) -> None:
    from workflows.iexec import keys
    from workflows.steps import keyring

    home = keyring.pairs_of(place)
    for pair in found.pairs:
        here = keys.find(home, pair.address)
        target = here.private if here else home / f"{pair.address}_key"
        taken.put(target, pair.private)
        if str(target) not in taken.keys:
            continue
        if pair.public is not None:
            taken.put(target.with_name(target.name + ".pub"), pair.public)
        if pair.open and not place.simulated:
            taken.warnings.append(f"{target} has no passphrase: whoever reads the file reads the results")


def _wallets(taken: Taken, found: Found) -> None:
    """Keystore files, locked as they are, under their own names: the newest stays the newest."""
    from workflows.iexec import devkeys, wallet

    known = {one.address for one in wallet.list_wallets()}
    for path in found.wallets:
        try:
            one = wallet.open_wallet(path)
        except Failed as failure:
            taken.warnings.append(failure.message)
            continue
        if one.address in devkeys.ADDRESSES:
            taken.warnings.append(f"{one.address} is a public development wallet and is left out")
        elif one.address not in known:
            taken.put(wallet.keystore_dir() / f"UTC--{one.created}--{one.address[2:]}", path.read_bytes())
