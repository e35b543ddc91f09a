"""The project's write-ahead journal: what was intended, sent and finished, line by line.

`journal.jsonl` in the state folder; a line is on the disk before the act that it announces. A torn last
line (a power loss) is set aside and the rest is used; a damaged line in the middle is refused, named.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workflows.core.events import now
from workflows.core.failure import Failed
from workflows.core.files import private_dir, sync_dir, write_atomic

Kind = Literal["run", "intent", "done", "failed"]
FOLDER = ".creamtea"


@dataclass(frozen=True)
class Entry:
    """One line; `inputs` is the digest of the step's inputs, `data` what belongs to the kind."""

    kind: Kind
    run: str
    step: str
    inputs: str
    data: Mapping[str, Any]
    at: str = ""


class Journal:
    """Reads and appends the journal of one project."""

    def __init__(self, project: Path) -> None:
        self.folder = private_dir(project / FOLDER)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, "*\n")
        self.path = self.folder / "journal.jsonl"
        self.notice: str | None = None
        self._entries = self._load()

    def append(
        self,
        kind: Kind,
        step: str = "",
        *,
        run: str = "",
        inputs: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Write one line and wait until the disk has it."""
        entry = Entry(kind, run, step, inputs, dict(data or {}), now())
        record = {"v": 1, **entry.__dict__}
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        new = not self.path.exists()
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        if new:
            sync_dir(self.folder)
        self._entries.append(entry)
        return entry

    def last(self, kind: Kind, step: str = "") -> Entry | None:
        """The newest entry of this kind, of this step if one is named."""
        for entry in reversed(self._entries):
            if entry.kind == kind and (not step or entry.step == step):
                return entry
        return None

    def pending(self, step: str, inputs: str = "") -> list[Entry]:
        """Intents of a step since it last ended well, oldest first: what may have happened before a crash."""
        found: list[Entry] = []
        for entry in reversed(self._entries):
            if entry.step != step:
                continue
            if entry.kind == "done":
                break
            if entry.kind == "intent" and (not inputs or entry.inputs == inputs):
                found.append(entry)
        return found[::-1]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Only one run at a time in a project; the kernel frees the lock when a process dies."""
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(handle, 32, 0).decode(errors="replace").strip()
                raise Failed(
                    f"another creamtea (process {owner or 'unknown'}) is running in this project",
                    "wait for it, stop it, or use another --project",
                    name="locked",
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    def _load(self) -> list[Entry]:
        if not self.path.exists():
            return []
        raw = self.path.read_bytes()
        entries: list[Entry] = []
        position = 0
        for number, line in enumerate(raw.split(b"\n"), start=1):
            if line:
                try:
                    entries.append(_entry(line))
                except (ValueError, KeyError, TypeError) as error:
                    self._damaged(raw, position, number, error)
                    break
            position += len(line) + 1
        else:
            if raw and not raw.endswith(b"\n"):  # whole but for its end: or the next line would join it
                with self.path.open("ab") as file:
                    file.write(b"\n")
        return entries

    def _damaged(self, raw: bytes, position: int, number: int, error: Exception) -> None:
        rest = raw[position:]
        if rest.count(b"\n") > 1 or (rest.endswith(b"\n") and rest.strip(b"\n")):
            raise Failed(
                f"line {number} of {self.path} cannot be read ({type(error).__name__})",
                f"move the file away to start anew ({self.path.name} only remembers: "
                "what is deployed is found again on the chain)",
                name="journal",
            ) from None
        (self.folder / f"journal.torn-{number}").write_bytes(rest)
        os.truncate(self.path, position)
        self.notice = f"the last line of the journal was torn and is set aside as journal.torn-{number}"


def _entry(line: bytes) -> Entry:
    record = json.loads(line)
    if record["v"] != 1 or record["kind"] not in ("run", "intent", "done", "failed"):
        raise ValueError("not a journal line of version 1")
    data = record["data"]
    if not isinstance(data, dict):
        raise TypeError("data")
    texts = [str(record[name]) for name in ("run", "step", "inputs", "at")]
    return Entry(record["kind"], texts[0], texts[1], texts[2], data, texts[3])
