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
from workflows.core.failure import Failed, Unavailable
from workflows.core.files import append_line, create_private, private_dir, write_atomic
from workflows.core.text import clean

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
    """Reads and appends the journal of one project. Reading changes nothing: only who writes mends a torn line."""

    def __init__(self, project: Path) -> None:
        self._place = project / FOLDER
        self.path = self._place / "journal.jsonl"
        self.notice: str | None = None
        self._mended = False
        self._entries = self._load(mend=False)

    @property
    def folder(self) -> Path:
        """The project's private state folder, made when first asked for; Unavailable when that cannot be."""
        try:
            if not self._place.is_dir():
                private_dir(self._place)
            ignore = self._place / ".gitignore"
            if not ignore.exists():
                write_atomic(ignore, "*\n")
        except OSError as error:
            raise Unavailable(
                f"{clean(str(self._place))} cannot be made: {error.strerror}",
                "the project's state goes there: use a folder that you may write to",
                name="state",
            ) from None
        return self._place

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
        if not self._mended:
            self._entries = self._load(mend=True)
        entry = Entry(kind, run, step, inputs, dict(data or {}), now())
        record = {"v": 1, **entry.__dict__}
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        self.folder  # noqa: B018 - makes it
        try:
            append_line(self.path, line.encode())
        except OSError as error:
            raise Unavailable(
                f"the journal cannot be written: {error.strerror}",
                f"nothing goes on without it; look at the disk and at {clean(str(self.path))}",
                name="journal",
            ) from None
        self._entries.append(entry)
        return entry

    def last(self, kind: Kind, step: str = "") -> Entry | None:
        """The newest entry of this kind, of this step if one is named."""
        for entry in reversed(self._entries):
            if entry.kind == kind and (not step or entry.step == step):
                return entry
        return None

    def every(self, kind: Kind, step: str) -> list[Entry]:
        """All entries of this kind of a step, oldest first."""
        return [entry for entry in self._entries if entry.kind == kind and entry.step == step]

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
        """Only one run at a time in a project; the kernel frees the lock when a process dies.

        What another run has written until then is read.
        """
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
            self._entries = self._load(mend=True)
            yield
        finally:
            os.close(handle)

    def _load(self, *, mend: bool) -> list[Entry]:
        self._mended = mend
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
                    self._damaged(raw, position, number, error, mend)
                    break
            position += len(line) + 1
        else:
            if (
                mend and raw and not raw.endswith(b"\n")
            ):  # whole but for its end: or the next line would join it
                with self.path.open("ab") as file:
                    file.write(b"\n")
        return entries

    def _damaged(self, raw: bytes, position: int, number: int, error: Exception, mend: bool) -> None:
        rest = raw[position:]
        if rest.count(b"\n") > 1 or (rest.endswith(b"\n") and rest.strip(b"\n")):
            raise Failed(
                f"line {number} of {self.path} cannot be read ({type(error).__name__})",
                f"move the file away to start anew ({self.path.name} only remembers: "
                "what is deployed is found again on the chain)",
                name="journal",
            ) from None
        if not mend:  # somebody may be writing it just now
            return
        aside = self.folder / f"journal.torn-{number}"
        aside.unlink(missing_ok=True)
        create_private(aside, rest)
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
