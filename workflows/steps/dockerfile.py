"""Write, show and check the Dockerfile."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Asked, Noted
from workflows.core.failure import Failed, Missing
from workflows.core.fields import Field
from workflows.core.files import write_atomic
from workflows.core.step import Context, Done, Step, Work
from workflows.steps import chosen_network, project_files

if TYPE_CHECKING:
    from workflows.scone.project import Project
    from workflows.scone.regions import Kind

OURS = "Dockerfile.scone"
DRAFT = "dockerfile.sha256"  # in the state folder: what was drafted last, also when the step failed later
_LAYOUT = (
    "Dockerfile",
    "tee/Dockerfile",
)  # the first that is there counts; the second is of iExec's examples
_OWN = (".creamtea", "creamtea.toml", "creamtea-results")


def _heap(value: Any) -> str:
    from workflows.scone import heap

    try:
        return heap.show(heap.parse(str(value)))
    except Failed as failure:
        raise ValueError(f"{failure.message}. {failure.hint}") from None


def _region(value: Any) -> str:
    from workflows.scone.regions import KINDS

    folder, equals, kind = (part.strip() for part in str(value).rpartition("="))
    kind = kind.lower()
    if not equals or not folder or kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1) if folder else []
        meant = f"did you mean {near[0]}?" if near else f"kinds are {', '.join(KINDS)}"
        raise ValueError(f"{value} is not FOLDER=KIND; {meant}")
    if ".." not in folder.split("/"):  # what leads up is refused with its own words
        folder = posixpath.normpath(re.sub("/+", "/", folder))  # two at the front it would keep
    return f"{folder}={kind}"


def _entry(ctx: Context) -> str | None:
    from workflows.scone import dockerfile

    try:
        return dockerfile.default_entrypoint(project_files.look(ctx))
    except Failed:
        return None


class Dockerfile(Step):
    """Write the recipe that protects your app's files.

    MRENCLAVE measures the interpreter, not your scripts. So SCONE's file shield takes a snapshot of the folders that
    matter (FSPF): every protected file is listed with its hash, and the tag of that list is a part of the
    fingerprint. Folders that the engine itself rewrites, such as /etc with its hosts file, must stay out, or the
    enclave refuses to start. The Dockerfile is yours: edit it, commit it.
    """

    id = "dockerfile"
    title = "Dockerfile"
    heading = "Write the Dockerfile"
    after = ("base_image",)
    workflows = ("onboard", "demo", "deploy")
    fields = (
        Field(
            "heap", "Enclave heap", default="1G", check=_heap, manifest="heap",
            help="measured: another heap is another MRENCLAVE",
        ),
        Field(
            "entrypoint", "Entrypoint", default=_entry, required=False, manifest="entrypoint",
            help="the command that runs in the enclave",
        ),
        Field(
            "region", "Regions", many=True, required=False, check=_region, manifest="regions", metavar="FOLDER=KIND",
            help="authenticated, encrypted or not-protected, one a line; the whole app is authenticated otherwise",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        return f"$EDITOR {_file(ctx)}"

    def foresee(self, ctx: Context) -> None:
        """Missing when a project has nothing that could run: no code, and no Dockerfile of its own."""
        from workflows.scone import dockerfile

        if ctx.journal.last("done", Dockerfile.id) is not None:
            return
        found = project_files.look(ctx)
        if not found.code and _own(ctx) is None and not (ctx.project / _file(ctx)).is_file():
            dockerfile.draftable(found)

    def inputs(self, ctx: Context) -> dict[str, object]:
        return {
            "values": {name: ctx[name] for name in ("heap", "entrypoint", "region")},
            "base": ctx.outputs.get("base_image"),
            "project": _fingerprint(ctx),
        }

    def done(self, ctx: Context) -> Done | None:
        if ctx.previous is None or ctx.again == self.id:
            return None
        # The path is of today: the project may have been moved.
        outputs = {**ctx.previous.data["outputs"], "path": str(ctx.project / _file(ctx))}
        late = _overtaken(ctx)
        return Done(outputs, f"{_file(ctx)} is as it was checked", (late,) if late is not None else ())

    def run(self, ctx: Context) -> Work:
        from workflows.scone import dockerfile

        found = _look(ctx)
        yield Noted(text=f"{found.name}: {found.language or 'unknown language'} ({found.why})")
        for note in found.notes:
            yield Noted(level="warning", text=note)
        path = ctx.project / _file(ctx)
        text, drafted = _proposal(ctx, found)
        brought = dockerfile.brings(text, found)
        for left in (one for one in found.left_out if one.path not in _OWN and one.path not in brought):
            yield Noted(
                level="warning" if left.dangerous else "info",
                text=f"{left.path} stays out: {left.why}" + (f"; {left.remedy}" if left.remedy else ""),
            )
        if drafted and (own := _own(ctx)) is not None:
            for told, hint in dockerfile.changes(project_files.text_of(own), text):
                yield Noted(level="warning", text=told, hint=hint)
        elif drafted and (others := [one for one in found.dockerfiles if one != OURS]):
            yield Noted(
                level="warning", text=f"{others[0]} is not used",
                hint=f'write dockerfile = "{others[0]}" into creamtea.toml to build from it',
            )  # fmt: skip
        if (late := _overtaken(ctx)) is not None:
            yield late
        draft = _hash(text) if drafted else None
        if (sizes := _heaps(ctx, text)) is not None:
            yield Noted(
                level="warning", text=f"{path.name} was edited: its SCONE_HEAP={sizes[0]} holds, not {sizes[1]}",
                hint=f"edit it, or remove {path.name} to have it drafted again",
            )  # fmt: skip
        edited = yield Asked(field="dockerfile", question=str(path), kind="document", default=text)
        text = str(edited or text)
        findings = dockerfile.check(
            text, _sent(ctx, path, text), stand_in=chosen_network.entry(ctx).simulated, data=found.data,
            left_out={one.path: one.why for one in found.left_out if one.path not in found.data},
        )  # fmt: skip
        for finding in findings:
            where = f"line {finding.line}: " if finding.line else ""
            yield Noted(level=finding.level, text=where + finding.text, hint=finding.hint or None)
        if not path.exists() or project_files.text_of(path) != text:
            if draft is not None:
                write_atomic(
                    ctx.state / DRAFT, draft
                )  # first: a draft is nobody's edit, whatever happens next
            write_atomic(path, text, 0o644)
            yield Noted(text=f"written to {path}")
        wrong = [finding for finding in findings if finding.level == "error"]
        if wrong:
            where = f"line {wrong[0].line}: " if wrong[0].line else ""
            raise Failed(where + wrong[0].text, _how(ctx, wrong[0].hint, path), name="dockerfile")
        entrypoint = dockerfile.entrypoint(text)
        ctx.manifest.set("dockerfile", _file(ctx))
        return {"path": str(path), "entrypoint": entrypoint, "draft": draft, **_stand(ctx, text)}


def _file(ctx: Context) -> str:
    """Ours, unless the project names another or its own protects already."""
    named = ctx.manifest.get("dockerfile")
    if named:
        path = Path(os.path.normpath(ctx.project / str(named)))
        if not path.is_relative_to(ctx.project) or path.is_dir():
            raise Missing(
                f"{ctx.manifest.path.name} names {named} as the Dockerfile",
                "it has to be a file in the project", name="dockerfile",
            )  # fmt: skip
        return str(path.relative_to(ctx.project))
    own = _own(ctx)
    return str(own.relative_to(ctx.project)) if own is not None and _protects(own) else OURS


def _own(ctx: Context) -> Path | None:
    """The project's own Dockerfile."""
    return next((path for name in _LAYOUT if (path := ctx.project / name).is_file()), None)


def _protects(path: Path) -> bool:
    """Whether a Dockerfile is an enclave's already; one with protect-fs.sh alone says no heap."""
    text = path.read_text(errors="replace")
    return "scone fspf" in text or ("protect-fs.sh" in text and "SCONE_HEAP" in text)


def _proposal(ctx: Context, found: Project) -> tuple[str, bool]:
    """The text to show, and whether it is a draft from the present settings: what a person wrote is kept."""
    from workflows.scone import catalogue, dockerfile, heap

    path = ctx.project / _file(ctx)
    own = _own(ctx)
    if path.is_file() and (path.name != OURS or not _drafted(ctx, path)):
        return project_files.text_of(path), False
    entry = catalogue.find(str(ctx.outputs["base_image"]["reference"]))
    size = heap.parse(str(ctx["heap"]))
    if own is not None and path != own:
        text = project_files.text_of(own)
        chosen = size if "SCONE_HEAP" not in text else None
        try:
            return dockerfile.protect(text, found, entry=entry, heap=chosen, regions=_regions(ctx)), True
        except Failed as failure:
            failure.hint = _how(ctx, failure.hint, own)
            raise
    if entry is None:
        raise Failed(
            f"{ctx.outputs['base_image']['reference']} is in no catalogue, so no Dockerfile can be drafted for it",
            "write a Dockerfile on it, which creamtea protects and checks, or choose a curated one with --base-image",
            name="unknown_base",
        )
    entrypoint = str(ctx["entrypoint"]) if ctx["entrypoint"] else None
    simulated = chosen_network.entry(ctx).simulated
    text = dockerfile.draft(
        found, entry, heap=size, entrypoint=entrypoint, regions=_regions(ctx), stand_in=simulated
    )
    return text, True


def _drafted(ctx: Context, path: Path) -> bool:
    """Whether a file is as creamtea drafted it last: nobody's edits are lost when it is drafted anew.

    Kept beside the journal too, which has nothing of a step that wrote the file and then failed.
    """
    text = path.read_text(errors="replace")
    same = {
        _hash(text),
        _hash(text.rstrip() + "\n"),
    }  # an editor that was opened and closed may cut the last line
    known = {_last(ctx).get("draft")}
    with contextlib.suppress(OSError):
        known.add((ctx.state / DRAFT).read_text().strip())
    return bool(same & known)


def _last(ctx: Context) -> Mapping[str, Any]:
    """What the step left when it ended well last."""
    last = ctx.journal.last("done", Dockerfile.id)
    return last.data.get("outputs", {}) if last is not None else {}


def _stand(ctx: Context, text: str) -> dict[str, str | None]:
    """SHA-256 of the Dockerfile that is built, and of the project's own as it was when that one was written."""
    own, last = _own(ctx), _last(ctx)
    if own is None or _file(ctx) != OURS:
        return {"text": _hash(text), "own": None}
    kept = last.get("own") if last.get("text") == _hash(text) else None
    return {"text": _hash(text), "own": kept or _hash(project_files.text_of(own))}


def _overtaken(ctx: Context) -> Noted | None:
    """A warning when the project's own Dockerfile changed behind ours, which a person edited and which is kept."""
    path, own, last = ctx.project / _file(ctx), _own(ctx), _last(ctx)
    if path.name != OURS or own is None or not path.is_file() or _drafted(ctx, path):
        return None
    if last.get("text") != _hash(project_files.text_of(path)):
        return None
    if last.get("own") in (None, _hash(project_files.text_of(own))):
        return None
    name = own.relative_to(ctx.project)
    return Noted(
        level="warning",
        text=f"{name} changed since {OURS} was written from it; {OURS} was edited, so it is kept without the change",
        hint=f"carry the change over by hand; or remove {OURS}, your edits with it, and have it drafted again: "
        f"creamtea run {ctx.workflow or 'onboard'} --from dockerfile",
    )


def _how(ctx: Context, hint: str | None, path: Path) -> str:
    """What to do about a fault, and how to go on."""
    wanted = f"{hint} " if hint else ""
    return f"{wanted}Edit {path}, then: creamtea run {ctx.workflow or 'onboard'} --from dockerfile"


def _look(ctx: Context) -> Project:
    """The project as it goes into the image; what a person names as a region is wanted, data or not."""
    from workflows.scone import project

    return project.including(project_files.look(ctx), _regions(ctx))


def _sent(ctx: Context, path: Path, text: str) -> list[str]:
    """The files that a build of this text would send."""
    from workflows.steps import build

    name = str(path.relative_to(ctx.project))
    found = build.sent(ctx, path.name, text).paths()
    files = [one for one in found if (file := ctx.project / one).is_symlink() or not file.is_dir()]
    return files if name in files or path.exists() else [*files, name]  # it is about to be written


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _heaps(ctx: Context, text: str) -> tuple[str, str] | None:
    """The heap of a text and the chosen one, when they differ."""
    from workflows.scone import dockerfile, heap

    found, chosen = dockerfile.heap_of(text), heap.parse(str(ctx["heap"]))
    return None if found in (None, chosen) else (heap.show(found or 0), heap.show(chosen))


def _regions(ctx: Context) -> Mapping[str, Kind]:
    pairs = [str(item).rpartition("=") for item in ctx["region"] or ()]
    return {folder: kind for folder, _, kind in pairs}  # type: ignore[misc]


def _fingerprint(ctx: Context) -> object:
    """What the checks looked at: the files' names and the Dockerfiles' texts."""
    paths = [ctx.project / _file(ctx), *(ctx.project / name for name in _LAYOUT)]
    texts = [path.read_text(errors="replace") if path.is_file() else None for path in paths]
    found = _look(ctx)
    left_out = [one.path for one in found.left_out if one.path not in _OWN]  # those appear by themselves
    return {"files": found.files, "data": found.data, "left_out": left_out, "texts": texts}
