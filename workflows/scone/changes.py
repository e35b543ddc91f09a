"""Which files of two records differ, how, and what protects them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from workflows.core.text import clean, plural
from workflows.scone import tree
from workflows.scone.record import Record
from workflows.scone.regions import SYSTEM, Kind
from workflows.scone.tree import Entry

How = Literal["added", "removed", "changed", "mode"]
_MOST_SHOWN = 4


@dataclass(frozen=True)
class Change:
    """One name that differs. region: as it was given; evidence: the two entries; lines: (count, first)."""

    path: str
    how: How
    kind: Kind
    region: str
    evidence: str
    lines: tuple[int, int] | None = None

    @property
    def system(self) -> bool:
        """Whether it belongs to the base and its packages rather than to the app."""
        return self.region in SYSTEM

    def sentence(self, name: str = "") -> str:
        """`app.py changed, 3 lines`."""
        shown = clean(name or self.path)
        if self.how == "mode":
            return f"{shown} has another mode"
        if self.lines is None:
            return f"{shown} {'' if self.how == 'changed' else 'was '}{self.how}"
        return f"{shown} changed, {plural(self.lines[0], 'line')}"


def files(a: Record, b: Record) -> list[Change]:
    """What differs between the files of two records, by path; nothing where one of them has none.

    Contents of encrypted regions are not compared: their cipher text is another in every build.
    """
    if a.files is None or b.files is None:
        return []
    found = []
    for path in sorted(a.files.keys() | b.files.keys()):
        old, new = a.files.get(path), b.files.get(path)
        if old == new:
            continue
        region, kind = _protection(b if new is not None else a, path)
        if kind == "encrypted" and old is not None and new is not None and _sealed(old) == _sealed(new):
            continue
        evidence = f"{_show(old)} → {_show(new)}"
        found.append(Change(path, _how(old, new), kind, region, evidence, lines(path, a.texts, b.texts)))
    parents = {posixpath.dirname(one.path) for one in found}
    return [
        one
        for one in found
        if one.path not in parents or one.how in ("mode", "changed")  # a new folder's files say it
    ]


def lines(
    path: str, a: Mapping[str, Sequence[str]], b: Mapping[str, Sequence[str]]
) -> tuple[int, int] | None:
    """How many lines of a text changed, and the first of them in `b` (from 1); None when it is not known."""
    if path not in a or path not in b or a[path] == b[path]:
        return None
    return changed_lines(a[path], b[path])


def changed_lines(a: Sequence[str], b: Sequence[str]) -> tuple[int, int] | None:
    """The same for the lines themselves; None when they are equal."""
    changed, first = 0, 0
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            changed += max(j - i, m - k)
            first = first or k + 1
    return (changed, first) if changed else None


def inputs(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """The names whose value differs, sorted."""
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def some(names: Sequence[str]) -> str:
    """`a, b, c and 12 more`."""
    shown = ", ".join(clean(name) for name in names[:_MOST_SHOWN])
    return shown if len(names) <= _MOST_SHOWN else f"{shown} and {len(names) - _MOST_SHOWN:,} more"


def _protection(record: Record, path: str) -> tuple[str, Kind]:
    roots = {region.root: (name, region.kind) for name, region in (record.regions or {}).items()}
    owner = tree.owner(path, dict.fromkeys(roots, ""))
    return roots[owner] if owner is not None else ("/", "not-protected")


def _how(old: Entry | None, new: Entry | None) -> How:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    return "mode" if (old.kind, old.content) == (new.kind, new.content) else "changed"


def _sealed(entry: Entry) -> Entry:
    return Entry(entry.kind, entry.mode)


def _show(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    if entry.kind == "file":
        return f"sha256 {entry.content[:12]}… mode {entry.mode:04o}"
    return (
        f"link to {clean(entry.content)}" if entry.kind == "link" else f"{entry.kind} mode {entry.mode:04o}"
    )
