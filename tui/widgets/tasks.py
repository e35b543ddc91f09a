"""The tasks of a step, one row each: state, title, time or progress."""

from __future__ import annotations

from datetime import datetime

from textual.content import Content
from textual.widget import Widget

from tui.model import GLYPHS, StepView, TaskView
from workflows.core.text import size

_STYLES = {
    "running": "$accent", "done": "$success", "cached": "$success", "failed": "$error",
    "cancelled": "$warning", "waiting": "$text-muted",
}  # fmt: skip


class Tasks(Widget):
    """Shows as many rows as fit: running and failed tasks first claim, order kept."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._step: StepView | None = None
        self._selected: str | None = None
        self.limit = 8

    def show(self, step: StepView, selected: str | None) -> None:
        """Draw the tasks of this step."""
        self._step, self._selected = step, selected
        rows = min(self.limit, len(step.tasks))
        self.display = rows > 0
        self.styles.height = rows
        self.refresh()

    def _rows(self, step: StepView) -> list[TaskView]:
        tasks = list(step.tasks.values())
        spare = len(tasks) - self.limit
        if spare <= 0:
            return tasks
        kept = []
        for task in tasks:
            if spare > 0 and task.state in ("done", "cached"):
                spare -= 1
            else:
                kept.append(task)
        return kept[-self.limit :]

    def render(self) -> Content:
        if self._step is None:
            return Content("")
        width = self.size.width
        lines = []
        for task in self._rows(self._step):
            tail = _tail(task)
            room = max(4, width - len(tail) - 4)
            title = task.title if len(task.title) <= room else task.title[: room - 1] + "…"
            style = _STYLES[task.state]
            mark = "▸" if task.id == self._selected else " "
            lines.append(
                Content.assemble(
                    (mark, "$accent"),
                    (GLYPHS[task.state], style),
                    " ",
                    title.ljust(room),
                    (tail, "$text-muted"),
                )
            )
        return Content("\n").join(lines)


def _tail(task: TaskView) -> str:
    if task.state == "cached":
        return " cached"
    if task.detail and task.state != "running":
        return f" {task.detail}"[:30]
    progress = task.progress
    if task.state == "running" and progress is not None:
        done = size(progress.done) if progress.unit == "bytes" else str(progress.done)
        return f" {done} {100 * progress.done // progress.total}%" if progress.total else f" {done}"
    seconds = elapsed(task.started, task.ended)
    return "" if seconds is None else f" {seconds:.1f}s"


def elapsed(started: str | None, ended: str | None) -> float | None:
    """Seconds between two event times; None while one is missing."""
    if started is None or ended is None:
        return None
    try:
        begin = datetime.fromisoformat(started.replace("Z", "+00:00"))
        end = datetime.fromisoformat(ended.replace("Z", "+00:00"))
    except ValueError:
        return None
    return max(0.0, (end - begin).total_seconds())
