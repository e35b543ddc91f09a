"""What a run tells on the plain face: lines for people, NDJSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from workflows.core.events import (
    Asked,
    Event,
    Lines,
    Noted,
    Progress,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TaskChanged,
    to_json,
)
from workflows.core.text import clean, size

if TYPE_CHECKING:
    from workflows.core.step import Step

MARKS = {"waiting": "○", "running": "◐", "done": "✓", "cached": "✓", "failed": "✗", "cancelled": "■"}
_KEPT_LINES = 2000
_TITLE = 90


class JsonPrinter:
    """Each event as one line of JSON, flushed at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: Event) -> None:
        self._out.write(to_json(event) + "\n")
        self._out.flush()


class PlainPrinter:
    """One line for each change of state; the whole log of a failed task; last of all where the log is."""

    def __init__(self, out: TextIO, steps: Sequence[Step], *, verbose: bool = False) -> None:
        self._out = out
        self._verbose = verbose
        self._live = out.isatty()
        self._order = {step.id: index for index, step in enumerate(steps, start=1)}
        self._heading = {step.id: step.heading for step in steps}
        self._titles: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}
        self._bar = False

    def __call__(self, event: Event) -> None:
        handler = getattr(self, f"_on_{event.type}", None)
        if handler is not None:
            handler(event)
            self._out.flush()

    def clear(self) -> None:
        """Take a progress line away, so that something else may be printed."""
        if self._bar:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._bar = False

    def _say(self, text: str = "") -> None:
        self.clear()
        self._out.write(text + "\n")

    def _on_run_started(self, event: RunStarted) -> None:
        self._say(f"{event.workflow} · {clean(event.project)}")

    def _on_step_started(self, event: StepStarted) -> None:
        self._titles, self._lines = {}, {}
        step = event.step or ""
        number = f"{self._order[step]}/{len(self._order)} " if step in self._order else ""
        self._say(f"\n▸ {number}{self._heading.get(step, event.title)}")
        for line in event.command.splitlines():
            self._say(f"  $ {line}")

    def _on_task_changed(self, event: TaskChanged) -> None:
        self._titles[event.task] = event.title
        if event.state in ("waiting", "running") and not (self._verbose and event.state == "running"):
            return
        tail = "  cached" if event.state == "cached" else ""
        if event.detail:
            tail += f"  {event.detail}"
        self._say(f"  {MARKS[event.state]} {_short(event.title)}{tail}")

    def _on_lines(self, event: Lines) -> None:
        kept = self._lines.setdefault(event.task, [])
        kept.extend(event.text)
        del kept[:-_KEPT_LINES]
        if self._verbose:
            for line in event.text:
                self._say(f"    {event.task} │ {line}")

    def _on_progress(self, event: Progress) -> None:
        if not self._live:
            return
        done = size(event.done) if event.unit == "bytes" else f"{event.done} {event.unit}"
        share = f" {100 * event.done // event.total}%" if event.total else ""
        self._out.write(f"\r\x1b[K  ◐ {self._titles.get(event.task, event.task)}  {done}{share}")
        self._bar = True

    def _on_asked(self, event: Asked) -> None:
        self._say(f"  ? {event.question}")

    def _on_noted(self, event: Noted) -> None:
        if event.answer is not None:
            self._say(f"    → {event.answer}")
            return
        mark = {"info": "·", "warning": "!", "error": "✗"}[event.level]
        first, *rest = event.text.splitlines() or [""]
        self._say(f"  {mark} {first}")
        for line in rest:
            self._say(f"    {line}")
        if event.hint:
            self._say(f"    → {event.hint}")

    def _on_step_ended(self, event: StepEnded) -> None:
        if event.outcome == "skipped":
            self._say("  ✓ nothing to do")
        elif event.outcome == "done":
            self._say(f"  ✓ done in {event.seconds:.1f} s")
        elif event.error is not None:
            if not self._verbose:
                self._failed_log()
            self._say(f"  ✗ {event.error['message']}")
            if event.error.get("hint"):
                self._say(f"    → {event.error['hint']}")

    def _failed_log(self) -> None:
        for task, lines in self._lines.items():
            self._say(f"  ── {_short(self._titles.get(task, task))}")
            for line in lines:
                self._say(f"    {line}")

    def _on_run_ended(self, event: RunEnded) -> None:
        self._say(f"\n{event.outcome} in {event.seconds:.1f} s of work")
        if event.outcome != "done":
            self._say("go on with: creamtea resume")
        if event.log:
            self._say(f"log: {clean(event.log)}")


def _short(title: str) -> str:
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
