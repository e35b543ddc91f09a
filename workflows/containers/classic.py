"""The stream of the classic builder (and of podman's): text that looks like steps, brought to tasks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from workflows.containers.board import Board, Stream
from workflows.containers.transfer import Transfer
from workflows.core.events import Event, TaskState
from workflows.core.text import clean

_STEP = re.compile(r"Step (\d{1,6})/(\d{1,6}) : ([^\n]*)")
_PODMAN_STEP = re.compile(r"(?:\[\d+/\d+\] )?STEP (\d{1,6})/(\d{1,6}): ([^\n]*)\n?")
_FROM = re.compile(r"FROM\s+(?:--\S+\s+)*\S+(?:\s+AS\s+(\S+))?\s*", re.IGNORECASE)
_STDERR = re.compile("\x1b\\[91m(.*)\x1b\\[0m", re.DOTALL)  # how the daemon marks a container's stderr
_CACHED = re.compile(r"(?: --->|-->) Using cache")


class ClassicLog:
    """Reduces records of the classic stream onto a board; `clock` gives the times it does not have.

    What a container prints and what the builder says arrive in the same form, so a step is believed only
    as a record of its own at the start of a line with the number that is due, and "Using cache" only as a
    step's first word.
    """

    def __init__(self, board: Board, clock: Callable[[], str]) -> None:
        self._board = board
        self._clock = clock
        self._count = 0  # of steps; podman numbers them anew in each stage
        self._stages = 0
        self._stage: str | None = None
        self._cached = False
        self._silent = True  # the step has said nothing yet
        self._fresh = True  # the next text starts a line
        self._transfer = Transfer("")

    @property
    def open(self) -> bool:
        """Whether a step has begun."""
        return self._count > 0

    def text(self, text: str) -> list[Event]:
        """The events of a record `{"stream": text}`; only when `open`, or for a text that opens a step."""
        if self._fresh and (step := self._step(text)):
            return self._begin(int(step[1]), int(step[2]), clean(" ".join(step[3].split())))
        if self._silent and text == "\n":  # the end of the step's own line
            return []
        stderr = _STDERR.fullmatch(text)
        text = stderr[1] if stderr else text
        if not self.open or not text:
            return []
        if self._silent:
            self._silent, self._cached = False, bool(_CACHED.match(text))
        self._fresh = text.endswith("\n")
        stream: Stream = "err" if stderr else "out"
        lines = self._board.output(self._task, stream, text.encode("utf-8", "replace"))
        return self._board.show(self._task, stream, lines)

    def status(self, record: Mapping[str, Any]) -> list[Event]:
        """The events of a record of the pull inside FROM."""
        self._transfer.task = self._task
        return self._transfer.apply(record) if self.open else []

    def failed(self, error: str) -> list[Event]:
        """The build's error is the open step's."""
        if not self.open:
            return []
        return self._board.change(self._task, state="failed", ended=self._clock(), detail=error)

    def close(self) -> list[Event]:
        """The open step came to its good end."""
        return self._end_step(closes=True)

    @property
    def _task(self) -> str:
        return f"step:{self._count}"

    def _step(self, text: str) -> re.Match[str] | None:
        step = _STEP.fullmatch(text)
        if step is not None:
            return step if int(step[1]) == self._count + 1 else None
        return _PODMAN_STEP.fullmatch(text)

    def _begin(self, number: int, total: int, text: str) -> list[Event]:
        start = _FROM.fullmatch(text)
        events = self._end_step(closes=start is not None)
        if start is not None:
            self._stage = start[1] or (f"stage-{self._stages}" if self._stages else None)
            self._stages += 1
        self._count += 1
        self._cached, self._silent, self._fresh = False, True, True
        label = f"{self._stage} {number}/{total}" if self._stage else f"{number}/{total}"
        return events + self._board.change(
            self._task, title=f"[{label}] {text}", state="running", started=self._clock(), stage=self._stage
        )

    def _end_step(self, closes: bool) -> list[Event]:
        if not self.open or self._board.tasks[self._task].state != "running":
            return []
        state: TaskState = "cached" if self._cached else "done"
        return self._board.change(self._task, state=state, ended=self._clock(), closes=closes)
