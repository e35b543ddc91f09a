"""Fetch, decrypt and show the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workflows.core.events import Noted, Progress, TaskChanged
from workflows.core.failure import Failed
from workflows.core.fields import Field
from workflows.core.files import private_dir, unused
from workflows.core.listen import listen
from workflows.core.step import Context, Done, Step, Work
from workflows.core.text import clean, size
from workflows.steps import chosen_network, clients, keyring, signing

_SHOWN_FILES = 5
_SHOWN_LINES = 20
_SHOWN_BYTES = 16 << 10


class Result(Step):
    """Open what your app wrote.

    The result is an archive in public storage, encrypted for the key pair made in the secrets step: its AES key is
    wrapped with your public key. The chain holds the digest that the enclave signed, so the files are compared with it
    once they are open. Archives are hostile input: paths, links and sizes are checked before anything is written.
    """

    id = "result"
    title = "Result"
    heading = "Open the result"
    after = ("watch",)
    fields = (
        Field(
            "output", "Folder for the result", "path", required=False, metavar="DIR",
            help="creamtea-results/<task> otherwise",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        task = ctx.outputs.get("watch", {}).get("task") or "TASK"
        return f"iexec task show {task} --download && iexec result decrypt"

    def inputs(self, ctx: Context) -> dict[str, object]:
        return {"task": ctx.outputs.get("watch", {}).get("task"), "output": ctx["output"]}

    def done(self, ctx: Context) -> Done | None:
        if ctx.previous is None:
            return None
        outputs = ctx.previous.data["outputs"]
        if not all((Path(outputs["folder"]) / name).is_file() for name in outputs["files"]):
            return None
        shown = tuple(_show(Path(outputs["folder"]), tuple(outputs["files"])))
        return Done(outputs, f"it is open already, in {outputs['folder']}", shown)

    def run(self, ctx: Context) -> Work:
        from workflows.iexec import digests, keys, results

        task = clients.poco(ctx, sign=False).view_task(str(ctx.outputs["watch"]["task"]))
        archive = yield from self._download(ctx, task)
        key = None
        if results.kind(archive) != "plain":
            pair = keyring.result_pair(ctx)
            if pair is None:
                raise Failed(
                    "the result is encrypted and its private key is not here", "it is where the pair was made"
                )
            passphrase = None
            if pair.protected:
                passphrase = yield from signing.passphrase(ctx, f"passphrase of {pair.private}")
            key = keys.load_private(pair.private, passphrase)
        folder = self._folder(ctx, task.taskid)
        yield TaskChanged(task="open", title="decrypt and unpack", state="running")
        opened = results.extract(archive, folder, key, cancel=ctx.cancel)
        yield TaskChanged(task="open", title="decrypt and unpack", state="done", detail=size(opened.size))
        for warning in opened.warnings:
            yield Noted(level="warning", text=warning)
        verdict = digests.check_digest(opened.folder, task.result_digest)
        yield Noted(level="info" if verdict.ok else "warning", text=verdict.because)
        yield from _show(opened.folder, opened.files)
        yield Noted(text=f"the files are in {opened.folder}")
        return {"folder": str(opened.folder), "files": list(opened.files)}

    def _download(self, ctx: Context, task: Any) -> Any:
        from workflows.iexec import storage

        location = _location(task.results)
        target = private_dir(ctx.state / "results") / f"{task.taskid[:18]}.zip"
        yield TaskChanged(task="download", title=f"download {location}", state="running")
        network = chosen_network.network(ctx)
        yield from listen(
            lambda emit: storage.download(
                location, target, gateway=network.ipfs_gateway or "",
                progress=lambda done, total: emit(Progress(task="download", done=done, total=total)),
                cancel=ctx.cancel,
            ),
            ctx.cancel,
        )  # fmt: skip
        yield TaskChanged(
            task="download", title=f"download {location}", state="done", detail=size(target.stat().st_size)
        )
        return target

    def _folder(self, ctx: Context, taskid: str) -> Path:
        chosen = Path(str(ctx["output"])) if ctx["output"] else ctx.project / "creamtea-results" / taskid[:18]
        return unused(chosen)


def _location(results: bytes) -> str:
    """Where the archive is, from the task's `results` on the chain."""
    try:
        document = json.loads(results)
        location = document["location"]
    except (ValueError, KeyError, TypeError):
        raise Failed(
            "the task left no archive", "it ended with a callback, or its storage is none", name="no_result"
        ) from None
    return str(location)


def _show(folder: Path, files: tuple[str, ...]) -> Any:
    """The first lines of the text files."""
    names = [name for name in files if name != "computed.json"]
    for name in names[:_SHOWN_FILES]:
        with (folder / name).open("rb") as file:
            data = file.read(_SHOWN_BYTES)
        if b"\0" in data:
            yield Noted(text=f"{clean(name)}: {size((folder / name).stat().st_size)}, not text")
            continue
        lines = [clean(line) for line in data.decode("utf-8", "replace").splitlines()]
        more = f"\n… {len(lines) - _SHOWN_LINES} more lines" if len(lines) > _SHOWN_LINES else ""
        yield Noted(text=f"{clean(name)}:\n" + "\n".join(lines[:_SHOWN_LINES]) + more)
    if len(names) > _SHOWN_FILES:
        yield Noted(text=f"and {len(names) - _SHOWN_FILES} more files")
