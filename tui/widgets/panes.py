"""The lines of one task, or of several beside and above each other: as many as have room."""

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
_ENDLESS = 1_000_000


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
        columns = min(_columns(width), max(1, len(tasks)))
        self.styles.grid_size_columns = columns
        rows = _heights(_grid(tasks, columns), height)
        self.styles.grid_rows = " ".join(map(str, rows)) if len(rows) > 1 else "1fr"
        for number, tile in enumerate(self.query(Tile)):
            tile.display = number < len(tasks)
            if number < len(tasks):
                tile.show(tasks[number])


def fitting(tasks: Sequence[TaskView], width: int, height: int) -> int:
    """How many tiles have room, of the last ones of these."""
    counts = range(min(MOST, len(tasks)), 1, -1)
    return next((count for count in counts if least(tasks[-count:], width) <= height), min(1, len(tasks)))


def least(tasks: Sequence[TaskView], width: int) -> int:
    """The rows that tiles of these need: a title and six lines, or less where no more will come."""
    return sum(map(_least, _grid(tasks, _columns(width))))


def whole(tasks: Sequence[TaskView], width: int) -> int:
    """The rows in which all lines of these are in view; endless while more may come."""
    return sum(_grid(tasks, _columns(width)))


def _least(wanted: int) -> int:
    return min(_ROWS, wanted)


def _heights(wanted: Sequence[int], height: int) -> list[int]:
    """How so much room is shared: what each row needs, and of what is left as much as it has use for."""
    heights = list(map(_least, wanted))
    for row, most in enumerate(wanted):
        share = max(0, height - sum(heights)) // (len(heights) - row)
        heights[row] += min(most - heights[row], share)
    return heights


def _grid(tasks: Sequence[TaskView], columns: int) -> list[int]:
    """What each row of tiles wants."""
    wanted = [_ENDLESS if task.state == "running" else len(task.lines) + 1 for task in tasks]
    return [max(wanted[at : at + columns]) for at in range(0, len(wanted), columns)]


def _columns(width: int) -> int:
    return max(1, width // _COLUMNS)
