"""What a worker says of a task, read with suspicion: events of its stream, and statuses of a pool's document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from workflows.core.events import Event, Lines, Noted, Progress, TaskChanged, TaskState, from_dict
from workflows.core.text import clean, shorten
from workflows.iexec.causes import explain

ENDS = ("COMPLETED", "FAILED")
_KINDS = (TaskChanged, Lines, Progress, Noted)
_LOST = ("FAILED", "ABORTED", "WORKER_LOST")


@dataclass(frozen=True)
class Ended:
    """How a task ended: `status` COMPLETED or FAILED, the cause's name, what it means and what to do."""

    status: str
    cause: str | None
    message: str
    hint: str


def read(record: Any) -> Event | Ended | None:
    """An event of a worker, made harmless; None for what is none of those that a worker may send."""
    if not isinstance(record, dict):
        return None
    if record.get("type") == "end":
        status = str(record.get("status"))
        return ended(
            status if status in ENDS else "FAILED", _text(record.get("cause")) or None,
            _text(record.get("message")), _text(record.get("hint")),
        )  # fmt: skip
    try:
        event = from_dict({"v": 1, **record})
    except (ValueError, TypeError):
        return None
    if not isinstance(event, _KINDS):
        return None
    if isinstance(event, Progress) and (event.done < 0 or (event.total or 0) < 0):
        return None
    return _harmless(event)


def _harmless(event: Event) -> Event:
    """The event with each text clean, of one line and not too long; whose run and step it is, is decided here."""
    texts: dict[str, Any] = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, str):
            texts[field.name] = _text(value) or (None if field.default is None else "")
    if isinstance(event, Lines):
        texts["text"] = tuple(map(clean, event.text))
    return replace(event, **{**texts, "run": "", "step": None})


def statuses(document: Mapping[str, Any]) -> Iterator[Event]:
    """What a pool's view of a task amounts to; the same event again when nothing changed."""
    status = status_of(document)
    state: TaskState = "done" if status == "COMPLETED" else "failed" if status == "FAILED" else "running"
    yield TaskChanged(task="pool", title="Workerpool", state=state, detail=status or None)
    replicates = document.get("replicates")
    for replicate in replicates[:100] if isinstance(replicates, list) else ():
        if not isinstance(replicate, dict):
            continue
        wallet = _text(replicate.get("walletAddress"))
        now = _text(replicate.get("currentStatus")) or _last(replicate)[0]
        state = (
            "done"
            if now == "COMPLETED"
            else "failed"
            if now in _LOST or now.endswith("_FAILED")
            else "running"
        )
        yield TaskChanged(
            task=f"worker-{wallet}",
            title=f"Worker {shorten(wallet)}",
            state=state,
            parent="pool",
            detail=now or None,
        )
        if cause := _last(replicate)[1]:
            meaning = next((entry.meaning for entry in explain(cause)), "")
            yield Noted(level="warning", text=f"{cause}: {meaning}" if meaning else cause)


def status_of(document: Mapping[str, Any]) -> str:
    """The task's status in either spelling of the document."""
    return _text(document.get("status") or document.get("currentStatus"))


def cause_of(document: Mapping[str, Any]) -> str | None:
    """The cause of the task's failure, or else the last one that a worker reported."""
    if document.get("cause"):
        return _text(document["cause"])
    replicates = document.get("replicates")
    found = (
        [_last(one)[1] for one in replicates if isinstance(one, dict)] if isinstance(replicates, list) else []
    )
    return next((cause for cause in reversed(found) if cause), None)


def _last(replicate: Mapping[str, Any]) -> tuple[str, str | None]:
    """A replicate's last status, and the last cause of a failure in its history."""
    history = replicate.get("statusUpdateList")
    updates = [one for one in history if isinstance(one, dict)] if isinstance(history, list) else []
    status = _text(updates[-1].get("status")) if updates else ""
    for update in reversed(updates):
        details = update.get("details")
        if isinstance(details, dict) and details.get("cause"):
            return status, _text(details["cause"])
    return status, None


def ended(status: str, cause: str | None, message: str, hint: str) -> Ended:
    """The end, with the explainer's words where the worker has none."""
    entry = next(iter(explain(cause)), None) if cause else None
    if entry is not None:
        message, hint = message or entry.meaning, hint or entry.do
    if status == "FAILED" and not message:
        message = f"the task failed: {cause}" if cause else "the task failed and nobody says why"
    return Ended(status, cause, message, hint)


def parsed(line: bytes) -> Any:
    """The JSON value of a line; None for what is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return clean(value)[:2000] if isinstance(value, str) else ""
