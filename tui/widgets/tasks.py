"""The tasks of a step, one row each: state, title, time or progress."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from tui.model import GLYPHS, StepView, TaskView, elapsed
from workflows.core.text import size

_STYLES = {
    "running": "$accent", "done": "$success", "cached": "$success", "failed": "$error",
    "cancelled": "$warning", "waiting": "$foreground-muted",
}  # fmt: skip
_TAIL = 30  # cells, and never more than half of the row


class Tasks(Widget):
    """Shows as many rows as fit: what is over goes first, then what is to come; order kept."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawn: Content | None = None
        self._step: StepView | None = None
        self._selected: str | None = None
        self._now = ""
        self._limit = 0

    def show(self, step: StepView, selected: str | None, limit: int, now: str) -> None:
        """Draw the tasks of this step in at most so many rows; `now` ends the clock of running ones."""
        self._step, self._selected, self._limit, self._now = step, selected, limit, now
        rows = min(limit, self.height_at(step, self.size.width, now))
        self.display = rows > 0
        self.styles.height = rows
        drawn = self.render()
        if drawn != self._drawn:
            self._drawn = drawn
            self.refresh()

    def _shown(self, step: StepView) -> list[TaskView]:
        kept = step.rows
        for states, candidates in ((("done", "cached"), kept), (("waiting",), kept[::-1])):
            spare = len(kept) - self._limit
            dull = [task for task in candidates if task.state in states and task.id != self._selected]
            gone = {task.id for task in dull[: max(0, spare)]}
            kept = [task for task in kept if task.id not in gone]
        return kept[-self._limit :]

    def render(self) -> Content:
        if self._step is None:
            return Content("")
        width = self.size.width
        whole = _over(self._step) and self.height_at(self._step, width, self._now) <= self._limit
        rows = [self._row(task, width, self._now, whole) for task in self._shown(self._step)]
        return Content("\n").join(line for row in rows for line in row)

    def height_at(self, step: StepView, width: int, now: str) -> int:
        """The rows in which nothing is cut; one for each task while the step is at work, so that nothing moves."""
        if not _over(step):
            return len(step.rows)
        return sum(len(self._row(task, width, now, True)) for task in step.rows)

    def _row(self, task: TaskView, width: int, now: str, whole: bool) -> list[Content]:
        """A task in one row, or, if `whole`, in as many as its title and what is told of it need."""
        tail = Content.styled(_tail(task, now), "$foreground-muted")
        short = tail.truncate(max(0, min(_TAIL, width // 2)), ellipsis=True)
        below = tail.wrap(max(4, width - 3)) if whole and short.plain != tail.plain else []
        if below:
            short = Content("")
        room = max(4, width - short.cell_length - 4)
        first, *more = Content(task.title).wrap(room) if whole else [Content(task.title)]
        lead = Content.assemble(
            ("▸" if task.id == self._selected else " ", "$accent"), (GLYPHS[task.state], _STYLES[task.state])
        )
        first = Content.assemble(lead, " ", first.truncate(room, ellipsis=True, pad=True), " ", short)
        return [first, *(Content.assemble("   ", part) for part in [*more, *below])]


def _over(step: StepView) -> bool:
    return step.state not in ("running", "asking", "waiting")


def _tail(task: TaskView, now: str) -> str:
    if task.state == "cached":
        return "cached"
    if task.detail and task.state != "running":
        return task.detail
    progress = task.progress
    if task.state == "running" and progress is not None:
        done = size(progress.done) if progress.unit == "bytes" else f"{progress.done} {progress.unit}"
        return f"{done} {100 * progress.done // progress.total}%" if progress.total else done
    seconds = elapsed(task.started, task.ended)
    if seconds is not None:
        return f"{seconds:.1f}s"
    seconds = elapsed(task.started, now) if task.state == "running" else None
    return "" if seconds is None else f"{int(seconds)}s"
