"""The tasks of one build: their states, their stages and their output, as events when something changed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from workflows.core.events import Event, Lines, TaskChanged, TaskState
from workflows.core.text import LineCutter

FINAL = ("done", "cached", "failed", "cancelled")
TAIL = 15  # last lines of a task that are kept for an error
_BUILDER = re.compile(r" ?--?-?> |Removing intermediate container ")  # the builder's own words, no cause

Stream = Literal["out", "err"]
STREAMS: tuple[Stream, ...] = ("out", "err")


@dataclass
class Task:
    """What a listener knows of a task; `closes` marks the last one of its stage."""

    title: str
    parent: str | None = None
    state: TaskState = "waiting"
    started: str | None = None
    ended: str | None = None
    detail: str | None = None
    closes: bool = False

    def event(self, task: str) -> TaskChanged:
        """Its present state."""
        return TaskChanged(
            task=task, title=self.title, state=self.state, parent=self.parent,
            started=self.started, ended=self.ended, detail=self.detail,
        )  # fmt: skip


class Board:
    """All tasks of a build by id; a stage `app` is the task `stage:app`, parent of its members."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self._members: dict[str, list[Task]] = {}
        self._cutters: dict[tuple[str, Stream], LineCutter] = {}
        self._tails: dict[str, deque[str]] = {}

    def change(
        self, task: str, *, state: TaskState, title: str = "", started: str | None = None,
        ended: str | None = None, detail: str | None = None, stage: str | None = None, closes: bool = False,
    ) -> list[Event]:  # fmt: skip
        """A task's new state as events, its stage's too; none when a listener would see no difference."""
        known = self.tasks.get(task)
        before = None
        if known is None:
            known = self.tasks[task] = Task(title)
            if stage is not None:
                known.parent = f"stage:{stage}"
                self._members.setdefault(known.parent, []).append(known)
        else:
            before = (known.title, known.state, known.detail)
            if state == "waiting":  # said again of a task that may have moved on
                state = known.state
        known.title = title or known.title
        known.state = state
        known.detail = detail or known.detail
        known.started = known.started or started  # a vertex may run more than once: first start, last end
        known.ended = (ended or known.ended) if state in FINAL else None
        known.closes = known.closes or closes
        if before == (known.title, known.state, known.detail):
            return []
        events = self._flush(task) if state in FINAL else []
        events.append(known.event(task))
        return [*self._stage(known.parent), *events] if known.parent else events

    def output(self, task: str, stream: Stream, data: bytes) -> list[str]:
        """The clean lines that more output of a task completes."""
        return self._cutters.setdefault((task, stream), LineCutter()).feed(data)

    def show(self, task: str, stream: Stream, lines: Iterable[str]) -> list[Event]:
        """Lines of a task as one event."""
        text = tuple(lines)
        if not text:
            return []
        told = (line for line in text if line.strip() and not _BUILDER.match(line))
        self._tails.setdefault(task, deque(maxlen=TAIL)).extend(told)
        return [Lines(task=task, stream=stream, text=text)]

    def end(self, state: TaskState, ended: str) -> list[Event]:
        """The build is over: what ran ends in `state`, what waited is cancelled."""
        events: list[Event] = []
        for task, known in list(self.tasks.items()):
            if task not in self._members and known.state not in FINAL:
                final = "cancelled" if known.state == "waiting" else state
                events += self.change(task, state=final, ended=ended, closes=True)
        for task, _ in list(self._cutters):
            events += self._flush(task)
        for parent in self._members:
            stage = self.tasks[parent]
            if stage.state not in FINAL:
                stage.state, stage.ended = state, ended
                events.append(stage.event(parent))
        return events

    def failed(self) -> tuple[Task, tuple[str, ...]] | None:
        """The first task that failed, and the last lines of its output."""
        for task, known in self.tasks.items():
            if known.state == "failed" and task not in self._members:
                return known, tuple(self._tails.get(task, ()))
        return None

    def _stage(self, parent: str) -> list[Event]:
        members = self._members[parent]
        stage = self.tasks.get(parent)
        before = stage.state if stage else None
        if stage is None:
            stage = self.tasks[parent] = Task(parent.partition(":")[2])
        states = {member.state for member in members}
        if states == {"waiting"}:
            stage.state = "waiting"
        elif "failed" in states:
            stage.state = "failed"
        elif "cancelled" in states:
            stage.state = "cancelled"
        elif states <= {"done", "cached"} and any(member.closes for member in members):
            stage.state = "cached" if states == {"cached"} else "done"
        else:
            stage.state = "running"
        stage.started = min((member.started for member in members if member.started), default=None)
        ends = (member.ended for member in members if member.ended)
        stage.ended = max(ends, default=None) if stage.state in FINAL else None
        return [stage.event(parent)] if stage.state != before else []

    def _flush(self, task: str) -> list[Event]:
        events: list[Event] = []
        for stream in STREAMS:
            cutter = self._cutters.pop((task, stream), None)
            if cutter is not None:
                events += self.show(task, stream, cutter.flush())
        return events
