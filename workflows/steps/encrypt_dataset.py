"""Encrypt a dataset, store it and register it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Asked, Noted, Progress, TaskChanged
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Choice, Field
from workflows.core.files import existing, private_dir, write_atomic
from workflows.core.journal import FOLDER
from workflows.core.listen import listen
from workflows.core.step import Cancel, Context, Done, Step, Work
from workflows.core.text import size
from workflows.steps import chosen_network, clients, exposed, project_files, signing, transactions

if TYPE_CHECKING:
    from workflows.iexec.records import NewDataset

_LONGEST = 200  # bytes of a name: file systems take 255, and ours have an ending and more
_OFFERED = 9  # files
_NONE: Mapping[str, Any] = {"dataset": None, "tx": None, "checksum": None, "multiaddr": None, "file": None}


def _at_hand(ctx: Context) -> Sequence[Choice]:
    """What looks like data in the project: offered, never taken without a word."""
    try:
        return [Choice(path, note="in the project") for path in project_files.look(ctx).data[:_OFFERED]]
    except Failed:
        return ()


class EncryptDataset(Step):
    """Encrypt a file so that only your app, inside its enclave, can read it.

    The file is encrypted here with AES-256; only the encrypted bytes leave this machine. The chain keeps where they
    are and their SHA-256, which is the only protection against changes: AES-CBC has none of its own. The key goes to
    the Secret Management Service in the next step. The order that lets a task use the dataset is restricted to your
    app, unless you decide otherwise.
    """

    id = "encrypt_dataset"
    title = "Dataset"
    heading = "Encrypt and register a dataset"
    after = ("deploy_app",)
    fields = (
        Field(
            "dataset", "Dataset", "path", required=False, metavar="FILE", check=existing, choices=_at_hand,
            manifest="dataset.file",
            help="any one file; leave it empty to go on without a dataset",
        ),
        Field(
            "dataset_name", "Dataset name", required=False, manifest="dataset.name", help="public, on the chain",
            empty="the file's name",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        if not ctx["dataset"]:
            return "# no dataset"
        name = Path(str(ctx["dataset"])).name
        return f"creamtea encrypt {name} --output {name}.enc --key-file {name}.key && iexec dataset deploy"

    def inputs(self, ctx: Context) -> dict[str, object]:
        record = _record(ctx) if ctx["dataset"] else None
        return {
            "file": ctx["dataset"], "name": ctx["dataset_name"], "network": ctx.outputs.get("network"),
            "source": record and record["source"]["sha256"],
        }  # fmt: skip

    def done(self, ctx: Context) -> Done | None:
        if not ctx["dataset"]:
            return Done(_NONE, "no dataset: the task runs without one")
        record = _record(ctx)
        if record is None or "multiaddr" not in record or not _file(ctx, record).is_file():
            return None
        chain = clients.poco(ctx, sign=False)
        address = chain.predict_dataset(_new(ctx, record))
        if not chain.is_registered("dataset", address):
            return None
        return Done(
            _outputs(ctx, record, address, None), f"encrypted, stored and registered already, at {address}"
        )

    def run(self, ctx: Context) -> Work:
        if not ctx["dataset"]:
            return _NONE  # --force asks for what `done` would have told
        yield from _only_here(ctx)
        yield from signing.unlock(ctx)
        record = _record(ctx)
        if record is None or not _file(ctx, record).is_file():
            record = yield from self._encrypt(ctx)
        record = yield from self._store(ctx, record)
        chain = clients.poco(ctx)
        new = _new(ctx, record)
        address = chain.predict_dataset(new)
        if chain.is_registered("dataset", address):
            return _outputs(ctx, record, address, None)
        yield Noted(text=f"it will be at {address}, owned by {new.owner}")
        yield Noted(text="the encrypted file is public; name, place and checksum cannot be changed later")
        agreed = yield Asked(field="deploy", question="Sign and register the dataset?", kind="confirm")
        if not agreed:
            raise Cancelled(
                "the dataset was not registered", "the encrypted file and its key stay where they are"
            )
        receipt = yield from transactions.transact(
            ctx, self.id, "register the dataset", address, lambda: chain.deploy_dataset(new)
        )
        yield Noted(text=f"the dataset is {address}")
        return _outputs(ctx, record, address, receipt.hash)

    def _encrypt(self, ctx: Context) -> Any:
        from workflows.iexec import dataset

        source = Path(str(ctx["dataset"]))
        key = dataset.ensure_key(key_file(ctx))
        target = private_dir(ctx.state / "datasets") / f"{_called(source)}.enc"
        title = f"encrypt {source.name}"
        yield TaskChanged(task="encrypt", title=title, state="running")
        seen = _source(source, ctx.cancel)  # before it is read: what changes meanwhile is noticed next time
        total = seen["size"]
        made = yield from listen(
            lambda emit: dataset.encrypt(
                source, target, key,
                progress=lambda done, _: emit(Progress(task="encrypt", done=done, total=total)),
                cancel=ctx.cancel,
            ),
            ctx.cancel,
        )  # fmt: skip
        yield TaskChanged(task="encrypt", title=title, state="done", detail=size(made.size))
        yield Noted(text=f"its key is in {key_file(ctx)}: keep it, nobody else has it until you push it")
        record = {"v": 1, "source": seen, "file": target.name, "checksum": made.checksum}
        _keep(ctx, record)
        return record

    def _store(self, ctx: Context, record: dict[str, Any]) -> Any:
        from workflows.iexec import storage

        network = chosen_network.network(ctx)
        if record.get("network") == network.name and _kept(network.ipfs_gateway, record.get("multiaddr")):
            return record
        if not network.ipfs_upload:
            raise Failed(
                f"{network.name} has no content storage to upload to",
                "upload the .enc file yourself",
                name="no_storage",
            )
        path = _file(ctx, record)
        yield TaskChanged(task="upload", title=f"upload {path.name}", state="running")
        total = path.stat().st_size
        stored = yield from listen(
            lambda emit: storage.upload(
                network.ipfs_upload or "", path,
                progress=lambda done, _: emit(Progress(task="upload", done=done, total=total)),
                cancel=ctx.cancel,
            ),
            ctx.cancel,
        )  # fmt: skip
        yield TaskChanged(task="upload", title=f"upload {path.name}", state="done", detail=stored.multiaddr)
        record = {**record, "multiaddr": stored.multiaddr, "network": network.name}
        _keep(ctx, record)
        return record


def _only_here(ctx: Context) -> Work:
    """Failed `dataset_in_image` when the app's image has the plain text; before anything leaves this machine."""
    from workflows.iexec import dataset

    source = Path(str(ctx["dataset"]))
    title = f"look for {source.name} in the app's image"
    yield TaskChanged(task="exposed", title=title, state="running")
    yield from listen(
        lambda _: exposed.refuse_dataset(ctx, source, dataset.checksum(source, cancel=ctx.cancel)[2:]),
        ctx.cancel,
    )
    yield TaskChanged(task="exposed", title=title, state="done", detail="it is not there")
    return {}


def _called(source: Path) -> str:
    """What is made of a file bears its name; of a very long one the beginning, so that endings fit behind it."""
    name = source.name.encode()
    if len(name) <= _LONGEST:
        return source.name
    mark = hashlib.sha256(name).hexdigest()[:12]
    return f"{name[: _LONGEST - 20].decode(errors='ignore')}-{mark}"


def key_file(ctx: Context) -> Path:
    """Where the dataset's key is kept, mode 0600."""
    private_dir(ctx.state / "keys")
    return key_path(ctx.project, str(ctx["dataset"]))


def key_path(project: Path, dataset: str) -> Path:
    """The same by the name of the file alone; nothing is made."""
    return project / FOLDER / "keys" / f"{_called(Path(dataset))}.key"


def _record_file(ctx: Context) -> Path:
    return private_dir(ctx.state / "datasets") / f"{_called(Path(str(ctx['dataset'])))}.json"


def _record(ctx: Context) -> dict[str, Any] | None:
    """What was made of this very content, wherever the file lies now; None when it changed since."""
    source = Path(str(ctx["dataset"]))
    try:
        record: dict[str, Any] = json.loads(_record_file(ctx).read_text())
        known, now, content = record["source"], source.stat(), record["source"]["sha256"]
        if (known["size"], known["mtime"]) == (now.st_size, now.st_mtime_ns):
            return record
        seen = _source(source, ctx.cancel) if known["size"] == now.st_size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if seen is None or seen["sha256"] != content:
        return None
    record["source"] = seen
    _keep(ctx, record)
    return record


def _keep(ctx: Context, record: dict[str, Any]) -> None:
    write_atomic(_record_file(ctx), json.dumps(record, indent=1))


def _source(path: Path, cancel: Cancel) -> dict[str, Any]:
    from workflows.iexec import dataset

    seen = path.stat()
    return {
        "size": seen.st_size, "mtime": seen.st_mtime_ns, "sha256": dataset.checksum(path, cancel=cancel),
    }  # fmt: skip


def _file(ctx: Context, record: Mapping[str, Any]) -> Path:
    return ctx.state / "datasets" / str(record["file"])


def _kept(gateway: str | None, multiaddr: str | None) -> bool:
    """Whether the storage still has what was uploaded: a localnet may have been wiped since."""
    from workflows.iexec import web

    if not gateway or not multiaddr:
        return False
    try:
        return web.request("HEAD", gateway + multiaddr, timeout=5).status == 200
    except Failed:
        return False


def _new(ctx: Context, record: Mapping[str, Any]) -> NewDataset:
    from workflows.iexec.records import NewDataset

    return NewDataset(
        owner=signing.address(ctx),
        name=str(ctx["dataset_name"] or Path(str(ctx["dataset"])).name),
        multiaddr=str(record["multiaddr"]),
        checksum=str(record["checksum"]),
    )


def _outputs(ctx: Context, record: Mapping[str, Any], address: str, tx: str | None) -> dict[str, Any]:
    """What the step leaves; the address stays in the manifest too."""
    ctx.manifest.set(f"networks.{chosen_network.entry(ctx).name}.dataset", address)
    return {
        "dataset": address, "tx": tx, "checksum": record["checksum"], "multiaddr": record["multiaddr"],
        "file": str(_file(ctx, record)),
    }  # fmt: skip
