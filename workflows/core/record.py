"""A run on disk: `runs/<utc>/events.jsonl` with every event, `steps/<id>.log` with every line; and back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from workflows.core.events import (
    Event,
    Lines,
    Noted,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TaskChanged,
    from_json,
    harmless,
    to_json,
)
from workflows.core.failure import Missing, Unavailable
from workflows.core.files import private_dir
from workflows.core.text import clean


def new_run(state: Path) -> tuple[str, Path]:
    """The id and the fresh folder of a run that starts now."""
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%SZ")
    runs = private_dir(state / "runs")
    name, count = stamp, 1
    while (runs / name).exists():
        count += 1
        name = f"{stamp}-{count}"
    return name, private_dir(runs / name)


class Recorder:
    """Listens to a run and writes it down; files have mode 0600.

    Unavailable, once, when that fails: what cannot be written down is not gone on with. After that, and for how
    the run ends, it is silent, so that the other listeners get to hear the end.
    """

    def __init__(self, folder: Path) -> None:
        self._steps = private_dir(folder / "steps")
        self._events = _open(folder / "events.jsonl")
        self._logs: dict[str, IO[str]] = {}
        self._broken = False

    def __call__(self, event: Event) -> None:
        """Write one event."""
        if self._broken:
            return
        try:
            self._write(event)
        except OSError as error:
            self._broken = True
            if isinstance(event, RunEnded) or (isinstance(event, StepEnded) and event.error):
                return
            raise Unavailable(
                f"the run's record cannot be written: {error.strerror}",
                f"look at the disk and at {clean(self._events.name)}; then go on with resume",
                name="record",
            ) from None

    def _write(self, event: Event) -> None:
        self._events.write(to_json(event) + "\n")
        if not isinstance(event, Lines):
            self._events.flush()
        if event.step is not None:
            self._log(event)

    def close(self) -> None:
        """Flush and close all files."""
        for file in (self._events, *self._logs.values()):
            with contextlib.suppress(OSError):  # the run is over; what the disk did not take was told
                file.close()

    def _log(self, event: Event) -> None:
        step = event.step or ""
        if step not in self._logs:
            self._logs[step] = _open(self._steps / f"{step}.log")
        log = self._logs[step]
        if isinstance(event, Lines):
            log.write("".join(f"{event.task} | {line}\n" for line in event.text))
        elif isinstance(event, StepStarted):
            log.write(f"== {event.title}  {event.at}\n$ {event.command}\n")
        elif isinstance(event, TaskChanged):
            log.write(f"-- {event.state}: {event.title}{'  ' + event.detail if event.detail else ''}\n")
        elif isinstance(event, Noted):
            log.write(f"-- {event.level}: {event.text}{'  → ' + event.hint if event.hint else ''}\n")
        elif isinstance(event, StepEnded):
            error = event.error or {}
            log.write(f"== {event.outcome} after {event.seconds} s {error.get('message', '')}\n")
            log.flush()


def _open(path: Path) -> IO[str]:
    file = path.open("a", encoding="utf-8", errors="replace")
    path.chmod(0o600)
    return file


def read(path: Path) -> Iterator[Event]:
    """The events of a recorded run. Missing names the line that is not one; a torn last line is left out."""
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}", "give the events.jsonl of a run") from None
    with file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                event = harmless(from_json(line))
                if event.at:
                    moment(event.at)
                yield event
            except (ValueError, RecursionError) as error:
                raise Missing(
                    f"line {number} of {path} is no event: {error}", "give the events.jsonl of a run"
                ) from None


def replay(
    path: Path, emit: Callable[[Event], None], speed: float = 1.0, sleep: Callable[[float], Any] = time.sleep
) -> None:
    """Emit a recorded run with its own pauses, `speed` times as fast; 0 means at once."""
    before: datetime | None = None
    for event in read(path):
        at = moment(event.at) if event.at else None
        if speed > 0 and at is not None and before is not None and at > before:
            sleep((at - before).total_seconds() / speed)
        before = at or before
        emit(event)


def moment(text: str) -> datetime:
    """The time of an event; ValueError when it is not ISO 8601 in UTC."""
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=timezone.utc)


def runs(state: Path) -> list[dict[str, Any]]:
    """What each recorded run was, as `told` has it, newest first."""
    return [told(path) for path in sorted((state / "runs").glob("*/events.jsonl"), reverse=True)]


def told(path: Path) -> dict[str, Any]:
    """What the run of this events.jsonl was: run, workflow, network, outcome, seconds, step, events.

    What cannot be told of a damaged record, or of none, is None.
    """
    record: dict[str, Any] = {
        "run": path.parent.name, "workflow": None, "network": None, "outcome": None, "seconds": None,
        "step": None, "events": str(path),
    }  # fmt: skip
    with contextlib.suppress(Missing):
        for event in read(path):
            if isinstance(event, RunStarted):
                record.update(workflow=event.workflow, network=event.network)
            elif isinstance(event, StepStarted):
                record["step"] = event.step
            elif isinstance(event, StepEnded) and event.step == "network":
                record["network"] = event.outputs.get("name") or record["network"]  # chosen on the way
            elif isinstance(event, RunEnded):
                record.update(outcome=event.outcome, seconds=event.seconds)
    return record
