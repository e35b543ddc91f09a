"""Two measurements side by side: what changed, why, and what is the same, as `creamtea diff` found it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from tui.widgets.prose import Said, wrapped
from workflows.core.text import shorten

_NAME = 12  # cells of the first column
_LEAD = _NAME + 3  # its mark, and blanks
_GAP = 2
_LEAST = 58  # cells: below, B stands under A
_HASH = re.compile(r"[0-9a-f]{32,}")
_TEXT_WIDTH = 160  # two whole hashes beside each other
_MARKS: Mapping[str | None, tuple[str, str]] = {
    "changed": ("≠", "$warning bold"),
    "same": ("=", "$foreground-muted"),
    None: ("·", "$foreground-muted"),
}


class Beside(Widget):
    """Draws the document of `diff`, cleaned. Hashes lose their middle where there is no room, unless `whole`.

    What changed has a sign, stands under a heading that says so, and its differing part is underlined.
    """

    DEFAULT_CSS = "Beside { height: auto; text-wrap: nowrap; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._document: Mapping[str, Any] | None = None
        self._whole = False
        self._drawn: tuple[int, list[Content]] = (0, [])

    def show(self, document: Mapping[str, Any] | None, *, whole: bool = False) -> None:
        """Draw this document; None: nothing."""
        self._document, self._whole, self._drawn = document, whole, (0, [])
        self.refresh(layout=True)

    @property
    def text(self) -> str:
        """All of it as plain text, with nothing left out."""
        found = _lines(self._document, _TEXT_WIDTH, True) if self._document is not None else []
        return "\n".join(line.plain.rstrip() for line in found)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Content]:
        if self._drawn[0] != width:
            found = [] if self._document is None else _lines(self._document, max(20, width), self._whole)
            self._drawn = (width, found)
        return self._drawn[1]


def _lines(document: Mapping[str, Any], width: int, whole: bool) -> list[Content]:
    rows = [row for row in document["rows"] if row["a"] is not None or row["b"] is not None]
    changed, same, open_ = (
        [row for row in rows if row["state"] == state] for state in ("changed", "same", None)
    )
    lines = [*_sides(document, width), Content("")]
    if document["same"]:
        lines += wrapped(
            Said("The same: every part that both have is equal", "=", "$success bold", "bold"), width
        )
    lines += _section("Changed", [line for row in changed for line in _row(row, width, whole)])
    lines += _section("Why", [line for cause in document["causes"] for line in _cause(cause, width)])
    told = [Said(warning, "!", "$warning bold") for warning in document["warnings"]]
    lines += _section("Warnings", [line for said in told for line in wrapped(said, width)])
    lines += _section("The same in both", [line for row in same for line in _equal(row, width, whole)])
    lines += _section("Only one of them says", [line for row in open_ for line in _row(row, width, whole)])
    return lines


def _section(title: str, lines: Sequence[Content]) -> list[Content]:
    return [Content.styled(title, "bold $accent"), *lines, Content("")] if lines else []


def _sides(document: Mapping[str, Any], width: int) -> list[Content]:
    """Which two: above their columns where they stand side by side."""
    heads = [
        f"{document[side]['name']}, {document[side]['at'][:16].replace('T', ' ')} UTC" for side in ("a", "b")
    ]
    if width < _LEAST:
        return [
            line for said in zip("AB", heads, strict=True) for line in wrapped(Said(said[1], said[0]), width)
        ]
    room = _room(width)
    cells = [
        Content.styled(f"{letter}  {head}", "bold").wrap(room)
        for letter, head in zip("AB", heads, strict=True)
    ]
    return _beside(Content(" " * _LEAD), cells, room)


def _cause(cause: Mapping[str, Any], width: int) -> list[Content]:
    found = wrapped(Said(str(cause["sentence"]), f"{cause['rank']:>2}.", "$accent bold", "bold"), width)
    return [*found, *wrapped(Said(str(cause["evidence"]), "   ", ""), width)] if cause["evidence"] else found


def _row(row: Mapping[str, Any], width: int, whole: bool) -> list[Content]:
    """The two values in columns; on a narrow screen B below A."""
    a, b = row["a"], row["b"]
    changed = row["state"] == "changed"
    room = _room(width)
    cells = [
        _cell(one, other if changed else None, room, whole, "bold" if changed else "")
        for one, other in ((a, b), (b, a))
    ]
    if width >= _LEAST:
        return _beside(_lead(row), cells, room)
    below = [_beside(Content(f"  {letter} "), [cell], room) for letter, cell in zip("AB", cells, strict=True)]
    return [_lead(row), *below[0], *below[1]]


def _equal(row: Mapping[str, Any], width: int, whole: bool) -> list[Content]:
    """One value is enough for both."""
    room = width - _LEAD - _GAP
    return _beside(_lead(row), [_cell(row["a"], None, room, whole, "")], room)


def _lead(row: Mapping[str, Any]) -> Content:
    name = Content(str(row["name"])).truncate(_NAME, ellipsis=True, pad=True)
    return Content.assemble(_MARKS[row["state"]], " ", name, " ")


def _room(width: int) -> int:
    """Cells of a value: half of what is left beside the name, where that is enough."""
    return (width - _LEAD) // 2 - _GAP if width >= _LEAST else width - 4 - _GAP


def _beside(lead: Content, cells: Sequence[list[Content]], room: int) -> list[Content]:
    """The cells in one row, as high as the highest."""
    rows = []
    for number in range(max(len(cell) for cell in cells)):
        row = lead if number == 0 else Content(" " * lead.cell_length)
        for cell in cells:
            part = cell[number] if number < len(cell) else Content("")
            row = Content.assemble(row, part, " " * (room + _GAP - part.cell_length))
        rows.append(row)
    return rows


def _cell(value: str | None, other: str | None, room: int, whole: bool, style: str) -> list[Content]:
    """A value in lines; what it does not share with the other is underlined."""
    if value is None:
        return [Content.styled("—", "$foreground-muted")]
    if _HASH.fullmatch(value):
        shown = value if whole else shorten(value, room // 2, (room - 1) // 2)
        return Content.styled(shown, style).wrap(room)
    content = Content.styled(value, style)
    if other is not None and not _HASH.fullmatch(other):
        start = _shared(value, other)
        end = _shared(value[start:][::-1], other[start:][::-1])
        content = content.stylize("underline", start, len(value) - end)
    return content.wrap(room)


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
