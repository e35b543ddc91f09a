"""What is known of a task: its status and everything that happened, for watchers now and after a restart.

One file of NDJSON a task, in a private folder: it holds what the app printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from workflows.core.events import Event, Lines, to_dict
from workflows.core.files import private, private_dir

MAX_LINES = 20_000
END = "end"
_TASK = re.compile(r"0x[0-9a-f]{64}")


class Record:
    """One task. `add`, `advance` and `end` may be called from any thread; `follow` on the loop."""

    def __init__(self, taskid: str, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.taskid = taskid
        self.status = "RECEIVED"
        self.ended: dict[str, Any] | None = None
        self.facts: dict[str, Any] = {}
        self.history: list[str] = []
        self._path = path
        self._loop = loop
        self._lines = 0
        self._lock = threading.Lock()
        self._news = asyncio.Event()
        with contextlib.suppress(OSError):
            self._load(path.read_text(encoding="utf-8"))

    def _load(self, text: str) -> None:
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                self.history.append(line)
                if record.get("type") == END:
                    self.ended, self.status = record, record["status"]

    def restart(self) -> None:
        """Forget what happened before: the task is run again from its beginning."""
        with self._lock:
            self.history, self.ended, self._lines, self.status = [], None, 0, "RECEIVED"
            self._path.unlink(missing_ok=True)

    def add(self, event: Event) -> None:
        """Something happened. Lines above the limit are left out, and said to be."""
        if isinstance(event, Lines):
            room = MAX_LINES - self._lines
            self._lines += len(event.text)
            if room <= 0:
                return
            if len(event.text) >= room:
                text = (*event.text[:room], f"[output clipped after {MAX_LINES:,} lines]")
                event = Lines(task=event.task, stream=event.stream, text=text)
        record = to_dict(event)
        del record["run"], record["step"]
        self._append(record)

    def advance(self, status: str, **facts: Any) -> None:
        """A new status of iexec-core's task life, and facts for `document`."""
        self.status = status
        self.facts.update(facts)

    def end(self, status: str, cause: str | None = None, message: str = "", hint: str = "") -> None:
        """COMPLETED, or FAILED with its cause. Nothing comes after it."""
        self.status = status
        record = {"type": END, "status": status, "cause": cause, "message": message, "hint": hint}
        self._append(record)
        self.ended = record
        self._wake()

    def document(self) -> dict[str, Any]:
        """The answer to `GET /tasks/<id>`."""
        end = self.ended or {}
        return {
            "chainTaskId": self.taskid,
            "status": self.status,
            "currentStatus": self.status,
            "cause": end.get("cause"),
            "message": end.get("message") or None,
            "hint": end.get("hint") or None,
            **self.facts,
        }

    def printed(self, *tasks: str) -> dict[str, str]:
        """What stages printed, by stream (`out`, `err`)."""
        found: dict[str, list[str]] = {"out": [], "err": []}
        for line in list(self.history):
            record = json.loads(line)
            if record["type"] == Lines.type and record["task"] in tasks:
                found[record["stream"]].extend(record["text"])
        return {stream: "\n".join(text) for stream, text in found.items()}

    async def follow(self) -> AsyncIterator[str]:
        """Lines of NDJSON: history first, then what comes, until the end; an empty line says: still there."""
        at, history = 0, self.history
        while True:
            news = self._news
            if history is not self.history:  # run again from its beginning
                at, history = 0, self.history
            while at < len(history):
                yield history[at]
                at += 1
            if self.ended is not None and at >= len(self.history):
                return
            try:
                await asyncio.wait_for(news.wait(), 10)
            except asyncio.TimeoutError:
                yield ""

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        with self._lock:
            self.history.append(line)
            with open(self._path, "a", encoding="utf-8", opener=private) as file:
                file.write(line + "\n")
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody follows
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class Records:
    """All tasks of one state folder, loaded when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_dir(folder)
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, Record] = {}
        self._lock = threading.Lock()

    def of(self, taskid: str) -> Record:
        """The record of a task, a new one when it was never heard of."""
        with self._lock:
            if taskid not in self._known:
                self._known[taskid] = Record(taskid, self._path(taskid), self._loop)
            return self._known[taskid]

    def find(self, taskid: str) -> Record | None:
        """The record of a task; None when it was never heard of, or is no task id."""
        if not _TASK.fullmatch(taskid):
            return None
        if taskid not in self._known and not self._path(taskid).exists():
            return None
        return self.of(taskid)

    def _path(self, taskid: str) -> Path:
        if not _TASK.fullmatch(taskid):
            raise ValueError("not a task id")
        return self._folder / f"{taskid}.jsonl"
