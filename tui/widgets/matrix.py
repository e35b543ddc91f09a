"""A table with a marked row: as many columns as fit, the first one takes the room that is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from workflows.core.text import shorten

_GAP = 2
_FIRST = 18  # cells that the first column needs at least


@dataclass(frozen=True)
class Column:
    """A column and its width. Where the screen is narrow, those that give `way` most go first; 0 never."""

    title: str
    width: int = 0
    way: int = 0


@dataclass(frozen=True)
class Record:
    """One row: a mark and its style, and a text for each column; `warned` puts an exclamation mark beside.

    `kind` goes before the first text where there is room for both; that text keeps its two ends where it is too long.
    """

    mark: str
    style: str
    cells: Sequence[str]
    warned: bool = False
    kind: str = ""


class Matrix(Widget):
    """Draws the rows around the marked one."""

    DEFAULT_CSS = "Matrix { height: auto; text-wrap: nowrap; }"

    class Picked(Message):
        """A row was clicked."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns: tuple[Column, ...] = ()
        self._rows: tuple[Record, ...] = ()
        self._at = 0

    def show(self, columns: Sequence[Column], rows: Sequence[Record], at: int) -> None:
        """Draw these; nothing happens when they are the same as before."""
        shown = (tuple(columns), tuple(rows), at)
        if shown != (self._columns, self._rows, self._at):
            self._columns, self._rows, self._at = shown
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._rows) + 1 if self._rows else 0

    def on_click(self, event: Click) -> None:
        row = self._top + event.y - 1
        if event.y > 0 and row < len(self._rows):
            self.post_message(self.Picked(row))

    @property
    def _top(self) -> int:
        """The first row in view."""
        room = max(1, self.size.height - 1)
        return max(0, min(self._at - room // 2, len(self._rows) - room))

    def render(self) -> Content:
        if not self._rows:
            return Content("")
        widths = self._widths()
        titles = [column.title for column in self._columns]
        lines = [Content.styled(self._line("   ", titles, widths), "$foreground-muted")]
        for number, row in list(enumerate(self._rows))[self._top :][: max(1, self.size.height - 1)]:
            here = number == self._at
            lead = Content.assemble(
                ("▸" if here else " ", "$accent bold"), (row.mark, row.style),
                ("!" if row.warned else " ", "$warning bold"),
            )  # fmt: skip
            text = Content(self._line("", [_fitting(row, widths[0]), *row.cells[1:]], widths))
            lines.append(Content.assemble(lead, text.stylize("bold reverse") if here else text))
        return Content("\n").join(lines)

    def _widths(self) -> list[int]:
        """Cells of each column, 0 for one that is left out."""
        widths = [column.width for column in self._columns]
        room = self.size.width - 3

        def left() -> int:
            return room - sum(width + _GAP for width in widths[1:] if width)

        ways = ((column.way, number) for number, column in enumerate(self._columns))
        for way, number in sorted(ways, reverse=True):
            if way and left() < _FIRST:
                widths[number] = 0
        widths[0] = max(1, left())
        return widths

    def _line(self, lead: str, cells: Sequence[str], widths: Sequence[int]) -> str:
        shown = [
            Content(cell).truncate(width, ellipsis=True, pad=True).plain
            for cell, width in zip(cells, widths, strict=True)
            if width
        ]
        return lead + (" " * _GAP).join(shown)


def _fitting(row: Record, width: int) -> str:
    """The first text of a row in so many cells."""
    whole = f"{row.kind} {row.cells[0]}" if row.kind else row.cells[0]
    if cell_len(whole) <= width:
        return whole
    half = max(1, (width - 1) // 2)
    return shorten(row.cells[0], max(1, width - 1 - half), half)
