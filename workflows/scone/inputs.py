"""What led to a measurement, compared: Dockerfile, arguments, context, tuning, engine. None is measured itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workflows.core.text import clean, plural
from workflows.scone import changes
from workflows.scone.causes import MEASURED, Cause, Part, digest, tells_all
from workflows.scone.changes import Change, some
from workflows.scone.record import Builder, Record, Sources

_MOST_FILES = 5


def equal(a: Record, b: Record) -> bool:
    """Whether both builds are known to have started from the very same things."""
    if a.sources is None or b.sources is None or a.base is None or b.base is None:
        return False
    return _key(a.sources) == _key(b.sources) and (a.base.reference, a.base.id) == (
        b.base.reference,
        b.base.id,
    )


def compare(a: Record, b: Record, changed: Sequence[Change]) -> Iterator[Cause]:
    """The causes behind the causes. changed: the files of the images that differ, which need no second word."""
    if a.sources is not None and b.sources is not None:
        yield from _sources(a.sources, b.sources)
        sealed = any(region.kind == "encrypted" for region in (b.regions or {}).values())
        yield from _context(a.sources, b.sources, [one.path for one in changed], sealed)
    if a.settings is not None and b.settings is not None:
        whole = tells_all(a, b)
        for name in changes.inputs(a.settings, b.settings):
            if name not in MEASURED and (whole or (name in a.settings and name in b.settings)):
                shown = [clean(one.get(name, "not set")) for one in (a.settings, b.settings)]
                yield Cause(
                    f"{clean(name)} {shown[0]} → {shown[1]}: it is not measured", f"{shown[0]} → {shown[1]}"
                )
    if a.builder is not None and b.builder is not None:
        yield from _builder(a.builder, b.builder)


def _key(sources: Sources) -> tuple[object, ...]:
    return sources.context, sources.dockerfile, dict(sources.arguments), dict(sources.files)


def _builder(old: Builder, new: Builder) -> Iterator[Cause]:
    if (old.engine, old.version, old.api) != (new.engine, new.version, new.api):
        shown = [clean(f"{one.engine} {one.version}, API {one.api}") for one in (old, new)]
        yield Cause(f"built by another engine: {shown[0]} → {shown[1]}", f"{shown[0]} → {shown[1]}")
    if old.builder and new.builder and old.builder != new.builder:
        shown = [clean(old.builder), clean(new.builder)]
        yield Cause(f"built by {shown[1]} instead of {shown[0]}", f"{shown[0]} → {shown[1]}")


def _sources(old: Sources, new: Sources) -> Iterator[Cause]:
    if old.dockerfile != new.dockerfile:
        lines = changes.changed_lines(old.lines, new.lines)
        count = f", {plural(lines[0], 'line')} from line {lines[1]} on" if lines else ""
        evidence = f"sha256 {digest(old.dockerfile)} → {digest(new.dockerfile)}"
        yield Cause(f"the Dockerfile changed{count}", evidence, "Dockerfile")
    for name in changes.inputs(old.arguments, new.arguments):
        hashes = (digest(old.arguments.get(name)), digest(new.arguments.get(name)))
        yield Cause(f"build argument {clean(name)} changed", f"sha256 {hashes[0]} → {hashes[1]}")


def _context(old: Sources, new: Sources, told: Sequence[str], sealed: bool) -> Iterator[Cause]:
    every = changes.inputs(old.files, new.files)
    names = [name for name in every if not any(path.endswith(f"/{name}") for path in told)]
    fate = "it is encrypted in the image, or not in it" if sealed else "no file of the image shows it"
    for name in names[:_MOST_FILES]:
        how = (
            "goes to the builder now"
            if name not in old.files
            else "does not go to the builder any more"
            if name not in new.files
            else "changed in the project"
        )
        hashes = (digest(old.files.get(name)), digest(new.files.get(name)))
        part: Part | None = "fspf_tag" if sealed else None  # only its ciphertext could be compared
        yield Cause(f"{clean(name)} {how}; {fate}", f"sha256 {hashes[0]} → {hashes[1]}", name, part)
    if rest := names[_MOST_FILES:]:
        yield Cause(
            f"{plural(len(rest), 'more file')} of the project differ: {some(rest)}", "hashes of the context"
        )
    if old.context != new.context and not every and old.dockerfile == new.dockerfile:
        yield Cause(
            "the build context differs in modes, links or empty folders",
            f"sha256 {digest(old.context)} → {digest(new.context)}",
        )
