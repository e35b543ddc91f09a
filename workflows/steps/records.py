"""The measurement record of a build, kept for later, and what changed since the one before."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Event, Noted, TaskChanged
from workflows.core.listen import listen
from workflows.core.step import Context
from workflows.steps import clients

if TYPE_CHECKING:
    from workflows.scone.image import Measured
    from workflows.scone.record import Kept, Record

_TASK, _TITLE = "record", "read the image's files for the measurement record"
_MOST_TOLD = 5


def keep(ctx: Context, measured: Measured) -> Generator[Event, Any, int]:
    """Record the build that was measured, and tell what changed since the build before it. Its number."""
    from workflows.scone import difference, record

    yield TaskChanged(task=_TASK, title=_TITLE, state="running")
    taken = yield from listen(lambda _: _take(ctx, measured), ctx.cancel)
    kept = record.keep(ctx.state, taken)
    files = f"build {kept.number}, {len(taken.files or ()):,} files"
    yield TaskChanged(task=_TASK, title=_TITLE, state="done", detail=files)
    before = [one for one in record.kept(ctx.state) if one.number < kept.number]
    if before:
        yield from _told(difference.compare(record.load(before[-1].path), taken), before[-1], kept)
    return kept.number


def _take(ctx: Context, measured: Measured) -> Record:
    from workflows.scone import recording

    engine = clients.engine(ctx)
    chosen, built = ctx.outputs["base_image"], ctx.outputs["build"]
    return recording.take(
        engine,
        measured.image.id,
        name=str(built.get("image") or ctx["image"]),
        run=ctx.run or None,
        base=recording.base(engine, str(chosen["reference"]), str(chosen["used"]), chosen.get("stand_in")),
        sources=_sources(ctx, measured),
        builder=built.get("builder"),
        measured=measured,
        cancel=ctx.cancel,
    )


def _sources(ctx: Context, measured: Measured) -> Any:
    """What the build started from; None when the project was changed since, so that it is not known any more."""
    from workflows.scone import recording
    from workflows.steps.build import INPUTS, Build

    sent, _ = Build().context(ctx)
    if measured.image.labels.get(INPUTS) != sent.digest():
        return None
    text = Path(str(ctx.outputs["dockerfile"]["path"])).read_text()
    return recording.sources(
        dataclasses.replace(sent, dockerfile=text)
    )  # as it is on disk, its own base in it


def _told(found: Any, before: Kept, kept: Kept) -> Iterator[Event]:
    from workflows.scone.difference import PARTS

    states = " · ".join(f"{name} {found.parts[part] or 'not known'}" for part, name in PARTS.items())
    command = f"creamtea diff {before.number} {kept.number} shows the two side by side"
    yield Noted(text=f"since build {before.number}: {states}", hint=command)
    for rank, cause in enumerate(found.causes[:_MOST_TOLD], start=1):
        yield Noted(text=f"  {rank}. {cause.sentence}")
    if len(found.causes) > _MOST_TOLD:
        yield Noted(text=f"  and {len(found.causes) - _MOST_TOLD} more")
    for warning in found.warnings:
        yield Noted(level="warning", text=warning)
