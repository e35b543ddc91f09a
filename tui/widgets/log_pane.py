"""Lines of a task, drawn from its ring by the Line API: only rows in view cost anything."""

from __future__ import annotations

import re
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.model import Ring

ERROR = re.compile(
    r"\b(error|failed|failure|fatal|exception|traceback|denied|cannot|refused)\b", re.IGNORECASE
)


class LogPane(ScrollView, can_focus=True):
    """A view on a `Ring`; follows the newest line until the person scrolls up."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--error", "log--match", "log--current"}
    follow: reactive[bool] = reactive(True)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.ring = Ring()
        self.query_text = ""
        self._current = -1
        self._seen = (0, 0)

    def show(self, ring: Ring) -> None:
        """Look at another ring."""
        if ring is not self.ring:
            self.ring = ring
            self._current = -1
            self.follow = True
            self._seen = (-1, 0)
        self.sync()

    def sync(self) -> None:
        """Draw what has come; called once a tick."""
        state = (len(self.ring), self.ring.dropped)
        if state == self._seen:
            return
        self._seen = state
        self.virtual_size = Size(self.ring.width, len(self.ring))
        if self.follow:
            self.scroll_end(animate=False, immediate=True, x_axis=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        index = scroll_y + y
        width = self.size.width
        if index >= len(self.ring):
            return Strip.blank(width, self.rich_style)
        text = self.ring[index]
        style = self.rich_style
        if ERROR.search(text):
            style += self.get_component_rich_style("log--error", partial=True)
        if index == self._current:
            style += self.get_component_rich_style("log--current", partial=True)
        strip = Strip(self._segments(text, style))
        return strip.crop_extend(scroll_x, scroll_x + width, style)

    def _segments(self, text: str, style: Style) -> list[Segment]:
        needle = self.query_text.casefold()
        if not needle or needle not in text.casefold():
            return [Segment(text, style)]
        match = style + self.get_component_rich_style("log--match", partial=True)
        parts: list[Segment] = []
        position = 0
        for found in re.finditer(re.escape(needle), text, re.IGNORECASE):
            parts += [Segment(text[position : found.start()], style), Segment(found.group(), match)]
            position = found.end()
        return [*parts, Segment(text[position:], style)]

    def find(self, text: str, direction: int = 1) -> bool:
        """Move to the next line that contains the text; False when there is none."""
        self.query_text = text
        needle = text.casefold()
        return self._seek(lambda line: needle in line.casefold(), direction)

    def find_error(self) -> bool:
        """Move to the next line that looks like an error."""
        return self._seek(lambda line: ERROR.search(line) is not None, 1)

    def _seek(self, wanted: object, direction: int) -> bool:
        count = len(self.ring)
        start = self._current if self._current >= 0 else (count if direction < 0 else -1)
        for offset in range(1, count + 1):
            index = (start + direction * offset) % count
            if wanted(self.ring[index]):  # type: ignore[operator]
                self._current = index
                self.follow = False
                self.scroll_to(y=max(0, index - self.size.height // 2), animate=False)
                self.refresh()
                return True
        self.refresh()
        return False

    def visible_text(self) -> str:
        """The lines in view."""
        top = self.scroll_offset.y
        return "\n".join(
            self.ring[index] for index in range(top, min(top + self.size.height, len(self.ring)))
        )

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if new < old and new < self.max_scroll_y:
            self.follow = False
        elif new >= self.max_scroll_y:
            self.follow = True

    def watch_follow(self, follow: bool) -> None:
        if follow and self.is_mounted:
            self.scroll_end(animate=False, immediate=True, x_axis=False)
