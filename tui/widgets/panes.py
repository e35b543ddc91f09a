"""The lines of one task, or of several beside and above each other: as many as have six lines each."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from tui.model import GLYPHS, TaskView
from tui.widgets.line import Line
from tui.widgets.log_pane import LogPane

MOST = 4
_ROWS, _COLUMNS = 7, 48  # a tile is a title and six lines, as wide as half a wide terminal


class Tile(Vertical):
    """A title and the lines."""

    def compose(self) -> ComposeResult:
        yield Line(classes="tile-title")
        yield LogPane()

    def show(self, task: TaskView) -> None:
        """Draw this task."""
        pane = self.query_one(LogPane)
        pane.show(task.lines)
        title = Content.assemble(
            ("── ", "$foreground-muted"), (f"{GLYPHS[task.state]} {task.title}", "$foreground-muted")
        )
        self.query_one(Line).show(title, Content.styled(pane.status, "$foreground-muted"))


class Panes(Widget):
    """A grid of tiles."""

    DEFAULT_CSS = "Panes { layout: grid; grid-size: 1; grid-gutter: 0 2; }"

    def compose(self) -> ComposeResult:
        for number in range(MOST):
            yield Tile(id=f"tile-{number}")

    @property
    def pane(self) -> LogPane:
        """The one that keys act on: the first."""
        return self.query(LogPane).first(LogPane)

    def show(self, tasks: Sequence[TaskView], width: int, height: int) -> None:
        """Draw these tasks in so much room: `fitting` says how many may be given."""
        columns, _ = _grid(width, height)
        self.styles.grid_size_columns = min(columns, max(1, len(tasks)))
        for number, tile in enumerate(self.query(Tile)):
            tile.display = number < len(tasks)
            if number < len(tasks):
                tile.show(tasks[number])


def fitting(width: int, height: int) -> int:
    """How many tiles have room."""
    columns, rows = _grid(width, height)
    return min(MOST, columns * rows)


def _grid(width: int, height: int) -> tuple[int, int]:
    return max(1, width // _COLUMNS), max(1, height // _ROWS)
