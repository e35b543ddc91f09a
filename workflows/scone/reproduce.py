"""Built twice, the second time from nothing: is it the same app, and if not, which layer and file differ first?"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from workflows.core.events import Event, Lines, Noted, Progress, TaskChanged
from workflows.core.failure import Failed
from workflows.core.listen import listen
from workflows.core.step import Cancel
from workflows.core.text import clean, plural, shorten
from workflows.scone import image as images
from workflows.scone import layers
from workflows.scone.layers import Differs
from workflows.scone.record import Region

if TYPE_CHECKING:
    from workflows.containers.context import Context
    from workflows.containers.engine import Engine

_MARK = "again:"
_MOST_TOLD = 5


@dataclass(frozen=True)
class Outcome:
    """What differs apart from what must (key, tag, cipher text); the MRENCLAVE of each (None: none of SCONE's)."""

    differs: tuple[Differs, ...]
    expected: tuple[str, ...]
    mrenclaves: tuple[str | None, str | None]

    @property
    def measured(self) -> tuple[Differs, ...]:
        """What differs in a protected region."""
        return tuple(one for one in self.differs if one.protected)

    @property
    def reproducible(self) -> bool:
        """Whether nothing that is measured differs."""
        return not self.measured and self.mrenclaves[0] == self.mrenclaves[1]

    def document(self) -> dict[str, Any]:
        """The outcome for programs: the first difference, how many there are, and MRENCLAVE."""
        first = self.differs[0] if self.differs else None
        return {
            "reproducible": self.reproducible,
            "mrenclave": "same" if self.mrenclaves[0] == self.mrenclaves[1] else "changed",
            "layer": first.layer if first else None,
            "instruction": first.instruction if first else None,
            "path": first.path if first else None,
            "evidence": first.evidence if first else None,
            "differ": len(self.differs),
            "measured": len(self.measured),
        }


def again(
    engine: Engine,
    context: Context,
    first: str,
    *,
    builder: Literal["auto", "buildkit", "classic"] = "auto",
    labels: Mapping[str, str] | None = None,
    cancel: Cancel | None = None,
) -> Generator[Event, Any, Outcome]:
    """Build the context again without the cache, compare with the image `first`, remove the second image."""
    from workflows.containers.build import build

    work = build(engine, context, tag=None, builder=builder, labels=labels, fresh=True, cancel=cancel)
    second = (yield from _marked(work)).image_id
    try:
        title = "compare the two builds, layer by layer"
        yield TaskChanged(task=f"{_MARK}compare", title=title, state="running")
        found = yield from listen(lambda _: _compare(engine, first, second, cancel), cancel or Cancel())
        yield TaskChanged(task=f"{_MARK}compare", title=title, state="done")
        return found
    finally:
        if second != engine.require(first).id:
            engine.remove(second, force=True)


def told(outcome: Outcome) -> list[Noted]:
    """The outcome in sentences."""
    notes = []
    for one in outcome.differs[:_MOST_TOLD]:
        why, remedy = one.why
        covered = "measured" if one.protected else "not measured"
        text = f"layer {one.layer}, {shorten(clean(one.instruction), 60, 0)}: {clean(one.path)} differs ({covered})"
        notes.append(Noted(level="warning" if one.protected else "info", text=text, hint=f"{why}: {remedy}"))
    if (rest := len(outcome.differs) - _MOST_TOLD) > 0:
        notes.append(Noted(text=f"and {plural(rest, 'more file')}"))
    if outcome.expected:
        notes.append(
            Noted(text=f"{plural(len(outcome.expected), 'file')} differ as they must: key, tag, cipher text")
        )
    if outcome.mrenclaves[0] != outcome.mrenclaves[1]:
        notes.append(
            Noted(level="warning", text="MRENCLAVE differs too: the interpreter or its libraries are others")
        )
    elif outcome.reproducible:
        notes.append(Noted(text="built twice: the same MRENCLAVE, and every protected file the same"))
    return notes


def refuse(outcome: Outcome) -> None:
    """Failed `not_reproducible`, with the first layer and file, when something that is measured differs."""
    if outcome.reproducible:
        return
    hint = "without --twice the build goes on: the image itself is whole"
    if not outcome.measured:
        raise Failed("built twice: MRENCLAVE differs", hint, name="not_reproducible")
    one, count = outcome.measured[0], len(outcome.measured)
    verb = "differs: it is" if count == 1 else "differ, the first is"
    raise Failed(
        f"built twice: {plural(count, 'measured file')} {verb} {clean(one.path)} in layer {one.layer}, "
        f"{shorten(clean(one.instruction), 80, 0)}",
        f"{': '.join(one.why)}; {hint}",
        name="not_reproducible",
    )


def _marked(work: Generator[Event, None, Any]) -> Generator[Event, Any, Any]:
    """The second build's tasks beside those of the first, which have the same names."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if isinstance(event, TaskChanged):
            parent = event.parent and _MARK + event.parent
            event = replace(event, task=_MARK + event.task, title=f"again: {event.title}", parent=parent)
        elif isinstance(event, Lines | Progress):
            event = replace(event, task=_MARK + event.task)
        yield event


def _compare(engine: Engine, first: str, second: str, cancel: Cancel | None) -> Outcome:
    known = _measured(engine, first)
    other = _measured(engine, second)
    kinds = known[1]
    old, new = (layers.read(engine, one, cancel) for one in (first, second))
    whole = layers.merged(old)
    regions = {path: Region(kind, whole.resolve(path)) for path, kind in kinds.items()}
    differs, expected = layers.compare(old, new, regions)
    return Outcome(tuple(differs), tuple(expected), (known[0], other[0]))


def _measured(engine: Engine, image: str) -> tuple[str | None, Mapping[str, Any]]:
    """MRENCLAVE and region → kind; nothing of an image without a fingerprint."""
    try:
        found = images.measure(engine, image)
    except Failed as failure:
        if failure.name != "no_fingerprint":
            raise
        return None, {}
    return found.fingerprint.mrenclave, found.regions
