"""The rail: every step with its state; the one looked at is marked."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tui.model import GLYPHS, StepView

_STYLES = {
    "running": "$accent bold", "asking": "$accent bold", "done": "$success", "skipped": "$success",
    "failed": "$error bold", "cancelled": "$warning", "waiting": "$text-muted",
}  # fmt: skip


class Rail(Widget):
    """Steps from top to bottom. Glyph and word carry the state, colour repeats it."""

    looked_at: reactive[str | None] = reactive(None)

    def __init__(self, steps: Iterable[StepView], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._steps = list(steps)

    def sync(self) -> None:
        """Draw again."""
        self.refresh()

    def render(self) -> Content:
        rows: list[Content] = []
        for step in self._steps:
            style = _STYLES[step.state]
            row = Content.assemble((GLYPHS[step.state], style), " ", (step.title, style))
            mark = "▸" if step.id == self.looked_at else " "
            rows.append(Content.assemble((mark, "$accent"), row))
        return Content("\n").join(rows)
