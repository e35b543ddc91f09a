"""What happens during a run, as small frozen records: the only thing that crosses to a face.

The same records are the lines of `events.jsonl`, the NDJSON of `run` and what a screen listens to.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from workflows.core.text import clean

VERSION = 1

TaskState = Literal["waiting", "running", "done", "cached", "failed", "cancelled"]
Outcome = Literal["done", "skipped", "failed", "cancelled"]


def now() -> str:
    """The present moment as ISO 8601 in UTC with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Common fields; the engine stamps them, a step leaves them empty."""

    type: ClassVar[str] = ""

    at: str = ""
    run: str = ""
    step: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins; `before` has what the steps ahead of the first one left in an earlier run, by their ids."""

    type: ClassVar[str] = "run_started"
    workflow: str
    network: str | None
    project: str
    before: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepStarted(Event):
    """A step begins; `command` is what a person would type to do it by hand."""

    type: ClassVar[str] = "step_started"
    title: str
    command: str


@dataclass(frozen=True, kw_only=True)
class TaskChanged(Event):
    """A part of a step changed state; `task` is its id within the step, `parent` another task's id."""

    type: ClassVar[str] = "task_changed"
    task: str
    title: str
    state: TaskState
    parent: str | None = None
    started: str | None = None
    ended: str | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lines(Event):
    """Output of a task, sanitised, without line ends."""

    type: ClassVar[str] = "lines"
    task: str
    stream: Literal["out", "err"] = "out"
    text: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How far a task is; `total` is None while unknown. Unit: bytes, files, blocks …"""

    type: ClassVar[str] = "progress"
    task: str
    done: int
    total: int | None = None
    unit: str = "bytes"


@dataclass(frozen=True, kw_only=True)
class Asked(Event):
    """A step needs an answer before it goes on: `answer = yield Asked(...)`; `default` may be taken as it is.

    `flag`: what to give where nobody can be asked, if that does not follow from the field's name.
    """

    type: ClassVar[str] = "asked"
    field: str
    question: str
    kind: Literal["confirm", "text", "choice", "secret", "path", "document"] = "confirm"
    default: str | None = None
    flag: str | None = None


@dataclass(frozen=True, kw_only=True)
class Noted(Event):
    """Something worth reading that changes no state; `answer` is what the question before it was answered with."""

    type: ClassVar[str] = "noted"
    text: str
    level: Literal["info", "warning", "error"] = "info"
    hint: str | None = None
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepEnded(Event):
    """A step is over; `error` is {name, message, hint} when it failed. `seconds` of work: a person's answers not
    counted."""

    type: ClassVar[str] = "step_ended"
    outcome: Outcome
    outputs: Mapping[str, Any]
    seconds: float
    error: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """A run is over; `outputs` maps each finished step to what it left. `seconds` of work, as of a step."""

    type: ClassVar[str] = "run_ended"
    outcome: Literal["done", "failed", "cancelled"]
    outputs: Mapping[str, Mapping[str, Any]]
    seconds: float
    log: str | None = None


TYPES: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        RunStarted, StepStarted, TaskChanged, Lines, Progress, Asked, Noted, StepEnded, RunEnded,
    )
}  # fmt: skip

_COMMON = ("at", "run", "step")
_AS_IT_IS = ("outputs", "before", "default")  # values for programs, and documents that a person edits
_ONE_LINE = ("task", "parent", "title", "detail")  # a file's name may hold line ends


E = TypeVar("E", bound=Event)


def harmless(event: E) -> E:
    """The event with nothing in its words that a terminal would act on; line ends stay where text has several."""
    changed = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name in _AS_IT_IS:
            continue
        one_line = isinstance(value, str) and field.name in _ONE_LINE
        if (cleaned := clean(value) if one_line else _cleaned(value)) != value:
            changed[field.name] = cleaned
    return replace(event, **changed) if changed else event


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value) if value.isprintable() else "\n".join(map(clean, value.split("\n")))
    if isinstance(value, tuple):
        return tuple(map(clean, value))
    if isinstance(value, Mapping):
        return {name: _cleaned(item) for name, item in value.items()}
    return value


def to_dict(event: Event) -> dict[str, Any]:
    """The JSON object of an event: v, type, at, run, step, then its own fields."""
    record: dict[str, Any] = {"v": VERSION, "type": event.type}
    for name in _COMMON:
        record[name] = getattr(event, name)
    for field in fields(event):
        if field.name not in _COMMON:
            record[field.name] = getattr(event, field.name)
    return record


def to_json(event: Event) -> str:
    """One line of NDJSON, without the line end."""
    return json.dumps(to_dict(event), ensure_ascii=False, separators=(",", ":"))


def from_dict(record: Mapping[str, Any]) -> Event:
    """The event of a JSON object. Fields of a later version are ignored.

    Raises ValueError for an unknown type, a missing field or a version above ours.
    """
    kind = TYPES.get(str(record.get("type")))
    if kind is None:
        raise ValueError(f"unknown event type {record.get('type')!r}")
    if record.get("v") != VERSION:
        raise ValueError(f"event version {record.get('v')!r}, this program reads {VERSION}")
    hints = _HINTS[kind.type]
    values = {name: value for name, value in record.items() if name in hints}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise ValueError(f"event {kind.type}: {name} is not as it should be")
    if kind is Lines and "text" in values:
        values["text"] = tuple(values["text"])
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"event {kind.type}: {error}") from None


_HINTS = {
    name: {key: hint for key, hint in get_type_hints(kind).items() if key != "type"}
    for name, kind in TYPES.items()
}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is what a field holds."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner
    if origin is UnionType:
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, inner[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, dict if origin is not None else hint)


def from_json(line: str) -> Event:
    """The event of one NDJSON line; ValueError when it is not one."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("an event is a JSON object")
    return from_dict(record)
