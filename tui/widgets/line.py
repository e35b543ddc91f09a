"""One row of text with a left and a right end."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


class Line(Widget):
    """The right end keeps its room, the left one is cut; drawn only when it changes."""

    DEFAULT_CSS = "Line { height: 1; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.left = Content("")
        self.right = Content("")

    def show(self, left: Content, right: Content | None = None) -> None:
        """Draw these two ends."""
        right = right or Content("")
        if (left, right) != (self.left, self.right):
            self.left, self.right = left, right
            self.refresh()

    def render(self) -> Content:
        width = self.size.width
        right = self.right.truncate(width, ellipsis=True)
        room = width - right.cell_length - 1
        if not right or room < 1:
            return right or self.left.truncate(width, ellipsis=True)
        return Content.assemble(self.left.truncate(room, ellipsis=True, pad=True), " ", right)
