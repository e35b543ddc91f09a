"""The reducer of build streams: BuildKit's trace, buildx's rawjson and the classic builder → events.

One task per vertex (classic: per step), with the build stage as its parent. Fed with the raw bytes of the
stream, however they were cut; what is not understood is shown as a line, never an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from workflows.containers import trace
from workflows.containers.board import Board
from workflows.containers.classic import ClassicLog
from workflows.containers.vertices import Vertices, data_of
from workflows.core.events import Event, Lines, now
from workflows.core.failure import Failed
from workflows.core.text import LineCutter, clean, shorten

_NOISE = re.compile(r"(?:failed to solve(?: with frontend [\w.]+)?|failed to create LLB definition): ")
_EXIT = re.compile(
    r"(?:executor failed running \[.*\]|process \".*\" did not complete successfully|"
    r"The command '.*' returned a non-zero code|building at STEP \".*\": while running runtime): "
    r"(?:exit (?:code|status):? )?(\d+)",
    re.DOTALL,
)
_BUILT = re.compile(r"Successfully built ([0-9a-f]{12,64})\s*")
_STATUS = ("vertexes", "statuses", "logs", "warnings")
_MAX_RECORD = 32 << 20
_MOST = 160  # characters of an instruction in a message: a step that takes a fingerprint is one long line


class BuildFailed(Failed):
    """A build ended with an error.

    `instruction` is the one that failed (empty when none did), `reason` why, `lines` the last lines of its
    own output; the message holds all three, of a long instruction its beginning.
    """

    def __init__(self, reason: str, hint: str, *, instruction: str = "", lines: tuple[str, ...] = ()) -> None:
        head = [f"{shorten(instruction, _MOST, 0)} failed: {reason}" if instruction else reason]
        super().__init__("\n  │ ".join([*head, *lines]), hint, name="build_failed")
        self.instruction = instruction
        self.reason = reason
        self.lines = lines


class BuildLog:
    """Reduces the stream of one build.

    `image_id` and `error` are set when they pass by; `begun` once something came that only a working
    builder says. `clock` gives the times that the classic stream does not have.
    """

    def __init__(self, clock: Callable[[], str] = now) -> None:
        self.image_id: str | None = None
        self.error: str | None = None
        self.begun = False
        self._clock = clock
        self._tail = bytearray()
        self._board = Board()
        self._vertices = Vertices(self._board)
        self._classic = ClassicLog(self._board, clock)
        self._built: str | None = None

    def feed(self, block: bytes) -> list[Event]:
        """The events of the records that this block completes."""
        events: list[Event] = []
        *whole, rest = block.split(b"\n")
        for line in whole:
            self._tail += line
            events += self._line(bytes(self._tail))
            self._tail.clear()
        if len(self._tail) + len(rest) <= _MAX_RECORD:
            self._tail += rest
        return events

    def close(self) -> list[Event]:
        """The stream is over: what was left, and the end of all that still ran."""
        events = list(self._line(bytes(self._tail)))
        self._tail.clear()
        if self.error is None:
            self.image_id = self.image_id or self._built
            events += self._classic.close()
        return events + self._board.end("cancelled" if self.error else "done", self._clock())

    def cancelled(self) -> list[Event]:
        """The user stopped the build: what ran or waited is cancelled."""
        return self._board.end("cancelled", self._clock())

    def failure(self) -> BuildFailed | None:
        """The error of the build, None while there is none."""
        if self.error is None:
            return None
        reason = self.error
        while match := _NOISE.match(reason):
            reason = reason[match.end() :]
        found = self._board.failed()
        if found is None:
            return BuildFailed(reason, "correct the Dockerfile, then build again")
        task, lines = found
        hint = "correct this instruction, or what it needs; the whole output is in the build's log"
        reason = _EXIT.sub(r"exit code \1", task.detail or reason)
        return BuildFailed(reason, hint, instruction=task.title, lines=lines)

    def _line(self, line: bytes) -> Iterable[Event]:
        line = line.strip()
        if not line:
            return []
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            return self._stray(line)
        if record.get("id") == "moby.buildkit.trace":
            self.begun = True
            return self._vertices.apply(trace.decode(data_of(record.get("aux"))))
        if any(isinstance(record.get(name), list) for name in _STATUS):
            self.begun = True
            return self._vertices.apply(record)
        return self._record(record)

    def _record(self, record: dict[str, object]) -> list[Event]:
        aux, text = record.get("aux"), record.get("stream")
        if isinstance(aux, dict) and isinstance(aux.get("ID"), str):
            self.image_id = clean(aux["ID"])
        if "error" in record or "errorDetail" in record:
            detail = record.get("errorDetail")
            message = detail.get("message") if isinstance(detail, dict) else None
            self.error = clean(" ".join(str(message or record.get("error")).split()))
            return self._classic.failed(self.error)
        if isinstance(text, str):
            self.begun = True
            built = _BUILT.fullmatch(text)  # podman names the image only here; any later text disproves it
            self._built = built[1] if built else None
            return self._classic.text(text)
        if isinstance(record.get("status"), str):
            return self._classic.status(record)
        return []

    def _stray(self, line: bytes) -> list[Event]:
        """A line that is no record, such as the warnings that buildx mixes in."""
        events: list[Event] = []
        if "build" not in self._board.tasks:
            events += self._board.change("build", title="build", state="running", started=self._clock())
        cutter = LineCutter()
        return events + self._board.show("build", "out", [*cutter.feed(line), *cutter.flush()])


def batched(events: Iterable[Event]) -> list[Event]:
    """The same events with neighbouring lines of a task put together.

    Lines of different tasks may change places between two other events; the order within a task stays.
    """
    result: list[Event] = []
    open_lines: dict[tuple[str, str], list[str]] = {}

    def settle() -> None:
        for (task, stream), text in open_lines.items():
            result.append(Lines(task=task, stream="err" if stream == "err" else "out", text=tuple(text)))
        open_lines.clear()

    for event in events:
        if isinstance(event, Lines):
            open_lines.setdefault((event.task, event.stream), []).extend(event.text)
        else:
            settle()
            result.append(event)
    settle()
    return result
