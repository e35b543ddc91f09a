"""Sentences with a mark before each and an arrow before what to do about it, wrapped under themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

_LABEL = re.compile(r"\S(?:.{0,18}?\S)? {2,}(?=\S)")  # `you pay      at most …`: what follows is a column


@dataclass(frozen=True)
class Said:
    """One sentence. `style` is the mark's, `strong` the text's; texts are plain, never markup."""

    text: str
    mark: str = "·"
    style: str = "$foreground-muted"
    strong: str = ""
    hint: str = ""


class Prose(Widget):
    """Draws what was said, as high as it needs to be."""

    DEFAULT_CSS = "Prose { height: auto; text-wrap: nowrap; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._said: tuple[Said, ...] = ()
        self._wrapped: tuple[int, list[Content]] = (0, [])

    def show(self, said: Sequence[Said]) -> None:
        """Draw these; nothing happens when they are the same as before."""
        if tuple(said) != self._said:
            self._said = tuple(said)
            self._wrapped = (0, [])
            self.refresh(layout=True)

    def height_at(self, width: int) -> int:
        """How many rows it takes at this width."""
        return len(self._lines(width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self.height_at(width)

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Content]:
        if self._wrapped[0] != width:
            lines = [line for said in self._said for line in wrapped(said, max(8, width))]
            self._wrapped = (width, lines)
        return self._wrapped[1]


def wrapped(said: Said, width: int) -> list[Content]:
    """Its lines at this width in cells: the mark before the first one, the hint on lines of its own below."""
    lines: list[Content] = []
    for number, text in enumerate(said.text.split("\n")):
        label = _LABEL.match(text)
        head = label.group() if label else ""
        mark = said.mark if number == 0 else " " * cell_len(said.mark)
        lead = Content.assemble((mark, said.style), " ", (head, said.strong))
        lines += _hanging(lead, text[len(head) :], said.strong, width)
    if said.hint:
        lines += _hanging(Content.assemble(("  → ", "$accent")), said.hint, "", width)
    return lines


def _hanging(lead: Content, text: str, style: str, width: int) -> list[Content]:
    """The text beside its lead; further rows are indented to the same column."""
    room = max(4, width - lead.cell_length)
    rows = Content.styled(text, style).wrap(room) if text else [Content("")]
    blank = " " * lead.cell_length
    return [Content.assemble(lead if row == 0 else blank, part) for row, part in enumerate(rows)]
