"""What the screen knows of a run: the events, folded. No widget owns state, and replay is the same fold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from rich.cells import cell_len

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
    TaskState,
)
from workflows.core.step import Step
from workflows.core.text import plural

StepState = Literal["waiting", "asking", "running", "done", "skipped", "failed", "cancelled"]
GLYPHS: Mapping[str, str] = {
    "waiting": "○", "asking": "◆", "running": "◐", "done": "✓", "cached": "✓", "skipped": "✓", "failed": "✗",
    "cancelled": "■",
}  # fmt: skip
CAPACITY = 10_000


class Ring:
    """The newest lines of a task; `dropped` counts those that made room (the whole log is on disk)."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lines: list[str] = []
        self._head = 0
        self.dropped = 0
        self.width = 0  # cells of the widest line so far

    def extend(self, lines: Iterable[str]) -> None:
        """Append lines, dropping the oldest ones beyond the capacity."""
        for line in lines:
            if len(line) * 2 > self.width:
                self.width = max(self.width, len(line) if line.isascii() else cell_len(line))
            if len(self._lines) < self._capacity:
                self._lines.append(line)
            else:
                self._lines[self._head] = line
                self._head = (self._head + 1) % self._capacity
                self.dropped += 1

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> str:
        return self._lines[(self._head + index) % len(self._lines)]

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


@dataclass
class TaskView:
    """A task of a step as it stands."""

    id: str
    title: str
    state: TaskState = "waiting"
    parent: str | None = None
    started: str | None = None
    ended: str | None = None
    detail: str | None = None
    progress: Progress | None = None
    spoke: int = 0  # its place among the tasks of the step, by their first line; 0 while it has none
    lines: Ring = field(default_factory=Ring)


@dataclass
class StepView:
    """A step as it stands."""

    id: str
    title: str
    heading: str
    why: str
    state: StepState = "waiting"
    command: str = ""
    seconds: float | None = None
    began: str | None = None
    asked: str | None = None  # since when an answer of a person is wanted
    waited: float = 0.0  # seconds that former answers took
    tasks: dict[str, TaskView] = field(default_factory=dict)
    notes: list[Noted | Asked] = field(default_factory=list)
    replies: dict[int, str] = field(default_factory=dict)  # to the questions, by their place among the notes
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, str] | None = None

    @property
    def label(self) -> str:
        """Its title in the rail; of a step that ended well with nothing to leave: no dataset."""
        nothing = bool(self.outputs) and all(value is None for value in self.outputs.values())
        return f"no {self.title.lower()}" if nothing and self.state in ("done", "skipped") else self.title

    @property
    def speaking(self) -> list[TaskView]:
        """The tasks that have lines."""
        return [task for task in self.tasks.values() if len(task.lines)]

    def worked(self, now: str) -> float | None:
        """Seconds of work so far, a person's answers not counted; None while it has not begun."""
        if self.seconds is not None:
            return self.seconds
        whole = elapsed(self.began, self.asked or now)
        return None if whole is None else max(0.0, whole - self.waited)

    def afresh(self) -> None:
        """Nothing of an earlier try is left but its outputs."""
        self.tasks, self.notes, self.replies, self.error = {}, [], {}, None
        self.seconds, self.asked, self.waited = None, None, 0.0

    def answered(self, at: str) -> None:
        """The person has answered: it works on."""
        self.waited += elapsed(self.asked, at) or 0.0
        self.state, self.asked = "running", None

    def task(self, name: str) -> TaskView:
        """The task of this id, made when an event is the first to name it."""
        if name not in self.tasks:
            self.tasks[name] = TaskView(name, name)
        return self.tasks[name]

    @property
    def rows(self) -> list[TaskView]:
        """The tasks that do something themselves, those of one parent together; parents only group."""
        parents = {task.parent for task in self.tasks.values()}
        first: dict[str, int] = {}
        for index, task in enumerate(self.tasks.values()):
            first.setdefault(task.parent or task.id, index)
        found = [task for task in self.tasks.values() if task.id not in parents or len(task.lines)]
        return sorted(found, key=lambda task: first[task.parent or task.id])

    @property
    def counts(self) -> tuple[int, int]:
        """How many tasks are over, and how many there are."""
        rows = self.rows
        over = sum(task.state in ("done", "cached", "failed", "cancelled") for task in rows)
        return over, len(rows)

    def loudest(self) -> TaskView | None:
        """The task whose lines deserve the pane: failed, else running, else any; of several the last to begin
        to speak, so that the pane changes when something begins or ends and not with every line."""
        speaking = sorted(self.speaking, key=lambda task: task.spoke)
        for state in ("failed", "running"):
            chosen = [task for task in speaking if task.state == state]
            if chosen:
                return chosen[-1]
        return speaking[-1] if speaking else None


class RunModel:
    """All steps of a run; `apply` folds one event in."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = {
            step.id: StepView(step.id, step.title, step.heading, step.__doc__ or "") for step in steps
        }
        self.workflow = ""
        self.network: str | None = None
        self.project = ""
        self.at = ""
        self.current: str | None = None
        self.ended: RunEnded | None = None

    def apply(self, event: Event) -> None:
        """Fold one event in; events of steps that this workflow does not have are ignored."""
        self.at = event.at or self.at
        if isinstance(event, RunStarted):
            self.workflow, self.network, self.project = event.workflow, event.network, event.project
            self.ended = None
            for name, outputs in event.before.items():
                if name in self.steps and isinstance(outputs, Mapping):
                    self.steps[name].state, self.steps[name].outputs = "done", outputs
        elif isinstance(event, RunEnded):
            self.ended = event
        step = self.steps.get(event.step or "")
        if step is None:
            return
        if isinstance(event, StepStarted):
            self._start(step, event)
        elif isinstance(event, StepEnded):
            self._end(step, event)
        else:
            self._work(step, event)

    def ask(self, name: str) -> None:
        """A step's form is asked: it is the current one, and none is running."""
        self._leave(name)
        if name in self.steps:
            step = self.steps[name]
            step.afresh()
            step.state, step.began = "asking", None

    @property
    def running(self) -> bool:
        """Whether a step is at work or waits for an answer to go on."""
        step = self.steps.get(self.current or "")
        return step is not None and step.state in ("running", "asking") and step.began is not None

    @property
    def place(self) -> str:
        """Where the run takes place, as far as it is known: network, whether SIMULATED, the engine."""
        network = self._outputs("network")
        name = str(network.get("name") or self.network or "")
        parts = [name, "SIMULATED SGX" if network.get("simulated") else "", self._engine()]
        return " · ".join(part for part in parts if part)

    def _engine(self) -> str:
        checks = self._outputs("doctor").get("checks")
        for check in checks if isinstance(checks, Sequence) else ():
            if isinstance(check, Mapping) and check.get("name") == "engine":
                version = re.search(r"\d+\.\d+", str(check.get("text", "")))
                return f"engine {version.group()}" if version else ""
        return ""

    def _outputs(self, name: str) -> Mapping[str, Any]:
        step = self.steps.get(name)
        return step.outputs if step is not None else {}

    def _leave(self, name: str) -> None:
        """Another step takes over: one that was left in the middle waits again."""
        for step in self.steps.values():
            if step.id != name and step.state in ("running", "asking"):
                step.state = "waiting"
        self.current = name

    def _start(self, step: StepView, event: StepStarted) -> None:
        self._leave(step.id)
        step.afresh()
        step.state, step.command, step.began = "running", event.command, event.at

    def _work(self, step: StepView, event: Event) -> None:
        if step.state == "asking" and not isinstance(event, Asked):
            step.answered(event.at)
        if isinstance(event, TaskChanged):
            self._change(step, event)
        elif isinstance(event, Lines):
            self._speak(step, event)
        elif isinstance(event, Progress):
            step.task(event.task).progress = event
        elif isinstance(event, Noted):
            asked = [place for place, note in enumerate(step.notes) if isinstance(note, Asked)]
            if event.answer is None or not asked:
                step.notes.append(event)
            else:
                step.replies[asked[-1]] = event.answer
        elif isinstance(event, Asked):
            if step.asked is not None:  # answered, and asked again at once
                step.answered(event.at)
            step.state, step.asked = "asking", event.at
            step.notes.append(event)

    @staticmethod
    def _speak(step: StepView, event: Lines) -> None:
        task = step.task(event.task)
        if not task.spoke:
            task.spoke = 1 + max(other.spoke for other in step.tasks.values())
        if task.state == "waiting":  # nobody said that it began, but it speaks
            task.state, task.started = "running", event.at
        task.lines.extend(event.text)

    @staticmethod
    def _change(step: StepView, event: TaskChanged) -> None:
        task = step.task(event.task)
        task.title, task.state = event.title, event.state
        task.parent = event.parent or task.parent
        if event.state != "waiting":
            task.started = event.started or task.started or event.at
        task.ended = event.ended
        task.detail = event.detail
        if task.ended is None and event.state in ("done", "failed", "cancelled"):
            task.ended = event.at

    @staticmethod
    def _end(step: StepView, event: StepEnded) -> None:
        step.state, step.seconds = event.outcome, event.seconds
        step.outputs, step.error = event.outputs, event.error
        for task in step.tasks.values():
            if task.state == "running":
                task.state = "done" if event.outcome == "skipped" else event.outcome
                task.ended = task.ended or event.at


def places(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Where what a run made is: app, dataset, task and result, as far as there are any."""
    result = outputs.get("result", {})
    files = result.get("files") or ()
    what = f" ({plural(len(files), 'file')})" if files else ""
    found = {
        "app": str(outputs.get("deploy_app", {}).get("app") or ""),
        "dataset": str(outputs["encrypt_dataset"].get("dataset") or "none")
        if "encrypt_dataset" in outputs
        else "",
        "task": str(outputs.get("watch", {}).get("task") or ""),
        "result": f"{result['folder']}{what}" if result.get("folder") else "",
    }
    return {label: value for label, value in found.items() if value}


def elapsed(started: str | None, ended: str | None) -> float | None:
    """Seconds between two event times; None while one is missing."""
    if not started or not ended:
        return None
    try:
        begin = datetime.fromisoformat(started.replace("Z", "+00:00"))
        end = datetime.fromisoformat(ended.replace("Z", "+00:00"))
        return max(0.0, (end - begin).total_seconds())
    except (ValueError, TypeError):
        return None
