"""A build's events as a plain text log: every line, and one line for each change of a task."""

from __future__ import annotations

import re
from typing import IO

from workflows.core.events import Event, Lines, Noted, TaskChanged

_LABEL = re.compile(r"\[[^\]]+\]")


class LogFile:
    """Writes events to a file; lines carry the number of their step, so that parallel stages stay apart."""

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file
        self._labels: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Write what an event says."""
        if self._file is None:
            return
        if isinstance(event, Lines):
            label = self._labels.get(event.task, f"[{event.task}]")
            self._file.writelines(f"{label} {line}\n" for line in event.text)
        elif isinstance(event, Noted):
            self._file.write(f"{event.level}: {event.text}\n")
        elif isinstance(event, TaskChanged) and not event.task.startswith("stage:"):
            found = _LABEL.match(event.title)
            self._labels[event.task] = found[0] if found else f"[{event.title}]"
            if event.state != "waiting":
                detail = f": {event.detail}" if event.detail else ""
                self._file.write(f"── {event.state}  {event.title}{detail}\n")

    def flush(self) -> None:
        """Everything is with the operating system after this."""
        if self._file is not None:
            self._file.flush()
