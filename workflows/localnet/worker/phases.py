"""Telling how far a task is: one phase after the other, and the worker's own lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workflows.core.events import Lines, TaskChanged, TaskState, now
from workflows.core.step import Cancel
from workflows.localnet.worker.record import Record

TITLES = {
    "initialize": "initialise",
    "session": "session",
    "attestation": "attestation (SIMULATED)",
    "pre-compute": "pre-compute",
    "app": "app",
    "post-compute": "post-compute",
    "finalize": "finalise",
}
WORKER = "worker"


class Phases:
    """Writes to the record of a task; `cancel` ends the task between two phases."""

    def __init__(self, record: Record, cancel: Cancel) -> None:
        self.record = record
        self.cancel = cancel
        self._running: dict[str, str] = {}
        for name, title in TITLES.items():
            record.add(TaskChanged(task=name, title=title, state="waiting"))

    @contextmanager
    def phase(self, name: str) -> Iterator[list[str]]:
        """A phase that is done at the end of the block; what is appended to the list becomes its detail."""
        self.cancel.check()
        self.change(name, "running")
        detail: list[str] = []
        yield detail
        self.change(name, "done", " ".join(detail) or None)

    def change(self, name: str, state: TaskState, detail: str | None = None) -> None:
        """A phase has another state."""
        if state == "running":
            started, ended = self._running.setdefault(name, now()), None
        else:
            started, ended = self._running.pop(name, now()), now()
        self.record.add(
            TaskChanged(
                task=name, title=TITLES[name], state=state, started=started, ended=ended, detail=detail
            )
        )

    def leave(self) -> None:
        """What runs has failed."""
        for name in list(self._running):
            self.change(name, "failed")

    def say(self, text: str) -> None:
        """One line of the worker's own."""
        self.record.add(Lines(task=WORKER, text=(text,)))
