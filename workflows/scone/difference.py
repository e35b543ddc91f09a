"""Why two measurements differ: sentences of cause, ranked, each with its evidence in the two records.

What decides what, with SCONE: MRENCLAVE the interpreter, the runtime and the settings (heap, stack, threads …);
the FSPF tag the protected files; the FSPF key chance. So a part that changed has to be explained, and a cause
whose part did not change is a warning: that is outside of what is measured.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workflows.core.text import clean
from workflows.scone import causes, changes, inputs
from workflows.scone.causes import Cause, Part
from workflows.scone.changes import Change, some
from workflows.scone.record import Record

State = Literal["same", "changed"]
PARTS: dict[Part, str] = {"fspf_key": "FSPF key", "fspf_tag": "FSPF tag", "mrenclave": "MRENCLAVE"}
RANDOM = "same inputs, different FSPF key and tag: the key is random for every build, this is expected"
_SHOWN = ("SCONE_HEAP", "SCONE_STACK", "SCONE_TCS", "SCONE_ALLOW_DLOPEN", "SCONE_FORK")


@dataclass(frozen=True)
class Row:
    """One line of the two side by side, values whole; state None where one of them does not say."""

    name: str
    a: str | None
    b: str | None
    state: State | None


@dataclass(frozen=True)
class Difference:
    """parts: None for one that a side does not have. causes: likeliest first. rows: for a screen."""

    same: bool
    parts: Mapping[Part, State | None]
    causes: tuple[Cause, ...]
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]

    def document(self) -> dict[str, Any]:
        """As contracts.md has it, and more: `part` of a cause, and `rows`, the two side by side."""
        return {
            "same": self.same,
            "parts": dict(self.parts),
            "causes": [
                {
                    "rank": rank,
                    **{name: getattr(one, name) for name in ("sentence", "evidence", "path", "part")},
                }
                for rank, one in enumerate(self.causes, start=1)
            ],
            "warnings": list(self.warnings),
            "rows": [{"name": row.name, "a": row.a, "b": row.b, "state": row.state} for row in self.rows],
        }


def compare(a: Record, b: Record) -> Difference:
    """Why `b` is not `a`. Either may know more or less; what only one of them knows is not compared."""
    parts = {part: _state(getattr(a.fingerprint, part), getattr(b.fingerprint, part)) for part in PARTS}
    changed = changes.files(a, b)
    equal = inputs.equal(a, b)
    measured = [
        *causes.kinds(a, b),
        *causes.settings(a, b),
        *causes.base(a, b),
        *causes.runtime(a, b),
        *causes.layout(a, b),
    ]
    files = list(causes.files(a, b, changed, equal_inputs=equal))
    free = [cause for cause in files if cause.part is None]  # they decide nothing, so they come last
    found = [
        *_unexplained(parts["mrenclave"], measured, changed, equal),
        *measured,
        *causes.identity(a, b),
        *causes.regions(a, b),
        *(cause for cause in files if cause.part is not None),
    ]
    led = list(inputs.compare(a, b, changed))
    same = not found and not free and "changed" not in parts.values()
    if not same:
        decided = any(cause.part for cause in (*found, *led))
        chance = list(_chance(parts["fspf_key"], decided, bool(found or free or led), equal))
        found += [*led, *chance, *free] if decided else [*chance, *led, *free]
    silent = [f"{cause.sentence}; nothing that is measured changed by it" for cause in led if same]
    return Difference(
        same=same,
        parts=parts,
        causes=tuple(found),
        warnings=(*_outside(parts, measured, changed), *silent, *_unknown(a, b), *_unknown(b, a)),
        rows=tuple(_rows(a, b)),
    )


def _unexplained(
    state: State | None, measured: Sequence[Cause], changed: Sequence[Change], equal: bool
) -> Iterator[Cause]:
    """MRENCLAVE changed, and no setting, base or runtime says why; or only a file that the build made does."""
    if state != "changed":
        return
    if equal and all(one.path for one in measured):
        path = measured[0].path if measured else changed[0].path if changed else None
        first = (
            f"the first file that differs is {clean(path)}" if path else "and no file that is known differs"
        )
        evidence = measured[0].evidence if measured else changed[0].evidence if changed else "equal hashes"
        sentence = f"same inputs, different MRENCLAVE: the build is not reproducible, {first}"
        yield Cause(sentence, evidence, path, "mrenclave")
    elif not measured:
        yield Cause(
            "MRENCLAVE changed, and nothing that both sides know explains it",
            "records of both builds hold the settings, the runtime and the interpreter: compare those",
            None,
            "mrenclave",
        )


def _chance(state: State | None, decided: bool, other: bool, equal: bool) -> Iterator[Cause]:
    """The random key, after what decided; before it, or by itself, when nothing that is measured changed."""
    if state != "changed":
        return
    if decided:
        sentence = "FSPF key and tag are others in any case: the key is random for every build"
    elif equal and not other:
        sentence = RANDOM
    elif other:
        sentence = (
            "nothing that is measured changed, as far as both sides know: FSPF key and tag are others because "
            "the key is random for every build"
        )
    else:
        sentence = (
            "only FSPF key and tag differ, as far as both sides know: the key is random for every build"
        )
    yield Cause(sentence, "a key is drawn for every build, and the tag depends on it", None, "fspf_key")


def _outside(
    parts: Mapping[Part, State | None], measured: Sequence[Cause], changed: Sequence[Change]
) -> Iterator[str]:
    """What changed where nothing measures it."""
    free = [one.path for one in changed if one.kind == "not-protected"]
    own = [one.path for one in changed if one.kind != "not-protected" and not one.system]
    if free:
        yield f"{some(free)} changed in no protected region: outside what is measured"
    if own and parts["fspf_tag"] == "same":
        yield f"{some(own)} changed and the FSPF tag did not: that code is outside what is measured"
    if own and parts["fspf_tag"] is None and parts["mrenclave"] == "same":
        yield f"{some(own)} changed and MRENCLAVE, all there is, did not: that code is outside what is measured"
    if measured and parts["mrenclave"] == "same":
        yield f"{some([one.sentence for one in measured])}; and MRENCLAVE did not change: it does not cover that"


def _unknown(record: Record, other: Record) -> Iterator[str]:
    """What one side does not say, and the other may."""
    known: dict[str, object] = {
        "settings": record.settings, "files": record.files, "build inputs": record.sources,
    }  # fmt: skip
    if record.layout is not None:
        return
    if other.layout is not None:
        known = {} if record.files is not None else {"layout": None}
    if missing := [word for word, value in known.items() if value is None]:
        what, verb = ("it was", "is") if missing == ["layout"] else ("they were", "are")
        yield f"of {clean(record.name)} no {', no '.join(missing)} {verb} known: {what} not compared"


def _rows(a: Record, b: Record) -> Iterator[Row]:
    for part, word in PARTS.items():
        yield _row(word, *(getattr(one.fingerprint, part) for one in (a, b)))
    values = (causes.values(a), causes.values(b))
    for name in _SHOWN:
        shown = [causes.value(name, one[name]) if name in one else None for one in values]
        yield _row(causes.MEASURED[name], *shown)
    yield _row("entrypoint", a.fingerprint.entrypoint, b.fingerprint.entrypoint)
    yield _row("base", *(one.base.reference if one.base else None for one in (a, b)))
    yield _row("base id", *(_digits(one.base.digest or one.base.id) if one.base else None for one in (a, b)))
    yield _row("SCONE", *(one.runtime.scone if one.runtime else None for one in (a, b)))
    yield _row("interpreter", *(one.interpreter.path if one.interpreter else None for one in (a, b)))
    yield _row("its SHA-256", *(_program(one) for one in (a, b)))
    yield _row("signer", a.signer, b.signer)
    yield _row("files", *(f"{len(one.files):,}" if one.files is not None else None for one in (a, b)))
    yield _row("Dockerfile", *(one.sources.dockerfile if one.sources else None for one in (a, b)))
    yield _row("image", *(_digits(one.image.digest or one.image.id) for one in (a, b)))


def _row(name: str, a: str | None, b: str | None) -> Row:
    return Row(name, a and clean(a), b and clean(b), _state(a, b))


def _program(record: Record) -> str | None:
    """The hash of the interpreter itself among all that is measured for it: the file of its name, python3.11."""
    if record.interpreter is None or not record.interpreter.files:
        return None
    name, files = posixpath.basename(record.interpreter.path), record.interpreter.files
    # By name, not by place: a record that was kept has its files in another order than one taken just now.
    return files[min(files, key=lambda path: (not posixpath.basename(path).startswith(name), path))]


def _digits(value: str | None) -> str | None:
    return None if value is None else value.removeprefix("sha256:")


def _state(a: object, b: object) -> State | None:
    if a is None or b is None:
        return None
    return "same" if a == b else "changed"
