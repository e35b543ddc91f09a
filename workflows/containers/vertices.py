"""BuildKit's status (`vertexes, statuses, logs, warnings`; buildx's rawjson has the same) on the board."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from workflows.containers.board import Board, Stream
from workflows.containers.stream import count
from workflows.core.events import Event, Noted, Progress, TaskState
from workflows.core.text import clean

_NUMBERED = re.compile(r"\[(?:(?P<stage>[^\]]*\S) +| *)(?P<n>\d+)/(?P<m>\d+)\] ")


class Vertices:
    """Reduces statuses onto a board; a vertex's digest is its task's id."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._moved: dict[str, dict[str, tuple[int, int]]] = {}
        self._warned: set[str] = set()

    def apply(self, status: Mapping[str, Any]) -> list[Event]:
        """The events of one status: plain dicts as in rawjson, log data as base64 text or bytes."""
        events: list[Event] = []
        for vertex in _dicts(status, "vertexes"):
            events += self._vertex(vertex)
        events += self._progress(status)
        events += self._logs(status)
        for warning in _dicts(status, "warnings"):
            text = clean(" ".join(data_of(warning.get("short")).decode("utf-8", "replace").split()))
            if text and text not in self._warned:
                self._warned.add(text)
                url = warning.get("url")
                hint = clean(url) if isinstance(url, str) and url else None
                events.append(Noted(level="warning", text=text, hint=hint))
        return events

    def _vertex(self, vertex: Mapping[str, Any]) -> list[Event]:
        task = vertex.get("digest")
        if not isinstance(task, str) or not task:
            return []
        task, title = clean(task), _words(vertex.get("name"))
        error = _words(vertex.get("error"))
        started, ended = moment(vertex.get("started")), moment(vertex.get("completed"))
        state: TaskState = "waiting"
        if error:
            state = "cancelled" if "context canceled" in error else "failed"
        elif ended:
            state = "cached" if vertex.get("cached") else "done"
        elif started:
            state = "running"
        number = _NUMBERED.match(title)
        return self._board.change(
            task, title=title, state=state, started=started, ended=ended, detail=error or None,
            stage=number["stage"] if number else None, closes=bool(number and number["n"] == number["m"]),
        )  # fmt: skip

    def _progress(self, status: Mapping[str, Any]) -> list[Event]:
        changed: dict[str, None] = {}
        for one in _dicts(status, "statuses"):
            values = (count(one.get("current")), count(one.get("total")))
            task, name = one.get("vertex"), one.get("id")
            if isinstance(task, str) and isinstance(name, str) and max(values):
                moved = self._moved.setdefault(clean(task), {})
                if moved.get(name) != values:
                    moved[name] = values
                    changed[clean(task)] = None
        events: list[Event] = []
        for task in changed:
            known = self._moved[task].values()
            sized = [(min(done, total), total) for done, total in known if total]
            done = sum(done for done, _ in sized or known)
            events.append(Progress(task=task, done=done, total=sum(total for _, total in sized) or None))
        return events

    def _logs(self, status: Mapping[str, Any]) -> list[Event]:
        lines: dict[tuple[str, Stream], list[str]] = {}
        for log in _dicts(status, "logs"):
            task = log.get("vertex")
            if isinstance(task, str):
                key: tuple[str, Stream] = (clean(task), "err" if log.get("stream") == 2 else "out")
                lines.setdefault(key, []).extend(self._board.output(*key, data_of(log.get("data"))))
        return [event for key, text in lines.items() for event in self._board.show(*key, text)]


def data_of(value: object) -> bytes:
    """Bytes that came as such (protobuf) or as base64 text (JSON); empty for anything else."""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value) if isinstance(value, str) else b""
    except ValueError:
        return b""


def moment(value: object) -> str | None:
    """A time of BuildKit (RFC 3339, nanoseconds) in the form of our events, None for anything else."""
    if not isinstance(value, str):
        return None
    text = re.sub(r"\.(\d{1,12})", lambda match: f".{match[1]:0<6.6}", value.replace("Z", "+00:00"), count=1)
    try:
        at = datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at.year > 1 else None


def _dicts(status: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    entries = status.get(name)
    return (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else iter(())


def _words(value: object) -> str:
    return clean(" ".join(value.split())) if isinstance(value, str) else ""
