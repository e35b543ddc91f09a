"""The rail: every step with its state; the one looked at is marked."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tui.model import GLYPHS, StepView

_STYLES = {
    "running": "$accent bold", "asking": "$accent bold", "done": "$success", "skipped": "$success",
    "failed": "$error bold", "cancelled": "$warning", "waiting": "$foreground-muted",
}  # fmt: skip


class Rail(Widget):
    """Steps from top to bottom. Glyph and word carry the state, colour repeats it."""

    looked_at: reactive[str | None] = reactive(None)

    class Picked(Message):
        """A step was clicked."""

        def __init__(self, step: str) -> None:
            super().__init__()
            self.step = step

    def __init__(self, steps: Iterable[StepView], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._steps = list(steps)

    def on_click(self, event: Click) -> None:
        if event.y < len(self._steps):
            self.post_message(self.Picked(self._steps[event.y].id))

    def render(self) -> Content:
        glyphs_only = self.size.width < 8
        rows: list[Content] = []
        for step in self._steps:
            style = _STYLES[step.state]
            title = "" if glyphs_only else f" {step.label}"
            mark = "▸" if step.id == self.looked_at else " "
            rows.append(Content.assemble((mark, "$accent"), (GLYPHS[step.state] + title, style)))
        if self.size.height < len(rows):  # a low screen: keep the marked one in view
            at = next((row for row, step in enumerate(self._steps) if step.id == self.looked_at), 0)
            top = max(0, min(at - self.size.height // 2, len(rows) - self.size.height))
            rows = rows[top : top + max(1, self.size.height)]
        return Content("\n").join(rows)
