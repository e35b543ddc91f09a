"""What an audit's document looks like on the screen: the matrix, and a row of it in full. Texts leave clean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tui.hygiene import prose
from tui.widgets.matrix import Column, Record
from tui.widgets.prose import Said
from workflows.commands.secrets import MARKS, STATES, advised, told
from workflows.core.text import clean, plural, shorten

Document = Mapping[str, Any]
NAMED = ("requester-secret", "named")  # kinds whose names a person chooses
_STYLES = {"set": "$success", "missing": "$error bold", "absent": "$foreground-muted", "unknown": "$warning"}


def rows(document: Document) -> list[Mapping[str, Any]]:
    """The secrets, then the keys that are public by nature."""
    return [*document.get("rows", ()), *document.get("public", ())]


def advice(document: Document, row: int | None) -> list[Said]:
    """The warnings of one row, or those of none."""
    return [_said(one) for one in _warnings(document, row)]


def acceptable(document: Document, row: int) -> list[Mapping[str, Any]]:
    """The warnings of a row, and those of none, that a person may accept or has accepted."""
    return [one for which in (row, None) for one in _warnings(document, which) if one["id"]]


def summary(document: Document) -> str:
    """The network, what its SMS serves, and how much there is to do; empty while nothing is known."""
    if not document:
        return ""
    serves = ", ".join(one["serves"] or "no answer" for one in document["sms"]) or "none"
    urgent = sum(one["level"] == "act" for one in document["warnings"])
    parts = [document["network"], *(["SIMULATED SGX"] if document["simulated"] else []), f"SMS: {serves}"]
    return clean(" · ".join([*parts, f"! {urgent} to do" if urgent else "nothing to do"]))


def columns(document: Document) -> list[Column]:
    """The columns; which SMS only where there are several."""
    several = len(document.get("sms", ())) > 1
    return [
        Column("secret"), Column("of", 11, way=2), Column("SMS", 5 if several else 0, way=5), Column("state", 9),
        Column("pushed", 10, way=3), Column("used by", 9, way=1), Column("change", 6, way=4),
        Column("commitment", 10, way=6), Column("slot", 10, way=7),
    ]  # fmt: skip


def record(document: Document, at: int) -> Record:
    """A row of the matrix."""
    row = rows(document)[at]
    warned = any(one["level"] == "act" for one in _warnings(document, at))
    if "app" in row:  # public by nature
        cells = [row["title"], _short(row["app"]), "", "PUBLIC", "", "everybody", "–", "", ""]
        return Record("◌", "$foreground-muted", [clean(cell) for cell in cells], warned)
    uses = row["uses"]
    used = plural(len(uses), "order") if uses else "–"
    if row["kind"] == "app-secret":
        used = "every run"
    elif any(use["app"] is None for use in uses):
        used = "ANY app"
    kind = row["kind"].replace("-", " ")
    title, before = kind, ""
    if row["kind"] in NAMED:
        title, before = row["name"], kind
    cells = [
        title, _short(row["owner"]), row["framework"] or "", STATES[row["state"]],
        (row["pushed_at"] or "–")[:10], used, "never" if row["forever"] else "yes",
        (row["commitment"] or "–")[:10], row["slot"],
    ]  # fmt: skip
    return Record(MARKS[row["state"]], _STYLES[row["state"]], [clean(cell) for cell in cells], warned, before)


def full(document: Document, at: int) -> list[Said]:
    """A row as sentences: its state, what to do about it, and all that is known."""
    if at >= len(rows(document)):
        nothing = "no secret is known here: deploy an app or a dataset first, or a: push one"
        return [Said(nothing, "○")] if document else []
    row = rows(document)[at]
    if "app" in row:
        public = Said(clean(f"{row['title']} of app {row['app']}"), "◌", "$foreground-muted", "bold")
        return [public, Said(prose(row["text"]), " ", hint=prose(row["hint"]))]
    state = row["state"]
    title = clean(f"{row['title']} of {row['owns']} {row['owner']}: {STATES[state]}")
    return [
        Said(title, MARKS[state], _STYLES[state], "bold"),
        *advice(document, at),
        *(Said(prose(f"{label:<10}  {text}"), " ") for label, text in told(row)),
    ]


def _warnings(document: Document, row: int | None) -> list[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = document.get("warnings", ())
    return [one for one in found if (row in one["rows"] if row is not None else not one["rows"])]


def _said(one: Mapping[str, Any]) -> Said:
    mark, text, hints = advised(one)
    hint = hints[0] if not one["accepted"] else ""  # accepting is a key here
    return Said(prose(text), mark, "$warning bold", "", prose(hint))


def _short(address: str) -> str:
    return shorten(address, 6, 4)
