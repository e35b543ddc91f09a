"""Lines of a task, drawn from its ring by the Line API: only rows in view cost anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.model import Ring

ERROR = re.compile(
    r"\b(error|failed|failure|fatal|exception|traceback|denied|cannot|refused)\b", re.IGNORECASE
)
_SIDEWAYS = 16  # cells that one key press scrolls to the side


class LogPane(ScrollView, can_focus=False):
    """A view on a `Ring`; follows the newest line until the person scrolls up."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--error", "log--match", "log--current", "log--more"}
    follow: reactive[bool] = reactive(True)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.ring = Ring()
        self.query_text = ""
        self._current = -1
        self._seen = (0, 0)

    def show(self, ring: Ring) -> None:
        """Look at this ring, another one or the same with more in it; called once a tick."""
        if ring is not self.ring:
            self.ring = ring
            self._current = -1
            self._seen = (-1, ring.dropped)
            self.set_reactive(LogPane.follow, True)
            self.scroll_to(x=0, animate=False, immediate=True)
        state = (len(ring), ring.dropped)
        if state == self._seen:
            return
        gone = ring.dropped - self._seen[1]
        self._seen = state
        self.virtual_size = Size(ring.width, len(ring))
        if self.follow:
            self.scroll_end(animate=False, immediate=True, x_axis=False)
        elif gone:  # what is read stays where it is while old lines make room
            self._current = max(-1, self._current - gone)
            self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False, immediate=True)
        self.refresh()

    @property
    def status(self) -> str:
        """What is worth knowing about the view: the search, and lines that are out of sight."""
        parts = []
        if self.query_text:
            needle = self.query_text.casefold()
            found = [index for index, line in enumerate(self.ring) if needle in line.casefold()]
            place = found.index(self._current) + 1 if self._current in found else 0
            parts.append(
                f"“{self.query_text}” {place} of {len(found)}"
                if place
                else f"“{self.query_text}” {len(found)}×"
            )
        below = len(self.ring) - self.scroll_offset.y - self.size.height
        if not self.follow and below > 0:
            parts.append(f"{below:,} below, f follows")
        if self.ring.dropped and self.scroll_offset.y == 0:
            parts.append(f"{self.ring.dropped:,} earlier ones only in the log file")
        return " · ".join(parts)

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        index = scroll_y + y
        width = self.scrollable_content_region.width
        style = self.rich_style
        if index >= len(self.ring):
            return Strip.blank(width, style)
        text = self.ring[index]
        if ERROR.search(text):
            style += self.get_component_rich_style("log--error", partial=True)
        if index == self._current:
            style += self.get_component_rich_style("log--current", partial=True)
        strip = Strip(self._segments(text, style))
        if strip.cell_length - scroll_x <= width:
            return strip.crop_extend(scroll_x, scroll_x + width, style)
        more = Segment("›", self.rich_style + self.get_component_rich_style("log--more", partial=True))
        return Strip.join([strip.crop(scroll_x, scroll_x + width - 1), Strip([more], 1)])

    def _segments(self, text: str, style: Style) -> list[Segment]:
        needle = self.query_text.casefold()
        if not needle or needle not in text.casefold():
            return [Segment(text, style)]
        match = style + self.get_component_rich_style("log--match", partial=True)
        parts: list[Segment] = []
        position = 0
        for found in re.finditer(re.escape(self.query_text), text, re.IGNORECASE):
            parts += [Segment(text[position : found.start()], style), Segment(found.group(), match)]
            position = found.end()
        return [*parts, Segment(text[position:], style)]

    def find(self, text: str, direction: int = 1) -> bool:
        """Move to the next line that contains the text; False when there is none."""
        if text != self.query_text:
            self._current = -1
        self.query_text = text
        needle = text.casefold()
        return self._seek(lambda line: needle in line.casefold(), direction)

    def clear_search(self) -> None:
        """No match is marked any more."""
        self.query_text, self._current = "", -1
        self.refresh()

    def find_error(self) -> bool:
        """Move to the next line that looks like an error."""
        return self._seek(lambda line: ERROR.search(line) is not None, 1)

    def _seek(self, wanted: Callable[[str], bool], direction: int) -> bool:
        count = len(self.ring)
        start = self._current if self._current >= 0 else (count if direction < 0 else -1)
        for offset in range(1, count + 1):
            index = (start + direction * offset) % count
            if wanted(self.ring[index]):
                self._current = index
                self.follow = False
                self.scroll_to(y=max(0, index - self.size.height // 2), animate=False, immediate=True)
                self.refresh()
                return True
        self.refresh()
        return False

    def move(self, where: str) -> None:
        """Scroll: page_up, page_down, home, end, left or right."""
        x, y = self.scroll_offset
        page = max(1, self.size.height - 1)
        if where in ("left", "right"):
            x += _SIDEWAYS if where == "right" else -_SIDEWAYS
            self.scroll_to(
                x=max(0, min(x, self.ring.width - self.scrollable_content_region.width)),
                animate=False,
                immediate=True,
            )
            return
        top = {"page_up": y - page, "page_down": y + page, "home": 0, "end": len(self.ring)}[where]
        self.follow = top >= self.max_scroll_y
        self.scroll_to(y=max(0, min(top, self.max_scroll_y)), animate=False, immediate=True)

    def can_move(self, where: str) -> bool:
        """Whether there is more in that direction."""
        x, y = self.scroll_offset
        if where in ("left", "right"):
            return x > 0 if where == "left" else x < self.ring.width - self.scrollable_content_region.width
        return y > 0 if where in ("page_up", "home") else y < self.max_scroll_y

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

    def on_resize(self, event: Resize) -> None:
        if self.follow:
            self.scroll_end(animate=False, immediate=True, x_axis=False)
