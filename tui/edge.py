"""The last gate before the terminal."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter


class Edge(LineFilter):
    """Nothing but printable characters leaves for the terminal; others become blanks of the same width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [Segment(_blanked(segment.text), segment.style) for segment in segments]


def _blanked(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " * cell_len(char) for char in text)
